/** What a trace looks at: containers, their places on networks, published ports, routes. */
import { Netlink, RTN_LOCAL } from "../../kernel/rtnetlink.ts";
import type { Hop } from "../../wire/network-trace.ts";
import { addressBytes, addressOfBytes, formatAddress, parseAddress } from "../addresses.ts";
import type { ContainerNames } from "../container-names.ts";
import type { KnownNetwork, KnownNetworks } from "../known-networks.ts";
import type { Occupancy } from "../occupancy.ts";
import type { PacketFilter } from "../packet-filter.ts";
import type { Endpoint, PublishedPort } from "../record.ts";
import type { Target } from "./target.ts";

/** A container as a trace sees it. */
export interface TracedContainer {
  id: string;
  name: string;
  /** Docker's word for its state. */
  status: string;
  /** Its first process; 0 where it does not run. */
  pid: number;
  /** Whose networks it has: its own id, or that of another one (`container:X`); undefined: the host's. */
  sandbox: string | undefined;
  /** Networks it is on, or will be when it starts. */
  networks: string[];
  /** A file of its /etc; "" where it has none. */
  etc(name: "hosts" | "resolv.conf"): string;
}

/** What a trace looks at. */
export interface TraceTools {
  networks: KnownNetworks;
  names: ContainerNames;
  /** Of running containers, by id. */
  occupancies: ReadonlyMap<string, Occupancy>;
  /** Undefined where no network needs it, or it is left alone. */
  filter: PacketFilter | undefined;
  /** Whether the host's input rules decide about published ports. */
  judged: boolean;
  /** A container by name or id. */
  find: (nameOrId: string) => TracedContainer | undefined;
}

/** How a namespace sends to an address. */
export interface RouteHere {
  type: number;
  link: string;
  gateway: string;
  source: string;
}

export interface Place {
  endpoint: Endpoint;
  network: KnownNetwork;
}

/** What Brig knows of who is where. */
export class Surroundings {
  readonly #tools: TraceTools;

  constructor(tools: TraceTools) {
    this.#tools = tools;
  }

  occupancyOf({ sandbox }: TracedContainer): Occupancy | undefined {
    return sandbox === undefined ? undefined : this.#tools.occupancies.get(sandbox);
  }

  places(container: TracedContainer): Place[] {
    return (this.occupancyOf(container)?.endpoints ?? []).flatMap((endpoint) => {
      const network = this.#tools.networks.byId(endpoint.networkId);
      return network === undefined || endpoint.attachment === undefined ? [] : { endpoint, network };
    });
  }

  placeOf(container: TracedContainer, link: string): Place | undefined {
    return this.places(container).find(({ endpoint }) => endpoint.attachment!.interfaceName === link);
  }

  /** An address of a container: of that family, or IPv4 where there is one. */
  addressOf(container: TracedContainer, family?: 4 | 6): string | undefined {
    const attachments = this.places(container).map(({ endpoint }) => endpoint.attachment!);
    return [...attachments.map(({ v4 }) => v4), ...attachments.map(({ v6 }) => v6)]
      .flatMap((placement) => placement?.address ?? [])
      .find((address) => family === undefined || familyOf(address) === family);
  }

  addressIn({ endpoint }: Place, six: boolean): string {
    const { v4, v6 } = endpoint.attachment!;
    return ((six ? v6 : v4) ?? v4 ?? v6)!.address;
  }

  /** Whose address it is, on one network or any. */
  ownerOf(address: string, only?: KnownNetwork): Place | undefined {
    for (const network of only === undefined ? this.#tools.networks.all() : [only])
      for (const endpoint of network.endpoints.values())
        if ([endpoint.attachment?.v4?.address, endpoint.attachment?.v6?.address].includes(address))
          return { endpoint, network };
    return undefined;
  }

  /** Name of the network on which a container is told an address. */
  networkOf(address: string, { endpoints }: Occupancy): string {
    const owner = endpoints
      .flatMap(({ networkId }) => this.#tools.networks.byId(networkId) ?? [])
      .find((network) => this.ownerOf(address, network) !== undefined);
    return owner?.name ?? "";
  }

  /** An address by which a container reaches the host. */
  hostAddressFor(container: TracedContainer): string | undefined {
    return this.places(container)
      .map(({ endpoint }) => endpoint.attachment!.v4?.gateway)
      .find((gateway) => gateway);
  }

  published(): { place: Place; published: PublishedPort }[] {
    return this.#tools.networks
      .all()
      .flatMap((network) =>
        [...network.endpoints.values()].flatMap((endpoint) =>
          (endpoint.publishing?.ports ?? []).map((published) => ({ place: { endpoint, network }, published })),
        ),
      );
  }

  /** A port that no rule leads on: of IPv6, and of IPv4 to a container that has none. */
  proxied(address: string, { port, protocol }: Target): { place: Place; published: PublishedPort } | undefined {
    const family = familyOf(address);
    return this.published().find(({ place, published }) => {
      if (published.hostPort !== port || published.protocol !== protocol) return false;
      if (family === 4 && place.endpoint.attachment?.v4 !== undefined) return false;
      const parsed = parseAddress(published.hostAddress);
      return parsed?.family === family && (parsed.value === 0n || formatAddress(parsed) === address);
    });
  }

  /** Whether an address is the host's. */
  isHost(address: string): boolean {
    return routeOrNone(address).type === RTN_LOCAL;
  }
}

/** How the namespace this is called in sends to an address. Throws SyscallError where it would not. */
export function routeHere(address: string): RouteHere {
  const netlink = new Netlink();
  try {
    const route = netlink.routeTo(addressBytes(address)!);
    const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? "" : formatAddress(addressOfBytes(bytes)));
    const link = netlink.links().find(({ index }) => index === route.linkIndex)?.name ?? "";
    return { type: route.type, link, gateway: text(route.gateway), source: text(route.source) };
  } finally {
    netlink.close();
  }
}

/** The same, with a type of 0 where it would not. */
export function routeOrNone(address: string): RouteHere {
  try {
    return routeHere(address);
  } catch {
    return { type: 0, link: "", gateway: "", source: "" };
  }
}

export function shownRoute({ link, gateway, source }: RouteHere): Hop["Route"] {
  return { Interface: link, Gateway: gateway, Source: source };
}

export function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

export function onNetworks(networks: string[]): string {
  if (networks.length === 0) return "on no network";
  return `on ${networks.length === 1 ? "network" : "networks"} ${networks.join(" and ")}`;
}
