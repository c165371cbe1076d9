/** What the database keeps of networks and endpoints. */
import type { TransportProtocol } from "../kernel/sockets.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";

/** The column `networks.record`. */
export interface NetworkRecord {
  driver: "bridge" | "host" | "null";
  /** RFC 3339 with nanoseconds. */
  created: string;
  /** Of a bridge network, with its prefix length; kept so that the same subnet is chosen again. */
  gateway?: string;
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
  /** Absent on the networks host and none. */
  attachment?: Attachment;
}

export interface Attachment {
  address: string;
  prefixLength: number;
  gateway: string;
  mac: string;
  /** Name of the host's end of the link. */
  link: string;
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
