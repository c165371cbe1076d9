/** `-p` and `--expose`. */
import { parseInteger } from "../lib/flags.ts";
import type { PortMap } from "../wire/engine-api.ts";
import { canonicalIp } from "./ip.ts";
import { cut } from "./key-values.ts";

/** Ports that a container shows, and where the host shows them. Keys are like `80/tcp`. */
export interface Ports {
  exposed: Record<string, Record<string, never>>;
  bindings: PortMap;
}

/** Reads all `-p` and `--expose` of a command line. Throws with docker's sentences. */
export function parsePorts(publish: string[], expose: string[]): Ports {
  const ports: Ports = { exposed: {}, bindings: {} };
  for (const text of publish) addPublished(ports, fromLongForm(text));
  for (const text of expose) {
    if (text.includes(":")) throw new Error(`invalid port format for --expose: ${text}`);
    const [range, protocol] = splitProtocol(text);
    try {
      const [first, last] = parseRange(range);
      for (let port = first; port <= last; port++) ports.exposed[`${port}/${protocol.toLowerCase()}`] ??= {};
    } catch (error) {
      throw new Error(`invalid range format for --expose: ${text}, error: ${(error as Error).message}`);
    }
  }
  return ports;
}

/** `target=80,published=8080,protocol=udp` in the short form. */
function fromLongForm(text: string): string {
  if (!text.includes("=")) return text;
  const fields: Record<string, string> = { protocol: "tcp" };
  for (const field of text.split(",")) {
    const [key, value] = cut(field);
    if (value === undefined || key === "") {
      throw new Error(`invalid publish opts format (should be name=value but got '${field}')`);
    }
    fields[key] = value;
  }
  return `${fields.published ?? ""}:${fields.target ?? ""}/${fields.protocol}`;
}

/** `[[IP:][HOST]:]CONTAINER[/PROTOCOL]`, where both ports may be ranges. */
function addPublished(ports: Ports, text: string): void {
  const parts = text.split(":");
  const [range, protocol] = splitProtocol(parts.at(-1)!);
  const hostRange = parts.at(-2) ?? "";
  const address = parts
    .slice(0, -2)
    .join(":")
    .replace(/^\[(.*)\]$/, "$1");
  if (address !== "" && canonicalIp(address) === undefined) throw new Error(`invalid IP address: ${address}`);
  if (range === "") throw new Error(`no port specified: ${text}<empty>`);

  const [first, last] = attempt(() => parseRange(range), `invalid containerPort: ${range}`);
  const host = hostRange === "" ? undefined : attempt(() => parseRange(hostRange), `invalid hostPort: ${hostRange}`);
  if (host !== undefined && first !== last && last - first !== host[1] - host[0]) {
    throw new Error(`invalid ranges specified for container and host Ports: ${range} and ${hostRange}`);
  }
  if (!["tcp", "udp", "sctp"].includes(protocol.toLowerCase())) throw new Error(`invalid proto: ${protocol}`);

  for (let port = first; port <= last; port++) {
    const key = `${port}/${protocol.toLowerCase()}`;
    let hostPort = host === undefined ? "" : String(host[0] + port - first);
    // One port of the container and several of the host: the engine takes the first that is free.
    if (host !== undefined && first === last && host[0] !== host[1]) hostPort = `${host[0]}-${host[1]}`;
    ports.exposed[key] = {};
    (ports.bindings[key] ??= []).push({ HostIp: address, HostPort: hostPort });
  }
}

function splitProtocol(text: string): [range: string, protocol: string] {
  const [range = "", protocol = ""] = text.split("/");
  if (range === "") return ["", ""];
  return [range, protocol === "" ? "tcp" : protocol];
}

/** `80` or `80-90`. Throws as Go's strconv, or where the end lies before the start. */
function parseRange(text: string): [first: number, last: number] {
  if (text === "") throw new Error("empty string specified for ports");
  const [start, end] = cut(text, "-");
  const first = Number(parseInteger(start, "ParseUint", 16, 10));
  const last = end === undefined ? first : Number(parseInteger(end, "ParseUint", 16, 10));
  if (last < first) throw new Error(`invalid range specified for port: ${text}`);
  return [first, last];
}

function attempt<T>(work: () => T, refusal: string): T {
  try {
    return work();
  } catch {
    throw new Error(refusal);
  }
}
