/** What a running container has of its networks, in memory. */
import { randomBytes } from "node:crypto";
import type { Link as FirewallLink } from "./firewall.ts";
import type { UpstreamServer } from "./names/name-servers.ts";
import type { NameSockets } from "./names/sockets.ts";
import type { HeldPort } from "./ports.ts";
import type { Attachment, Endpoint, Publishing } from "./record.ts";

export interface Occupancy {
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

/** Of a container that is on no network yet. */
export function emptyOccupancy(sandboxId: string): Occupancy {
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

/** Whether it is on a network whose containers find each other by name. */
export function hasNames({ endpoints }: Occupancy): boolean {
  return endpoints.some(({ names }) => names.length > 0);
}

/** What the container publishes, at whichever place. */
export function publishingOf(endpoints: Endpoint[]): Publishing | undefined {
  return endpoints.find(({ publishing }) => publishing !== undefined)?.publishing;
}

/** The first name with that beginning that none of its interfaces has, or is `wanted` for another one. */
export function freeInterfaceName({ endpoints }: Occupancy, prefix: string, wanted: Iterable<string>): string {
  const taken = new Set([...wanted, ...endpoints.map(({ attachment }) => attachment?.interfaceName)]);
  let index = 0;
  while (taken.has(`${prefix}${index}`)) index++;
  return `${prefix}${index}`;
}

/** Docker's: the address in it keeps neighbours' caches right when an address changes hands. */
export function macOf({ v4 }: Pick<Attachment, "v4" | "v6">): string {
  const bytes = v4 === undefined ? randomBytes(4) : Uint8Array.from(v4.address.split("."), Number);
  return `02:42:${Buffer.from(bytes)
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1:")}`;
}

/** 64 hexadecimal digits. */
export function randomId(): string {
  return randomBytes(32).toString("hex");
}
