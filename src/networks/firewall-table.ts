/**
 * The text of the packet filter's table, as it is before there is any network. Networks, ports and links are elements
 * of its sets and maps and of nothing else, so that the thousandth costs a packet and a change what the first does.
 */

/** What the table as a whole depends on. */
export interface TableOptions {
  /** An identifier of nft's. */
  table: string;
  /** Whether it was Brig that made the host a router: then it must not become one for anybody else. */
  guardForwarding: { v4: boolean; v6: boolean };
  /**
   * Where packets to published ports come in again that the host's own input rules have let through; without it they
   * are not asked.
   */
  judged?: ReentryLink;
}

/** A link by which packets leave, by its index, to come in by another with a mark. */
export interface ReentryLink {
  exitIndex: number;
  entry: string;
  mark: number;
}

/** Behind whatever others have in their input chains. */
const lastPriority = 2_000_000_000;
/** Next hops that packets are duplicated to: any will do, as the link at whose other end they are resolves none. */
const nextHops = { ip: "169.254.0.1", ip6: "fe80::1" };

/** Sets and maps. Names that end in a digit are of one family. */
const containers = [
  // Of networks, by the name of their bridge.
  "set bridges { type ifname; }",
  "set same { type ifname . ifname; }",
  "set internal { type ifname; }",
  "set separate { type ifname; }",
  "set foreign { type ifname; }",
  "set trusted { type ifname . ifname; }",
  ...["4", "6"].flatMap((family) => [
    `set masquerade${family} { type ifname; }`,
    `map source${family} { type ifname : ipv${family}_addr; }`,
    `set routed${family} { type ifname; }`,
    `set direct${family} { type ifname; }`,
    `set open${family} { type ifname; }`,
    // Of ports: of one address of the host, of all of them; and those of a container that are reached directly.
    `map ports${family} { type inet_proto . ipv${family}_addr . inet_service : ipv${family}_addr . inet_service; }`,
    `map anywhere${family} { type inet_proto . inet_service : ipv${family}_addr . inet_service; }`,
    `set opened${family} { type inet_proto . ipv${family}_addr . inet_service; }`,
    `set links${family} { type inet_proto . ipv${family}_addr . ipv${family}_addr . inet_service; }`,
  ]),
];

const transports = "meta l4proto { tcp, udp, sctp }";

/** Lines that put the empty table in place of whatever was there, without a moment between. */
export function tableText({ table, guardForwarding, judged }: TableOptions): string[] {
  return [
    ...removalText(table),
    ...(judged === undefined ? [] : [...judgeText(table, "ip", judged), ...judgeText(table, "ip6", judged)]),
    `table inet ${table} {`,
    ...containers,
    // With route_localnet on a bridge the kernel no longer protects what listens on 127.0.0.1 from containers.
    "chain unspoof { type filter hook prerouting priority raw; policy accept;",
    "ip saddr 127.0.0.0/8 iifname @bridges drop",
    "ip daddr 127.0.0.0/8 iifname @bridges drop",
    "}",
    ...(judged === undefined ? [] : markText(judged)),
    "chain publish {",
    ...["ip", "ip6"].flatMap((family) => [
      `dnat ${family} to meta l4proto . ${family} daddr . th dport map @ports${digit(family)}`,
      `dnat ${family} to meta l4proto . th dport map @anywhere${digit(family)}`,
    ]),
    "}",
    // A neighbour's packet to 127.0.0.1 is dropped by the kernel after this hook, unless it is translated here.
    // Neither the kernel's own ::1 nor a neighbour's link-local address can be answered from another link.
    "chain prerouting { type nat hook prerouting priority dstnat; policy accept;",
    "ip daddr 127.0.0.0/8 return",
    "ip6 saddr fe80::/10 return",
    ...(judged === undefined
      ? [`${transports} fib daddr type local jump publish`]
      : ["@bridges", `"${judged.entry}"`].map(
          (link) => `iifname ${link} ${transports} fib daddr type local jump publish`,
        )),
    "}",
    "chain output { type nat hook output priority -100; policy accept;",
    "ip6 daddr ::1 return",
    `${transports} fib daddr type local jump publish`,
    "}",
    "chain postrouting { type nat hook postrouting priority srcnat; policy accept;",
    "iif != 0 goto routed",
    // What came in by no link is the host's own, or was translated by br_netfilter on its way through a bridge. Then
    // the answer must come back this way to be translated back, not straight to the container that asked.
    "oifname @bridges ip saddr 127.0.0.0/8 masquerade",
    "oifname @bridges ct status dnat fib saddr type != local masquerade",
    "}",
    "chain routed {",
    "iifname . oifname @same ct status dnat masquerade",
    "iifname . oifname @same accept",
    "snat ip to iifname map @source4",
    "snat ip6 to iifname map @source6",
    "meta nfproto ipv4 iifname @masquerade4 masquerade",
    "meta nfproto ipv6 iifname @masquerade6 masquerade",
    "}",
    "chain forward { type filter hook forward priority filter; policy accept;",
    "ct state established,related accept",
    "iifname . oifname @same goto within",
    "iifname @internal drop",
    "oifname @internal drop",
    "oifname @bridges goto inbound",
    "iifname @bridges goto outbound",
    ...(guardForwarding.v4 ? ["meta nfproto ipv4 goto guard"] : []),
    ...(guardForwarding.v6 ? ["meta nfproto ipv6 goto guard"] : []),
    "}",
    "chain within {",
    "iifname != @separate accept",
    "ct status dnat accept",
    ...["ip", "ip6"].map(
      (family) => `meta l4proto . ${family} saddr . ${family} daddr . th dport @links${digit(family)} accept`,
    ),
    "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
    "drop",
    "}",
    "chain inbound {",
    "ct status dnat accept",
    "meta nfproto vmap { ipv4 : goto inbound4, ipv6 : goto inbound6 }",
    "}",
    ...["4", "6"].flatMap((family) => [
      `chain inbound${family} {`,
      `oifname @routed${family} goto opened${family}`,
      "iifname @bridges drop",
      `oifname @open${family} accept`,
      `oifname @direct${family} goto opened${family}`,
      `iifname . oifname @trusted goto opened${family}`,
      "drop",
      "}",
      `chain opened${family} {`,
      family === "4" ? "meta l4proto icmp accept" : "meta l4proto icmpv6 accept",
      `meta l4proto . ip${family === "4" ? "" : family} daddr . th dport @opened${family} accept`,
      "drop",
      "}",
    ]),
    "chain outbound {",
    "oifname @foreign ct status & dnat == 0 drop",
    "}",
    // Containers and machines of others are behind bridges; everything else was not routed before Brig came.
    "chain guard {",
    'meta iifkind "bridge" accept',
    'meta oifkind "bridge" accept',
    "drop",
    "}",
    "}",
  ];
}

/** Lines that leave nothing of the tables. Up to 0.1 there was one, of IPv4. */
export function removalText(table: string): string[] {
  return ["ip", "ip6", "inet"].flatMap((family) => [`table ${family} ${table}`, `delete table ${family} ${table}`]);
}

/**
 * The first packet of a connection from outside to a published port goes the way of one to a process of the host,
 * through everybody's input rules. What they let through is sent in again by a link of its own, where it is translated;
 * the rest of the connection is then translated at once, as always.
 */
function judgeText(table: string, family: "ip" | "ip6", { exitIndex, entry }: ReentryLink): string[] {
  const again = `dup to ${nextHops[family]} device ${exitIndex} drop`;
  const own = family === "ip" ? "ip daddr 127.0.0.0/8" : "ip6 saddr fe80::/10";
  return [
    `table ${family} ${table} {`,
    `set ports { type inet_proto . ipv${digit(family)}_addr . inet_service; }`,
    "set anywhere { type inet_proto . inet_service; }",
    `chain judged { type filter hook input priority ${lastPriority}; policy accept;`,
    `ct state != new return`,
    `iifname { "lo", "${entry}" } return`,
    `${own} return`,
    `meta l4proto . ${family} daddr . th dport @ports ${again}`,
    `meta l4proto . th dport @anywhere ${again}`,
    "}",
    "}",
  ];
}

/** The mark lasts from where the packet comes in until it has passed the check of its source address. */
function markText({ entry, mark }: ReentryLink): string[] {
  return [
    "chain marking { type filter hook prerouting priority -350; policy accept;",
    `iifname "${entry}" meta mark set ${mark}`,
    "}",
    "chain unmarking { type filter hook forward priority -350; policy accept;",
    `iifname "${entry}" meta mark set 0`,
    "}",
  ];
}

function digit(family: string): string {
  return family === "ip" ? "4" : "6";
}
