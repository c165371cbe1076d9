/** What every kind of network does for the containers on it. */
import type { InterfaceConfig, Netlink } from "../kernel/rtnetlink.ts";
import type { FirewallNetwork } from "./firewall.ts";
import type { Attachment } from "./record.ts";

/** A network at work. None of its methods waits. */
export interface NetworkDriver {
  /** Link of the host that is the network; "" where there is none to be seen. */
  readonly link: string;
  readonly mtu: number;
  /** Begin of the names its interfaces get in containers, eth say. */
  readonly interfacePrefix: string;
  /** What the packet filter is to know of it; undefined where it has no say. */
  readonly filtered: FirewallNetwork | undefined;
  /** Brings the host's side to what it should be. Idempotent. */
  up(): void;
  /** Makes the container's interface, under its final name, in its namespace. */
  plug(attachment: Attachment, namespaceFd: number, hairpin: boolean): void;
  /** Lets a container reach itself by a port of the host from now on. */
  reflect(attachment: Attachment): void;
  /** Takes the interface away again; `inside` is the container's namespace. Idempotent. */
  unplug(attachment: Attachment, inside: Netlink): void;
  /**
   * Puts what belongs to running containers back where it was, after `up` had to make something anew. `hairpin`: whether
   * a container may reach itself by a port of the host.
   */
  replug(places: Iterable<{ attachment: Attachment; hairpin: boolean }>): void;
  /** Where default routes through it lead, in the order IPv4, IPv6. */
  gatewaysOf(attachment: Attachment): InterfaceConfig["gateways"];
  /** Takes the host's side away. Idempotent. */
  remove(): void;
}
