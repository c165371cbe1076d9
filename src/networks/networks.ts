/** Networks and the containers on them: who is where, at which address, by which names, reachable by which ports. */
import { randomBytes } from "node:crypto";
import { closeSync, readFileSync } from "node:fs";
import { forgetUdpFlows } from "../kernel/conntrack.ts";
import { createNetworkNamespace, insideNetworkNamespace, openNetworkNamespace } from "../kernel/namespaces.ts";
import { Netlink } from "../kernel/rtnetlink.ts";
import type { TransportProtocol } from "../kernel/sockets.ts";
import { conflict, forbidden, messageOf, notFound, systemError } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import type {
  EndpointSettings,
  HostConfig,
  Network,
  NetworkCreateRequest,
  NetworkingConfig,
  PortMap,
} from "../wire/engine-api.ts";
import { type Family, formatAddress, formatSubnet, overlap, parseAddress, type Subnet } from "./addresses.ts";
import { bridgesOfOthers, forwards, subnetsInUse, turnOnForwarding } from "./bridge.ts";
import { BridgeNetwork } from "./bridge-network.ts";
import { defaultBridgeRecord } from "./default-bridge.ts";
import { defineNetwork, isPredefined, poolsOf } from "./definition.ts";
import type { NetworkDriver } from "./driver.ts";
import { dnsNames, endpointNames, linksOf } from "./endpoint-names.ts";
import { endpointSysctls, wantedInterfaceName } from "./endpoint-options.ts";
import { embeddedResolvConf, hostResolvConf, resolvConf } from "./files.ts";
import type { Link as FirewallLink, PortElement } from "./firewall.ts";
import {
  endpointResource,
  endpointSettings,
  type FullNetworkSettings,
  idleEndpoint,
  type NetworkWithContainers,
  networkSettings,
  networkShape,
} from "./inspect.ts";
import { chooseSubnet, firstAddress } from "./ipam.ts";
import { NameServers, type UpstreamServer, type View } from "./names/name-servers.ts";
import { redirectNames } from "./names/redirect.ts";
import { adoptNameSockets, closeNameSockets, createNameSockets, type NameSockets } from "./names/sockets.ts";
import { NetworkAddresses } from "./network-addresses.ts";
import { PacketFilter } from "./packet-filter.ts";
import { type HeldPort, PortTable, type PortTarget, type PublishRequest, portMap, publishRequests } from "./ports.ts";
import {
  type Attachment,
  type Endpoint,
  type EndpointRecord,
  exposedPorts,
  type NetworkRecord,
  type PoolRecord,
  type PublishedPort,
} from "./record.ts";
import { byPriority, defaultRoutes, type Place, plugIn, unplug } from "./sandbox.ts";
import type { NetworkOptions } from "./settings.ts";
import { StackedNetwork } from "./stacked-network.ts";
import { builtinName, type ConfigWithMac, checkEndpoint, checkNetworking } from "./validate.ts";

/** Where network events go. */
export interface EventSink {
  publish(type: "network", action: string, id: string, attributes: Record<string, string>): void;
}

/** What networks are made of. */
export interface NetworksInput {
  db: StateDatabase;
  events: EventSink;
  settings: NetworkOptions;
  /** Told of what goes wrong where nobody waits for an answer. */
  warn: (message: string) => void;
}

/** A container as its networks know it. */
export interface NetworkedContainer {
  containerId: string;
  /** Without the slash. */
  name: string;
  config: ConfigWithMac;
  hostConfig: HostConfig;
}

/** A container that runs while the daemon starts. */
export interface LiveContainer extends NetworkedContainer {
  /** Its first process. */
  pid: number;
  /** Who holds the sockets of its name server, and as which descriptor the first. */
  keeper: { pid: number; startTime: number; firstFd: number };
}

/** A container that another has a link to, and the ports it may reach there. */
export interface LinkedPorts {
  address: string;
  ports: { port: number; protocol: TransportProtocol }[];
}

/** A container that is about to start. */
export interface OpenRequest extends NetworkedContainer {
  /** The networks it is to be on, by name or id, and what the client asked for there. */
  endpoints: Record<string, EndpointSettings>;
}

/** The network side of a container that is starting. */
export interface Sandbox {
  sandboxId: string;
  /** To be joined while the sandbox is open; undefined: the host's own namespace. */
  namespacePath: string | undefined;
  endpoints: Record<string, EndpointSettings>;
  ports: PortMap;
  /** Content of its /etc/resolv.conf. */
  resolvConf: string;
  /** Descriptors that are to stay open while it runs, also when the daemon does not. */
  keptFds: number[];
  /** Links, addresses, routes, rules: everything a process in the namespace needs. Once, before the process starts. */
  connect(): void;
  /** To be called when the container's process has joined the namespace, and when it never will. Idempotent. */
  close(): void;
}

interface KnownNetwork extends NetworkRecord {
  id: string;
  name: string;
  /** Absent of host, none, and configuration networks. */
  work: NetworkDriver | undefined;
  addresses: NetworkAddresses;
  /** Of this network, by id. */
  endpoints: Map<string, Endpoint>;
}

/** A running container's. */
interface Occupancy {
  sandboxId: string;
  endpoints: Endpoint[];
  held: HeldPort[];
  /** Ways that links have opened on a network whose containers may not talk to each other. */
  links: FirewallLink[];
  /** Whom its name server asks for other names, once it is on a network with names. */
  upstreams: UpstreamServer[] | undefined;
  /** Of its name server, until that has them. */
  sockets: NameSockets | undefined;
  /** Whether its links are there, its ports in the packet filter, and an event has told so. */
  isConnected: boolean;
}

const forwardingKeys: Record<Family, string> = {
  4: "networks.forwarding-enabled-in-boot",
  6: "networks.forwarding6-enabled-in-boot",
};
const builtin: Record<string, NetworkRecord["driver"]> = { bridge: "bridge", host: "host", none: "null" };
const watchIntervalMs = 1000;

/** All networks of a daemon. Nothing here forks or waits, except for what `start` does once. */
export class Networks {
  readonly #db: StateDatabase;
  readonly #events: EventSink;
  readonly #options: NetworkOptions;
  readonly #warn: (message: string) => void;
  readonly #networks = new Map<string, KnownNetwork>();
  readonly #byId = new Map<string, KnownNetwork>();
  /** By container. */
  readonly #occupancies = new Map<string, Occupancy>();
  readonly #ports: PortTable;
  readonly #names: NameServers;
  /** Tells this daemon's links and rules from those of others: the name of its default bridge, or one it made up. */
  #scope = "";
  #netlink: Netlink | undefined;
  #filter: PacketFilter | undefined;
  #watch: NodeJS.Timeout | undefined;

  constructor({ db, events, settings, warn }: NetworksInput) {
    this.#db = db;
    this.#events = events;
    this.#options = settings;
    this.#warn = warn;
    this.#ports = new PortTable(settings.publishAddress);
    this.#names = new NameServers({ warn });
  }

  /**
   * Brings the host to what it should be: bridges, the packet filter's table, the kernel's settings. Places of
   * containers that are not in `live` are given back. The same for a first start and one after a crash.
   */
  start(live: LiveContainer[]): void {
    this.#netlink = new Netlink();
    this.#scope = this.#findScope();
    this.#loadNetworks();
    for (const network of this.#networks.values())
      try {
        network.work?.up();
      } catch (error) {
        if (isPredefined(network.name)) throw error;
        this.#warn(`network ${network.name} could not be brought up: ${messageOf(error)}`);
      }
    this.#loadEndpoints(new Map(live.map((container) => [container.containerId, container])));
    this.#removeStrayLinks();
    if ([...this.#networks.values()].some(({ work }) => work?.filtered !== undefined)) this.#startFilter();
    this.#watch = setInterval(() => this.#look(), watchIntervalMs);
    this.#watch.unref();
  }

  /** Refuses at creation what can be known to be wrong then. Throws Docker's sentences. */
  check(hostConfig: HostConfig, networkingConfig: NetworkingConfig | undefined, config: ConfigWithMac): void {
    checkNetworking(hostConfig, networkingConfig, config);
    for (const [name, settings] of Object.entries(networkingConfig?.EndpointsConfig ?? {}))
      this.#checkPlace(this.#lookUp(builtinName(name)), settings ?? {});
  }

  /** POST /networks/create. Throws Docker's sentences; nothing is left behind then. */
  create(request: NetworkCreateRequest): { Id: string; Warning: string } {
    const created = `${new Date().toISOString().slice(0, -1)}000000Z`;
    const options = { ...this.#defaultOptions(request), ...request.Options };
    const record = defineNetwork({ ...request, Options: options }, (name) => this.#networks.get(name), created);
    const name = request.Name!;
    if (this.#networks.has(name)) throw conflict(`network with name ${name} already exists`);
    const id = randomId();
    if (!record.configOnly) record.ipam.config = this.#completePools(record);
    const network = this.#know(id, name, record);
    try {
      this.#bringUp(network);
      this.#db.run("INSERT INTO networks (id, name, record) VALUES (?, ?, ?)", id, name, JSON.stringify(record));
    } catch (error) {
      this.#forget(network);
      throw error;
    }
    this.#publishNetwork("create", network);
    return { Id: id, Warning: "" };
  }

  /** DELETE /networks/{id}. Throws Docker's sentences where it is there from the start, or in use. */
  remove(nameOrId: string): void {
    const network = this.#find(nameOrId);
    if (isPredefined(network.name)) throw forbidden(`${network.name} is a pre-defined network and cannot be removed`);
    const [user] = network.endpoints.values();
    if (user !== undefined)
      throw forbidden(
        `error while removing network: network ${network.name} has active endpoints (name:${JSON.stringify(user.containerName)} id:${JSON.stringify(user.id.slice(0, 12))})`,
      );
    const template = [...this.#networks.values()].find(({ configFrom }) => configFrom === network.name);
    if (network.configOnly && template !== undefined)
      throw forbidden(`configuration network ${JSON.stringify(network.name)} is in use`);
    this.#db.run("DELETE FROM networks WHERE id = ?", network.id);
    this.#forget(network);
    this.#publishNetwork("destroy", network);
  }

  /** POST /networks/prune: removes the networks that no running container is on. Returns their names. */
  prune(isWanted: (network: Network) => boolean): string[] {
    const removed: string[] = [];
    for (const network of [...this.#networks.values()]) {
      if (isPredefined(network.name) || network.configOnly || network.endpoints.size > 0) continue;
      if (!isWanted(this.#shape(network))) continue;
      this.remove(network.id);
      removed.push(network.name);
    }
    this.#events.publish("network", "prune", "", { reclaimed: "0" });
    return removed;
  }

  /** Takes addresses and ports for a container and makes its namespace. Throws Docker's sentences. */
  open({ endpoints, ...container }: OpenRequest): Sandbox {
    const { containerId } = container;
    this.release(containerId);
    const occupancy = emptyOccupancy(randomId());
    this.#occupancies.set(containerId, occupancy);
    try {
      for (const [network, settings] of this.#networksFor(container.hostConfig, endpoints))
        this.#settle(occupancy, network, settings, container);
      this.#holdPorts(occupancy, container);
      this.#db.transaction(() => {
        for (const endpoint of occupancy.endpoints) this.#save(endpoint);
      });
      const isHost = occupancy.endpoints.some(({ networkName }) => networkName === "host");
      return this.#sandbox(occupancy, container, isHost ? undefined : createNetworkNamespace());
    } catch (error) {
      this.release(containerId);
      throw error;
    }
  }

  /** Gives back all that a container holds. Idempotent. Its links go with its namespace. */
  release(containerId: string): void {
    const occupancy = this.#occupancies.get(containerId);
    if (occupancy === undefined) return;
    this.#occupancies.delete(containerId);
    if (occupancy.isConnected) this.#filter?.removePorts(this.#elementsOf(occupancy));
    if (occupancy.links.length > 0) this.#filter?.removeLinks(occupancy.links);
    for (const { release } of occupancy.held) release();
    for (const endpoint of occupancy.endpoints) this.#vacate(endpoint);
    this.#names.stop(containerId);
    if (occupancy.sockets !== undefined) closeNameSockets(occupancy.sockets);
    occupancy.sockets = undefined;
    this.#db.run("DELETE FROM endpoints WHERE container_id = ?", containerId);
    if (occupancy.isConnected) for (const endpoint of occupancy.endpoints) this.#publish("disconnect", endpoint);
  }

  /**
   * Puts a running container on one more network. `pid` is its first process. Throws Docker's sentences. Returns what
   * its /etc/resolv.conf was made as, and is to be, where it has a name server from now on.
   */
  connect(
    container: NetworkedContainer,
    pid: number,
    nameOrId: string,
    settings: EndpointSettings,
  ): { was: string; is: string } | undefined {
    const network = this.#find(nameOrId);
    const occupancy = this.#occupancies.get(container.containerId);
    if (occupancy === undefined) throw systemError(`container ${container.containerId} has no network namespace`);
    this.checkConnect(container, nameOrId, settings);
    const was = this.#plainResolvConf(occupancy, container.hostConfig);
    const fd = openNetworkNamespace(pid);
    try {
      const endpoint = this.#settle(occupancy, network, settings, container);
      endpoint.isUnfinished = true;
      try {
        this.#save(endpoint);
        const places = this.#placesOf(occupancy);
        plugIn(
          fd,
          places.filter((place) => place.endpoint === endpoint),
          places,
          () => occupancy.held.length > 0,
        );
      } catch (error) {
        this.#leave(occupancy, endpoint);
        throw error;
      }
      delete endpoint.isUnfinished;
      this.#save(endpoint);
      this.#announceNames(endpoint);
      this.#movePorts(occupancy);
      this.#publish("connect", endpoint);
      if (this.#names.serves(container.containerId))
        this.#names.setView(container.containerId, this.#viewOf(occupancy));
      else if (hasNames(occupancy)) {
        const is = this.#prepareNames(occupancy, container, fd);
        this.#serveNames(occupancy, container.containerId, fd);
        return { was, is };
      }
      return undefined;
    } finally {
      closeSync(fd);
    }
  }

  /** Refuses what can be known before a container is put on a network, running or not. Throws Docker's sentences. */
  checkConnect({ containerId, name }: NetworkedContainer, nameOrId: string, settings: EndpointSettings): void {
    const network = this.#find(nameOrId);
    this.#checkPlace(network, settings);
    if (this.#occupancies.get(containerId)?.endpoints.some(({ networkId }) => networkId === network.id))
      throw forbidden(`endpoint with name ${name} already exists in network ${network.name}`);
  }

  /** Takes a running container off a network. Throws where it is not on it. */
  disconnect(containerId: string, pid: number, nameOrId: string): void {
    const network = this.#find(nameOrId);
    const occupancy = this.#occupancies.get(containerId);
    const endpoint = occupancy?.endpoints.find(({ networkId }) => networkId === network.id);
    if (occupancy === undefined || endpoint === undefined)
      throw forbidden(`container ${containerId} is not connected to network ${network.name}`);
    endpoint.isUnfinished = true;
    this.#save(endpoint);
    this.#movePorts(occupancy, endpoint);
    this.#unplug(occupancy, endpoint, pid);
    this.#leave(occupancy, endpoint);
    this.#names.setView(containerId, this.#viewOf(occupancy));
    this.#publish("disconnect", endpoint);
  }

  /**
   * Publishes more ports of a running container, and takes others back. Nothing changes where one cannot be had.
   * `isGone` tells which of those it has are to go.
   */
  changePorts(containerId: string, added: PublishRequest[], isGone: (port: PublishedPort) => boolean): void {
    const occupancy = this.#occupancies.get(containerId);
    const place = occupancy && this.#publisherOf(occupancy);
    if (occupancy === undefined || place === undefined)
      throw systemError(`container ${containerId} is on no network that ports can be published from`);
    const [gone, kept] = [
      occupancy.held.filter(({ port }) => isGone(port)),
      occupancy.held.filter(({ port }) => !isGone(port)),
    ];
    const before = this.#elementsOf(occupancy);
    for (const { release } of gone) release();
    try {
      const come = this.#hold(added, place);
      occupancy.held = [...kept, ...come];
    } catch (error) {
      const again = this.#ports.holdAgain(
        gone.map(({ port }) => port),
        this.#targetOf(place),
        () => {},
      );
      occupancy.held = [...kept, ...again];
      throw error;
    }
    const publishing = place.endpoint.publishing ?? { ports: [], exposed: [] };
    place.endpoint.publishing = { ...publishing, ports: occupancy.held.map(({ port }) => port) };
    this.#save(place.endpoint);
    if (added.length > 0) place.driver.reflect(place.attachment);
    this.#filter?.removePorts(before);
    this.#filter?.addPorts(this.#elementsOf(occupancy));
    this.#forgetFlows(occupancy.held.map(({ port }) => port));
  }

  /** Says to which ports of others on the default network a running container has links, in the place of what was said before. */
  setLinks(containerId: string, linked: LinkedPorts[]): void {
    const occupancy = this.#occupancies.get(containerId);
    const endpoint = occupancy?.endpoints.find(({ networkName }) => networkName === "bridge");
    const source = endpoint?.attachment?.v4?.address;
    if (occupancy === undefined || source === undefined || this.#options.icc) return;
    this.#filter?.removeLinks(occupancy.links);
    occupancy.links = linked.flatMap(({ address, ports }) =>
      ports.map(({ port, protocol }) => ({
        protocol,
        sourceAddress: source,
        containerAddress: address,
        containerPort: port,
      })),
    );
    this.#filter?.addLinks(occupancy.links);
  }

  /** What `inspect` shows. Without addresses where the container does not run. `pid` is that of its first process. */
  settingsOf(
    containerId: string,
    pid: number,
    { hostConfig, endpoints: asked }: Pick<OpenRequest, "hostConfig" | "endpoints">,
  ): FullNetworkSettings {
    const occupancy = this.#occupancies.get(containerId);
    const endpoints = occupancy?.endpoints ?? [];
    const settings = networkSettings(endpoints, occupancy === undefined || pid === 0 ? "" : `/proc/${pid}/ns/net`);
    if (occupancy === undefined)
      for (const [name, wanted] of wantedNetworks(hostConfig, asked)) {
        const network = this.#lookUp(name);
        settings.Networks![network?.name ?? name] = idleEndpoint(wanted, network?.id ?? "");
      }
    return settings;
  }

  /** The ports of a running container, as the API shows them; empty where it does not run. */
  portsOf(containerId: string): PortMap {
    const publishing = publishingOf(this.#occupancies.get(containerId)?.endpoints ?? []);
    return publishing === undefined ? {} : portMap(publishing.ports, publishing.exposed);
  }

  /** To be called when a container was renamed while it runs. */
  rename(containerId: string, name: string): void {
    for (const endpoint of this.#occupancies.get(containerId)?.endpoints ?? []) {
      if (endpoint.containerName === name) continue;
      if (endpoint.names[0] === endpoint.containerName) endpoint.names[0] = name;
      endpoint.containerName = name;
      this.#announceNames(endpoint);
      this.#save(endpoint);
    }
  }

  /** Every network, without its containers. */
  list(): Network[] {
    return [...this.#networks.values()].map((network) => this.#shape(network));
  }

  /** One network by name, id or unambiguous beginning of its id. Throws `network x not found`. */
  inspect(nameOrId: string): NetworkWithContainers {
    const network = this.#find(nameOrId);
    const { Options, Labels, ...shape } = this.#shape(network);
    const users = [...network.endpoints.values()].sort((a, b) => (a.containerId < b.containerId ? -1 : 1));
    return {
      ...shape,
      Containers: Object.fromEntries(users.map((endpoint) => [endpoint.containerId, endpointResource(endpoint)])),
      Options,
      Labels,
      Status: { IPAM: { Subnets: network.addresses.status() } },
    };
  }

  /** The networks a running container is on, with what it asked for there; undefined where it has none of its own. */
  placesOf(containerId: string): Record<string, EndpointSettings> | undefined {
    const occupancy = this.#occupancies.get(containerId);
    return (
      occupancy && Object.fromEntries(occupancy.endpoints.map(({ networkName, requested }) => [networkName, requested]))
    );
  }

  /** Id and name of a network. Throws `network x not found`. */
  resolve(nameOrId: string): { id: string; name: string } {
    const { id, name } = this.#find(nameOrId);
    return { id, name };
  }

  /** Addresses that `host-gateway` stands for. */
  get hostGateways(): string[] {
    if (this.#options.hostGatewayIps.length > 0) return this.#options.hostGatewayIps;
    const bridge = this.#networks.get("bridge");
    return bridge === undefined
      ? []
      : poolsOf(bridge).flatMap(({ gateway }) => (gateway === undefined ? [] : formatAddress(gateway)));
  }

  /** Puts back now what others have changed on the host; this is done every second by itself. */
  mend(): void {
    for (const network of this.#networks.values())
      if (network.work instanceof BridgeNetwork && !network.work.intact) {
        network.work.up();
        network.work.replug([...network.endpoints.values()].flatMap(({ attachment }) => attachment ?? []));
      }
    this.#filter?.mend();
  }

  /** The daemon stops; containers stay connected and their ports published. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    for (const { held } of this.#occupancies.values()) for (const { release } of held) release();
    this.#filter?.close();
    this.#filter = undefined;
    this.#netlink?.close();
    this.#netlink = undefined;
    await this.#names.close();
  }

  /** Removes all links and rules from the host, when no container runs. */
  async destroy(): Promise<void> {
    this.#filter?.destroy();
    this.#filter = undefined;
    for (const { work } of this.#networks.values()) work?.remove();
    await this.close();
  }

  #sandbox(occupancy: Occupancy, container: NetworkedContainer, namespaceFd: number | undefined): Sandbox {
    let fd = namespaceFd;
    const { endpoints } = occupancy;
    const resolvConf =
      fd !== undefined && hasNames(occupancy)
        ? this.#prepareNames(occupancy, container, fd)
        : this.#plainResolvConf(occupancy, container.hostConfig);
    const { sockets } = occupancy;
    const publishing = publishingOf(endpoints);
    return {
      sandboxId: occupancy.sandboxId,
      namespacePath: fd === undefined ? undefined : `/proc/${process.pid}/fd/${fd}`,
      endpoints: Object.fromEntries(endpoints.map((endpoint) => [endpoint.networkName, endpointSettings(endpoint)])),
      ports: publishing === undefined ? {} : portMap(publishing.ports, publishing.exposed),
      resolvConf,
      keptFds: sockets === undefined ? [] : [sockets.udpFd, sockets.tcpFd],
      connect: () => {
        const places = this.#placesOf(occupancy);
        if (fd !== undefined) {
          if (places.length === 0) insideNetworkNamespace(fd, bringLoopbackUp);
          else plugIn(fd, places, places, () => occupancy.held.length > 0);
        }
        occupancy.isConnected = true;
        if (fd !== undefined && sockets !== undefined) this.#serveNames(occupancy, container.containerId, fd);
        if (occupancy.held.length > 0) {
          this.#filter?.addPorts(this.#elementsOf(occupancy));
          this.#forgetFlows(occupancy.held.map(({ port }) => port));
        }
        for (const endpoint of endpoints) {
          this.#announceNames(endpoint);
          this.#publish("connect", endpoint);
        }
      },
      close: () => {
        if (fd !== undefined) closeSync(fd);
        fd = undefined;
      },
    };
  }

  /** The networks a container is to be on, each once: the one it was run with first, the others by name. */
  #networksFor(
    hostConfig: HostConfig,
    endpoints: Record<string, EndpointSettings>,
  ): Map<KnownNetwork, EndpointSettings> {
    const wanted = wantedNetworks(hostConfig, endpoints);
    const found = new Map<KnownNetwork, EndpointSettings>();
    for (const [name, settings] of wanted) {
      // Without a default bridge a container that names no network has none.
      const network = name === "bridge" && !this.#networks.has("bridge") ? this.#find("none") : this.#find(name);
      if (network.configOnly) throw forbidden(`configuration network ${network.name} cannot have containers`);
      if (!found.has(network)) found.set(network, settings);
    }
    return found;
  }

  /** Gives a container a place on a network, in memory: addresses, a name for its interface, names. */
  #settle(
    occupancy: Occupancy,
    network: KnownNetwork,
    requested: EndpointSettings,
    { containerId, name, config }: NetworkedContainer,
  ): Endpoint {
    const id = randomId();
    const named = !isPredefined(network.name);
    const endpoint: Endpoint = {
      id,
      networkId: network.id,
      networkName: network.name,
      containerId,
      containerName: name,
      sandboxId: occupancy.sandboxId,
      requested,
      names: named ? dnsNames(name, requested.Aliases ?? [], containerId, config.Hostname ?? "") : [],
      attachment: undefined,
    };
    if (network.work !== undefined) {
      if (network.work instanceof BridgeNetwork && !network.work.intact) {
        network.work.up();
        network.work.replug([...network.endpoints.values()].flatMap(({ attachment }) => attachment ?? []));
      }
      const { IPv4Address = "", IPv6Address = "" } = requested.IPAMConfig ?? {};
      const placements = network.addresses.reserve({ v4: IPv4Address, v6: IPv6Address });
      if (network.internal) for (const placement of Object.values(placements)) placement.gateway = "";
      endpoint.attachment = {
        ...placements,
        interfaceName: wantedInterfaceName(requested) ?? freeInterfaceName(occupancy, network.work.interfacePrefix),
        mac: (requested.MacAddress || config.MacAddress || macOf(placements)).toLowerCase().replaceAll("-", ":"),
        link: network.work instanceof BridgeNetwork ? `veth${id.slice(0, 7)}` : "",
      };
    }
    network.endpoints.set(id, endpoint);
    occupancy.endpoints.push(endpoint);
    return endpoint;
  }

  /** Gives a place back, in memory and in the table. */
  #leave(occupancy: Occupancy, endpoint: Endpoint): void {
    occupancy.endpoints = occupancy.endpoints.filter((other) => other !== endpoint);
    this.#vacate(endpoint);
    this.#db.run("DELETE FROM endpoints WHERE id = ?", endpoint.id);
  }

  #unplug(occupancy: Occupancy, endpoint: Endpoint, pid: number): void {
    const places = this.#placesOf(occupancy);
    const removed = places.find((place) => place.endpoint === endpoint);
    if (removed === undefined) return;
    const fd = openNetworkNamespace(pid);
    try {
      unplug(
        fd,
        removed,
        places.filter((place) => place !== removed),
      );
    } finally {
      closeSync(fd);
    }
  }

  #vacate(endpoint: Endpoint): void {
    const network = this.#byId.get(endpoint.networkId);
    if (network === undefined) return;
    network.endpoints.delete(endpoint.id);
    this.#names.removeEndpoint(endpoint.networkId, endpoint.id);
    if (endpoint.attachment !== undefined) network.addresses.release(endpoint.attachment);
  }

  #placesOf({ endpoints }: Occupancy): Place[] {
    return endpoints.flatMap((endpoint) => {
      const driver = this.#byId.get(endpoint.networkId)?.work;
      const { attachment } = endpoint;
      return driver === undefined || attachment === undefined ? [] : { endpoint, attachment, driver };
    });
  }

  /** The place whose addresses a container's published ports lead to: the one its answers leave by, where it can be that. */
  #publisherOf(occupancy: Occupancy, except?: Endpoint): Place | undefined {
    const places = this.#placesOf(occupancy).filter(({ endpoint }) => endpoint !== except);
    const routes = defaultRoutes(places);
    const able = ({ driver }: Place) => driver.filtered !== undefined && !driver.filtered.internal;
    return [routes.get(4)?.place, routes.get(6)?.place, ...byPriority(places)].find(
      (place) => place !== undefined && able(place),
    );
  }

  #targetOf({ attachment: { v4, v6 }, driver }: Place): PortTarget {
    const modes = driver.filtered?.gatewayMode;
    return {
      v4: v4?.address,
      v6: v6?.address,
      hostBinding: driver instanceof BridgeNetwork ? driver.options.hostBinding : undefined,
      routed: { v4: modes?.v4 === "routed", v6: modes?.v6 === "routed" },
    };
  }

  /** Takes the ports a container asks for, and notes them at the place they lead to. */
  #holdPorts(occupancy: Occupancy, { config, hostConfig }: NetworkedContainer): void {
    const place = this.#publisherOf(occupancy);
    if (place === undefined) return;
    const requests = publishRequests(config, hostConfig);
    occupancy.held = this.#hold(requests, place);
    place.endpoint.publishing = { ports: occupancy.held.map(({ port }) => port), exposed: exposedPorts(config) };
  }

  #hold(requests: PublishRequest[], place: Place): HeldPort[] {
    if (requests.length === 0) return [];
    const { containerName, id } = place.endpoint;
    try {
      if (!this.#options.packetFilter)
        throw systemError("ports cannot be published while the daemon leaves the packet filter alone");
      return this.#ports.hold(requests, this.#targetOf(place));
    } catch (error) {
      throw systemError(
        `driver failed programming external connectivity on endpoint ${containerName} (${id}): ${messageOf(error)}`,
        error,
      );
    }
  }

  /** Leads a connected container's ports to where they belong when its places have changed, or `leaving` is to go. */
  #movePorts(occupancy: Occupancy, leaving?: Endpoint): void {
    const before = occupancy.endpoints.find(({ publishing }) => publishing !== undefined);
    const place = this.#publisherOf(occupancy, leaving);
    if (place?.endpoint === before) return;
    const ports = occupancy.held.map(({ port }) => port);
    if (before !== undefined) {
      this.#filter?.removePorts(this.#elementsOf(occupancy));
      if (place !== undefined) place.endpoint.publishing = before.publishing;
      delete before.publishing;
      this.#save(before);
    } else if (place !== undefined) place.endpoint.publishing = { ports, exposed: [] };
    for (const { release } of occupancy.held) release();
    if (place === undefined) {
      occupancy.held = [];
      return;
    }
    occupancy.held = this.#ports.holdAgain(ports, this.#targetOf(place), this.#lost);
    if (ports.length > 0) place.driver.reflect(place.attachment);
    this.#save(place.endpoint);
    this.#filter?.addPorts(this.#elementsOf(occupancy));
    this.#forgetFlows(ports);
  }

  readonly #lost = (port: PublishedPort, reason: string): void =>
    this.#warn(`port ${port.hostPort}/${port.protocol} stays published, but could not be held: ${reason}`);

  /** A container's published ports as the packet filter takes them. */
  #elementsOf({ endpoints }: Occupancy): PortElement[] {
    const endpoint = endpoints.find(({ publishing }) => publishing !== undefined);
    const bridge = endpoint && this.#byId.get(endpoint.networkId)?.work?.filtered?.bridge;
    if (endpoint?.publishing === undefined || bridge === undefined) return [];
    const { v4, v6 } = endpoint.attachment ?? {};
    return endpoint.publishing.ports.flatMap((port) => {
      const containerAddress = (port.hostAddress.includes(":") ? v6 : v4)?.address;
      if (containerAddress === undefined) return [];
      return { ...port, bridge, containerAddress, hostPort: port.hostPort || port.containerPort };
    });
  }

  #forgetFlows(ports: PublishedPort[]): void {
    for (const { protocol, hostPort } of ports)
      try {
        if (protocol === "udp" && hostPort !== 0) forgetUdpFlows(hostPort);
      } catch (error) {
        this.#warn(`udp flows to port ${hostPort} that began earlier go on to where they went: ${messageOf(error)}`);
      }
  }

  #checkPlace(network: KnownNetwork | undefined, settings: EndpointSettings): void {
    wantedInterfaceName(settings);
    endpointSysctls(settings, "eth0");
    if (network === undefined) return;
    checkEndpoint(network.name, settings, {
      isPredefined: isPredefined(network.name),
      hasOwnSubnets: network.ownSubnets,
      subnets: poolsOf(network).map(({ subnet }) => subnet),
    });
  }

  #lookUp(nameOrId: string): KnownNetwork | undefined {
    const named = this.#networks.get(nameOrId) ?? this.#byId.get(nameOrId);
    if (named !== undefined || !/^[0-9a-f]{1,64}$/.test(nameOrId)) return named;
    const matching = [...this.#byId.values()].filter(({ id }) => id.startsWith(nameOrId));
    return matching.length === 1 ? matching[0] : undefined;
  }

  #find(nameOrId: string): KnownNetwork {
    const network = this.#lookUp(nameOrId);
    if (network === undefined) throw notFound(`network ${nameOrId} not found`);
    return network;
  }

  #shape(network: KnownNetwork): Network {
    return networkShape(network, network.work?.mtu);
  }

  #publish(action: "connect" | "disconnect", { networkId, networkName, containerId }: Endpoint): void {
    this.#events.publish("network", action, networkId, {
      container: containerId,
      name: networkName,
      type: this.#byId.get(networkId)?.driver ?? "bridge",
    });
  }

  #publishNetwork(action: "create" | "destroy", { id, name, driver }: KnownNetwork): void {
    this.#events.publish("network", action, id, { name, type: driver });
  }

  #save({ id, networkId, containerId, ...record }: Endpoint): void {
    this.#db.run(
      "INSERT INTO endpoints (id, network_id, container_id, record) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
      id,
      networkId,
      containerId,
      JSON.stringify(record satisfies EndpointRecord),
    );
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
    const input = { netlink: this.#netlink!, id, record, alias: this.#alias };
    if (record.driver === "macvlan" || record.driver === "ipvlan") return new StackedNetwork(input);
    if (record.driver !== "bridge") return undefined;
    const { mtu = 0, allowDirectRouting: directRouting, packetFilter } = this.#options;
    return new BridgeNetwork({ ...input, defaultMtu: mtu, directRouting, packetFilter });
  }

  #bringUp({ work, enableIPv6, name, id }: KnownNetwork): void {
    if (work === undefined) return;
    const other = [...this.#networks.values()].find(
      (network) => network.id !== id && network.work instanceof BridgeNetwork && network.work.link === work.link,
    );
    if (work instanceof BridgeNetwork && other !== undefined)
      throw forbidden(
        `cannot create network ${id} (${work.link}): conflicts with network ${other.id} (${other.name}): networks have same bridge name`,
      );
    work.up();
    if (enableIPv6 && this.#options.ipForward) this.#enableForwarding(6);
    if (work.filtered !== undefined)
      try {
        if (this.#filter === undefined) this.#startFilter();
        else this.#filter.addNetwork(work.filtered);
      } catch (error) {
        throw systemError(`the packet filter takes no rules for network ${name}: ${messageOf(error)}`, error);
      }
  }

  #forget({ id, name, work }: KnownNetwork): void {
    this.#networks.delete(name);
    this.#byId.delete(id);
    const isShared = [...this.#networks.values()].some((other) => other.work?.link === work?.link);
    if (work === undefined || isShared) return;
    if (work.filtered !== undefined) this.#filter?.removeNetwork(work.filtered.bridge);
    work.remove();
  }

  #defaultOptions({ Driver, ConfigOnly, ConfigFrom }: NetworkCreateRequest): Record<string, string> {
    if (ConfigOnly || ConfigFrom?.Network) return {};
    const driver = Driver || "bridge";
    return Object.fromEntries(
      this.#options.defaultNetworkOptions
        .filter((option) => option.driver === driver)
        .map(({ name, value }) => [name, value]),
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
        throw forbidden("Pool overlaps with other one on this address space");
      asked.push(subnet);
    }
    const config = record.ipam.config.map((pool) => {
      const subnet = pools.find((other) => formatSubnet(other.subnet) === formatSubnet(parseSubnet(pool)))?.subnet;
      if (subnet === undefined || pool.Gateway) return pool;
      const used = new Set(Object.values(pool.AuxiliaryAddresses ?? {}).map((text) => parseAddress(text)!.value));
      const gateway = firstAddress(subnet);
      while (used.has(gateway.value)) gateway.value++;
      return { ...pool, Gateway: formatAddress(gateway) };
    });
    let inUse: Subnet[] | undefined;
    for (const family of [4, 6] as const) {
      if (!(family === 4 ? record.enableIPv4 : record.enableIPv6)) continue;
      if (asked.some((subnet) => subnet.family === family)) continue;
      inUse ??= subnetsInUse(this.#netlink!, undefined);
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
    const record = defaultBridgeRecord(this.#netlink!, this.#options, before);
    this.#know(id, "bridge", record);
    this.#db.run("UPDATE networks SET record = ? WHERE id = ?", JSON.stringify(record), id);
  }

  /** Keeps the endpoints of live containers, takes their addresses and ports again, and drops the others. */
  #loadEndpoints(live: Map<string, LiveContainer>): void {
    this.#occupancies.clear();
    this.#db.transaction(() => {
      for (const row of this.#db.all<{ id: string; network_id: string; container_id: string; record: string }>(
        "SELECT id, network_id, container_id, record FROM endpoints ORDER BY rowid",
      )) {
        const network = this.#byId.get(row.network_id);
        if (!live.has(row.container_id) || network === undefined) {
          this.#db.run("DELETE FROM endpoints WHERE id = ?", row.id);
          continue;
        }
        const record = JSON.parse(row.record) as EndpointRecord;
        const endpoint: Endpoint = { ...record, id: row.id, networkId: row.network_id, containerId: row.container_id };
        const occupancy = this.#occupancies.get(row.container_id) ?? {
          ...emptyOccupancy(record.sandboxId),
          isConnected: true,
        };
        occupancy.endpoints.push(endpoint);
        this.#occupancies.set(row.container_id, occupancy);
        network.endpoints.set(endpoint.id, endpoint);
        this.#announceNames(endpoint);
        if (endpoint.attachment !== undefined) network.addresses.take(endpoint.attachment);
      }
    });
    for (const [containerId, occupancy] of this.#occupancies) {
      for (const endpoint of occupancy.endpoints.filter(({ isUnfinished }) => isUnfinished)) {
        this.#unplug(occupancy, endpoint, live.get(containerId)!.pid);
        this.#leave(occupancy, endpoint);
      }
      const place = this.#placesOf(occupancy).find(({ endpoint }) => endpoint.publishing !== undefined);
      if (place !== undefined)
        occupancy.held = this.#ports.holdAgain(place.endpoint.publishing!.ports, this.#targetOf(place), this.#lost);
      if (hasNames(occupancy)) this.#serveNamesAgain(occupancy, live.get(containerId)!);
    }
  }

  /** Takes back the sockets of a name server from who kept them; where he has none, makes new ones. */
  #serveNamesAgain(occupancy: Occupancy, container: LiveContainer): void {
    const { containerId, keeper, pid } = container;
    occupancy.sockets = adoptNameSockets(keeper, keeper.firstFd);
    if (occupancy.sockets !== undefined) {
      occupancy.upstreams = this.#resolver(container.hostConfig).upstreams;
      this.#giveSockets(occupancy, containerId);
      return;
    }
    try {
      const fd = openNetworkNamespace(pid);
      try {
        this.#prepareNames(occupancy, container, fd);
        this.#serveNames(occupancy, containerId, fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      this.#warn(`container ${container.name} has no name server: ${messageOf(error)}`);
    }
  }

  /** Makes the sockets of a container's name server. Returns the content of its /etc/resolv.conf. */
  #prepareNames(occupancy: Occupancy, { hostConfig }: NetworkedContainer, namespaceFd: number): string {
    const { content, upstreams } = this.#resolver(hostConfig);
    // With loopback down the kernel takes another of its addresses for answers.
    insideNetworkNamespace(namespaceFd, bringLoopbackUp);
    occupancy.sockets = createNameSockets(namespaceFd);
    occupancy.upstreams = upstreams;
    return content;
  }

  #serveNames(occupancy: Occupancy, containerId: string, namespaceFd: number): void {
    redirectNames(namespaceFd, occupancy.sockets!);
    this.#giveSockets(occupancy, containerId);
  }

  #giveSockets(occupancy: Occupancy, containerId: string): void {
    this.#names.serve(containerId, occupancy.sockets!, this.#viewOf(occupancy));
    occupancy.sockets = undefined;
  }

  /** What a container's name server knows. On internal networks alone nobody outside is asked. */
  #viewOf(occupancy: Occupancy): View {
    const places = this.#placesOf(occupancy);
    const named = byPriority(places.filter(({ endpoint }) => endpoint.names.length > 0));
    return {
      networks: named.map(({ endpoint: { networkId, networkName, requested } }) => ({
        id: networkId,
        name: networkName,
        links: linksOf(requested),
      })),
      upstreams: defaultRoutes(places).size === 0 ? [] : (occupancy.upstreams ?? []),
    };
  }

  #announceNames(endpoint: Endpoint): void {
    if (endpoint.names.length > 0) this.#names.setEndpoint(endpoint.networkId, endpoint.id, endpointNames(endpoint));
  }

  #resolver(hostConfig: HostConfig) {
    return embeddedResolvConf({ ...this.#nameSettings(hostConfig), host: hostResolvConf({ keepsStub: true }) });
  }

  #plainResolvConf({ endpoints }: Occupancy, hostConfig: HostConfig): string {
    return resolvConf({
      ...this.#nameSettings(hostConfig),
      host: hostResolvConf(),
      hostNetwork: endpoints.some(({ networkName }) => networkName === "host"),
      ipv6: endpoints.some(({ attachment }) => attachment?.v6 !== undefined),
    });
  }

  #nameSettings({ Dns, DnsSearch, DnsOptions }: HostConfig) {
    const { dns, dnsSearch, dnsOptions } = this.#options;
    return {
      dns: Dns?.length ? Dns : dns,
      dnsSearch: DnsSearch?.length ? DnsSearch : dnsSearch,
      dnsOptions: DnsOptions?.length ? DnsOptions : dnsOptions,
    };
  }

  /** Links that carry this daemon's mark, or are ports of its bridges, and that nobody owns any more. */
  #removeStrayLinks(): void {
    const works = [...this.#networks.values()].flatMap(({ work }) => work ?? []);
    const owned = new Set([
      ...works.map(({ link }) => link),
      ...[...this.#occupancies.values()].flatMap(({ endpoints }) =>
        endpoints.flatMap(({ attachment }) => attachment?.link ?? []),
      ),
    ]);
    const ownBridges = new Set(works.flatMap((work) => (work instanceof BridgeNetwork && work.own ? work.link : [])));
    const links = this.#netlink!.links();
    const indexes = new Set(links.filter(({ name }) => ownBridges.has(name)).map(({ index }) => index));
    for (const { name, kind, alias, master } of links)
      if (!owned.has(name) && (alias === this.#alias || (kind === "veth" && indexes.has(master))))
        this.#netlink!.deleteLink(name);
  }

  #startFilter(): void {
    if (!this.#options.packetFilter) return;
    const guard = (family: Family) => this.#options.ipForward && this.#enableForwarding(family);
    const hasIpv6 = [...this.#networks.values()].some(({ enableIPv6 }) => enableIPv6);
    this.#filter = new PacketFilter({
      defaultBridge: this.#scope,
      publishPolicy: this.#options.publishPolicy,
      guardForwarding: { v4: guard(4), v6: hasIpv6 && guard(6) },
      foreignBridges: () =>
        bridgesOfOthers(this.#netlink!, new Set([...this.#networks.values()].flatMap(({ work }) => work?.link ?? []))),
      warn: this.#warn,
    });
    this.#filter.start(
      [...this.#networks.values()].flatMap(({ work }) => work?.filtered ?? []),
      [...this.#occupancies.values()].flatMap((occupancy) => this.#elementsOf(occupancy)),
    );
  }

  #look(): void {
    try {
      this.mend();
    } catch (error) {
      this.#warn(`what others have changed of Brig's networks could not be mended: ${messageOf(error)}`);
    }
  }

  /** The mark on links of this daemon. */
  get #alias(): string {
    return `brig ${this.#scope}`;
  }

  #findScope(): string {
    const { bridge } = this.#options;
    if (bridge !== "none") return bridge;
    const key = "networks.scope";
    this.#db.run("INSERT OR IGNORE INTO settings (key, value) VALUES (?, ?)", key, randomBytes(4).toString("hex"));
    return this.#db.get<{ value: string }>("SELECT value FROM settings WHERE key = ?", key)!.value;
  }

  /** Whether forwarding is on because of Brig, since the machine was booted. */
  #enableForwarding(family: Family): boolean {
    const boot = readFileSync("/proc/sys/kernel/random/boot_id", "utf8").trim();
    const key = forwardingKeys[family];
    if (!forwards(family)) {
      this.#db.run("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", key, boot);
      turnOnForwarding(family);
    }
    return this.#db.get<{ value: string }>("SELECT value FROM settings WHERE key = ?", key)?.value === boot;
  }
}

/** The networks of a container by name, the one it was run with first, the others by name. */
function wantedNetworks(
  { NetworkMode = "" }: HostConfig,
  endpoints: Record<string, EndpointSettings>,
): [name: string, settings: EndpointSettings][] {
  if (NetworkMode.startsWith("container:")) return [];
  const first = builtinName(NetworkMode);
  const entries = Object.entries(endpoints);
  if (entries.length === 0) return [[first, {}]];
  return entries.sort(([a], [b]) => Number(b === first) - Number(a === first) || (a < b ? -1 : 1));
}

function emptyOccupancy(sandboxId: string): Occupancy {
  return {
    sandboxId,
    endpoints: [],
    held: [],
    links: [],
    upstreams: undefined,
    sockets: undefined,
    isConnected: false,
  };
}

function hasNames({ endpoints }: Occupancy): boolean {
  return endpoints.some(({ names }) => names.length > 0);
}

function publishingOf(endpoints: Endpoint[]) {
  return endpoints.find(({ publishing }) => publishing !== undefined)?.publishing;
}

function parseSubnet({ Subnet }: PoolRecord): Subnet {
  const [address = "", bits] = Subnet.split("/");
  const { family, value } = parseAddress(address)!;
  return { family, base: value, prefixLength: Number(bits) };
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

function freeInterfaceName({ endpoints }: Occupancy, prefix: string): string {
  const taken = new Set(endpoints.map(({ attachment }) => attachment?.interfaceName));
  let index = 0;
  while (taken.has(`${prefix}${index}`)) index++;
  return `${prefix}${index}`;
}

/** Docker's: the address in it keeps neighbours' caches right when an address changes hands. */
function macOf({ v4 }: Pick<Attachment, "v4" | "v6">): string {
  const bytes = v4 === undefined ? randomBytes(4) : Uint8Array.from(v4.address.split("."), Number);
  return `02:42:${Buffer.from(bytes)
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1:")}`;
}

function bringLoopbackUp(): void {
  const netlink = new Netlink();
  try {
    netlink.setLoopbackUp();
  } finally {
    netlink.close();
  }
}

function randomId(): string {
  return randomBytes(32).toString("hex");
}
