/** Ports of containers on the host: held so that nobody else takes them, and led to where the container is. */
import { forgetUdpFlows } from "../kernel/conntrack.ts";
import { messageOf, systemError } from "../lib/errors.ts";
import { BridgeNetwork } from "./bridge-network.ts";
import type { PortElement } from "./firewall.ts";
import type { KnownNetworks } from "./known-networks.ts";
import type { Occupancy } from "./occupancy.ts";
import type { PacketFilter } from "./packet-filter.ts";
import { type HeldPort, PortTable, type PortTarget, type PublishRequest } from "./ports.ts";
import type { Endpoint, PublishedPort } from "./record.ts";
import { byPriority, defaultRoutes, type Place } from "./sandbox.ts";
import type { NetworkOptions } from "./settings.ts";

/** What publishing works with. */
export interface PublishingTools {
  networks: KnownNetworks;
  options: NetworkOptions;
  /** The packet filter, once there is one. */
  filter: () => PacketFilter | undefined;
  /** Writes rows of endpoints, all or none. */
  save: (...endpoints: Endpoint[]) => void;
  warn: (message: string) => void;
}

export class PublishedPorts {
  readonly #tools: PublishingTools;
  readonly #table: PortTable;

  constructor(tools: PublishingTools) {
    this.#tools = tools;
    this.#table = new PortTable(tools.options.publishAddress, tools.warn);
  }

  /** Takes ports for a container that is not connected yet, and notes them at the place they lead to. Throws Docker's sentences. */
  reserve(occupancy: Occupancy, requests: PublishRequest[], exposed: string[]): void {
    const place = this.#publisherOf(occupancy);
    if (place === undefined) return;
    occupancy.held = this.#hold(requests, place);
    place.endpoint.publishing = { ports: occupancy.held.map(({ port }) => port), exposed };
  }

  /** Leads the ports that were taken to a container whose links are there. */
  publish(occupancy: Occupancy): void {
    if (occupancy.held.length === 0) return;
    this.#tools.filter()?.addPorts(this.elementsOf(occupancy));
    this.#forgetFlows(occupancy.held.map(({ port }) => port));
  }

  /** Gives all of them back. Idempotent. */
  release(occupancy: Occupancy): void {
    if (occupancy.isConnected) this.#tools.filter()?.removePorts(this.elementsOf(occupancy));
    this.letGo(occupancy);
  }

  /** Holds the ports of a container that was running before this daemon. */
  holdAgain(occupancy: Occupancy): void {
    const place = this.#places(occupancy).find(({ endpoint }) => endpoint.publishing !== undefined);
    if (place !== undefined)
      occupancy.held = this.#table.holdAgain(place.endpoint.publishing!.ports, this.#targetOf(place), this.#lost);
  }

  /** Only lets go of what is held: the container stays published. */
  letGo(occupancy: Occupancy): void {
    for (const { end } of occupancy.held) end();
    occupancy.held = [];
  }

  /** Changes the ports of a running container: as Networks.changePorts. */
  change(occupancy: Occupancy, added: PublishRequest[], isGone: (port: PublishedPort) => boolean): void {
    const place = this.#publisherOf(occupancy);
    if (place === undefined) throw systemError("the container is on no network that ports can be published from");
    const gone = occupancy.held.filter(({ port }) => isGone(port));
    const kept = occupancy.held.filter(({ port }) => !isGone(port));
    const before = this.elementsOf(occupancy);
    for (const { release } of gone) release();
    try {
      occupancy.held = [...kept, ...this.#hold(added, place)];
    } catch (error) {
      const again = this.#table.holdAgain(
        gone.map(({ port }) => port),
        this.#targetOf(place),
        this.#lost,
      );
      occupancy.held = [...kept, ...again];
      throw error;
    }
    const ports = occupancy.held.map(({ port }) => port);
    place.endpoint.publishing = { exposed: [], ...place.endpoint.publishing, ports };
    this.#tools.save(place.endpoint);
    if (added.length > 0) place.driver.reflect(place.attachment);
    this.#tools.filter()?.removePorts(before);
    this.#tools.filter()?.addPorts(this.elementsOf(occupancy));
    this.#forgetFlows(ports);
  }

  /** Leads a connected container's ports to where they belong when its places have changed, or `leaving` is to go. */
  move(occupancy: Occupancy, leaving?: Endpoint): void {
    const before = occupancy.endpoints.find(({ publishing }) => publishing !== undefined);
    const place = this.#publisherOf(occupancy, leaving);
    if (place?.endpoint === before) return;
    const ports = occupancy.held.map(({ port }) => port);
    if (before !== undefined) {
      this.#tools.filter()?.removePorts(this.elementsOf(occupancy));
      if (place !== undefined) place.endpoint.publishing = before.publishing;
      delete before.publishing;
    } else if (place !== undefined) place.endpoint.publishing = { ports, exposed: [] };
    this.#tools.save(...[before, place?.endpoint].flatMap((endpoint) => endpoint ?? []));
    for (const { release } of occupancy.held) release();
    if (place === undefined) {
      occupancy.held = [];
      return;
    }
    occupancy.held = this.#table.holdAgain(ports, this.#targetOf(place), this.#lost);
    if (ports.length > 0) place.driver.reflect(place.attachment);
    this.#tools.filter()?.addPorts(this.elementsOf(occupancy));
    this.#forgetFlows(ports);
  }

  /** A container's published ports as the packet filter takes them. */
  elementsOf({ endpoints }: Occupancy): PortElement[] {
    const endpoint = endpoints.find(({ publishing }) => publishing !== undefined);
    const bridge = endpoint && this.#tools.networks.byId(endpoint.networkId)?.work?.filtered?.bridge;
    if (endpoint?.publishing === undefined || bridge === undefined) return [];
    const { v4, v6 } = endpoint.attachment ?? {};
    return endpoint.publishing.ports.flatMap((port) => {
      const containerAddress = (port.hostAddress.includes(":") ? v6 : v4)?.address;
      if (containerAddress === undefined) return [];
      return { ...port, bridge, containerAddress, hostPort: port.hostPort || port.containerPort };
    });
  }

  #places({ endpoints }: Occupancy): Place[] {
    return this.#tools.networks.placesOf(endpoints);
  }

  /** The place whose addresses a container's published ports lead to: the one its answers leave by, where it can be that. */
  #publisherOf(occupancy: Occupancy, except?: Endpoint): Place | undefined {
    const places = this.#places(occupancy).filter(({ endpoint }) => endpoint !== except);
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

  #hold(requests: PublishRequest[], place: Place): HeldPort[] {
    if (requests.length === 0) return [];
    const { containerName, id } = place.endpoint;
    try {
      if (!this.#tools.options.packetFilter)
        throw systemError("ports cannot be published while the daemon leaves the packet filter alone");
      return this.#table.hold(requests, this.#targetOf(place));
    } catch (error) {
      throw systemError(
        `driver failed programming external connectivity on endpoint ${containerName} (${id}): ${messageOf(error)}`,
        error,
      );
    }
  }

  #forgetFlows(ports: PublishedPort[]): void {
    for (const { protocol, hostPort } of ports)
      try {
        if (protocol === "udp" && hostPort !== 0) forgetUdpFlows(hostPort);
      } catch (error) {
        this.#tools.warn(
          `udp flows to port ${hostPort} that began earlier go on to where they went: ${messageOf(error)}`,
        );
      }
  }

  readonly #lost = (port: PublishedPort, reason: string): void =>
    this.#tools.warn(`port ${port.hostPort}/${port.protocol} stays published, but could not be held: ${reason}`);
}
