/** A macvlan or ipvlan network at work: interfaces of containers on top of a link of the host's. */
import type { Gateway, Link, Netlink } from "../kernel/rtnetlink.ts";
import { systemError } from "../lib/errors.ts";
import { addressBytes } from "./addresses.ts";
import type { NetworkDriver } from "./driver.ts";
import { parseVlan, type StackedOptions, stackedOptions } from "./options.ts";
import type { Attachment, NetworkRecord } from "./record.ts";

/** What such a network is made of. */
export interface StackedNetworkInput {
  netlink: Netlink;
  id: string;
  record: NetworkRecord;
  /** Tells the links of this daemon from those of others. */
  alias: string;
}

export class StackedNetwork implements NetworkDriver {
  readonly link: string;
  readonly interfacePrefix: string;
  readonly filtered = undefined;
  readonly #netlink: Netlink;
  readonly #kind: "macvlan" | "ipvlan";
  readonly #options: StackedOptions;
  readonly #internal: boolean;
  readonly #alias: string;
  #mtu = 0;

  /** Throws Docker's sentences about options. Nothing is made before `up`. */
  constructor({ netlink, id, record, alias }: StackedNetworkInput) {
    this.#netlink = netlink;
    this.#kind = record.driver === "ipvlan" ? "ipvlan" : "macvlan";
    this.#options = stackedOptions(record);
    this.#alias = alias;
    const { parent } = this.#options;
    // Without a parent there is no way out, whatever the network says.
    this.#internal = record.internal || parent === undefined;
    this.link = parent ?? `dm-${id.slice(0, 12)}`;
    this.interfacePrefix = this.#options.interfacePrefix;
  }

  get mtu(): number {
    return this.#options.mtu ?? this.#mtu;
  }

  up(): void {
    this.#mtu = this.#parent().mtu;
  }

  plug({ interfaceName, mac }: Attachment, namespaceFd: number): void {
    const parent = this.#parent();
    const { mode, flags } = this.#options;
    try {
      this.#netlink.createStacked({
        name: interfaceName,
        parent: parent.index,
        mtu: this.#options.mtu ?? parent.mtu,
        // An ipvlan has its parent's.
        mac: this.#kind === "macvlan" ? mac : undefined,
        kind: this.#kind === "macvlan" ? { name: "macvlan", mode } : { name: "ipvlan", mode, flags },
        namespaceFd,
      });
    } catch (error) {
      throw this.#withoutSupport(error, this.#kind);
    }
  }

  reflect(): void {
    // Ports are published from bridges alone.
  }

  unplug({ interfaceName }: Attachment, inside: Netlink): void {
    inside.deleteLink(interfaceName);
  }

  replug(): void {
    // What was on a link that is gone is gone with it.
  }

  gatewaysOf({ v4, v6 }: Attachment): Gateway[] {
    if (this.#internal) return [];
    if (this.#options.layer3) return [...(v4 ? [4 as const] : []), ...(v6 ? [6 as const] : [])];
    return [v4?.gateway, v6?.gateway].flatMap((gateway) => (gateway ? addressBytes(gateway)! : []));
  }

  remove(): void {
    const link = this.#netlink.link(this.link);
    if (link?.alias === this.#alias) this.#netlink.deleteLink(this.link);
  }

  /** The link below, made where it is one of Brig's own making. */
  #parent(): Link {
    const there = this.#netlink.link(this.link);
    if (there !== undefined) return there;
    try {
      if (this.#options.parent === undefined) this.#netlink.createDummy(this.link, this.#alias);
      else {
        const { parent, id } = parseVlan(this.link);
        const below = this.#netlink.link(parent);
        if (below === undefined) throw systemError(`-o parent interface was not found on the host: ${parent}`);
        this.#netlink.createVlan(this.link, below.index, id, this.#alias);
      }
    } catch (error) {
      throw this.#withoutSupport(error, this.#options.parent === undefined ? "dummy" : "vlan");
    }
    const made = this.#netlink.link(this.link);
    if (made === undefined) throw systemError(`${this.link} was removed while it was set up`);
    return made;
  }

  #withoutSupport(error: unknown, kind: string): unknown {
    if ((error as { code?: string }).code !== "EOPNOTSUPP") return error;
    const advice = kind === "dummy" ? "; name a link of the host: -o parent=eth0" : "";
    return systemError(`operation not supported: this kernel has no links of the kind ${kind}${advice}`, error);
  }
}
