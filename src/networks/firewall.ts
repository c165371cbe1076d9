/**
 * The packet filter's table of one daemon: published ports, masquerading, and who may reach whom, of all its networks.
 *
 * Whatever is forwarded to a container without having come through a published port, or belonging to a connection the
 * container has opened, is dropped, unless its network is one that is reached directly: a neighbour of the host with a
 * route to the bridge gets nowhere. Networks do not reach each other but by published ports.
 */
import { isIP } from "node:net";
import type { Nftables } from "../kernel/nftables.ts";
import type { TransportProtocol } from "../kernel/sockets.ts";
import { systemError } from "../lib/errors.ts";
import { removalText, type TableOptions, tableText } from "./firewall-table.ts";

/** Docker's words for how a network's containers are reached from outside. */
export type GatewayMode = "nat" | "nat-unprotected" | "routed" | "isolated";

/** What the table knows of a network. */
export interface FirewallNetwork {
  bridge: string;
  /** Whether its containers reach nobody beyond the bridge but the host, and nobody reaches them. */
  internal: boolean;
  /** Whether its containers may talk to each other. */
  icc: boolean;
  /** Whether its containers reach the outside under the host's address. */
  masquerade: { v4: boolean; v6: boolean };
  /** Under which address of the host, where not under the one of the link they leave by. */
  sourceAddress: { v4?: string; v6?: string };
  gatewayMode: { v4: GatewayMode; v6: GatewayMode };
  /** Links by which published ports are reached at the container's own address too. */
  trustedInterfaces: string[];
  /** Whether they are so by every link (Docker's --allow-direct-routing). */
  directRouting: boolean;
}

/** A published port and the container's address it leads to, both of the same family; of others nothing comes. */
export interface PortElement {
  bridge: string;
  protocol: TransportProtocol;
  /** 0.0.0.0 or :: for every address. */
  hostAddress: string;
  hostPort: number;
  containerAddress: string;
  containerPort: number;
}

/** A port that one container may reach of another, on a network whose containers may not talk to each other. */
export interface Link {
  protocol: TransportProtocol;
  sourceAddress: string;
  containerAddress: string;
  containerPort: number;
}

/** One element of a set or, with data, of a map. */
interface Element {
  /** Of the table, `inet` where absent. */
  family?: "ip" | "ip6";
  set: string;
  key: string;
  data?: string;
}

/**
 * The table. Every change is one transaction; none is seen half done. It knows what ought to be in it: where a change
 * fails because somebody has tampered with it, all of it is put in place again.
 */
export class Firewall {
  readonly #nft: Nftables;
  readonly #options: TableOptions;
  readonly #networks = new Map<string, FirewallNetwork>();
  /** What ought to be in the sets and maps, and how many times it was asked for. */
  readonly #elements = new Map<string, Element & { count: number }>();
  #rules = "";

  /** `table` comes from tableName(). */
  constructor(nft: Nftables, options: TableOptions) {
    this.#nft = nft;
    this.#options = options;
  }

  /** Puts the whole table in place of whatever was there. Connections under way go on. */
  start(networks: FirewallNetwork[], ports: PortElement[], foreignBridges: string[]): void {
    this.#networks.clear();
    this.#elements.clear();
    for (const network of networks) this.#count(this.#know(network), 1);
    for (const port of ports) this.#count(this.#portElements(port), 1);
    this.#count(foreignElements(foreignBridges), 1);
    this.#rebuild();
  }

  /** Adds a network, or changes one: its ports must have been removed where its gateway mode changes. */
  addNetwork(network: FirewallNetwork): void {
    const before = this.#networks.get(network.bridge);
    const added = this.#know(network);
    this.#apply(added, before === undefined ? [] : networkElements(before));
  }

  /** Removes a network. Its ports must have been removed. Idempotent. */
  removeNetwork(bridge: string): void {
    const network = this.#networks.get(bridge);
    if (network === undefined) return;
    this.#networks.delete(bridge);
    this.#apply([], networkElements(network));
  }

  /** Publishes ports. Throws where one of them leads elsewhere already. */
  addPorts(ports: PortElement[]): void {
    this.#apply(
      ports.flatMap((port) => this.#portElements(port)),
      [],
    );
  }

  /** Takes published ports back. */
  removePorts(ports: PortElement[]): void {
    this.#apply(
      [],
      ports.flatMap((port) => this.#portElements(port)),
    );
  }

  /** Lets containers reach ports of others on a network whose containers may not talk to each other. */
  addLinks(links: Link[]): void {
    this.#apply(links.map(linkElement), []);
  }

  removeLinks(links: Link[]): void {
    this.#apply([], links.map(linkElement));
  }

  /** Tells which bridges other engines have, whose containers Brig's own shall only reach by published ports. */
  setForeignBridges(bridges: string[]): void {
    const before = [...this.#elements.values()].filter(({ set }) => set === "foreign");
    const now = foreignElements(bridges);
    // Nothing is written that is there: two daemons that follow each other's changes would never come to an end.
    const come = now.filter(({ key }) => !before.some((element) => element.key === key));
    const gone = before.filter(({ key }) => !now.some((element) => element.key === key));
    if (come.length + gone.length > 0) this.#apply(come, gone);
  }

  /** Name of the table, of the family inet. */
  get table(): string {
    return this.#options.table;
  }

  /** Whether the host is a router only for Brig's sake, so that others' packets of a family are dropped. */
  get guardForwarding(): { v4: boolean; v6: boolean } {
    return this.#options.guardForwarding;
  }

  /** Where packets to a port of one of the host's addresses are led, and the map that says so. */
  publishedTo(
    protocol: TransportProtocol,
    hostAddress: string,
    hostPort: number,
  ): { address: string; port: number; map: string } | undefined {
    const family = isIP(hostAddress);
    for (const [map, key] of [
      [`ports${family}`, `${protocol} . ${hostAddress} . ${hostPort}`],
      [`anywhere${family}`, `${protocol} . ${hostPort}`],
    ] as const) {
      const [address, port] = this.#elements.get(nameOf({ set: map, key }))?.data?.split(" . ") ?? [];
      if (address !== undefined) return { address, port: Number(port), map };
    }
    return undefined;
  }

  /** Whether a port of a container is reached directly, where its network is. */
  isOpened(protocol: TransportProtocol, address: string, port: number): boolean {
    return this.#elements.has(nameOf({ set: `opened${isIP(address)}`, key: `${protocol} . ${address} . ${port}` }));
  }

  hasLink(link: Link): boolean {
    return this.#elements.has(nameOf(linkElement(link)));
  }

  /** Whether a bridge is another engine's. */
  isForeign(bridge: string): boolean {
    return this.#elements.has(nameOf({ set: "foreign", key: `"${bridge}"` }));
  }

  /** Puts the table back where others have taken it or rules of it away. Returns whether it had to. */
  mend(): boolean {
    if (this.#intact()) return false;
    this.#rebuild();
    return true;
  }

  /** Removes the table. Idempotent. */
  destroy(): void {
    this.#nft.run(removalText(this.#options.table).join("\n"));
  }

  #know(network: FirewallNetwork): Element[] {
    const elements = networkElements(network);
    this.#networks.set(network.bridge, network);
    return elements;
  }

  #portElements(port: PortElement): Element[] {
    const network = this.#networks.get(port.bridge);
    if (network === undefined) throw systemError(`the packet filter knows no network ${JSON.stringify(port.bridge)}`);
    const elements = portElements(port, network);
    return this.#options.judged === undefined ? elements : [...elements, ...elements.flatMap(judgedElements)];
  }

  /** Counts elements up or down and returns those that come or go by it. */
  #count(elements: Element[], step: 1 | -1): Element[] {
    for (const element of elements) {
      const { set, key, data } = element;
      const known = this.#elements.get(nameOf(element));
      if (known !== undefined && known.data !== data)
        throw systemError(`${set} ${key} leads to ${known.data} already, not to ${data}`);
    }
    return elements.filter((element) => {
      const name = nameOf(element);
      const before = this.#elements.get(name)?.count ?? 0;
      const after = Math.max(0, before + step);
      if (after > 0) this.#elements.set(name, { ...element, count: after });
      else this.#elements.delete(name);
      return (before === 0) !== (after === 0);
    });
  }

  #apply(added: Element[], removed: Element[]): void {
    const gone = this.#count(removed, -1);
    const come = this.#count(added, 1);
    const { table } = this.#options;
    const commands = [...elementCommands("delete", table, gone), ...elementCommands("add", table, come)];
    if (commands.length === 0) return;
    try {
      this.#nft.run(commands.join("\n"));
    } catch {
      this.#rebuild();
    }
  }

  #rebuild(): void {
    this.#nft.run(
      [...tableText(this.#options), ...elementCommands("add", this.#options.table, [...this.#elements.values()])].join(
        "\n",
      ),
    );
    this.#rules = this.#handles();
  }

  /** Whether all rules are there that were when the table was built. */
  #intact(): boolean {
    return this.#rules !== "" && this.#handles() === this.#rules;
  }

  #handles(): string {
    const families = this.#options.judged === undefined ? (["inet"] as const) : (["inet", "ip", "ip6"] as const);
    return families.map((family) => this.#nft.ruleHandles(family, this.#options.table)).join(";");
  }
}

/** What of a table can be asked. */
export type FirewallView = Pick<
  Firewall,
  "table" | "guardForwarding" | "publishedTo" | "isOpened" | "hasLink" | "isForeign"
>;

/** A table's name is an identifier, a bridge's name may have dots and dashes. `bridge` is the daemon's default one. */
export function tableName(bridge: string): string {
  return `brig_${bridge.replace(/[^a-zA-Z0-9]/g, (sign) => `_${sign.charCodeAt(0).toString(16)}`)}`;
}

function nameOf({ family, set, key }: Element): string {
  return `${family ?? "inet"} ${set} ${key}`;
}

/** The same ports for the table that asks the host's input rules. */
function judgedElements({ set, key }: Element): Element[] {
  const [, kind, digit] = /^(ports|anywhere)([46])$/.exec(set) ?? [];
  return kind === undefined ? [] : [{ family: digit === "4" ? "ip" : "ip6", set: kind, key }];
}

function networkElements(network: FirewallNetwork): Element[] {
  const { internal, icc, masquerade, sourceAddress, gatewayMode, trustedInterfaces, directRouting } = network;
  const bridge = quoted(network.bridge);
  const sets = ["bridges", ...(internal ? ["internal"] : []), ...(icc ? [] : ["separate"])];
  const elements: Element[] = [{ set: "same", key: `${bridge} . ${bridge}` }];
  for (const link of trustedInterfaces) elements.push({ set: "trusted", key: `${quoted(link)} . ${bridge}` });
  for (const family of ["v4", "v6"] as const) {
    const digit = family[1]!;
    const mode = gatewayMode[family];
    const source = sourceAddress[family];
    if (mode === "routed") sets.push(`routed${digit}`);
    if (mode === "nat-unprotected") sets.push(`open${digit}`);
    if (directRouting) sets.push(`direct${digit}`);
    if (!mode.startsWith("nat") || internal || !masquerade[family]) continue;
    if (source === undefined) sets.push(`masquerade${digit}`);
    else elements.push({ set: `source${digit}`, key: bridge, data: address(source, Number(digit)) });
  }
  return [...elements, ...sets.map((set) => ({ set, key: bridge }))];
}

function portElements(port: PortElement, network: FirewallNetwork): Element[] {
  const { protocol, hostAddress, hostPort, containerAddress, containerPort } = port;
  const family = isIP(hostAddress);
  const target = address(containerAddress);
  const host = address(hostAddress);
  if (![hostPort, containerPort].every((number) => Number.isInteger(number) && number > 0 && number < 65536))
    throw systemError(`not a port: ${JSON.stringify([hostPort, containerPort])}`);
  // The kernel does not translate between the two.
  if (isIP(containerAddress) !== family) return [];
  const mode = network.gatewayMode[family === 4 ? "v4" : "v6"];
  const elements: Element[] = [];
  if (mode === "routed" || network.directRouting || network.trustedInterfaces.length > 0)
    elements.push({ set: `opened${family}`, key: `${protocol} . ${target} . ${containerPort}` });
  if (!mode.startsWith("nat") || network.internal) return elements;
  const data = `${target} . ${containerPort}`;
  return hostAddress === "0.0.0.0" || hostAddress === "::"
    ? [...elements, { set: `anywhere${family}`, key: `${protocol} . ${hostPort}`, data }]
    : [...elements, { set: `ports${family}`, key: `${protocol} . ${host} . ${hostPort}`, data }];
}

function linkElement({ protocol, sourceAddress, containerAddress, containerPort }: Link): Element {
  const family = isIP(containerAddress);
  const key = [protocol, address(sourceAddress, family), address(containerAddress), containerPort].join(" . ");
  return { set: `links${family}`, key };
}

function foreignElements(bridges: string[]): Element[] {
  return bridges.map((bridge) => ({ set: "foreign", key: quoted(bridge) }));
}

function elementCommands(verb: "add" | "delete", table: string, elements: Element[]): string[] {
  const bySet = Map.groupBy(elements, ({ family, set }) => `${family ?? "inet"} ${table} ${set}`);
  return [...bySet].map(([set, members]) => {
    const list = members.map(({ key, data }) => (verb === "add" && data !== undefined ? `${key} : ${data}` : key));
    return `${verb} element ${set} { ${list.join(", ")} }`;
  });
}

/** A link's name for nft. Throws where it has signs that mean something to nft or to the kernel's file names. */
function quoted(link: string): string {
  if (!/^[a-zA-Z0-9_][a-zA-Z0-9_.:@-]{0,14}$/.test(link))
    throw systemError(`not the name of a link: ${JSON.stringify(link)}`);
  return `"${link}"`;
}

function address(text: string, family?: number): string {
  const found = isIP(text);
  if (found === 0 || text.includes("%") || (family !== undefined && found !== family))
    throw systemError(`not an ${family === undefined ? "IP" : `IPv${family}`} address: ${JSON.stringify(text)}`);
  return text;
}
