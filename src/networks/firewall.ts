/**
 * The packet filter's table of one daemon: published ports, masquerading, and who may reach whom.
 *
 * Published ports are elements of two maps, so that the thousandth costs a packet no more than the first:
 * `ports_any` for ports of every address of the host, `ports` for those of one address.
 * Whatever is forwarded to a container without having come through a published port, or belonging to a connection
 * the container has opened, is dropped: a neighbour of the host with a route to the bridge gets nowhere.
 */
import type { Nftables } from "../kernel/nftables.ts";
import { systemError } from "../lib/errors.ts";
import { formatSubnet, parseIpv4, type Subnet } from "./addresses.ts";
import { isBridgeName } from "./bridge.ts";
import type { PublishedPort } from "./record.ts";

/** A published port and the container's address it leads to. */
export interface PortElement extends PublishedPort {
  containerAddress: string;
}

/** What the table depends on. */
export interface FirewallRules {
  bridge: string;
  subnet: Subnet;
  /** Whether containers of the bridge may talk to each other. */
  icc: boolean;
  masquerade: boolean;
  /** Whether it was Brig that made the host a router: then it must not become one for anybody else. */
  guardForwarding: boolean;
  /** Bridges of other engines, whose containers Brig's own shall only reach by published ports. */
  foreignBridges: string[];
}

/** The table. Every change is one transaction; none is seen half done. */
export class Firewall {
  readonly #nft: Nftables;
  readonly #rules: FirewallRules;
  readonly #table: string;
  #knownGeneration = -1;

  constructor(nft: Nftables, rules: FirewallRules) {
    for (const name of [rules.bridge, ...rules.foreignBridges])
      if (!isBridgeName(name)) throw systemError(`not the name of a bridge: ${JSON.stringify(name)}`);
    this.#nft = nft;
    this.#rules = rules;
    this.#table = tableName(rules.bridge);
  }

  /** Puts the whole table in place of whatever was there. Connections under way go on. */
  rebuild(ports: PortElement[]): void {
    const { bridge, subnet, icc, masquerade, guardForwarding, foreignBridges } = this.#rules;
    const lines = [
      `table ip ${this.#table}`,
      `delete table ip ${this.#table}`,
      `table ip ${this.#table} {`,
      "map ports { type inet_proto . ipv4_addr . inet_service : ipv4_addr . inet_service; }",
      "map ports_any { type inet_proto . inet_service : ipv4_addr . inet_service; }",
      // With route_localnet on the bridge the kernel no longer protects what listens on 127.0.0.1 from containers.
      "chain unspoof { type filter hook prerouting priority raw; policy accept;",
      `iifname "${bridge}" ip saddr 127.0.0.0/8 drop`,
      `iifname "${bridge}" ip daddr 127.0.0.0/8 drop`,
      "}",
      "chain publish {",
      "meta l4proto { tcp, udp, sctp } dnat ip to meta l4proto . ip daddr . th dport map @ports",
      "meta l4proto { tcp, udp, sctp } dnat ip to meta l4proto . th dport map @ports_any",
      "}",
      // A neighbour's packet to 127.0.0.1 is dropped by the kernel after this hook, unless it is translated here.
      "chain prerouting { type nat hook prerouting priority dstnat; policy accept;",
      "ip daddr 127.0.0.0/8 return",
      "fib daddr type local jump publish",
      "}",
      "chain output { type nat hook output priority -100; policy accept;",
      "fib daddr type local jump publish",
      "}",
      "chain postrouting { type nat hook postrouting priority srcnat; policy accept;",
      masquerade ? `ip saddr ${formatSubnet(subnet)} oifname != "${bridge}" masquerade` : "",
      `oifname "${bridge}" ip saddr 127.0.0.0/8 masquerade`,
      // The answer must come back this way to be translated back, not straight to the container that asked. By the
      // address, as br_netfilter does not tell where a frame that it translates came in.
      `oifname "${bridge}" ip saddr ${formatSubnet(subnet)} ct status dnat masquerade`,
      "}",
      "chain inbound {",
      "ct state established,related accept",
      icc ? `iifname "${bridge}" accept` : "",
      "ct status dnat accept",
      "drop",
      "}",
      "chain outbound {",
      "ct state established,related accept",
      ...foreignBridges.map((name) => `oifname "${name}" ct status & dnat == 0 drop`),
      "accept",
      "}",
      "chain forward { type filter hook forward priority filter; policy accept;",
      `oifname "${bridge}" jump inbound`,
      `iifname "${bridge}" jump outbound`,
      ...(guardForwarding ? guard : []),
      "}",
      "}",
      ...elements("add", this.#table, ports),
    ];
    this.#commit(lines.join("\n"));
  }

  /** Publishes ports. Throws nft's message where one of them leads elsewhere already. */
  add(ports: PortElement[]): void {
    if (ports.length > 0) this.#commit(elements("add", this.#table, ports).join("\n"));
  }

  /** Takes published ports back. Throws nft's message where one of them is not there. */
  remove(ports: PortElement[]): void {
    if (ports.length > 0) this.#commit(elements("delete", this.#table, ports).join("\n"));
  }

  /** Removes the table. */
  destroy(): void {
    this.#commit(`table ip ${this.#table}\ndelete table ip ${this.#table}`);
  }

  /** Whether anybody else has changed the packet filter since this was asked last. Takes microseconds. */
  changedByOthers(): boolean {
    const generation = this.#nft.generation();
    const changed = generation !== this.#knownGeneration;
    this.#knownGeneration = generation;
    return changed;
  }

  /** Whether the table is there. */
  exists(): boolean {
    return this.#nft
      .list("list tables ip")
      .some(({ table }) => (table as { name?: string } | undefined)?.name === this.#table);
  }

  #commit(commands: string): void {
    const before = this.#nft.generation();
    this.#nft.run(commands);
    // Where others came between, the generation that is known stays behind, and changedByOthers() tells.
    const after = this.#nft.generation();
    if (before === this.#knownGeneration && after === before + 1) this.#knownGeneration = after;
  }
}

/** Containers and machines of others are behind bridges; everything else was not routed before Brig came. */
const guard = ['meta iifkind "bridge" accept', 'meta oifkind "bridge" accept', "drop"];

/** A table's name is an identifier, a bridge's name may have dots and dashes. */
export function tableName(bridge: string): string {
  return `brig_${bridge.replace(/[^a-zA-Z0-9]/g, (sign) => `_${sign.charCodeAt(0).toString(16)}`)}`;
}

function elements(verb: "add" | "delete", table: string, ports: PortElement[]): string[] {
  const any: string[] = [];
  const one: string[] = [];
  for (const { protocol, hostAddress, hostPort, containerAddress, containerPort } of ports) {
    if (hostAddress.includes(":")) continue;
    if (parseIpv4(hostAddress) === undefined || parseIpv4(containerAddress) === undefined)
      throw systemError(`not an IPv4 address: ${JSON.stringify([hostAddress, containerAddress])}`);
    if (![hostPort, containerPort].every((port) => Number.isInteger(port) && port > 0 && port < 65536))
      throw systemError(`not a port: ${JSON.stringify([hostPort, containerPort])}`);
    const target = verb === "add" ? ` : ${containerAddress} . ${containerPort}` : "";
    if (hostAddress === "0.0.0.0") any.push(`${protocol} . ${hostPort}${target}`);
    else one.push(`${protocol} . ${hostAddress} . ${hostPort}${target}`);
  }
  const lines: string[] = [];
  if (any.length > 0) lines.push(`${verb} element ip ${table} ports_any { ${any.join(", ")} }`);
  if (one.length > 0) lines.push(`${verb} element ip ${table} ports { ${one.join(", ")} }`);
  return lines;
}
