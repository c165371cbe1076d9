/** Settings of a registry: a JSON file, and flags that count for more. */
import { readFileSync } from "node:fs";
import { messageOf } from "../lib/errors.ts";
import { FlagError, type FlagSpec, type ParsedFlags } from "../lib/flags.ts";
import { isLogLevel, type LogLevel, logLevels } from "../lib/logger.ts";
import { parseGoDuration, parseMemoryBytes } from "../lib/units.ts";
import type { AccessOptions } from "./access/open-access.ts";
import type { ProxyOptions } from "./pull-through.ts";
import type { QuotaOptions } from "./quotas.ts";
import type { S3Options } from "./s3-blobs.ts";

export interface RegistryConfig {
  /** Where everything is kept. */
  root: string;
  /** `address:port` */
  hostname: string;
  port: number;
  tls: { cert: string; key: string; clientCa?: string } | undefined;
  readOnly: boolean;
  /** Whether tags, manifests and blobs may be deleted. */
  deletes: boolean;
  accessLog: boolean;
  logLevel: LogLevel;
  logFormat: "text" | "json";
  /** The object store where blobs are; undefined for files below the root. */
  s3: S3Options | undefined;
  access: AccessOptions;
  quotas: QuotaOptions;
  /** Where numbers for Prometheus are served; undefined for nowhere. */
  metrics: { hostname: string; port: number } | undefined;
  /** The registry that this one is a cache of. */
  proxy: ProxyOptions | undefined;
  /** Time between two garbage collections; 0 for none. */
  garbageIntervalMs: number;
  /** What is younger is never garbage. */
  garbageGraceMs: number;
}

/** Keys of the file, each with the flag of the same name. */
const settings: FlagSpec[] = [
  { name: "root", type: "string", default: "/var/lib/brig-registry", usage: "Directory of the registry" },
  { name: "listen", type: "string", default: "127.0.0.1:5000", usage: "Address and port to listen on" },
  { name: "tls-cert", type: "string", usage: "Path to the TLS certificate" },
  { name: "tls-key", type: "string", usage: "Path to the key of the certificate" },
  { name: "tls-client-ca", type: "string", usage: "Ask clients for certificates signed by this CA" },
  {
    name: "auth",
    type: "string",
    default: "none",
    usage:
      "Who may do what: accounts of the registry (users), a file (htpasswd), an outside server's tokens (token), everybody everything (none)",
  },
  { name: "htpasswd", type: "string", usage: "Path to the file of auth=htpasswd (bcrypt)" },
  { name: "tokens", type: "bool", default: "true", usage: "Give tokens for passwords; anonymous pulls need them" },
  { name: "public-url", type: "string", usage: "URL that clients use, where a proxy stands in between" },
  { name: "token-realm", type: "string", usage: "URL of the token server of auth=token" },
  { name: "token-service", type: "string", usage: "What the token server calls this registry" },
  { name: "token-issuer", type: "string", usage: "What the token server calls itself" },
  { name: "token-key", type: "string", usage: "Path to its public keys or certificates (PEM)" },
  { name: "quota-total", type: "string", default: "0", usage: "Most bytes of all blobs (500g); 0 for no limit" },
  {
    name: "quota-namespace",
    type: "string",
    default: "0",
    usage: "Most bytes of all repositories below one first name",
  },
  { name: "quota-repository", type: "string", default: "0", usage: "Most bytes of one repository" },
  { name: "metrics-listen", type: "string", usage: "Address and port for Prometheus (/metrics)" },
  { name: "read-only", type: "bool", usage: "Refuse whatever would change something" },
  { name: "deletes", type: "bool", default: "true", usage: "Let tags, manifests and blobs be deleted" },
  { name: "access-log", type: "bool", usage: "Log each request" },
  { name: "log-level", type: "string", default: "info", usage: `Log from this level on (${logLevels.join(", ")})` },
  { name: "log-format", type: "string", default: "text", usage: 'Format of the log ("text", "json")' },
  { name: "s3-bucket", type: "string", usage: "Keep blobs in this bucket of an S3-compatible store" },
  { name: "s3-endpoint", type: "string", usage: "URL of the store (default Amazon's of the region)" },
  { name: "s3-region", type: "string", default: "us-east-1", usage: "Region of the bucket" },
  { name: "s3-prefix", type: "string", usage: "What stands before the key of each object" },
  { name: "s3-redirect", type: "bool", usage: "Send clients to the store for blobs" },
  { name: "proxy", type: "string", usage: "Be a cache of the registry at this URL, and take no pushes" },
  { name: "proxy-ttl", type: "string", default: "168h", usage: "Forget what nobody pulled for so long" },
  { name: "gc-interval", type: "string", default: "24h", usage: "Time between garbage collections; 0 for none" },
  { name: "gc-grace", type: "string", default: "24h", usage: "What is younger is never garbage" },
];

/** Keys of the file that are no flags, since everybody sees a command line: and the variables that they stand in for. */
const secrets = {
  "proxy-username": "BRIG_REGISTRY_PROXY_USERNAME",
  "proxy-password": "BRIG_REGISTRY_PROXY_PASSWORD",
  "s3-access-key-id": "AWS_ACCESS_KEY_ID",
  "s3-secret-access-key": "AWS_SECRET_ACCESS_KEY",
  "s3-session-token": "AWS_SESSION_TOKEN",
} as const;

export const configFlag: FlagSpec = { name: "config", type: "string", usage: "Path to the configuration file (JSON)" };
/** Flags of `brig registry serve`. */
export const serveFlags: FlagSpec[] = [configFlag, ...settings];

/**
 * The settings that flags and the file they name make. Throws FlagError for values out of rule, and an Error that names
 * the key for a file with one that is not known or of the wrong type.
 */
export function loadConfig(flags: ParsedFlags): RegistryConfig {
  const path = flags.string("config");
  const file = path === "" ? {} : readFile(path);
  const text = (name: string) => (flags.has(name) || !(name in file) ? flags.string(name) : String(file[name]));
  const bool = (name: string) => (flags.has(name) || !(name in file) ? flags.bool(name) : file[name] === true);
  const secret = (name: keyof typeof secrets) => String(file[name] ?? process.env[secrets[name]] ?? "");
  const { hostname, port } = parseListen(text("listen"));
  return {
    root: text("root"),
    hostname,
    port,
    access: accessOf(text, bool("tokens")),
    quotas: {
      total: bytesOf("quota-total", text("quota-total")),
      namespace: bytesOf("quota-namespace", text("quota-namespace")),
      repository: bytesOf("quota-repository", text("quota-repository")),
    },
    metrics: text("metrics-listen") === "" ? undefined : parseListen(text("metrics-listen")),
    tls: tlsOf(text("tls-cert"), text("tls-key"), text("tls-client-ca")),
    readOnly: bool("read-only"),
    deletes: bool("deletes"),
    accessLog: bool("access-log"),
    logLevel: oneOf("log-level", text("log-level"), isLogLevel),
    logFormat: oneOf("log-format", text("log-format"), (value) => value === "text" || value === "json"),
    s3: s3Of(text, bool("s3-redirect"), secret),
    proxy: proxyOf(text, secret),
    garbageIntervalMs: durationMs("gc-interval", text("gc-interval")),
    garbageGraceMs: durationMs("gc-grace", text("gc-grace")),
  };
}

function readFile(path: string): Record<string, unknown> {
  let parsed: unknown;
  try {
    parsed = JSON.parse(readFileSync(path, "utf8"));
  } catch (thrown) {
    throw new Error(`unable to read the configuration file ${path}: ${messageOf(thrown)}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw new Error(`${path}: not a JSON object`);
  for (const [key, value] of Object.entries(parsed)) {
    const setting = settings.find(({ name }) => name === key);
    if (setting === undefined && !Object.hasOwn(secrets, key)) throw new Error(`${path}: unknown key "${key}"`);
    const wanted = setting?.type === "bool" ? "boolean" : "string";
    if (typeof value !== wanted) throw new Error(`${path}: "${key}" is not a ${wanted}`);
  }
  return parsed as Record<string, unknown>;
}

/** `5000`, `:5000`, `127.0.0.1:5000`, `[::1]:5000`. */
function parseListen(text: string): { hostname: string; port: number } {
  const match = /^(?:(\[[0-9a-fA-F:.]+\]|[^:[\]]*):)?(\d{1,5})$/.exec(text);
  const port = Number(match?.[2] ?? Number.NaN);
  if (!(port <= 65535)) throw new FlagError(`invalid address to listen on: ${text}`);
  return { hostname: (match?.[1] ?? "").replace(/^\[|\]$/g, "") || "0.0.0.0", port };
}

function tlsOf(cert: string, key: string, clientCa: string): RegistryConfig["tls"] {
  if (cert === "" && key === "" && clientCa === "") return undefined;
  if (cert === "" || key === "") throw new FlagError("tls-cert and tls-key are needed together");
  return { cert, key, ...(clientCa === "" ? {} : { clientCa }) };
}

function accessOf(text: (name: string) => string, tokens: boolean): AccessOptions {
  const mode = oneOf("auth", text("auth"), (value) => ["none", "htpasswd", "users", "token"].includes(value));
  const outside = {
    realm: text("token-realm"),
    service: text("token-service"),
    issuer: text("token-issuer"),
    keyPath: text("token-key"),
  };
  if (mode === "htpasswd" && text("htpasswd") === "") throw new FlagError("auth=htpasswd needs htpasswd");
  if (mode === "token" && Object.values(outside).includes(""))
    throw new FlagError("auth=token needs token-realm, token-service, token-issuer and token-key");
  return {
    mode: mode as AccessOptions["mode"],
    htpasswdPath: text("htpasswd"),
    tokens,
    publicUrl: text("public-url").replace(/\/+$/, ""),
    outside,
  };
}

function bytesOf(name: string, text: string): number {
  try {
    return parseMemoryBytes(text);
  } catch {
    throw new FlagError(`invalid ${name}: ${text}`);
  }
}

function s3Of(
  text: (name: string) => string,
  redirect: boolean,
  secret: (name: keyof typeof secrets) => string,
): S3Options | undefined {
  const bucket = text("s3-bucket");
  if (bucket === "") return undefined;
  const [accessKeyId, secretAccessKey] = [secret("s3-access-key-id"), secret("s3-secret-access-key")];
  if (accessKeyId === "" || secretAccessKey === "")
    throw new Error(
      "the bucket needs s3-access-key-id and s3-secret-access-key in the configuration file, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY in the environment",
    );
  return {
    bucket,
    endpoint: text("s3-endpoint"),
    region: text("s3-region"),
    prefix: text("s3-prefix"),
    redirect,
    accessKeyId,
    secretAccessKey,
    sessionToken: secret("s3-session-token"),
  };
}

function proxyOf(
  text: (name: string) => string,
  secret: (name: keyof typeof secrets) => string,
): ProxyOptions | undefined {
  const url = text("proxy").replace(/\/+$/, "");
  if (url === "") return undefined;
  if (!/^https?:$/.test(URL.parse(url)?.protocol ?? "")) throw new FlagError(`invalid proxy: ${url} is no URL`);
  return {
    url,
    ttlMs: durationMs("proxy-ttl", text("proxy-ttl")),
    username: secret("proxy-username"),
    password: secret("proxy-password"),
  };
}

function oneOf<T extends string>(
  name: string,
  value: string,
  isOne: ((value: string) => value is T) | ((value: string) => boolean),
): T {
  if (!isOne(value)) throw new FlagError(`invalid ${name}: ${value}`);
  return value as T;
}

function durationMs(name: string, text: string): number {
  try {
    const ms = text === "0" ? 0 : parseGoDuration(text) / 1e6;
    if (ms >= 0) return ms;
  } catch {
    // Said below.
  }
  throw new FlagError(`invalid ${name}: ${text}`);
}
