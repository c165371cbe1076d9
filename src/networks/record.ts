/** What the database keeps of networks and endpoints. */
import type { TransportProtocol } from "../kernel/sockets.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import type { ConfigWithMac } from "./validate.ts";

export type NetworkDriver = "bridge" | "host" | "null" | "macvlan" | "ipvlan";

/** One subnet of a network as the API has it: `IPAM.Config`. */
export interface PoolRecord {
  /** CIDR. */
  Subnet: string;
  /** Part of it to choose containers' addresses from. */
  IPRange?: string;
  Gateway?: string;
  /** Addresses that no container gets, by a name of the user's. */
  AuxiliaryAddresses?: Record<string, string>;
}

/** The column `networks.record`. */
export interface NetworkRecord {
  driver: NetworkDriver;
  /** RFC 3339 with nanoseconds. */
  created: string;
  enableIPv4: boolean;
  enableIPv6: boolean;
  internal: boolean;
  attachable: boolean;
  /** Nothing but a template for other networks. */
  configOnly: boolean;
  /** Name of the network whose configuration this one has; "" for its own. */
  configFrom: string;
  options: Record<string, string>;
  labels: Record<string, string>;
  ipam: { driver: string; options: Record<string, string> | null; config: PoolRecord[] };
  /** Whether the client has chosen the subnets: then it may choose addresses, too. */
  ownSubnets: boolean;
}

/** One port of the host that leads to a port of a container. */
export interface PublishedPort {
  protocol: TransportProtocol;
  containerPort: number;
  /** IPv4 or IPv6; 0.0.0.0 or :: for every address. */
  hostAddress: string;
  hostPort: number;
}

/** The column `endpoints.record`: a container's place on a network. */
export interface EndpointRecord {
  networkName: string;
  containerName: string;
  sandboxId: string;
  /** What the client asked for. */
  requested: EndpointSettings;
  /** Names it is found by on its network, in order. Empty on networks without names. */
  names: string[];
  /** Absent on the networks host and none. */
  attachment?: Attachment;
  /** While a running container comes or goes: who finds it like that takes it away. */
  isUnfinished?: boolean;
  /** What the container publishes; on the endpoint its ports lead to, and nowhere else. */
  publishing?: Publishing;
}

/** An address of an interface in a container. */
export interface Placement {
  address: string;
  prefixLength: number;
  /** "" where the network has none. */
  gateway: string;
}

export interface Attachment {
  /** Name of the interface in the container. */
  interfaceName: string;
  mac: string;
  /** Name of the host's end of the link; "" where there is none. */
  link: string;
  v4?: Placement;
  v6?: Placement;
}

export interface Publishing {
  ports: PublishedPort[];
  /** Ports the container exposes without publishing them, 80/tcp say. */
  exposed: string[];
}

/** An endpoint as it is held in memory. */
export interface Endpoint extends EndpointRecord {
  id: string;
  networkId: string;
  containerId: string;
}

/** Docker's notation of the ports an image or a container exposes, always with the protocol. */
export function exposedPorts({ ExposedPorts }: ConfigWithMac): string[] {
  return Object.keys(ExposedPorts ?? {}).map((key) => (key.includes("/") ? key : `${key}/tcp`));
}
