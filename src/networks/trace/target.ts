/** What a trace is asked: from where, and to which name or address and port. */
import { isIP } from "node:net";
import { invalidParameter } from "../../lib/errors.ts";
import { formatAddress, parseAddress } from "../addresses.ts";

/** Where a trace leads to. */
export interface Target {
  /** A name, or an address in its canonical form. */
  host: string;
  isAddress: boolean;
  /** Absent: whether it is reached at all. */
  port?: number;
  protocol: "tcp" | "udp";
}

const namePattern = /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,252}$/;

/** `web`, `web:80`, `10.0.0.5:53/udp`, `[fd00::1]:443`, `fd00::1`. Throws a sentence for anything else. */
export function parseTarget(text: string): Target {
  const wrong = (why: string) => invalidParameter(`invalid target ${shown(text)}: ${why}`);
  const [, bracketed, plain = "", portText, protocol] =
    /^(?:\[([^\][]*)\]|([^\][:/]*))(?::(\d{1,5}))?(?:\/([a-z]+))?$/.exec(text) ?? (isIP(text) === 6 ? ["", text] : []);
  const host = bracketed ?? plain;
  if (host === "")
    throw wrong("it has to be NAME[:PORT[/udp]] or ADDRESS[:PORT[/udp]], an IPv6 address with a port in brackets");
  if (protocol !== undefined && protocol !== "tcp" && protocol !== "udp")
    throw wrong("the protocol has to be tcp or udp");
  if (protocol !== undefined && portText === undefined) throw wrong("a protocol needs a port");
  const port = portText === undefined ? undefined : Number(portText);
  if (port !== undefined && !(port >= 1 && port <= 65535)) throw wrong("the port has to be a number from 1 to 65535");
  const address = parseAddress(host);
  if (address === undefined && (bracketed !== undefined || !namePattern.test(host) || /^[\d.]+$/.test(host)))
    throw wrong(`${shown(host)} is neither a name nor an address`);
  if (address !== undefined && !isOne(formatAddress(address))) throw wrong(`${host} is not the address of one host`);
  return {
    host: address === undefined ? host : formatAddress(address),
    isAddress: address !== undefined,
    protocol: protocol === "udp" ? "udp" : "tcp",
    ...(port !== undefined && { port }),
  };
}

/** Where a trace begins: a container's name or id, `host`, or an address. Throws a sentence for anything else. */
export function parseSource(text: string): string {
  const address = parseAddress(text);
  if (address !== undefined && isOne(formatAddress(address))) return formatAddress(address);
  if (address !== undefined || !namePattern.test(text.replace(/^\//, "")))
    throw invalidParameter(
      `invalid source ${shown(text)}: it has to be a container's name or id, the word host, or an address`,
    );
  return text.replace(/^\//, "");
}

/** An address with a port, as one writes it. */
export function withPort(host: string, port: number | undefined, protocol: Target["protocol"] = "tcp"): string {
  if (port === undefined) return host;
  return `${host.includes(":") ? `[${host}]` : host}:${port}${protocol === "udp" ? "/udp" : ""}`;
}

/** Neither everybody nor a group. Link-local addresses of IPv6 mean nothing without a link. */
function isOne(address: string): boolean {
  if (address.includes(":")) return !/^(::$|ff|fe[89ab])/.test(address);
  const first = Number(address.split(".")[0]);
  return first > 0 && first < 224;
}

/** Hostile text in a sentence. */
function shown(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}
