/** A pair of links of one namespace: what leaves by one comes in by the other, as a packet of a stranger does. */
import { readFileSync, writeFileSync } from "node:fs";
import { type Attribute, NetlinkSocket, type Request, text, u32 } from "./netlink.ts";
import { Netlink } from "./rtnetlink.ts";

const NETLINK_ROUTE = 0;
const RTM_NEWLINK = 16;
const RTM_NEWROUTE = 24;
const RTM_NEWRULE = 32;
const RTM_DELRULE = 33;
const NLM_F_REPLACE = 0x100;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;
const AF_INET = 2;
const AF_INET6 = 10;
const IFF_UP = 0x1;
const IFF_NOARP = 0x80;
const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const VETH_INFO_PEER = 1;
const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_LINK = 253;
const RTN_UNICAST = 1;
const FR_ACT_TO_TBL = 1;
const FRA_IIFNAME = 3;
const FRA_PRIORITY = 6;
const FRA_FWMARK = 10;
const FRA_TABLE = 15;
const FRA_FWMASK = 16;

const largestMtu = 65535;
/** Before the main table, behind the local one. */
const rulePriority = 7;
/** Both ends have the same, so that what one sends to its own is the other's. */
const mac = Buffer.from("0242627269ff", "hex");
/** The next hop that nobody has: fe80::1. */
const nextHop6 = Buffer.from("fe800000000000000000000000000001", "hex");

export interface LoopLink {
  /** Name of the end by which packets leave. */
  exit: string;
  /** Name of the end by which they come in. */
  entry: string;
  /** Mark of the packets that come in, and number of a routing table that leads anywhere by `entry`. */
  mark: number;
  alias: string;
}

/**
 * Makes the pair, or completes it. Packets that come in by `entry` pass the check of their source address, also a strict
 * one (rp_filter; firewalld's for IPv6), if they have the mark by then: for them, and only in that check, the way back
 * leads by `entry`. What nft duplicates to `exit` needs a next hop: fe80::1, or any address of IPv4.
 * Returns the index of `exit`.
 */
export function createLoopLink(link: LoopLink): number {
  const { exit, entry, mark, alias } = link;
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  const netlink = new Netlink();
  try {
    if (netlink.link(exit) === undefined || netlink.link(entry) === undefined) {
      netlink.deleteLink(exit);
      netlink.deleteLink(entry);
      socket.transact([newPair(exit, entry)]);
    }
    for (const name of [entry, exit]) socket.transact(setUp(name, alias));
    // Whatever is in `all` counts as well: hence the mark.
    writeSetting(`net/ipv4/conf/${entry}/rp_filter`, "0");
    writeSetting(`net/ipv4/conf/${entry}/src_valid_mark`, "1");
    const leave = netlink.link(exit)!.index;
    const come = netlink.link(entry)!.index;
    for (const family of families())
      for (const request of [
        newRoute(family, come, mark),
        ...(family === AF_INET6 ? [newRoute(family, leave, RT_TABLE_MAIN, nextHop6)] : []),
        ...rules(RTM_NEWRULE, family, link),
      ])
        unless("EEXIST", () => socket.transact([request]));
    return leave;
  } finally {
    netlink.close();
    socket.close();
  }
}

/** Removes the pair and what leads to it. Idempotent. */
export function removeLoopLink(link: LoopLink): void {
  const socket = new NetlinkSocket(NETLINK_ROUTE);
  const netlink = new Netlink();
  try {
    for (const family of families())
      for (const request of rules(RTM_DELRULE, family, link)) unless("ENOENT", () => socket.transact([request]));
    netlink.deleteLink(link.exit);
  } finally {
    netlink.close();
    socket.close();
  }
}

function newPair(exit: string, entry: string): Request {
  const peer = Buffer.concat([linkHeader(), attribute(IFLA_IFNAME, text(entry)), attribute(IFLA_ADDRESS, mac)]);
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    header: linkHeader(),
    attributes: [
      [IFLA_IFNAME, text(exit)],
      [IFLA_ADDRESS, mac],
      [
        IFLA_LINKINFO,
        [
          [IFLA_INFO_KIND, text("veth")],
          [IFLA_INFO_DATA, [[VETH_INFO_PEER, peer]]],
        ],
      ],
    ],
    subject: `create veth ${exit}`,
  };
}

function setUp(name: string, alias: string): Request[] {
  const changes: [string, Buffer, Attribute[]][] = [
    ["alias", linkHeader(), [[IFLA_IFALIAS, text(alias)]]],
    ["up", linkHeader(IFF_UP | IFF_NOARP), [[IFLA_MTU, u32(largestMtu)]]],
  ];
  return changes.map(([what, header, attributes]) => ({
    type: RTM_NEWLINK,
    header,
    attributes: [[IFLA_IFNAME, text(name)], ...attributes],
    subject: `${what} of ${name}`,
  }));
}

/** To one address, or to all of them without one. */
function newRoute(family: number, index: number, table: number, destination?: Buffer): Request {
  const length = (destination?.length ?? 0) * 8;
  const header = Buffer.from([family, length, 0, 0, 0, RTPROT_BOOT, RT_SCOPE_LINK, RTN_UNICAST, 0, 0, 0, 0]);
  return {
    type: RTM_NEWROUTE,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    header,
    attributes: [
      [RTA_OIF, u32(index)],
      [RTA_TABLE, u32(table)],
      ...(destination === undefined ? [] : [[RTA_DST, destination] as const]),
    ],
    subject: `route of table ${table}`,
  };
}

/**
 * The check asks for the way back as if the answer had come in by the link the packet is going to leave by. So the mark
 * alone can tell, and the packet's own way must not follow it.
 */
function rules(type: number, family: number, { entry, mark }: LoopLink): Request[] {
  const own: Attribute[] = [
    [FRA_TABLE, u32(RT_TABLE_MAIN)],
    [FRA_PRIORITY, u32(rulePriority)],
    [FRA_IIFNAME, text(entry)],
  ];
  const check: Attribute[] = [
    [FRA_TABLE, u32(mark)],
    [FRA_PRIORITY, u32(rulePriority + 1)],
    [FRA_FWMARK, u32(mark)],
    [FRA_FWMASK, u32(0xffffffff)],
  ];
  return [own, check].map((attributes) => ({
    type,
    flags: type === RTM_NEWRULE ? NLM_F_CREATE | NLM_F_EXCL : 0,
    header: Buffer.from([family, 0, 0, 0, 0, 0, 0, FR_ACT_TO_TBL, 0, 0, 0, 0]),
    attributes,
    subject: `routing rule of ${entry}`,
  }));
}

function linkHeader(flags = 0): Buffer {
  const header = Buffer.alloc(16);
  header.writeUInt32LE(flags, 8);
  header.writeUInt32LE(flags, 12);
  return header;
}

function attribute(type: number, value: Buffer): Buffer {
  const bytes = Buffer.alloc((4 + value.length + 3) & ~3);
  bytes.writeUInt16LE(4 + value.length, 0);
  bytes.writeUInt16LE(type, 2);
  value.copy(bytes, 4);
  return bytes;
}

function families(): number[] {
  try {
    return readFileSync("/proc/sys/net/ipv6/conf/all/disable_ipv6", "utf8").trim() === "0"
      ? [AF_INET, AF_INET6]
      : [AF_INET];
  } catch {
    return [AF_INET];
  }
}

function unless(code: string, work: () => void): void {
  try {
    work();
  } catch (error) {
    if ((error as { code?: string }).code !== code) throw error;
  }
}

function writeSetting(name: string, value: string): void {
  writeFileSync(`/proc/sys/${name}`, value);
}
