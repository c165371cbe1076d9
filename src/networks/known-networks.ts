/** The networks a daemon has: their rows, what they come to on this host, and finding them. */
import { randomBytes } from "node:crypto";
import { Netlink } from "../kernel/rtnetlink.ts";
import { forbidden, messageOf, notFound, systemError } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import type { NetworkCreateRequest } from "../wire/engine-api.ts";
import {
  addressOfBytes,
  formatAddress,
  formatSubnet,
  overlap,
  parseAddress,
  parseCidr,
  type Subnet,
  subnetOf,
} from "./addresses.ts";
import { bridgesOfOthers, subnetsInUse } from "./bridge.ts";
import { BridgeNetwork } from "./bridge-network.ts";
import { defaultBridgeRecord } from "./default-bridge.ts";
import { isPredefined, poolsOf } from "./definition.ts";
import type { NetworkDriver } from "./driver.ts";
import { chooseSubnet, firstAddress } from "./ipam.ts";
import { LinkRemoval } from "./link-removal.ts";
import { NetworkAddresses } from "./network-addresses.ts";
import { randomId } from "./occupancy.ts";
import type { Endpoint, NetworkRecord, PoolRecord } from "./record.ts";
import type { Place } from "./sandbox.ts";
import type { NetworkOptions } from "./settings.ts";
import { StackedNetwork } from "./stacked-network.ts";

export interface KnownNetwork extends NetworkRecord {
  id: string;
  name: string;
  /** Absent of host, none, and configuration networks. */
  work: NetworkDriver | undefined;
  addresses: NetworkAddresses;
  /** Of this network, by id. */
  endpoints: Map<string, Endpoint>;
}

/** RT_TABLE_MAIN */
const mainTable = 254;
const builtin: Record<string, NetworkRecord["driver"]> = { bridge: "bridge", host: "host", none: "null" };

export class KnownNetworks {
  readonly #db: StateDatabase;
  readonly #options: NetworkOptions;
  readonly #warn: (message: string) => void;
  readonly #networks = new Map<string, KnownNetwork>();
  readonly #byId = new Map<string, KnownNetwork>();
  readonly #netlink = new Netlink();
  readonly #removal: LinkRemoval;
  /** Tells this daemon's links and rules from those of others: the name of its default bridge, or one it made up. */
  readonly scope: string;

  /** Reads the rows and brings every network to what it should be on the host. */
  constructor(db: StateDatabase, options: NetworkOptions, warn: (message: string) => void) {
    this.#db = db;
    this.#options = options;
    this.#warn = warn;
    this.#removal = new LinkRemoval(warn);
    this.scope = this.#findScope();
    this.#loadNetworks();
    this.bringUp();
  }

  /** Brings every network to what it should be on the host. */
  bringUp(): void {
    for (const network of this.all())
      try {
        network.work?.up();
      } catch (error) {
        if (isPredefined(network.name)) throw error;
        this.#warn(`network ${network.name} could not be brought up: ${messageOf(error)}`);
      }
  }

  all(): KnownNetwork[] {
    return [...this.#networks.values()];
  }

  byId(id: string): KnownNetwork | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): KnownNetwork | undefined {
    return this.#networks.get(name);
  }

  /** By name, id or unambiguous beginning of its id. */
  lookUp(nameOrId: string): KnownNetwork | undefined {
    const named = this.#networks.get(nameOrId) ?? this.#byId.get(nameOrId);
    if (named !== undefined || !/^[0-9a-f]{1,64}$/.test(nameOrId)) return named;
    const matching = [...this.#byId.values()].filter(({ id }) => id.startsWith(nameOrId));
    return matching.length === 1 ? matching[0] : undefined;
  }

  /** The same. Throws `network x not found`. */
  find(nameOrId: string): KnownNetwork {
    const network = this.lookUp(nameOrId);
    if (network === undefined) throw notFound(`network ${nameOrId} not found`);
    return network;
  }

  /** The places of a container where it has an interface. */
  placesOf(endpoints: Endpoint[]): Place[] {
    return endpoints.flatMap((endpoint) => {
      const driver = this.#byId.get(endpoint.networkId)?.work;
      const { attachment } = endpoint;
      return driver === undefined || attachment === undefined ? [] : { endpoint, attachment, driver };
    });
  }

  /** Makes a network of a record and what belongs to it on the host. Throws Docker's sentences, and leaves nothing then. */
  add(name: string, record: NetworkRecord): KnownNetwork {
    if (!record.configOnly) record.ipam.config = this.#completePools(record);
    const network = this.#know(randomId(), name, record);
    try {
      this.#checkLink(network);
      network.work?.up();
    } catch (error) {
      this.forget(network);
      throw error;
    }
    return network;
  }

  /** Writes the row of a network that was added. */
  save({ id, name, work: _, addresses: __, endpoints: ___, ...record }: KnownNetwork): void {
    this.#db.run("INSERT INTO networks (id, name, record) VALUES (?, ?, ?)", id, name, JSON.stringify(record));
  }

  /** Takes a network off the host, with its row. */
  forget({ id, name, work }: KnownNetwork): void {
    this.#db.run("DELETE FROM networks WHERE id = ?", id);
    this.#networks.delete(name);
    this.#byId.delete(id);
    if (work !== undefined && !this.isShared(work)) work.remove();
  }

  /** Whether a network that is known has the same link. */
  isShared(work: NetworkDriver): boolean {
    return this.all().some((other) => other.work !== work && other.work?.link === work.link);
  }

  /** Options that the daemon's configuration gives to new networks of a driver. */
  defaultOptions({ Driver, ConfigOnly, ConfigFrom }: NetworkCreateRequest): Record<string, string> {
    if (ConfigOnly || ConfigFrom?.Network) return {};
    const driver = Driver || "bridge";
    return Object.fromEntries(
      this.#options.defaultNetworkOptions
        .filter((option) => option.driver === driver)
        .map(({ name, value }) => [name, value]),
    );
  }

  /** Brings a bridge back that somebody has deleted, with the containers on it. */
  mend({ work, endpoints }: KnownNetwork): void {
    if (!(work instanceof BridgeNetwork) || work.intact) return;
    work.up();
    const places = [...endpoints.values()].flatMap(({ attachment, publishing }) =>
      attachment === undefined ? [] : { attachment, hairpin: (publishing?.ports.length ?? 0) > 0 },
    );
    work.replug(places);
  }

  /** Throws with what is wrong where the host has got a route that takes packets away from a network's containers. */
  checkRoutes(): void {
    const links = new Map(this.all().flatMap(({ work, name }) => (work === undefined ? [] : [[work.link, name]])));
    const own = new Set(this.#netlink.links().flatMap(({ name, index }) => (links.has(name) ? index : [])));
    for (const family of [4, 6] as const)
      for (const { destination, prefixLength, linkIndex, table } of this.#netlink.routes(family)) {
        if (prefixLength === 0 || destination.length === 0 || own.has(linkIndex) || table !== mainTable) continue;
        const route = subnetOf(addressOfBytes(destination), prefixLength);
        for (const network of this.all())
          for (const { subnet } of network.work instanceof BridgeNetwork ? poolsOf(network) : [])
            if (overlap(route, subnet) && route.prefixLength >= subnet.prefixLength)
              throw systemError(
                `the host has a route to ${formatSubnet(route)} that overlaps network ${network.name} (${formatSubnet(subnet)}): containers there are not reached by it; make the network anew with another --subnet`,
              );
      }
  }

  /** Removes links that carry this daemon's mark, or are ports of its bridges, and that nobody owns any more. */
  removeStrayLinks(ofContainers: Iterable<string>): void {
    const works = this.all().flatMap(({ work }) => work ?? []);
    const owned = new Set([...works.map(({ link }) => link), ...ofContainers]);
    const ownBridges = new Set(works.flatMap((work) => (work instanceof BridgeNetwork && work.own ? work.link : [])));
    const links = this.#netlink.links();
    const indexes = new Set(links.filter(({ name }) => ownBridges.has(name)).map(({ index }) => index));
    for (const { name, kind, alias, master } of links)
      if (!owned.has(name) && (alias === this.#alias || (kind === "veth" && indexes.has(master))))
        this.#netlink.deleteLink(name);
  }

  /** Names of bridges that other engines have made for their containers. */
  foreignBridges(): string[] {
    return bridgesOfOthers(this.#netlink, new Set(this.all().flatMap(({ work }) => work?.link ?? [])));
  }

  /** Takes everything off the host, and waits for it; the rows stay. */
  removeLinks(): void {
    for (const { name, alias } of this.#netlink.links()) if (alias === this.#alias) this.#netlink.deleteLink(name);
  }

  close(): void {
    this.#removal.close();
    this.#netlink.close();
  }

  /** A network in memory, with what will do its work; nothing of it is on the host yet. */
  #know(id: string, name: string, record: NetworkRecord): KnownNetwork {
    const network: KnownNetwork = {
      ...record,
      id,
      name,
      work: this.#driverOf(id, record),
      addresses: new NetworkAddresses(record.configOnly ? [] : poolsOf(record), `${name} (${id})`),
      endpoints: new Map(),
    };
    this.#networks.set(name, network);
    this.#byId.set(id, network);
    return network;
  }

  #driverOf(id: string, record: NetworkRecord): NetworkDriver | undefined {
    if (record.configOnly) return undefined;
    const input = { netlink: this.#netlink, id, record, alias: this.#alias };
    if (record.driver === "macvlan" || record.driver === "ipvlan") return new StackedNetwork(input);
    if (record.driver !== "bridge") return undefined;
    const { mtu = 0, allowDirectRouting: directRouting, packetFilter } = this.#options;
    return new BridgeNetwork({ ...input, defaultMtu: mtu, directRouting, packetFilter, removal: this.#removal });
  }

  #checkLink({ work, id }: KnownNetwork): void {
    if (!(work instanceof BridgeNetwork)) return;
    const other = this.all().find(
      (network) => network.id !== id && network.work instanceof BridgeNetwork && network.work.link === work.link,
    );
    if (other !== undefined)
      throw forbidden(
        `cannot create network ${id} (${work.link}): conflicts with network ${other.id} (${other.name}): networks have same bridge name`,
      );
  }

  /** The subnets of a new network: those that were asked for with gateways, and one for each family that was not. */
  #completePools(record: NetworkRecord): PoolRecord[] {
    const known = [...this.#networks.values()].flatMap((network) =>
      network.configOnly ? [] : poolsOf(network).map(({ subnet }) => subnet),
    );
    const pools = poolsOf(record);
    const asked: Subnet[] = [];
    for (const { subnet } of pools) {
      if ([...known, ...asked].some((other) => overlap(other, subnet)))
        throw forbidden("invalid pool request: Pool overlaps with other one on this address space");
      asked.push(subnet);
    }
    const config = record.ipam.config.map((pool) => {
      const subnet = pools.find(
        (other) => formatSubnet(other.subnet) === formatSubnet(parseCidr(pool.Subnet)!.subnet),
      )?.subnet;
      if (subnet === undefined || pool.Gateway) return pool;
      const used = new Set(Object.values(pool.AuxiliaryAddresses ?? {}).map((text) => parseAddress(text)!.value));
      const gateway = firstAddress(subnet);
      while (used.has(gateway.value)) gateway.value++;
      return { ...pool, Gateway: formatAddress(gateway) };
    });
    // Docker's order, which scripts rely on: those of IPv4 first.
    config.sort((a, b) => Number(a.Subnet.includes(":")) - Number(b.Subnet.includes(":")));
    let inUse: Subnet[] | undefined;
    for (const family of [4, 6] as const) {
      if (!(family === 4 ? record.enableIPv4 : record.enableIPv6)) continue;
      if (asked.some((subnet) => subnet.family === family)) continue;
      inUse ??= subnetsInUse(this.#netlink, undefined);
      const subnet = chooseSubnet(family, this.#options.defaultAddressPools, [...known, ...asked, ...inUse]);
      config.push({ Subnet: formatSubnet(subnet), Gateway: formatAddress(firstAddress(subnet)) });
    }
    return config;
  }

  #loadNetworks(): void {
    const created = `${new Date().toISOString().slice(0, -1)}000000Z`;
    for (const [name, driver] of Object.entries(builtin))
      this.#db.run(
        "INSERT INTO networks (id, name, record) VALUES (?, ?, ?) ON CONFLICT (name) DO NOTHING",
        randomId(),
        name,
        JSON.stringify(emptyRecord(driver, created)),
      );
    this.#networks.clear();
    this.#byId.clear();
    for (const row of this.#db.all<{ id: string; name: string; record: string }>(
      "SELECT id, name, record FROM networks ORDER BY rowid",
    )) {
      const record: NetworkRecord = { ...emptyRecord("null", created), ...(JSON.parse(row.record) as object) };
      if (row.name !== "bridge") this.#know(row.id, row.name, record);
      else if (this.#options.bridge !== "none") this.#loadDefaultBridge(row.id, record);
    }
  }

  #loadDefaultBridge(id: string, before: NetworkRecord): void {
    const record = defaultBridgeRecord(this.#netlink, this.#options, before);
    this.#know(id, "bridge", record);
    this.#db.run("UPDATE networks SET record = ? WHERE id = ?", JSON.stringify(record), id);
  }

  /** The mark on links of this daemon. */
  get #alias(): string {
    return `brig ${this.scope}`;
  }

  #findScope(): string {
    const { bridge } = this.#options;
    if (bridge !== "none") return bridge;
    const key = "networks.scope";
    this.#db.run("INSERT OR IGNORE INTO settings (key, value) VALUES (?, ?)", key, randomBytes(4).toString("hex"));
    return this.#db.get<{ value: string }>("SELECT value FROM settings WHERE key = ?", key)!.value;
  }
}

function emptyRecord(driver: NetworkRecord["driver"], created: string): NetworkRecord {
  return {
    driver,
    created,
    enableIPv4: true,
    enableIPv6: false,
    internal: false,
    attachable: false,
    configOnly: false,
    configFrom: "",
    options: {},
    labels: {},
    ipam: { driver: "default", options: null, config: [] },
    ownSubnets: false,
  };
}
