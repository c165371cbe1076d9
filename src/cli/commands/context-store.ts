/** The user's contexts on disk: `contexts/meta/<sha256 of the name>/meta.json` and `contexts/tls/…`. */
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type ContextMeta, contextDir, defaultHost, readContext } from "../../client/endpoint.ts";
import { type CliContext, StatusError } from "../command.ts";
import { keyValues } from "./key-values.ts";

const NAME = /^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$/;
const TLS_KEYS = ["ca", "cert", "key"] as const;
const ENDPOINT_KEYS = ["from", "host", "skip-tls-verify", ...TLS_KEYS];

/** Throws where a context may not be called that. */
export function checkName(name: string): void {
  if (name === "") throw new StatusError("context name cannot be empty", 1);
  if (name === "default") throw new StatusError('"default" is a reserved context name', 1);
  if (!NAME.test(name)) {
    throw new StatusError(
      `context name "${name}" is invalid, names are validated against regexp "^[a-zA-Z0-9][a-zA-Z0-9_.+-]+$"`,
      1,
    );
  }
}

export function contextExists(configDir: string, name: string): boolean {
  return existsSync(join(contextDir(configDir, "meta", name), "meta.json"));
}

/** All contexts but `default`, by name. What cannot be read is left out. */
export function listContexts(configDir: string): ContextMeta[] {
  const root = join(configDir, "contexts", "meta");
  if (!existsSync(root)) return [];
  const contexts: ContextMeta[] = [];
  for (const entry of readdirSync(root)) {
    try {
      contexts.push(JSON.parse(readFileSync(join(root, entry, "meta.json"), "utf8")) as ContextMeta);
    } catch {
      // Somebody else's directory, or one that is just being made.
    }
  }
  return contexts.sort((a, b) => (a.Name < b.Name ? -1 : 1));
}

/** What `default` stands for: the environment. */
export function defaultContext(): ContextMeta {
  return {
    Name: "default",
    Metadata: {},
    Endpoints: { docker: { Host: process.env.DOCKER_HOST || defaultHost, SkipTLSVerify: false } },
  };
}

/** A context by its name, `default` included. Throws with docker's sentence. */
export function findContext(configDir: string, name: string): ContextMeta {
  return name === "default" ? defaultContext() : readContext(configDir, name);
}

/** Writes a context's description, whole or not at all. */
export function writeContext(configDir: string, context: ContextMeta): void {
  const directory = contextDir(configDir, "meta", context.Name);
  mkdirSync(directory, { recursive: true, mode: 0o755 });
  const path = join(directory, "meta.json");
  writeFileSync(`${path}.${process.pid}`, JSON.stringify(context), { mode: 0o644 });
  renameSync(`${path}.${process.pid}`, path);
}

export function removeContext(configDir: string, name: string): void {
  rmSync(contextDir(configDir, "tls", name), { recursive: true, force: true });
  rmSync(contextDir(configDir, "meta", name), { recursive: true, force: true });
}

/** PEM files of a context by their names, `ca.pem` and so on. */
export function readTls(configDir: string, name: string): Record<string, Buffer> {
  const directory = join(contextDir(configDir, "tls", name), "docker");
  if (name === "default" || !existsSync(directory)) return {};
  return Object.fromEntries(readdirSync(directory).map((file) => [file, readFileSync(join(directory, file))]));
}

/** Replaces a context's PEM files. They hold a key, so only their owner may read them. */
export function writeTls(configDir: string, name: string, files: Record<string, Buffer>): void {
  const directory = join(contextDir(configDir, "tls", name), "docker");
  rmSync(contextDir(configDir, "tls", name), { recursive: true, force: true });
  if (Object.keys(files).length === 0) return;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const [file, bytes] of Object.entries(files)) writeFileSync(join(directory, file), bytes, { mode: 0o600 });
}

/** An endpoint as `--docker` describes it. */
export interface EndpointRequest {
  endpoint: { Host?: string; SkipTLSVerify?: boolean };
  tls: Record<string, Buffer>;
}

/** Reads the words of `--docker "host=…,ca=…"`. Throws for keys that it does not know, and for missing files. */
export function parseEndpoint(ctx: CliContext, words: readonly string[]): EndpointRequest {
  const values = keyValues(words.flatMap((text) => text.split(",")));
  for (const key of Object.keys(values)) {
    if (!ENDPOINT_KEYS.includes(key)) {
      throw new StatusError(`unable to create docker endpoint config: unrecognized config key: ${key}`, 1);
    }
  }
  const from = values.from;
  if (from !== undefined && from !== "") {
    const source = findContext(ctx.configDir, from);
    return { endpoint: { ...source.Endpoints.docker }, tls: readTls(ctx.configDir, from) };
  }
  const tls: Record<string, Buffer> = {};
  for (const key of TLS_KEYS) {
    const path = values[key];
    if (path) tls[`${key}.pem`] = readFileSync(path.replace(/^~(?=\/)/, process.env.HOME || "/root"));
  }
  const skip = values["skip-tls-verify"] ?? "false";
  return { endpoint: { Host: values.host ?? "", SkipTLSVerify: skip === "true" || skip === "1" }, tls };
}
