/** The default bridge: its subnet, its link, the kernel's settings it needs. */
import { randomBytes } from "node:crypto";
import { readFileSync, writeFileSync } from "node:fs";
import { isIPv4 } from "node:net";
import type { Link, Netlink } from "../kernel/rtnetlink.ts";
import { invalidParameter, systemError } from "../lib/errors.ts";
import {
  contains,
  formatSubnet,
  ipv4Bytes,
  ipv4OfBytes,
  overlap,
  parseCidr,
  parseIpv4,
  type Subnet,
  subnetOf,
} from "./addresses.ts";
import { hostResolvConf } from "./files.ts";
import { chooseSubnet } from "./ipam.ts";
import type { NetworkOptions } from "./settings.ts";

const RTN_UNICAST = 1;
const defaultMtu = 1500;
const smallestMtu = 68;
const largestMtu = 65535;
/** Tells the bridges that Brig has made, and may change and remove, from those it was only told to use. */
const ownAlias = "brig";

/** A bridge that is up. */
export interface Bridge {
  name: string;
  index: number;
  /** Whether Brig has made it. */
  own: boolean;
  mtu: number;
  subnet: Subnet;
  /** Address of the host on it. */
  gateway: number;
  /** Where containers' addresses are taken from. */
  range: Subnet;
}

/** Whether a text can be the name of a link: as the kernel has it, without signs that mean something to others. */
export function isBridgeName(name: string): boolean {
  return /^[a-zA-Z0-9_][a-zA-Z0-9_.-]{0,14}$/.test(name);
}

/**
 * Brings the default bridge to what it should be, creating it where it is not there.
 * `remembered` is the gateway with its prefix length of the last time; it is kept where the options allow it.
 */
export function bringUpBridge(netlink: Netlink, options: NetworkOptions, remembered: string | undefined): Bridge {
  const { bridge: name } = options;
  if (!isBridgeName(name)) throw invalidParameter(`invalid name of a bridge: ${JSON.stringify(name)}`);
  let link = netlink.link(name);
  if (link !== undefined && link.kind !== "bridge") throw systemError(`${name} is there already and is not a bridge`);
  const mtu = chooseMtu(netlink, options);
  const { subnet, gateway } = chooseGateway(netlink, options, link, remembered);
  if (link === undefined) {
    netlink.createBridge(name, randomMac(), mtu, ownAlias);
    link = netlink.link(name);
    if (link === undefined) throw systemError(`${name} was removed while it was set up`);
  }
  const { index } = link;
  const own = link.alias === ownAlias;
  if (own) netlink.setLink(index, mtu);
  let present = false;
  for (const { linkIndex, address, prefixLength } of netlink.addresses()) {
    if (linkIndex !== index || address.length !== 4) continue;
    if (ipv4OfBytes(address) === gateway && prefixLength === subnet.prefixLength) present = true;
    else if (own) netlink.deleteAddress(index, address, prefixLength);
  }
  if (!present) netlink.addAddress(index, ipv4Bytes(gateway), subnet.prefixLength);
  // So that 127.0.0.1 can be a client of a published port. The table's chain `unspoof` closes what this opens.
  writeSetting(`net/ipv4/conf/${name}/route_localnet`, "1");
  return { name, index, own, mtu: own ? mtu : link.mtu, subnet, gateway, range: chooseRange(options, subnet) };
}

/** Names of bridges that other engines have made for their containers. */
export function bridgesOfOthers(netlink: Netlink, own: string): string[] {
  return netlink
    .links()
    .filter(({ kind, name }) => kind === "bridge" && name !== own && isBridgeName(name))
    .map(({ name }) => name)
    .filter((name) => /^(docker0|br-[0-9a-f]{12}|podman\d+|cni-podman\d+)$/.test(name));
}

/** Whether the host forwards IPv4 between its links. */
export function forwards(): boolean {
  return readSetting("net/ipv4/ip_forward") === "1";
}

export function turnOnForwarding(): void {
  writeSetting("net/ipv4/ip_forward", "1");
}

function chooseMtu(netlink: Netlink, { mtu }: NetworkOptions): number {
  if (mtu === undefined || mtu === 0) return uplinkMtu(netlink);
  if (!Number.isInteger(mtu) || mtu < smallestMtu || mtu > largestMtu)
    throw invalidParameter(`invalid MTU: ${mtu} (must be between ${smallestMtu} and ${largestMtu})`);
  return mtu;
}

/** MTU of the link the default route leads out of. */
function uplinkMtu(netlink: Netlink): number {
  const [uplink] = netlink
    .routes()
    .filter(({ prefixLength, type, linkIndex }) => prefixLength === 0 && type === RTN_UNICAST && linkIndex !== 0)
    .sort((a, b) => a.metric - b.metric);
  const link = netlink.links().find(({ index }) => index === uplink?.linkIndex);
  return link === undefined ? defaultMtu : Math.max(smallestMtu, link.mtu);
}

function chooseGateway(
  netlink: Netlink,
  options: NetworkOptions,
  link: Link | undefined,
  remembered: string | undefined,
): { subnet: Subnet; gateway: number } {
  const parse = (text: string) => {
    const cidr = parseCidr(text);
    return cidr === undefined ? undefined : { subnet: cidr.subnet, gateway: cidr.address };
  };
  if (options.bip !== undefined && options.bip !== "") {
    const chosen = parse(options.bip);
    if (chosen === undefined) throw invalidParameter(`invalid CIDR address: ${options.bip}`);
    const { subnet, gateway } = chosen;
    if (subnet.prefixLength > 30 || gateway === subnet.base)
      throw invalidParameter(`--bip ${options.bip} leaves no address for a container, or is the network's own`);
    return chosen;
  }
  const existing = netlink
    .addresses()
    .find(({ linkIndex, address }) => linkIndex === link?.index && address.length === 4);
  if (existing !== undefined) {
    const gateway = ipv4OfBytes(existing.address);
    return { subnet: subnetOf(gateway, existing.prefixLength), gateway };
  }
  const taken = subnetsInUse(netlink, link);
  const before = parse(remembered ?? "");
  if (before !== undefined && !taken.some((other) => overlap(other, before.subnet))) return before;
  const subnet = chooseSubnet(options.defaultAddressPools, taken);
  return { subnet, gateway: subnet.base + 1 };
}

/** What a new subnet must stay clear of: routes, addresses, name servers. */
function subnetsInUse(netlink: Netlink, own: Link | undefined): Subnet[] {
  const taken: Subnet[] = [];
  for (const { destination, prefixLength, linkIndex } of netlink.routes())
    if (prefixLength > 0 && destination.length === 4 && linkIndex !== own?.index)
      taken.push(subnetOf(ipv4OfBytes(destination), prefixLength));
  for (const { address, prefixLength, linkIndex } of netlink.addresses())
    if (address.length === 4 && linkIndex !== own?.index) taken.push(subnetOf(ipv4OfBytes(address), prefixLength));
  for (const [, server] of hostResolvConf().matchAll(/^nameserver\s+(\S+)/gm))
    if (isIPv4(server!)) taken.push(subnetOf(parseIpv4(server!)!, 32));
  return taken;
}

function chooseRange({ fixedCidr }: NetworkOptions, subnet: Subnet): Subnet {
  if (fixedCidr === undefined || fixedCidr === "") return subnet;
  const range = parseCidr(fixedCidr)?.subnet;
  if (range === undefined) throw invalidParameter(`invalid CIDR address: ${fixedCidr}`);
  if (range.prefixLength < subnet.prefixLength || !contains(subnet, range.base))
    throw invalidParameter(`--fixed-cidr ${fixedCidr} is not within the bridge's subnet ${formatSubnet(subnet)}`);
  return range;
}

function randomMac(): string {
  return `02:42:${randomBytes(4)
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1:")}`;
}

function readSetting(name: string): string {
  return readFileSync(`/proc/sys/${name}`, "utf8").trim();
}

function writeSetting(name: string, value: string): void {
  if (readSetting(name) !== value) writeFileSync(`/proc/sys/${name}`, value);
}
