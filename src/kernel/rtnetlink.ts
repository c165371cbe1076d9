/** Links, addresses and routes of one network namespace: rtnetlink(7), linux/if_link.h, linux/rtnetlink.h. */
import {
  type Answer,
  type Attribute,
  NetlinkSocket,
  type Request,
  readAttributes,
  readText,
  text,
  u8,
  u16,
  u32,
} from "./netlink.ts";

const NETLINK_ROUTE = 0;
const RTM_NEWLINK = 16;
const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
const RTM_NEWADDR = 20;
const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;
const NLM_F_REPLACE = 0x100;
const NLM_F_EXCL = 0x200;
const NLM_F_CREATE = 0x400;

const AF_UNSPEC = 0;
const AF_INET = 2;
const AF_INET6 = 10;
const IFF_UP = 1;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_IFALIAS = 20;
const IFLA_AF_SPEC = 26;
const IFLA_NET_NS_FD = 28;
const IFLA_EXT_MASK = 29;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_INFO_SLAVE_KIND = 4;
const IFLA_INFO_SLAVE_DATA = 5;
const IFLA_BR_NF_CALL_IPTABLES = 36;
const IFLA_BR_NF_CALL_IP6TABLES = 37;
const IFLA_BRPORT_MODE = 4;
const IFLA_BRPORT_ISOLATED = 33;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const IN6_ADDR_GEN_MODE_NONE = 1;
const VETH_INFO_PEER = 1;
const IFLA_VLAN_ID = 1;
const IFLA_MACVLAN_MODE = 1;
const IFLA_IPVLAN_MODE = 1;
const IFLA_IPVLAN_FLAGS = 2;
const RTEXT_FILTER_SKIP_STATS = 8;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_BROADCAST = 4;
const IFA_FLAGS = 8;
const IFA_F_NODAD = 2;

const RTA_DST = 1;
const RTA_OIF = 4;
const RTA_PREFSRC = 7;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_TABLE = 15;
const RT_TABLE_MAIN = 254;
const RTPROT_BOOT = 3;
const RT_SCOPE_UNIVERSE = 0;
const RT_SCOPE_LINK = 253;
const RT_SCOPE_NOWHERE = 255;

const ifinfomsgBytes = 16;
const ifaddrmsgBytes = 8;
const rtmsgBytes = 12;

/** A network interface. */
export interface Link {
  index: number;
  name: string;
  /** Index of the bridge it belongs to, 0 for none. */
  master: number;
  /** "bridge", "veth"…; "" for hardware. */
  kind: string;
  mtu: number;
  up: boolean;
  /** Lower case, with colons. */
  mac: string;
  /** Free text that belongs to whoever made the link. */
  alias: string;
}

/** An address of an interface. `address` holds 4 or 16 bytes. */
export interface InterfaceAddress {
  linkIndex: number;
  address: Uint8Array;
  prefixLength: number;
}

/** A route. An empty `destination` is the default route. */
export interface Route {
  destination: Uint8Array;
  prefixLength: number;
  gateway: Uint8Array | undefined;
  linkIndex: number;
  table: number;
  type: number;
  metric: number;
}

/** How the kernel would send to an address: `type` is RTN_…, addresses hold 4 or 16 bytes. */
export interface ChosenRoute {
  linkIndex: number;
  gateway: Uint8Array | undefined;
  source: Uint8Array | undefined;
  type: number;
}

/** Route types (linux/rtnetlink.h): to somebody else, and to the namespace itself. */
export const RTN_UNICAST = 1;
export const RTN_LOCAL = 2;

/** An address as an interface gets it: 4 or 16 bytes. */
export interface AddressWithPrefix {
  address: Uint8Array;
  prefixLength: number;
}

/** What an interface in a container's namespace gets. */
export interface InterfaceConfig {
  name: string;
  addresses: AddressWithPrefix[];
  /** Default routes through it: at most one of each family. */
  gateways: Gateway[];
}

/** Where a default route leads: the gateway's address, or for a link that needs none its family. */
export type Gateway = Uint8Array | 4 | 6;

/** An interface on top of another one, in the namespace of a container. */
export interface StackedLink {
  name: string;
  /** Index of the link below, in the namespace this is called in. */
  parent: number;
  mtu: number;
  mac: string | undefined;
  /** Numbers of linux/if_link.h: MACVLAN_MODE_…, IPVLAN_MODE_… and IPVLAN_F_…. */
  kind: { name: "macvlan"; mode: number } | { name: "ipvlan"; mode: number; flags: number };
  namespaceFd: number;
}

/** A pair of connected interfaces: one here on a bridge, the other in a namespace. */
export interface VethPair {
  name: string;
  /** Index of the bridge. */
  master: number;
  mtu: number;
  /** Lets the bridge send a frame back to where it came from. */
  hairpin: boolean;
  /** Keeps this port from talking to other isolated ports of the bridge. */
  isolated: boolean;
  peer: { name: string; mac: string; namespaceFd: number };
}

/** "02:42:…" as bytes. Throws RangeError on anything else. */
export function macBytes(mac: string): Uint8Array {
  if (!/^([0-9a-f]{2}:){5}[0-9a-f]{2}$/i.test(mac)) throw new RangeError(`invalid MAC address ${mac}`);
  return Uint8Array.from(mac.split(":"), (part) => Number.parseInt(part, 16));
}

/** Links, addresses and routes of the network namespace this was created in. All methods throw SyscallError. */
export class Netlink {
  readonly #socket = new NetlinkSocket(NETLINK_ROUTE);

  /** Every interface. */
  links(): Link[] {
    return this.#socket.dump(
      {
        type: RTM_GETLINK,
        header: linkHeader(),
        attributes: [[IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS)]],
        subject: "links",
      },
      parseLink,
    );
  }

  /** The ports of a bridge. */
  ports(master: number): Link[] {
    return this.#socket.dump(
      {
        type: RTM_GETLINK,
        header: linkHeader(),
        attributes: [
          [IFLA_MASTER, u32(master)],
          [IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS)],
        ],
        subject: "bridge ports",
      },
      (answer) => {
        const link = parseLink(answer);
        return link?.master === master ? link : undefined;
      },
    );
  }

  /** The interface of that name, or undefined. */
  link(name: string): Link | undefined {
    try {
      const [answer] = this.#socket.transact([getLink(name)]);
      return answer === undefined ? undefined : parseLink(answer);
    } catch (error) {
      if ((error as { code?: string }).code === "ENODEV") return undefined;
      throw error;
    }
  }

  /** Creates a bridge that is up. Throws EEXIST where the name is taken. */
  createBridge(name: string, mac: string, mtu: number, alias: string): void {
    this.#socket.transact([
      createLink(
        name,
        [
          [IFLA_ADDRESS, macBytes(mac)],
          [IFLA_MTU, u32(mtu)],
          [IFLA_LINKINFO, [[IFLA_INFO_KIND, text("bridge")]]],
        ],
        "bridge",
      ),
      setAlias(name, alias),
      ...upWithoutLinkLocal(name),
    ]);
  }

  /** Shows what passes within a bridge to the packet filter, where the kernel has br_netfilter. */
  filterWithin(index: number): void {
    const data: Attribute[] = [IFLA_BR_NF_CALL_IPTABLES, IFLA_BR_NF_CALL_IP6TABLES].map((type) => [type, u8(1)]);
    this.#socket.transact([
      {
        type: RTM_NEWLINK,
        header: linkHeader(index),
        attributes: [
          [
            IFLA_LINKINFO,
            [
              [IFLA_INFO_KIND, text("bridge")],
              [IFLA_INFO_DATA, data],
            ],
          ],
        ],
        subject: `nf_call_iptables of link ${index}`,
      },
    ]);
  }

  /** Creates a veth pair, one end a port of a bridge, the other in a namespace with its final name. The first is up. */
  createVeth({ name, master, mtu, hairpin, isolated, peer }: VethPair): void {
    const peerInfo = Buffer.concat([
      linkHeader(),
      encode([
        [IFLA_IFNAME, text(peer.name)],
        [IFLA_ADDRESS, macBytes(peer.mac)],
        [IFLA_MTU, u32(mtu)],
        [IFLA_NET_NS_FD, u32(peer.namespaceFd)],
      ]),
    ]);
    const requests: Request[] = [
      createLink(
        name,
        [
          [IFLA_MTU, u32(mtu)],
          [IFLA_MASTER, u32(master)],
          [
            IFLA_LINKINFO,
            [
              [IFLA_INFO_KIND, text("veth")],
              [IFLA_INFO_DATA, [[VETH_INFO_PEER, peerInfo]]],
            ],
          ],
        ],
        "veth",
      ),
    ];
    this.#socket.transact([...requests, ...portModes(name, { hairpin, isolated }), ...upWithoutLinkLocal(name)]);
  }

  /** Lets a bridge send frames back out of the port they came in by. */
  setHairpin(name: string): void {
    this.#socket.transact([bridgePort(name, [hairpinMode])]);
  }

  /** Brings the loopback interface up. It is always the first of its namespace. */
  setLoopbackUp(): void {
    this.#socket.transact([loopbackUp]);
  }

  /** Creates a VLAN's link on another one, and brings it up. Throws EEXIST where the name is taken. */
  createVlan(name: string, parent: number, id: number, alias: string): void {
    const vlan: Attribute = [
      IFLA_LINKINFO,
      [
        [IFLA_INFO_KIND, text("vlan")],
        [IFLA_INFO_DATA, [[IFLA_VLAN_ID, u16(id)]]],
      ],
    ];
    this.#socket.transact([
      createLink(name, [[IFLA_LINK, u32(parent)], vlan], "vlan"),
      setAlias(name, alias),
      linkUp(name),
    ]);
  }

  /** Creates a link that leads nowhere. Throws EOPNOTSUPP where the kernel has none. */
  createDummy(name: string, alias: string): void {
    this.#socket.transact([
      createLink(name, [[IFLA_LINKINFO, [[IFLA_INFO_KIND, text("dummy")]]]], "dummy"),
      setAlias(name, alias),
      linkUp(name),
    ]);
  }

  /** Creates a macvlan or ipvlan in a container's namespace. Throws EOPNOTSUPP where the kernel has none. */
  createStacked({ name, parent, mtu, mac, kind, namespaceFd }: StackedLink): void {
    const data: Attribute[] =
      kind.name === "macvlan"
        ? [[IFLA_MACVLAN_MODE, u32(kind.mode)]]
        : [
            [IFLA_IPVLAN_MODE, u16(kind.mode)],
            [IFLA_IPVLAN_FLAGS, u16(kind.flags)],
          ];
    const attributes: Attribute[] = [
      [IFLA_LINK, u32(parent)],
      [IFLA_MTU, u32(mtu)],
      [IFLA_NET_NS_FD, u32(namespaceFd)],
      [
        IFLA_LINKINFO,
        [
          [IFLA_INFO_KIND, text(kind.name)],
          [IFLA_INFO_DATA, data],
        ],
      ],
    ];
    if (mac !== undefined) attributes.push([IFLA_ADDRESS, macBytes(mac)]);
    this.#socket.transact([createLink(name, attributes, kind.name)]);
  }

  /** Makes a link a port of a bridge. The modes are those of `VethPair`. */
  setMaster(name: string, master: number, modes: Pick<VethPair, "hairpin" | "isolated">): void {
    this.#socket.transact([
      {
        type: RTM_NEWLINK,
        header: linkHeader(),
        attributes: [
          [IFLA_IFNAME, text(name)],
          [IFLA_MASTER, u32(master)],
        ],
        subject: `${name} on link ${master}`,
      },
      ...portModes(name, modes),
      linkUp(name),
    ]);
  }

  /** Brings `lo` and interfaces up, gives them their addresses and the namespace its default routes. */
  configureContainer(interfaces: InterfaceConfig[]): void {
    const answers = this.#socket.transact([
      ...interfaces.map(({ name }) => getLink(name)),
      ...interfaces.map(({ name }) => linkUp(name)),
      loopbackUp,
    ]);
    const requests = interfaces.flatMap(({ name, addresses, gateways }, at) => {
      const answer = answers[at];
      const index = answer === undefined ? undefined : parseLink(answer)?.index;
      if (index === undefined) throw new Error(`no interface ${name} in the container's namespace`);
      return [
        ...addresses.map(({ address, prefixLength }) => newAddress(index, address, prefixLength)),
        ...gateways.map((gateway) => newDefaultRoute(index, gateway)),
      ];
    });
    if (requests.length > 0) this.#socket.transact(requests);
  }

  /** Makes a link the way of the default route of the gateway's family. */
  setDefaultRoute(linkIndex: number, gateway: Gateway): void {
    this.#socket.transact([newDefaultRoute(linkIndex, gateway)]);
  }

  /** Removes the default route of a family in the main table. Returns whether there was one. */
  deleteDefaultRoute(family: 4 | 6): boolean {
    const header = routeHeader(family);
    header[6] = RT_SCOPE_NOWHERE;
    header[7] = 0;
    header[5] = 0;
    try {
      this.#socket.transact([{ type: RTM_DELROUTE, header, subject: "delete default route" }]);
      return true;
    } catch (error) {
      if ((error as { code?: string }).code === "ESRCH") return false;
      throw error;
    }
  }

  /** Brings an interface up and sets its MTU. */
  setLink(index: number, mtu: number): void {
    this.#socket.transact([
      {
        type: RTM_NEWLINK,
        header: linkHeader(index, true),
        attributes: [[IFLA_MTU, u32(mtu)]],
        subject: `link ${index}`,
      },
    ]);
  }

  /** Removes an interface. Returns whether it was there. */
  deleteLink(name: string): boolean {
    try {
      this.#socket.transact([
        { type: RTM_DELLINK, header: linkHeader(), attributes: [[IFLA_IFNAME, text(name)]], subject: `delete ${name}` },
      ]);
      return true;
    } catch (error) {
      if ((error as { code?: string }).code === "ENODEV") return false;
      throw error;
    }
  }

  /** The same, by its index. */
  deleteLinkAt(index: number): boolean {
    try {
      this.#socket.transact([{ type: RTM_DELLINK, header: linkHeader(index), subject: `delete link ${index}` }]);
      return true;
    } catch (error) {
      if ((error as { code?: string }).code === "ENODEV") return false;
      throw error;
    }
  }

  /** Adds an address, or leaves it where it is there already. */
  addAddress(linkIndex: number, address: Uint8Array, prefixLength: number): void {
    this.#socket.transact([newAddress(linkIndex, address, prefixLength)]);
  }

  deleteAddress(linkIndex: number, address: Uint8Array, prefixLength: number): void {
    this.#socket.transact([
      {
        type: RTM_DELADDR,
        header: addressHeader(address, prefixLength, linkIndex),
        attributes: [[IFA_LOCAL, address]],
        subject: `delete address of link ${linkIndex}`,
      },
    ]);
  }

  /** Every address of every interface, IPv4 and IPv6. */
  addresses(): InterfaceAddress[] {
    return this.#socket.dump(
      { type: RTM_GETADDR, header: Buffer.alloc(ifaddrmsgBytes), subject: "addresses" },
      parseAddress,
    );
  }

  /** Every route of a family, of every table. */
  routes(family: 4 | 6 = 4): Route[] {
    const header = Buffer.alloc(rtmsgBytes);
    header[0] = family === 4 ? AF_INET : AF_INET6;
    return this.#socket.dump({ type: RTM_GETROUTE, header, subject: "routes" }, parseRoute);
  }

  /** How the kernel would send to an address of 4 or 16 bytes. Throws SyscallError where it would not: ENETUNREACH say. */
  routeTo(address: Uint8Array): ChosenRoute {
    const header = Buffer.alloc(rtmsgBytes);
    header[0] = address.length === 4 ? AF_INET : AF_INET6;
    header[1] = address.length * 8;
    const [answer] = this.#socket.transact([
      { type: RTM_GETROUTE, header, attributes: [[RTA_DST, address]], subject: "route" },
    ]);
    const route: ChosenRoute = { linkIndex: 0, gateway: undefined, source: undefined, type: answer?.body[7] ?? 0 };
    readAttributes(answer?.body.subarray(rtmsgBytes) ?? Buffer.alloc(0), (attribute, value) => {
      if (attribute === RTA_GATEWAY) route.gateway = Uint8Array.from(value);
      else if (attribute === RTA_PREFSRC) route.source = Uint8Array.from(value);
      else if (attribute === RTA_OIF && value.length >= 4) route.linkIndex = value.readUInt32LE(0);
    });
    return route;
  }

  close(): void {
    this.#socket.close();
  }
}

/**
 * No link-local IPv6 address: it would cost duplicate address detection on every start, for nobody's use.
 * Two messages, because the kernel looks at the flags of a message before it looks at this.
 */
function upWithoutLinkLocal(name: string): Request[] {
  const withoutLinkLocal: Attribute = [
    IFLA_AF_SPEC,
    [[AF_INET6, [[IFLA_INET6_ADDR_GEN_MODE, u8(IN6_ADDR_GEN_MODE_NONE)]]]],
  ];
  const subject = `link ${name}`;
  return [
    { type: RTM_NEWLINK, header: linkHeader(), attributes: [[IFLA_IFNAME, text(name)], withoutLinkLocal], subject },
    linkUp(name),
  ];
}

function createLink(name: string, attributes: Attribute[], kind: string): Request {
  return {
    type: RTM_NEWLINK,
    flags: NLM_F_CREATE | NLM_F_EXCL,
    header: linkHeader(),
    attributes: [[IFLA_IFNAME, text(name)], ...attributes],
    subject: `create ${kind} ${name}`,
  };
}

const hairpinMode: Attribute = [IFLA_BRPORT_MODE, u8(1)];

function portModes(name: string, { hairpin, isolated }: Pick<VethPair, "hairpin" | "isolated">): Request[] {
  const modes: Attribute[] = [];
  if (hairpin) modes.push(hairpinMode);
  if (isolated) modes.push([IFLA_BRPORT_ISOLATED, u8(1)]);
  return modes.length === 0 ? [] : [bridgePort(name, modes)];
}

function bridgePort(name: string, settings: Attribute[]): Request {
  return {
    type: RTM_NEWLINK,
    header: linkHeader(),
    attributes: [
      [IFLA_IFNAME, text(name)],
      [
        IFLA_LINKINFO,
        [
          [IFLA_INFO_SLAVE_KIND, text("bridge")],
          [IFLA_INFO_SLAVE_DATA, settings],
        ],
      ],
    ],
    subject: `bridge port ${name}`,
  };
}

function setAlias(name: string, alias: string): Request {
  return {
    type: RTM_NEWLINK,
    header: linkHeader(),
    attributes: [
      [IFLA_IFNAME, text(name)],
      [IFLA_IFALIAS, text(alias)],
    ],
    subject: `alias of ${name}`,
  };
}

function linkUp(name: string): Request {
  return {
    type: RTM_NEWLINK,
    header: linkHeader(0, true),
    attributes: [[IFLA_IFNAME, text(name)]],
    subject: `link ${name} up`,
  };
}

const loopbackUp: Request = { type: RTM_NEWLINK, header: linkHeader(1, true), subject: "lo up" };

function encode(attributes: readonly Attribute[]): Buffer {
  return Buffer.concat(
    attributes.map(([type, value]) => {
      const nested = !(value instanceof Uint8Array);
      const body = nested ? encode(value) : value;
      const bytes = Buffer.alloc((4 + body.length + 3) & ~3);
      bytes.writeUInt16LE(4 + body.length, 0);
      bytes.writeUInt16LE(nested ? type | 0x8000 : type, 2);
      bytes.set(body, 4);
      return bytes;
    }),
  );
}

function linkHeader(index = 0, up = false): Buffer {
  const header = Buffer.alloc(ifinfomsgBytes);
  header[0] = AF_UNSPEC;
  header.writeInt32LE(index, 4);
  if (up) {
    header.writeUInt32LE(IFF_UP, 8);
    header.writeUInt32LE(IFF_UP, 12);
  }
  return header;
}

function getLink(name: string): Request {
  return {
    type: RTM_GETLINK,
    header: linkHeader(),
    attributes: [
      [IFLA_IFNAME, text(name)],
      [IFLA_EXT_MASK, u32(RTEXT_FILTER_SKIP_STATS)],
    ],
    subject: `link ${name}`,
  };
}

function addressHeader(address: Uint8Array, prefixLength: number, linkIndex: number): Buffer {
  const header = Buffer.alloc(ifaddrmsgBytes);
  header[0] = address.length === 4 ? AF_INET : AF_INET6;
  header[1] = prefixLength;
  header.writeUInt32LE(linkIndex, 4);
  return header;
}

function newAddress(linkIndex: number, address: Uint8Array, prefixLength: number): Request {
  const attributes: Attribute[] = [
    [IFA_LOCAL, address],
    [IFA_ADDRESS, address],
  ];
  if (address.length === 4) attributes.push([IFA_BROADCAST, broadcastOf(address, prefixLength)]);
  else attributes.push([IFA_FLAGS, u32(IFA_F_NODAD)]);
  return {
    type: RTM_NEWADDR,
    flags: NLM_F_CREATE | NLM_F_REPLACE,
    header: addressHeader(address, prefixLength, linkIndex),
    attributes,
    subject: `address of link ${linkIndex}`,
  };
}

function broadcastOf(address: Uint8Array, prefixLength: number): Uint8Array {
  return address.map((byte, index) => byte | (0xff >> Math.min(8, Math.max(0, prefixLength - 8 * index))));
}

function routeHeader(family: 4 | 6): Buffer {
  const header = Buffer.alloc(rtmsgBytes);
  header[0] = family === 4 ? AF_INET : AF_INET6;
  header[4] = RT_TABLE_MAIN;
  header[5] = RTPROT_BOOT;
  header[6] = RT_SCOPE_UNIVERSE;
  header[7] = RTN_UNICAST;
  return header;
}

function newDefaultRoute(linkIndex: number, gateway: Gateway): Request {
  const family = typeof gateway === "number" ? gateway : gateway.length === 4 ? 4 : 6;
  const header = routeHeader(family);
  const attributes: Attribute[] = [[RTA_OIF, u32(linkIndex)]];
  if (typeof gateway === "number") {
    if (family === 4) header[6] = RT_SCOPE_LINK;
  } else attributes.unshift([RTA_GATEWAY, gateway]);
  return { type: RTM_NEWROUTE, flags: NLM_F_CREATE | NLM_F_REPLACE, header, attributes, subject: "default route" };
}

function parseLink({ type, body }: Answer): Link | undefined {
  if (type !== RTM_NEWLINK || body.length < ifinfomsgBytes) return undefined;
  const link: Link = {
    index: body.readInt32LE(4),
    name: "",
    master: 0,
    kind: "",
    mtu: 0,
    up: (body.readUInt32LE(8) & IFF_UP) !== 0,
    mac: "",
    alias: "",
  };
  readAttributes(body.subarray(ifinfomsgBytes), (attribute, value) => {
    if (attribute === IFLA_IFNAME) link.name = readText(value);
    else if (attribute === IFLA_MTU && value.length >= 4) link.mtu = value.readUInt32LE(0);
    else if (attribute === IFLA_MASTER && value.length >= 4) link.master = value.readUInt32LE(0);
    else if (attribute === IFLA_ADDRESS) link.mac = value.toString("hex").replace(/(..)(?=.)/g, "$1:");
    else if (attribute === IFLA_IFALIAS) link.alias = readText(value);
    else if (attribute === IFLA_LINKINFO)
      readAttributes(value, (inner, innerValue) => {
        if (inner === IFLA_INFO_KIND) link.kind = readText(innerValue);
      });
  });
  return link;
}

function parseAddress({ type, body }: Answer): InterfaceAddress | undefined {
  if (type !== RTM_NEWADDR || body.length < ifaddrmsgBytes) return undefined;
  let local: Uint8Array | undefined;
  let address: Uint8Array | undefined;
  readAttributes(body.subarray(ifaddrmsgBytes), (attribute, value) => {
    if (attribute === IFA_LOCAL) local = Uint8Array.from(value);
    else if (attribute === IFA_ADDRESS) address = Uint8Array.from(value);
  });
  const found = local ?? address;
  if (found === undefined) return undefined;
  return { linkIndex: body.readUInt32LE(4), address: found, prefixLength: body[1]! };
}

function parseRoute({ type, body }: Answer): Route | undefined {
  if (type !== RTM_NEWROUTE || body.length < rtmsgBytes) return undefined;
  const route: Route = {
    destination: new Uint8Array(),
    prefixLength: body[1]!,
    gateway: undefined,
    linkIndex: 0,
    table: body[4]!,
    type: body[7]!,
    metric: 0,
  };
  readAttributes(body.subarray(rtmsgBytes), (attribute, value) => {
    if (attribute === RTA_DST) route.destination = Uint8Array.from(value);
    else if (attribute === RTA_GATEWAY) route.gateway = Uint8Array.from(value);
    else if (attribute === RTA_OIF && value.length >= 4) route.linkIndex = value.readUInt32LE(0);
    else if (attribute === RTA_TABLE && value.length >= 4) route.table = value.readUInt32LE(0);
    else if (attribute === RTA_PRIORITY && value.length >= 4) route.metric = value.readUInt32LE(0);
  });
  return route;
}
