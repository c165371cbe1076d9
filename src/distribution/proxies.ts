/** Which proxy a request goes through, by the rules of Go's programs (golang.org/x/net/http/httpproxy). */
import { isIP } from "node:net";
import { isInRange, isLoopback } from "./address-ranges.ts";

/** Proxies by the scheme of what is asked for; empty for none. */
export interface ProxySettings {
  http: string;
  https: string;
  /** Hosts, domains, `host:port`, addresses and ranges that are reached directly; commas between them. */
  none: string;
}

export const noProxies: ProxySettings = { http: "", https: "", none: "" };

const variables = { http: "HTTP_PROXY", https: "HTTPS_PROXY", none: "NO_PROXY" } as const;

/**
 * What the environment says. It is taken out of the environment: fetch() would follow it by rules of its own, also
 * where a configuration file says otherwise.
 */
export function environmentProxies(): ProxySettings {
  const take = (name: string) => {
    for (const variable of [name, name.toLowerCase()]) {
      const value = process.env[variable];
      delete process.env[variable];
      if (value) taken[name] ??= value;
    }
    return taken[name] ?? "";
  };
  return { http: take(variables.http), https: take(variables.https), none: take(variables.none) };
}

const taken: Record<string, string> = {};

/** The proxy's URL for a request, or undefined where it goes directly. */
export function proxyFor({ protocol, hostname, port }: URL, proxies: ProxySettings): string | undefined {
  const isTls = protocol === "https:";
  const proxy = isTls ? proxies.https : proxies.http;
  if (proxy === "") return undefined;
  const host = hostname.replace(/^\[|\]$/g, "").toLowerCase();
  if (isLoopback(host)) return undefined;
  const entries = proxies.none.split(",").map((entry) => entry.trim().toLowerCase());
  if (entries.some((entry) => entry !== "" && isExempt(host, port || (isTls ? "443" : "80"), entry))) return undefined;
  return proxy.includes("://") ? proxy : `http://${proxy}`;
}

function isExempt(host: string, port: string, entry: string): boolean {
  if (entry === "*") return true;
  if (entry.includes("/")) return isInRange(host, entry);
  const { name, onlyPort } = splitPort(entry);
  if (onlyPort !== "" && onlyPort !== port) return false;
  if (isIP(name) !== 0) return name === host;
  const domain = name.replace(/^\*(?=\.)/, "");
  return domain.startsWith(".") ? host.endsWith(domain) : host === domain || host.endsWith(`.${domain}`);
}

function splitPort(entry: string): { name: string; onlyPort: string } {
  const match = /^(?:\[([^\]]+)\]|([^:]+))(?::(\d+))?$/.exec(entry);
  return match ? { name: match[1] ?? match[2]!, onlyPort: match[3] ?? "" } : { name: entry, onlyPort: "" };
}
