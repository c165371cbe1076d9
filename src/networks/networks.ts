import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace, openNetworkNamespace } from "../kernel/namespaces.ts";
import type { TransportProtocol } from "../kernel/sockets.ts";
import { conflict, forbidden, messageOf, systemError } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import type {
  EndpointSettings,
  HostConfig,
  Network,
  NetworkCreateRequest,
  NetworkingConfig,
  PortMap,
} from "../wire/engine-api.ts";
import type { TraceReport } from "../wire/network-trace.ts";
import { type Family, formatAddress } from "./addresses.ts";
import { BridgeNetwork } from "./bridge-network.ts";
import { ContainerNames } from "./container-names.ts";
import { defineNetwork, isPredefined, poolsOf } from "./definition.ts";
import { dnsNames } from "./endpoint-names.ts";
import { endpointSysctls, wantedInterfaceName } from "./endpoint-options.ts";
import { enableForwarding } from "./host-forwarding.ts";
import {
  endpointResource,
  endpointSettings,
  type FullNetworkSettings,
  idleEndpoint,
  type NetworkWithContainers,
  networkSettings,
  networkShape,
} from "./inspect.ts";
import { type KnownNetwork, KnownNetworks } from "./known-networks.ts";
import {
  emptyOccupancy,
  freeInterfaceName,
  hasNames,
  macOf,
  type Occupancy,
  publishingOf,
  randomId,
} from "./occupancy.ts";
import { PacketFilter } from "./packet-filter.ts";
import { type PublishRequest, portMap, publishRequests } from "./ports.ts";
import { PublishedPorts } from "./published-ports.ts";
import { type Endpoint, type EndpointRecord, exposedPorts, type PublishedPort } from "./record.ts";
import { bringLoopbackUp, plugIn, unplug } from "./sandbox.ts";
import type { NetworkOptions } from "./settings.ts";
import { type TracedContainer, type TraceRequest, traceRoute } from "./trace/trace.ts";
import { builtinName, type ConfigWithMac, checkEndpoint, checkNetworking, type EndpointRules } from "./validate.ts";

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

const watchIntervalMs = 1000;
const looksPerRouteCheck = 10;

/** All networks of a daemon. Nothing here forks or waits, except for what `start` does once. */
export class Networks {
  readonly #db: StateDatabase;
  readonly #events: EventSink;
  readonly #options: NetworkOptions;
  readonly #warn: (message: string) => void;
  /** By container. */
  readonly #occupancies = new Map<string, Occupancy>();
  // From `start` on.
  #networks!: KnownNetworks;
  #ports!: PublishedPorts;
  #names!: ContainerNames;
  #filter: PacketFilter | undefined;
  #watch: NodeJS.Timeout | undefined;
  #looks = 0;
  /** What could not be mended the last time, and why. */
  readonly #unmended = new Map<string, string>();
  /** Whether the host has nothing of Brig's, until something is needed. */
  #isReset = false;

  constructor({ db, events, settings, warn }: NetworksInput) {
    this.#db = db;
    this.#events = events;
    this.#options = settings;
    this.#warn = warn;
  }

  /**
   * Brings the host to what it should be: bridges, the packet filter's table, the kernel's settings. Places of
   * containers that are not in `live` are given back. The same for a first start and one after a crash.
   */
  start(live: LiveContainer[]): void {
    const options = this.#options;
    const networks = new KnownNetworks(this.#db, options, this.#warn);
    const save = (...endpoints: Endpoint[]) =>
      this.#db.transaction(() => {
        for (const endpoint of endpoints) this.#save(endpoint);
      });
    this.#networks = networks;
    this.#ports = new PublishedPorts({ networks, options, filter: () => this.#filter, save, warn: this.#warn });
    this.#names = new ContainerNames(networks, options, this.#warn);
    this.#loadEndpoints(new Map(live.map((container) => [container.containerId, container])));
    const links = [...this.#occupancies.values()].flatMap(({ endpoints }) => endpoints);
    networks.removeStrayLinks(links.flatMap(({ attachment }) => attachment?.link ?? []));
    this.#guard();
  }

  /**
   * Takes all links and rules off the host. They come back with the next container or network, or the daemon's next
   * start. Throws a conflict that names the containers on networks, where there are any.
   */
  reset(): void {
    const users = [...this.#occupancies.values()]
      .flatMap(({ endpoints }) => endpoints)
      .filter(({ networkName }) => networkName !== "host")
      .map(({ containerName }) => containerName);
    if (users.length > 0)
      throw conflict(
        `the network cannot be reset while containers are on it: ${[...new Set(users)].sort().join(", ")}`,
      );
    if (this.#isReset) return;
    this.#isReset = true;
    clearInterval(this.#watch);
    this.#filter?.destroy();
    this.#filter = undefined;
    this.#networks.removeLinks();
  }

  /** Refuses at creation what can be known to be wrong then. Throws Docker's sentences. */
  check(hostConfig: HostConfig, networkingConfig: NetworkingConfig | undefined, config: ConfigWithMac): void {
    checkNetworking(hostConfig, networkingConfig, config, (name) => {
      const network = this.#networks.lookUp(name);
      return network && rulesOf(network);
    });
    for (const settings of Object.values(networkingConfig?.EndpointsConfig ?? {})) checkDriverOptions(settings ?? {});
  }

  /** POST /networks/create. Throws Docker's sentences; nothing is left behind then. */
  create(request: NetworkCreateRequest): { Id: string; Warning: string } {
    this.#endReset();
    const networks = this.#networks;
    const created = `${new Date().toISOString().slice(0, -1)}000000Z`;
    const Options = { ...networks.defaultOptions(request), ...request.Options };
    const record = defineNetwork({ ...request, Options }, (name) => networks.byName(name), created);
    const name = request.Name!;
    if (networks.byName(name) !== undefined) throw conflict(`network with name ${name} already exists`);
    const network = networks.add(name, record);
    try {
      this.#filterNetwork(network);
      networks.save(network);
    } catch (error) {
      this.#forget(network);
      throw error;
    }
    this.#publishNetwork("create", network);
    return { Id: network.id, Warning: "" };
  }

  /** DELETE /networks/{id}. Throws Docker's sentences where it is there from the start, or in use. */
  remove(nameOrId: string): void {
    const network = this.#networks.find(nameOrId);
    if (isPredefined(network.name)) throw forbidden(`${network.name} is a pre-defined network and cannot be removed`);
    const [user] = network.endpoints.values();
    if (user !== undefined)
      throw forbidden(
        `error while removing network: network ${network.name} has active endpoints (name:${JSON.stringify(user.containerName)} id:${JSON.stringify(user.id.slice(0, 12))})`,
      );
    if (network.configOnly && this.#networks.all().some(({ configFrom }) => configFrom === network.name))
      throw forbidden(`error while removing network: configuration network ${JSON.stringify(network.name)} is in use`);
    this.#forget(network);
    this.#publishNetwork("destroy", network);
  }

  /** POST /networks/prune: removes the networks that no running container is on. Returns their names. */
  prune(isWanted: (network: Network) => boolean): string[] {
    const removed: string[] = [];
    for (const network of this.#networks.all()) {
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
    this.#endReset();
    this.release(containerId);
    const occupancy = emptyOccupancy(randomId());
    this.#occupancies.set(containerId, occupancy);
    try {
      const networks = this.#networksFor(container.hostConfig, endpoints);
      const wanted = [...networks.values()].flatMap((settings) => wantedInterfaceName(settings) ?? []);
      for (const [network, settings] of networks) this.#settle(occupancy, network, settings, container, wanted);
      this.#ports.reserve(
        occupancy,
        publishRequests(container.config, container.hostConfig),
        exposedPorts(container.config),
      );
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
    this.#ports.release(occupancy);
    if (occupancy.links.length > 0) this.#filter?.removeLinks(occupancy.links);
    for (const endpoint of occupancy.endpoints) this.#vacate(endpoint);
    this.#names.stop(occupancy, containerId);
    this.#db.run("DELETE FROM endpoints WHERE container_id = ?", containerId);
    if (occupancy.isConnected) for (const endpoint of occupancy.endpoints) this.#publish("disconnect", endpoint);
  }

  /** Puts a running container on one more network. `pid` is its first process. Throws Docker's sentences. */
  connect(container: NetworkedContainer, pid: number, nameOrId: string, settings: EndpointSettings): void {
    const network = this.#networks.find(nameOrId);
    const occupancy = this.#occupancies.get(container.containerId);
    if (occupancy === undefined) throw systemError(`container ${container.containerId} has no network namespace`);
    this.checkConnect(container, nameOrId, settings);
    const fd = openNetworkNamespace(pid);
    try {
      const endpoint = this.#settle(occupancy, network, settings, container);
      endpoint.isUnfinished = true;
      try {
        this.#save(endpoint);
        const places = this.#networks.placesOf(occupancy.endpoints);
        plugIn(
          fd,
          places.filter((place) => place.endpoint === endpoint),
          places,
          () => occupancy.held.length > 0,
        );
        if (publishingOf(occupancy.endpoints) === undefined) this.#publishPorts(occupancy, container);
        else this.#ports.move(occupancy);
        if (!this.#names.serves(container.containerId) && hasNames(occupancy)) {
          this.#names.prepare(occupancy, container.hostConfig, fd);
          this.#names.serve(occupancy, container.containerId, fd);
        }
        delete endpoint.isUnfinished;
        this.#save(endpoint);
      } catch (error) {
        this.#abandon(occupancy, endpoint, pid);
        throw error;
      }
      this.#names.announce(endpoint);
      this.#names.follow(occupancy, container.containerId);
      this.#publish("connect", endpoint);
    } finally {
      closeSync(fd);
    }
  }

  /**
   * What the /etc/resolv.conf of a running container is to be, and what it may have been made as before it had a name
   * server; undefined where it has none.
   */
  resolvConfOf({ containerId, hostConfig }: NetworkedContainer): { before: string[]; now: string } | undefined {
    if (!this.#names.serves(containerId)) return undefined;
    const before = [false, true].map((ipv6) => this.#names.plainResolvConf(hostConfig, { ipv6 }));
    return { before, now: this.#names.resolvConf(hostConfig) };
  }

  /** Refuses what can be known before a container is put on a network, running or not. Throws Docker's sentences. */
  checkConnect({ containerId, name }: NetworkedContainer, nameOrId: string, settings: EndpointSettings): void {
    const network = this.#networks.find(nameOrId);
    checkDriverOptions(settings);
    checkEndpoint(settings, rulesOf(network));
    if (this.#occupancies.get(containerId)?.endpoints.some(({ networkId }) => networkId === network.id))
      throw forbidden(`endpoint with name ${name} already exists in network ${network.name}`);
  }

  /** Takes a running container off a network. Throws where it is not on it. */
  disconnect(containerId: string, pid: number, nameOrId: string): void {
    const network = this.#networks.find(nameOrId);
    const occupancy = this.#occupancies.get(containerId);
    const endpoint = occupancy?.endpoints.find(({ networkId }) => networkId === network.id);
    if (occupancy === undefined || endpoint === undefined)
      throw forbidden(`container ${containerId} is not connected to network ${network.name}`);
    endpoint.isUnfinished = true;
    this.#save(endpoint);
    this.#ports.move(occupancy, endpoint);
    this.#unplug(occupancy, endpoint, pid);
    this.#leave(occupancy, endpoint);
    this.#names.follow(occupancy, containerId);
    this.#publish("disconnect", endpoint);
  }

  /**
   * Publishes more ports of a running container, and takes others back. Nothing changes where one cannot be had.
   * `isGone` tells which of those it has are to go.
   */
  changePorts(containerId: string, added: PublishRequest[], isGone: (port: PublishedPort) => boolean): void {
    const occupancy = this.#occupancies.get(containerId);
    if (occupancy === undefined) throw systemError(`container ${containerId} has no network namespace`);
    this.#ports.change(occupancy, added, isGone);
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
        const network = this.#networks.lookUp(name);
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
      this.#names.announce(endpoint);
      this.#save(endpoint);
    }
  }

  /** Whether and how one end reaches another. Throws invalidParameter, notFound. `find`: a container by name or id. */
  trace(request: TraceRequest, find: (nameOrId: string) => TracedContainer | undefined): Promise<TraceReport> {
    const tools = {
      networks: this.#networks,
      names: this.#names,
      occupancies: this.#occupancies,
      filter: this.#filter,
      judged: this.#options.publishPolicy === "host-firewall",
      find,
    };
    return traceRoute(tools, request);
  }

  /** Every network, without its containers. */
  list(): Network[] {
    return this.#networks.all().map((network) => this.#shape(network));
  }

  /** One network by name, id or unambiguous beginning of its id. Throws `network x not found`. */
  inspect(nameOrId: string): NetworkWithContainers {
    const network = this.#networks.find(nameOrId);
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
    const { id, name } = this.#networks.find(nameOrId);
    return { id, name };
  }

  /** Addresses that `host-gateway` stands for. */
  get hostGateways(): string[] {
    if (this.#options.hostGatewayIps.length > 0) return this.#options.hostGatewayIps;
    const bridge = this.#networks.byName("bridge");
    return bridge === undefined
      ? []
      : poolsOf(bridge).flatMap(({ gateway }) => (gateway === undefined ? [] : formatAddress(gateway)));
  }

  /** Puts back now what others have changed on the host; this is done every second by itself. */
  mend(): void {
    for (const network of this.#networks.all())
      this.#attempt(`network ${network.name}`, () => this.#networks.mend(network));
    this.#attempt("the packet filter", () => this.#filter?.mend());
    if (this.#looks++ % looksPerRouteCheck === 0)
      this.#attempt("the host's routes", () => this.#networks.checkRoutes());
  }

  /** The daemon stops; containers stay connected and their ports published. */
  async close(): Promise<void> {
    clearInterval(this.#watch);
    for (const occupancy of this.#occupancies.values()) this.#ports.letGo(occupancy);
    this.#filter?.close();
    this.#filter = undefined;
    this.#networks.close();
    await this.#names.close();
  }

  /** Removes all links and rules from the host, when no container runs. */
  async destroy(): Promise<void> {
    this.#filter?.destroy();
    this.#filter = undefined;
    this.#networks.removeLinks();
    await this.close();
  }

  #sandbox(occupancy: Occupancy, container: NetworkedContainer, namespaceFd: number | undefined): Sandbox {
    let fd = namespaceFd;
    const { endpoints } = occupancy;
    const resolvConf =
      fd !== undefined && hasNames(occupancy)
        ? this.#names.prepare(occupancy, container.hostConfig, fd)
        : this.#names.plainResolvConf(container.hostConfig, {
            hostNetwork: fd === undefined,
            ipv6: endpoints.some(({ attachment }) => attachment?.v6 !== undefined),
          });
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
        const places = this.#networks.placesOf(occupancy.endpoints);
        if (fd !== undefined) {
          if (places.length === 0) insideNetworkNamespace(fd, bringLoopbackUp);
          else plugIn(fd, places, places, () => occupancy.held.length > 0);
        }
        occupancy.isConnected = true;
        if (fd !== undefined && sockets !== undefined) this.#names.serve(occupancy, container.containerId, fd);
        this.#ports.publish(occupancy);
        for (const endpoint of endpoints) {
          this.#names.announce(endpoint);
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
      const network =
        name === "bridge" && this.#networks.byName("bridge") === undefined
          ? this.#networks.find("none")
          : this.#networks.find(name);
      if (network.configOnly) throw forbidden("cannot create endpoint on configuration-only network");
      if (!found.has(network)) found.set(network, settings);
    }
    return found;
  }

  /**
   * Gives a container a place on a network, in memory: addresses, a name for its interface, names. `wantedNames`: of
   * interfaces that its other networks ask for.
   */
  #settle(
    occupancy: Occupancy,
    network: KnownNetwork,
    requested: EndpointSettings,
    { containerId, name, config }: NetworkedContainer,
    wantedNames: string[] = [],
  ): Endpoint {
    const wantedName = wantedInterfaceName(requested);
    if (occupancy.endpoints.some(({ attachment }) => attachment?.interfaceName === (wantedName ?? "")))
      throw conflict(`container ${name} has an interface ${wantedName} already`);
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
      this.#networks.mend(network);
      const { IPv4Address = "", IPv6Address = "" } = requested.IPAMConfig ?? {};
      const placements = network.addresses.reserve({ v4: IPv4Address, v6: IPv6Address });
      if (network.internal) for (const placement of Object.values(placements)) placement.gateway = "";
      endpoint.attachment = {
        ...placements,
        interfaceName: wantedName ?? freeInterfaceName(occupancy, network.work.interfacePrefix, wantedNames),
        mac: (requested.MacAddress || config.MacAddress || macOf(placements)).toLowerCase().replaceAll("-", ":"),
        link: network.work instanceof BridgeNetwork ? `veth${id.slice(0, 7)}` : "",
      };
    }
    network.endpoints.set(id, endpoint);
    occupancy.endpoints.push(endpoint);
    return endpoint;
  }

  /** Takes a place back that a running container could not be given in full. What fails then is gone with the container. */
  #abandon(occupancy: Occupancy, endpoint: Endpoint, pid: number): void {
    for (const step of [
      () => this.#ports.move(occupancy, endpoint),
      () => this.#unplug(occupancy, endpoint, pid),
      () => this.#leave(occupancy, endpoint),
    ])
      try {
        step();
      } catch (error) {
        this.#warn(`a place on network ${endpoint.networkName} could not be given back: ${messageOf(error)}`);
      }
  }

  /** Publishes what a running container asks for, now that it is on a network where that can be. */
  #publishPorts(occupancy: Occupancy, { config, hostConfig }: NetworkedContainer): void {
    this.#ports.reserve(occupancy, publishRequests(config, hostConfig), exposedPorts(config));
    const endpoint = occupancy.endpoints.find(({ publishing }) => publishing !== undefined);
    if (endpoint === undefined) return;
    this.#save(endpoint);
    this.#ports.publish(occupancy);
  }

  /** The daemon was killed before it published what a container asked for. */
  #publishLate(occupancy: Occupancy, container: LiveContainer): void {
    try {
      this.#publishPorts(occupancy, container);
    } catch (error) {
      this.#warn(`ports of container ${container.name} could not be published: ${messageOf(error)}`);
    }
  }

  /** Gives a place back, in memory and in the table. */
  #leave(occupancy: Occupancy, endpoint: Endpoint): void {
    occupancy.endpoints = occupancy.endpoints.filter((other) => other !== endpoint);
    this.#vacate(endpoint);
    this.#db.run("DELETE FROM endpoints WHERE id = ?", endpoint.id);
  }

  #unplug(occupancy: Occupancy, endpoint: Endpoint, pid: number): void {
    const places = this.#networks.placesOf(occupancy.endpoints);
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
    const network = this.#networks.byId(endpoint.networkId);
    if (network === undefined) return;
    network.endpoints.delete(endpoint.id);
    this.#names.withdraw(endpoint);
    if (endpoint.attachment !== undefined) network.addresses.release(endpoint.attachment);
  }

  #shape(network: KnownNetwork): Network {
    return networkShape(network, network.work?.mtu);
  }

  #publish(action: "connect" | "disconnect", { networkId, networkName, containerId }: Endpoint): void {
    this.#events.publish("network", action, networkId, {
      container: containerId,
      name: networkName,
      type: this.#networks.byId(networkId)?.driver ?? "bridge",
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

  /** Keeps the endpoints of live containers, takes their addresses and ports again, and drops the others. */
  #loadEndpoints(live: Map<string, LiveContainer>): void {
    this.#occupancies.clear();
    // Also those that have left all their networks.
    for (const { containerId, hostConfig } of live.values())
      if (!hostConfig.NetworkMode?.startsWith("container:"))
        this.#occupancies.set(containerId, { ...emptyOccupancy(randomId()), isConnected: true });
    this.#db.transaction(() => {
      for (const row of this.#db.all<{ id: string; network_id: string; container_id: string; record: string }>(
        "SELECT id, network_id, container_id, record FROM endpoints ORDER BY rowid",
      )) {
        const network = this.#networks.byId(row.network_id);
        if (!this.#occupancies.has(row.container_id) || network === undefined) {
          this.#db.run("DELETE FROM endpoints WHERE id = ?", row.id);
          continue;
        }
        const record = JSON.parse(row.record) as EndpointRecord;
        const endpoint: Endpoint = { ...record, id: row.id, networkId: row.network_id, containerId: row.container_id };
        const occupancy = this.#occupancies.get(row.container_id)!;
        occupancy.sandboxId = record.sandboxId;
        occupancy.endpoints.push(endpoint);
        network.endpoints.set(endpoint.id, endpoint);
        this.#names.announce(endpoint);
        if (endpoint.attachment !== undefined) network.addresses.take(endpoint.attachment);
      }
    });
    for (const [containerId, occupancy] of this.#occupancies) {
      const container = live.get(containerId)!;
      for (const endpoint of occupancy.endpoints.filter(({ isUnfinished }) => isUnfinished)) {
        try {
          this.#ports.move(occupancy, endpoint);
          this.#unplug(occupancy, endpoint, container.pid);
        } catch (error) {
          this.#warn(`container ${container.name} has left ${endpoint.networkName} halfway: ${messageOf(error)}`);
        }
        this.#leave(occupancy, endpoint);
      }
      if (publishingOf(occupancy.endpoints) !== undefined) this.#ports.holdAgain(occupancy);
      else this.#publishLate(occupancy, container);
      if (hasNames(occupancy)) this.#names.serveAgain(occupancy, live.get(containerId)!);
    }
  }

  #startFilter(): void {
    if (!this.#options.packetFilter) return;
    const networks = this.#networks;
    const guard = (family: Family) => this.#options.ipForward && enableForwarding(this.#db, family);
    const hasIpv6 = networks.all().some(({ enableIPv6 }) => enableIPv6);
    this.#filter = new PacketFilter({
      defaultBridge: networks.scope,
      publishPolicy: this.#options.publishPolicy,
      guardForwarding: { v4: guard(4), v6: hasIpv6 && guard(6) },
      foreignBridges: () => networks.foreignBridges(),
      warn: this.#warn,
    });
    this.#filter.start(
      networks.all().flatMap(({ work }) => work?.filtered ?? []),
      [...this.#occupancies.values()].flatMap((occupancy) => this.#ports.elementsOf(occupancy)),
    );
  }

  /** Tells the packet filter of a network that was added, and has the host forward for it. */
  #filterNetwork({ work, enableIPv6, name }: KnownNetwork): void {
    if (work === undefined) return;
    if (enableIPv6 && this.#options.ipForward) enableForwarding(this.#db, 6);
    if (work.filtered === undefined) return;
    try {
      if (this.#filter === undefined) this.#startFilter();
      else this.#filter.addNetwork(work.filtered);
    } catch (error) {
      throw systemError(`the packet filter takes no rules for network ${name}: ${messageOf(error)}`, error);
    }
  }

  #forget(network: KnownNetwork): void {
    const { work } = network;
    this.#networks.forget(network);
    if (work?.filtered !== undefined && !this.#networks.isShared(work))
      this.#filter?.removeNetwork(work.filtered.bridge);
  }

  /** Raises the packet filter, and begins to mend what others change. */
  #guard(): void {
    if (this.#networks.all().some(({ work }) => work?.filtered !== undefined)) this.#startFilter();
    this.#watch = setInterval(() => this.mend(), watchIntervalMs);
    this.#watch.unref();
  }

  #endReset(): void {
    if (!this.#isReset) return;
    this.#networks.bringUp();
    this.#guard();
    this.#isReset = false;
  }

  /** Mends one thing. What cannot be mended is told once, not every second. */
  #attempt(subject: string, work: () => void): void {
    try {
      work();
      this.#unmended.delete(subject);
    } catch (error) {
      const message = messageOf(error);
      if (this.#unmended.get(subject) === message) return;
      this.#unmended.set(subject, message);
      this.#warn(`what others have changed of ${subject} could not be mended: ${message}`);
    }
  }
}

/** What of a network decides which settings an endpoint may have. */
function rulesOf(network: KnownNetwork): EndpointRules {
  return {
    isPredefined: isPredefined(network.name),
    hasOwnSubnets: network.ownSubnets,
    subnets: poolsOf(network).map(({ subnet }) => subnet),
  };
}

function checkDriverOptions(settings: EndpointSettings): void {
  wantedInterfaceName(settings);
  endpointSysctls(settings, "eth0");
}

/** The networks of a container by name, the one it was run with first, the others by name; none once it has left all. */
function wantedNetworks(
  { NetworkMode = "" }: HostConfig,
  endpoints: Record<string, EndpointSettings>,
): [name: string, settings: EndpointSettings][] {
  if (NetworkMode.startsWith("container:")) return [];
  const first = builtinName(NetworkMode);
  const entries = Object.entries(endpoints);
  return entries.sort(([a], [b]) => Number(b === first) - Number(a === first) || (a < b ? -1 : 1));
}
