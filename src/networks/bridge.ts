/** A bridge's link: made, brought to what it should be, and the kernel's settings it needs. */
import { randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import type { Link, Netlink } from "../kernel/rtnetlink.ts";
import { systemError } from "../lib/errors.ts";
import {
  type Address,
  addressBytes,
  addressOfBytes,
  bytesOfAddress,
  type Family,
  type Subnet,
  subnetOf,
} from "./addresses.ts";
import { hostResolvConf } from "./files.ts";
import { isLinkName } from "./options.ts";

const RTN_UNICAST = 1;
const defaultMtu = 1500;
const smallestMtu = 68;
/** The same on every bridge, as Docker has it: neighbours are asked from it. */
const linkLocalGateway = addressBytes("fe80::1")!;

/** What a bridge should be. */
export interface BridgeSpec {
  name: string;
  mtu: number;
  /** Tells the bridges this daemon has made, and may change and remove, from all others. */
  alias: string;
  /** Its own addresses, with the prefix length of their subnets. At most one of each family. */
  addresses: { address: Address; prefixLength: number }[];
  /** Whether 127.0.0.1 may be a client of ports published here: only where the packet filter closes what that opens. */
  routesLocalnet: boolean;
}

const bridgeFilterSettings = "/proc/sys/net/bridge/bridge-nf-call-iptables";

/** A bridge that is up. */
export interface Bridge {
  index: number;
  mtu: number;
  /** Whether Brig has made it. */
  own: boolean;
}

/** Brings a bridge to what it should be, creating it where it is not there. */
export function bringUpBridge(netlink: Netlink, { name, mtu, alias, addresses, routesLocalnet }: BridgeSpec): Bridge {
  let link = netlink.link(name);
  if (link !== undefined && link.kind !== "bridge") throw systemError(`existing interface ${name} is not a bridge`);
  if (link === undefined) {
    netlink.createBridge(name, randomMac(), mtu, alias);
    link = netlink.link(name);
    if (link === undefined) throw systemError(`${name} was removed while it was set up`);
  }
  const { index } = link;
  const own = isOwn(link, alias);
  if (own) netlink.setLink(index, mtu);
  const wanted = addresses.map(({ address, prefixLength }) => ({ bytes: bytesOfAddress(address), prefixLength }));
  if (wanted.some(({ bytes }) => bytes.length === 16)) {
    writeSetting(`net/ipv6/conf/${name}/disable_ipv6`, "0");
    writeSetting(`net/ipv6/conf/${name}/accept_ra`, "0");
    wanted.push({ bytes: linkLocalGateway, prefixLength: 64 });
  }
  for (const present of netlink.addresses()) {
    if (present.linkIndex !== index) continue;
    const at = wanted.findIndex(
      ({ bytes, prefixLength }) =>
        Buffer.compare(bytes, present.address) === 0 && prefixLength === present.prefixLength,
    );
    if (at >= 0) wanted.splice(at, 1);
    else if (own) netlink.deleteAddress(index, present.address, present.prefixLength);
  }
  for (const { bytes, prefixLength } of wanted) netlink.addAddress(index, bytes, prefixLength);
  if (own || routesLocalnet) writeSetting(`net/ipv4/conf/${name}/route_localnet`, routesLocalnet ? "1" : "0");
  return { index, own, mtu: own ? mtu : link.mtu };
}

/**
 * Makes what passes within a bridge go through the packet filter, so that it decides who may talk to whom there. Returns
 * whether it does: the kernel's module br_netfilter may be missing.
 */
export function filterWithin(netlink: Netlink, index: number): boolean {
  if (!existsSync(bridgeFilterSettings)) {
    // Nothing but its own program loads a module: only for networks without icc, and once after each boot.
    try {
      Bun.spawnSync(["modprobe", "br_netfilter"], { stdin: "ignore", stdout: "ignore", stderr: "ignore" });
    } catch {}
    if (!existsSync(bridgeFilterSettings)) return false;
  }
  netlink.filterWithin(index);
  return true;
}

/** Whether this daemon made a link. */
export function isOwn(link: Link, alias: string): boolean {
  return link.alias === alias;
}

/** Names of bridges that other engines have made for their containers. */
export function bridgesOfOthers(netlink: Netlink, own: Set<string>): string[] {
  return netlink
    .links()
    .filter(({ kind, name }) => kind === "bridge" && !own.has(name) && isLinkName(name))
    .map(({ name }) => name)
    .filter((name) => /^(docker0|br-[0-9a-f]{12}|podman\d+|cni-podman\d+)$/.test(name));
}

/** Whether the host forwards packets of a family between its links. */
export function forwards(family: Family): boolean {
  return readSetting(forwardingSetting(family)) === "1";
}

export function turnOnForwarding(family: Family): void {
  // A router ignores router advertisements unless it is told not to: the host would lose its own addresses.
  if (family === 6) for (const name of linksThatListen()) writeSetting(`net/ipv6/conf/${name}/accept_ra`, "2");
  writeSetting(forwardingSetting(family), "1");
}

const forwardingSetting = (family: Family) => (family === 4 ? "net/ipv4/ip_forward" : "net/ipv6/conf/all/forwarding");

function linksThatListen(): string[] {
  return readdirSync("/proc/sys/net/ipv6/conf").filter(
    (name) => name !== "all" && name !== "lo" && readSetting(`net/ipv6/conf/${name}/accept_ra`) === "1",
  );
}

/** MTU of the link the default route leads out of. */
export function uplinkMtu(netlink: Netlink): number {
  const [uplink] = netlink
    .routes()
    .filter(({ prefixLength, type, linkIndex }) => prefixLength === 0 && type === RTN_UNICAST && linkIndex !== 0)
    .sort((a, b) => a.metric - b.metric);
  const link = netlink.links().find(({ index }) => index === uplink?.linkIndex);
  return link === undefined ? defaultMtu : Math.max(smallestMtu, link.mtu);
}

/** What a new subnet must stay clear of: routes, addresses, name servers. `except` is the index of a link that does not count. */
export function subnetsInUse(netlink: Netlink, except: number | undefined): Subnet[] {
  const taken: Subnet[] = [];
  for (const family of [4, 6] as const)
    for (const { destination, prefixLength, linkIndex } of netlink.routes(family))
      if (prefixLength > 0 && destination.length > 0 && linkIndex !== except && !isEverywhere(destination))
        taken.push(subnetOf(addressOfBytes(destination), prefixLength));
  for (const { address, prefixLength, linkIndex } of netlink.addresses())
    if (linkIndex !== except && !isEverywhere(address)) taken.push(subnetOf(addressOfBytes(address), prefixLength));
  for (const [, server] of hostResolvConf().matchAll(/^nameserver\s+(\S+)/gm)) {
    const bytes = addressBytes(server!);
    if (bytes !== undefined) taken.push(subnetOf(addressOfBytes(bytes), bytes.length * 8));
  }
  return taken;
}

/** Link-local and multicast addresses are on every link, and nobody's subnet. */
function isEverywhere(address: Uint8Array): boolean {
  return address.length === 16 && (address[0] === 0xff || (address[0] === 0xfe && (address[1]! & 0xc0) === 0x80));
}

function randomMac(): string {
  return `02:42:${randomBytes(4)
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1:")}`;
}

function readSetting(name: string): string {
  return readFileSync(`/proc/sys/${name}`, "utf8").trim();
}

/** Writes a setting under /proc/sys, unless it has that value. A kernel without it (IPv6 switched off) is left alone. */
export function writeSetting(name: string, value: string): void {
  try {
    if (readSetting(name) !== value) writeFileSync(`/proc/sys/${name}`, value);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
