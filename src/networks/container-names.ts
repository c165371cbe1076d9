/** Name servers of containers on networks with names, and the /etc/resolv.conf of all. */
import { closeSync } from "node:fs";
import { insideNetworkNamespace, openNetworkNamespace } from "../kernel/namespaces.ts";
import { messageOf } from "../lib/errors.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { addressOfBytes, formatAddress } from "./addresses.ts";
import { endpointNames, linksOf } from "./endpoint-names.ts";
import { embeddedResolvConf, hostResolvConf, resolvConf } from "./files.ts";
import type { KnownNetworks } from "./known-networks.ts";
import { lowerLinks, NameServers, type View } from "./names/name-servers.ts";
import { redirectNames } from "./names/redirect.ts";
import { adoptNameSockets, closeNameSockets, createNameSockets } from "./names/sockets.ts";
import { Zones } from "./names/zones.ts";
import type { LiveContainer } from "./networks.ts";
import type { Occupancy } from "./occupancy.ts";
import type { Endpoint } from "./record.ts";
import { bringLoopbackUp, byPriority, defaultRoutes } from "./sandbox.ts";
import type { NetworkOptions } from "./settings.ts";

export class ContainerNames {
  readonly #networks: KnownNetworks;
  readonly #options: NetworkOptions;
  readonly #warn: (message: string) => void;
  readonly #servers: NameServers;

  constructor(networks: KnownNetworks, options: NetworkOptions, warn: (message: string) => void) {
    this.#networks = networks;
    this.#options = options;
    this.#warn = warn;
    this.#servers = new NameServers({ warn });
  }

  /** Makes the sockets of a container's name server. Returns the content of its /etc/resolv.conf. */
  prepare(occupancy: Occupancy, hostConfig: HostConfig, namespaceFd: number): string {
    const { content, upstreams } = this.#resolver(hostConfig);
    // With loopback down the kernel takes another of its addresses for answers.
    insideNetworkNamespace(namespaceFd, bringLoopbackUp);
    occupancy.sockets = createNameSockets(namespaceFd);
    occupancy.upstreams = upstreams;
    return content;
  }

  /** Leads the container's questions to its sockets, and answers them from now on. */
  serve(occupancy: Occupancy, containerId: string, namespaceFd: number): void {
    redirectNames(namespaceFd, occupancy.sockets!);
    this.#giveSockets(occupancy, containerId);
  }

  /** Takes back the sockets of a name server from who kept them; where he has none, makes new ones. */
  serveAgain(occupancy: Occupancy, container: LiveContainer): void {
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
        this.prepare(occupancy, container.hostConfig, fd);
        this.serve(occupancy, containerId, fd);
      } finally {
        closeSync(fd);
      }
    } catch (error) {
      this.#warn(`container ${container.name} has no name server: ${messageOf(error)}`);
    }
  }

  /** Whether the container has a name server. */
  serves(containerId: string): boolean {
    return this.#servers.serves(containerId);
  }

  /** Its networks have changed. */
  follow(occupancy: Occupancy, containerId: string): void {
    this.#servers.setView(containerId, this.#viewOf(occupancy));
  }

  /**
   * What the container's name server says to a name of its networks: addresses, IPv4 first. Undefined where it would ask
   * elsewhere, or has no name server.
   */
  addressesOf(occupancy: Occupancy, name: string): string[] | undefined {
    const { networks } = lowerLinks(this.#viewOf(occupancy));
    const zones = new Zones();
    for (const { id } of networks)
      for (const endpoint of this.#networks.byId(id)?.endpoints.values() ?? [])
        if (endpoint.names.length > 0) zones.set(id, endpoint.id, endpointNames(endpoint));
    const asked = name.toLowerCase().replace(/\.$/, "");
    const found = (["v4", "v6"] as const).map((family) => zones.addresses(networks, asked, family));
    if (found.every((addresses) => addresses === undefined)) return undefined;
    return found.flatMap((addresses) => (addresses ?? []).map((bytes) => formatAddress(addressOfBytes(bytes))));
  }

  /** Whom the container's name server asks for other names. */
  upstreamsOf(occupancy: Occupancy): string[] {
    return this.#viewOf(occupancy).upstreams.map(({ address }) => address);
  }

  /** Others find the endpoint by its names from now on, and by no others. */
  announce(endpoint: Endpoint): void {
    if (endpoint.names.length > 0) this.#servers.setEndpoint(endpoint.networkId, endpoint.id, endpointNames(endpoint));
  }

  withdraw({ networkId, id }: Endpoint): void {
    this.#servers.removeEndpoint(networkId, id);
  }

  /** Ends a container's name server. Idempotent. */
  stop(occupancy: Occupancy, containerId: string): void {
    this.#servers.stop(containerId);
    if (occupancy.sockets !== undefined) closeNameSockets(occupancy.sockets);
    occupancy.sockets = undefined;
  }

  close(): Promise<void> {
    return this.#servers.close();
  }

  /** Content of the /etc/resolv.conf of a container without a name server of its own. */
  plainResolvConf(
    hostConfig: HostConfig,
    { hostNetwork = false, ipv6 }: { hostNetwork?: boolean; ipv6: boolean },
  ): string {
    return resolvConf({ ...this.#nameSettings(hostConfig), host: hostResolvConf(), hostNetwork, ipv6 });
  }

  /** That of one with a name server. */
  resolvConf(hostConfig: HostConfig): string {
    return this.#resolver(hostConfig).content;
  }

  #giveSockets(occupancy: Occupancy, containerId: string): void {
    this.#servers.serve(containerId, occupancy.sockets!, this.#viewOf(occupancy));
    occupancy.sockets = undefined;
  }

  /** What a container's name server knows. On internal networks alone nobody outside is asked. */
  #viewOf(occupancy: Occupancy): View {
    const places = this.#networks.placesOf(occupancy.endpoints);
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

  #resolver(hostConfig: HostConfig) {
    return embeddedResolvConf({ ...this.#nameSettings(hostConfig), host: hostResolvConf({ keepsStub: true }) });
  }

  #nameSettings({ Dns, DnsSearch, DnsOptions }: HostConfig) {
    const { dns, dnsSearch, dnsOptions } = this.#options;
    return {
      dns: Dns?.length ? Dns : dns,
      dnsSearch: DnsSearch?.length ? DnsSearch : dnsSearch,
      dnsOptions: DnsOptions?.length ? DnsOptions : dnsOptions,
    };
  }
}
