/** Which engine is meant: flags, environment and contexts, in docker's order. */
import type { ConfigFile } from "./config-file.ts";
import type { SocketAddress, TlsOptions } from "./transport.ts";

/** An engine's address. */
export interface Endpoint {
  /** As the user would write it: `unix:///run/brig/brig.sock`, `tcp://host:2375`, `ssh://user@host`. */
  host: string;
  address: SocketAddress | { ssh: string[] };
  /** Nobody chose this engine, so one may be started. */
  isDefault: boolean;
}

/** What the command line says about the engine to talk to. */
export interface EndpointFlags {
  hosts: string[];
  context: string;
  tls: boolean;
  tlsVerify: boolean;
  /** Paths of PEM files; empty where not given. */
  tlsCaCert: string;
  tlsCert: string;
  tlsKey: string;
}

/** Variables of the environment. */
export type Env = Record<string, string | undefined>;

/** Where Brig's daemon listens unless it is told otherwise. */
export const defaultHost = "unix:///run/brig/brig.sock";

/** The context in use: `--context`, none for `-H` and DOCKER_HOST, DOCKER_CONTEXT, config.json; else `default`. */
export function contextNameOf(flags: EndpointFlags, env: Env, configFile: ConfigFile): string {
  if (flags.context !== "") return flags.context;
  if (flags.hosts.length > 0 || env.DOCKER_HOST) return "default";
  return env.DOCKER_CONTEXT || configFile.currentContext || "default";
}

/** The engine that flags or environment name, or the default. Throws an Error that says what is wrong with them. */
export function hostOf(flags: EndpointFlags, env: Env, tls: TlsOptions | undefined): Endpoint {
  if (flags.hosts.length > 1) throw new Error("Specify only one -H");
  const chosen = (flags.hosts[0] ?? env.DOCKER_HOST ?? "").trim();
  return { ...parseHost(chosen || defaultHost, tls), isDefault: chosen === "" };
}

/** Whether flags or environment ask for TLS. */
export function wantsTls(flags: EndpointFlags, env: Env): boolean {
  return flags.tls || flags.tlsVerify || Boolean(env.DOCKER_TLS_VERIFY) || Boolean(env.DOCKER_TLS);
}

/** Reads an address as `-H` takes it. Throws with docker's sentence where it is none. */
export function parseHost(text: string, tls?: TlsOptions): Endpoint {
  const isDefault = false;
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length) || defaultHost.slice("unix://".length);
    return { host: `unix://${path}`, address: { unix: path }, isDefault };
  }
  if (text.startsWith("ssh://")) return { host: text, address: { ssh: sshArguments(text) }, isDefault };
  if (text.includes("://") && !text.startsWith("tcp://")) throw new Error(`invalid bind address format: ${text}`);
  const authority = text.replace(/^tcp:\/\//, "").replace(/\/+$/, "");
  const match = /^(?:\[([\da-fA-F:.%\w]+)\]|([^:/[\]]*))(?::(\d+))?(\/.*)?$/.exec(authority);
  if (match === null || Number(match[3] ?? 1) > 65535) throw new Error(`invalid bind address format: ${text}`);
  const hostname = match[1] ?? (match[2] || "localhost");
  const port = Number(match[3] ?? (tls === undefined ? 2375 : 2376));
  const shown = hostname.includes(":") ? `[${hostname}]` : hostname;
  const address = tls === undefined ? { hostname, port } : { hostname, port, tls };
  return { host: `tcp://${shown}:${port}`, address, isDefault };
}

function sshArguments(text: string): string[] {
  const url = new URL(text);
  if (url.hostname === "") throw new Error("invalid ssh URL: no host specified");
  if (url.password !== "") throw new Error("invalid ssh URL: plain-text password is not supported");
  if (url.search !== "" || url.hash !== "") throw new Error(`invalid ssh URL: ${text}`);
  const user = url.username === "" ? [] : ["-l", decodeURIComponent(url.username)];
  const port = url.port === "" ? [] : ["-p", url.port];
  const socket = url.pathname.replace(/\/+$/, "");
  const host = socket === "" ? "" : ` --host 'unix://${socket.replaceAll("'", `'\\''`)}'`;
  // Whichever command line the other side has knows where the other side's engine listens.
  const remote = `if command -v brig >/dev/null 2>&1; then p=brig; else p=docker; fi; exec $p${host} system dial-stdio`;
  const quoted = `sh -c '${remote.replaceAll("'", `'\\''`)}'`;
  return ["ssh", "-o", "ConnectTimeout=30", "-T", ...user, ...port, "--", url.hostname.replace(/^\[|\]$/g, ""), quoted];
}
