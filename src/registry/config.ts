/** Settings of a registry: a JSON file, and flags that count for more. */
import { readFileSync } from "node:fs";
import { messageOf } from "../lib/errors.ts";
import { FlagError, type FlagSpec, type ParsedFlags } from "../lib/flags.ts";
import { isLogLevel, type LogLevel, logLevels } from "../lib/logger.ts";
import { parseGoDuration } from "../lib/units.ts";

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
  /** Time between two garbage collections; 0 for none. */
  garbageIntervalMs: number;
  /** What is younger is never garbage. */
  garbageGraceMs: number;
}

/** Keys of the file, each with the flag of the same name. */
const settings: (FlagSpec & { name: string })[] = [
  { name: "root", type: "string", default: "/var/lib/brig-registry", usage: "Directory of the registry" },
  { name: "listen", type: "string", default: "127.0.0.1:5000", usage: "Address and port to listen on" },
  { name: "tls-cert", type: "string", usage: "Path to the TLS certificate" },
  { name: "tls-key", type: "string", usage: "Path to the key of the certificate" },
  { name: "tls-client-ca", type: "string", usage: "Ask clients for certificates signed by this CA" },
  { name: "read-only", type: "bool", usage: "Refuse whatever would change something" },
  { name: "deletes", type: "bool", default: "true", usage: "Let tags, manifests and blobs be deleted" },
  { name: "access-log", type: "bool", usage: "Log each request" },
  { name: "log-level", type: "string", default: "info", usage: `Log from this level on (${logLevels.join(", ")})` },
  { name: "log-format", type: "string", default: "text", usage: 'Format of the log ("text", "json")' },
  { name: "gc-interval", type: "string", default: "24h", usage: "Time between garbage collections; 0 for none" },
  { name: "gc-grace", type: "string", default: "24h", usage: "What is younger is never garbage" },
];

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
  const { hostname, port } = parseListen(text("listen"));
  return {
    root: text("root"),
    hostname,
    port,
    tls: tlsOf(text("tls-cert"), text("tls-key"), text("tls-client-ca")),
    readOnly: bool("read-only"),
    deletes: bool("deletes"),
    accessLog: bool("access-log"),
    logLevel: oneOf("log-level", text("log-level"), isLogLevel),
    logFormat: oneOf("log-format", text("log-format"), (value) => value === "text" || value === "json"),
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
    if (setting === undefined) throw new Error(`${path}: unknown key "${key}"`);
    const wanted = setting.type === "bool" ? "boolean" : "string";
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

function oneOf<T extends string>(name: string, value: string, isOne: (value: string) => value is T): T {
  if (!isOne(value)) throw new FlagError(`invalid ${name}: ${value}`);
  return value;
}

function durationMs(name: string, text: string): number {
  try {
    return text === "0" ? 0 : parseGoDuration(text) / 1e6;
  } catch {
    throw new FlagError(`invalid ${name}: ${text}`);
  }
}
