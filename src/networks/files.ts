/** The files that tell a container its name and whom to ask for others': hosts(5), resolv.conf(5), hostname(5). */
import { closeSync, openSync, readSync } from "node:fs";
import { isIP, isIPv6 } from "node:net";
import { invalidParameter, systemError } from "../lib/errors.ts";

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
  const own = domainname === "" ? word(hostname) : `${word(`${hostname}.${domainname}`)} ${word(hostname)}`;
  for (const address of addresses) lines.push(`${address}\t${own}`);
  return `${lines.join("\n")}\n`;
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
  for (const server of dns)
    if (isIP(server) === 0) throw systemError(`bad nameserver address ${server}: not an IP address`);
  let nameservers = dns;
  if (dns.length === 0) {
    nameservers = found.nameservers;
    if (!hostNetwork) {
      nameservers = nameservers.filter((server) => !isLoopback(server) && (ipv6 || !isIPv6(server.split("%")[0]!)));
      if (nameservers.length === 0) nameservers = fallbackNameservers;
    }
  }
  const search = (dnsSearch.length > 0 ? dnsSearch : found.search).filter((domain) => domain !== ".");
  const options = dnsOptions.length > 0 ? dnsOptions : found.options;
  const lines = nameservers.map((server) => `nameserver ${server}`);
  if (search.length > 0) lines.push(`search ${search.map(word).join(" ")}`);
  if (options.length > 0) lines.push(`options ${options.map(word).join(" ")}`);
  return `# Written by Brig when the container was started. Edit it freely: it is not written again while the container runs.\n${lines.join("\n")}\n`;
}

/** The host's resolv.conf; behind systemd-resolved's stub the file with the real servers. "" where there is none. */
export function hostResolvConf(): string {
  const own = readBounded(systemResolvConf);
  const { nameservers } = parseResolvConf(own);
  const stubOnly = nameservers.length > 0 && nameservers.every((server) => server === "127.0.0.53");
  return stubOnly ? readBounded(resolvedResolvConf) || own : own;
}

/** The host's /etc/hosts. "" where there is none. */
export function hostHostsFile(): string {
  return readBounded("/etc/hosts");
}

function parseResolvConf(content: string): { nameservers: string[]; search: string[]; options: string[] } {
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
