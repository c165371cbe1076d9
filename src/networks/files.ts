/** The files that tell a container its name and whom to ask for others': hosts(5), resolv.conf(5), hostname(5). */
import { closeSync, openSync, readSync } from "node:fs";
import { isIP, isIPv6 } from "node:net";
import { invalidParameter, systemError } from "../lib/errors.ts";
import type { UpstreamServer } from "./names/forward.ts";
import { nameServerAddress } from "./names/redirect.ts";

const limitBytes = 64 * 1024;
const fallbackNameservers = ["8.8.8.8", "8.8.4.4"];
const systemResolvConf = "/etc/resolv.conf";
const resolvedResolvConf = "/run/systemd/resolve/resolv.conf";

/** What /etc/hosts is made of. */
export interface HostsInput {
  hostname: string;
  domainname: string;
  /** The container's own addresses; none on the network "none". */
  addresses: string[];
  /** As the API has them: `name:address`, `name=address`, and `host-gateway` for an address. */
  extraHosts: string[];
  /** What `host-gateway` stands for: an address, or one of each family. */
  hostGateways: string[];
  /** Linked containers of the default bridge. */
  links?: { address: string; names: string[] }[];
  /** The host's own file, where the container is on the host's network. */
  base?: string;
}

/** Content of /etc/hosts. Throws Docker's sentence for a malformed extra host. */
export function hostsFile({
  hostname,
  domainname,
  addresses,
  extraHosts,
  hostGateways,
  links,
  base,
}: HostsInput): string {
  const lines =
    base === undefined
      ? [
          "127.0.0.1\tlocalhost",
          "::1\tlocalhost ip6-localhost ip6-loopback",
          "fe00::0\tip6-localnet",
          "ff00::0\tip6-mcastprefix",
          "ff02::1\tip6-allnodes",
          "ff02::2\tip6-allrouters",
        ]
      : [base.replace(/\n*$/, "")];
  for (const extraHost of extraHosts) {
    const { name, address } = parseExtraHost(extraHost);
    if (address === "host-gateway" && hostGateways.length === 0)
      throw invalidParameter("unable to derive the IP value for host-gateway");
    for (const target of address === "host-gateway" ? hostGateways : [address]) lines.push(`${target}\t${name}`);
  }
  for (const { address, names } of links ?? []) lines.push(`${address}\t${names.map(word).join(" ")}`);
  for (const address of addresses) lines.push(ownLine(address, { hostname, domainname }));
  return `${lines.join("\n")}\n`;
}

/** What a container is called. */
type OwnNames = Pick<HostsInput, "hostname" | "domainname">;

function ownLine(address: string, { hostname, domainname }: OwnNames): string {
  const own = domainname === "" ? word(hostname) : `${word(`${hostname}.${domainname}`)} ${word(hostname)}`;
  return `${address}\t${own}`;
}

/** Content of /etc/hosts of a container that has lost addresses, or got some. All other lines stay as they are. */
export function hostsWithAddresses(
  content: string,
  names: OwnNames,
  { gone = [], come = [] }: { gone?: string[]; come?: string[] },
): string {
  const unwanted = new Set(gone.map((address) => ownLine(address, names)));
  const lines = content.split("\n").filter((line) => !unwanted.has(line));
  const missing = come.map((address) => ownLine(address, names)).filter((line) => !lines.includes(line));
  return missing.length === 0 ? lines.join("\n") : `${lines.join("\n").replace(/\n*$/, "\n")}${missing.join("\n")}\n`;
}

/** Splits `name:address`. Throws Docker's sentences. */
export function parseExtraHost(text: string): { name: string; address: string } {
  const at = text.search(/[:=]/);
  const name = text.slice(0, Math.max(at, 0));
  const address = text.slice(at + 1).replace(/^\[(.*)\]$/, "$1");
  if (at < 1 || address === "" || /[\s#\0]/.test(name))
    throw invalidParameter(`bad format for add-host: ${JSON.stringify(text)}`);
  if (address !== "host-gateway" && isIP(address) === 0)
    throw invalidParameter(`invalid IP address in add-host: ${JSON.stringify(address)}`);
  return { name, address };
}

/** Content of /etc/hostname. */
export function hostnameFile(hostname: string): string {
  return `${word(hostname)}\n`;
}

/** What /etc/resolv.conf is made of. Empty lists: the host's own. */
export interface ResolvConfInput {
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
  /** The host's file, from `hostResolvConf()`. */
  host: string;
  /** Whether the container is on the host's network, where its loopback addresses are the host's. */
  hostNetwork: boolean;
  /** Whether the container can reach IPv6 name servers. */
  ipv6: boolean;
}

/** Content of /etc/resolv.conf. Throws where a name server is no address or a name is none. */
export function resolvConf({ dns, dnsSearch, dnsOptions, host, hostNetwork, ipv6 }: ResolvConfInput): string {
  const found = parseResolvConf(host);
  checkServers(dns);
  let nameservers = dns;
  if (dns.length === 0) {
    nameservers = found.nameservers;
    if (!hostNetwork) {
      nameservers = nameservers.filter((server) => !isLoopback(server) && (ipv6 || !isIPv6(server.split("%")[0]!)));
      if (nameservers.length === 0) nameservers = fallbackNameservers;
    }
  }
  return resolvConfText(
    nameservers,
    searchDomains(dnsSearch, found.search),
    dnsOptions.length > 0 ? dnsOptions : found.options,
  );
}

/**
 * Content of /etc/resolv.conf where the container has a name server of Brig's, and whom that server is to ask for other
 * names. `host` is from `hostResolvConf({ keepsStub: true })`. Throws where a name server is no address or a name is none.
 */
export function embeddedResolvConf({
  dns,
  dnsSearch,
  dnsOptions,
  host,
}: Pick<ResolvConfInput, "dns" | "dnsSearch" | "dnsOptions" | "host">): {
  content: string;
  upstreams: UpstreamServer[];
} {
  const found = parseResolvConf(host);
  checkServers(dns);
  let upstreams: UpstreamServer[] = dns.map((address) => ({ address, hostNamespace: false }));
  if (dns.length === 0) {
    // What the host reaches over loopback, over IPv6, or on one of its links only, the container may not reach.
    upstreams = found.nameservers.map((address) => ({
      address,
      hostNamespace: isLoopback(address) || isIPv6(address.split("%")[0]!),
    }));
    if (upstreams.length === 0) upstreams = fallbackNameservers.map((address) => ({ address, hostNamespace: false }));
  }
  const options = dnsOptions.length > 0 ? dnsOptions : found.options;
  // Names without a dot are containers': they are asked for as they are first.
  const hasNdots = options.some((option) => option === "ndots" || option.startsWith("ndots:"));
  const content = resolvConfText(
    [nameServerAddress],
    searchDomains(dnsSearch, found.search),
    hasNdots ? options : [...options, "ndots:0"],
  );
  const asked = upstreams.map(({ address, hostNamespace }) => (hostNamespace ? `host(${address})` : address));
  return { content: `${content}\n# ExtServers: [${asked.join(" ")}]\n`, upstreams };
}

/**
 * The host's resolv.conf; "" where there is none. Behind systemd-resolved's stub it is the file with the real servers,
 * unless `keepsStub`: the stub knows which server is the one for a name, and follows when they change.
 */
export function hostResolvConf({ keepsStub = false }: { keepsStub?: boolean } = {}): string {
  const own = readBounded(systemResolvConf);
  if (keepsStub) return own;
  const { nameservers } = parseResolvConf(own);
  const stubOnly = nameservers.length > 0 && nameservers.every((server) => server === "127.0.0.53");
  return stubOnly ? readBounded(resolvedResolvConf) || own : own;
}

/** The host's /etc/hosts. "" where there is none. */
export function hostHostsFile(): string {
  return readBounded("/etc/hosts");
}

function checkServers(dns: string[]): void {
  for (const server of dns)
    if (isIP(server) === 0) throw systemError(`bad nameserver address ${server}: not an IP address`);
}

/** A lone dot asks for none at all. */
function searchDomains(asked: string[], host: string[]): string[] {
  return (asked.length > 0 ? asked : host).filter((domain) => domain !== ".");
}

function resolvConfText(nameservers: string[], search: string[], options: string[]): string {
  const lines = nameservers.map((server) => `nameserver ${server}`);
  if (search.length > 0) lines.push(`search ${search.map(word).join(" ")}`);
  if (options.length > 0) lines.push(`options ${options.map(word).join(" ")}`);
  return `# Written by Brig when the container was started. Edit it freely: it is not written again while the container runs.\n${lines.join("\n")}\n`;
}

/** What a resolv.conf says (resolv.conf(5)). */
export function parseResolvConf(content: string): { nameservers: string[]; search: string[]; options: string[] } {
  const nameservers: string[] = [];
  let search: string[] = [];
  const options: string[] = [];
  for (const line of content.split("\n")) {
    if (/^\s*[#;]/.test(line)) continue;
    const [keyword, ...values] = line.trim().split(/\s+/);
    if (keyword === "nameserver" && isIP(values[0]?.split("%")[0] ?? "") !== 0) nameservers.push(values[0]!);
    else if (keyword === "search" || keyword === "domain") search = values;
    else if (keyword === "options") options.push(...values);
  }
  return { nameservers, search, options };
}

function isLoopback(address: string): boolean {
  return address.startsWith("127.") || address === "::1" || /^(0{1,4}:){7}0{0,3}1$/.test(address);
}

/** A word that ends neither the line nor itself. */
function word(value: string): string {
  if (value === "" || /[\s\0]/.test(value)) throw invalidParameter(`invalid name ${JSON.stringify(value)}`);
  return value;
}

function readBounded(path: string): string {
  try {
    const fd = openSync(path, "r");
    try {
      const bytes = Buffer.allocUnsafe(limitBytes);
      return bytes.toString("utf8", 0, readSync(fd, bytes, 0, limitBytes, 0));
    } finally {
      closeSync(fd);
    }
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
