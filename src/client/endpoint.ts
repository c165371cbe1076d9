/** Engines that need files to be reached: contexts, and certificates for TLS. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { ConfigFile } from "./config-file.ts";
import {
  contextNameOf,
  defaultHost,
  type Endpoint,
  type EndpointFlags,
  type Env,
  hostOf,
  parseHost,
  wantsTls,
} from "./host.ts";
import type { TlsOptions } from "./transport.ts";

export { defaultHost };

/** A context as it lies on disk. */
export interface ContextMeta {
  Name: string;
  Metadata: { Description?: string; [key: string]: unknown };
  Endpoints: Record<string, { Host?: string; SkipTLSVerify?: boolean; [key: string]: unknown }>;
}

/** Directory that holds a context's meta.json, or its TLS files. */
export function contextDir(configDir: string, kind: "meta" | "tls", name: string): string {
  return join(configDir, "contexts", kind, new Bun.CryptoHasher("sha256").update(name).digest("hex"));
}

/** Reads a context's meta.json. Throws with docker's sentence where there is none. */
export function readContext(configDir: string, name: string): ContextMeta {
  const path = join(contextDir(configDir, "meta", name), "meta.json");
  try {
    return JSON.parse(readFileSync(path, "utf8")) as ContextMeta;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") {
      throw new Error(`context "${name}": context not found: open ${path}: no such file or directory`);
    }
    throw new Error(`context "${name}": ${(error as Error).message}`);
  }
}

/** Finds the engine. Throws an Error that says what is wrong with the choice. */
export function resolveEndpoint(flags: EndpointFlags, env: Env, configDir: string, configFile: ConfigFile): Endpoint {
  const name = contextNameOf(flags, env, configFile);
  if (name === "default") return hostOf(flags, env, tlsOf(flags, env, configDir));
  const endpoint = readContext(configDir, name).Endpoints.docker;
  if (endpoint === undefined) throw new Error(`context "${name}" has no docker endpoint`);
  return parseHost(endpoint.Host || defaultHost, contextTls(configDir, name, endpoint.SkipTLSVerify === true));
}

function tlsOf(flags: EndpointFlags, env: Env, configDir: string): TlsOptions | undefined {
  if (!wantsTls(flags, env)) return undefined;
  const verify = flags.tlsVerify || Boolean(env.DOCKER_TLS_VERIFY);
  const dir = env.DOCKER_CERT_PATH || configDir;
  return {
    verify,
    ...pem("ca", flags.tlsCaCert, join(dir, "ca.pem"), verify),
    ...pem("cert", flags.tlsCert, join(dir, "cert.pem"), false),
    ...pem("key", flags.tlsKey, join(dir, "key.pem"), false),
  };
}

/** Reads a PEM file: one that was named must be there, one at the usual place may. */
function pem(kind: "ca" | "cert" | "key", named: string, usual: string, needed: boolean): Partial<TlsOptions> {
  try {
    return { [kind]: readFileSync(named || usual, "utf8") };
  } catch (error) {
    if (named === "" && !needed) return {};
    const { code, message } = error as NodeJS.ErrnoException;
    throw new Error(code === "ENOENT" ? `open ${named || usual}: no such file or directory` : message);
  }
}

function contextTls(configDir: string, name: string, skipVerify: boolean): TlsOptions | undefined {
  const dir = join(contextDir(configDir, "tls", name), "docker");
  const files = {
    ...pem("ca", "", join(dir, "ca.pem"), false),
    ...pem("cert", "", join(dir, "cert.pem"), false),
    ...pem("key", "", join(dir, "key.pem"), false),
  };
  if (Object.keys(files).length === 0 && !skipVerify) return undefined;
  return { ...files, verify: !skipVerify };
}
