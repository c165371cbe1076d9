/** A bridge network at work: the bridge, and the links of the containers on it. */
import type { Netlink } from "../kernel/rtnetlink.ts";
import { addressBytes } from "./addresses.ts";
import { type Bridge, type BridgeSpec, bringUpBridge, filterWithin, uplinkMtu } from "./bridge.ts";
import { poolsOf } from "./definition.ts";
import type { NetworkDriver } from "./driver.ts";
import type { FirewallNetwork } from "./firewall.ts";
import type { LinkRemoval } from "./link-removal.ts";
import { type BridgeOptions, bridgeOptions } from "./options.ts";
import type { Attachment, NetworkRecord } from "./record.ts";

/** What a bridge network is made of. */
export interface BridgeNetworkInput {
  netlink: Netlink;
  id: string;
  record: NetworkRecord;
  /** Tells the links of this daemon from those of others. */
  alias: string;
  /** MTU where the network names none; 0 for the uplink's. */
  defaultMtu: number;
  directRouting: boolean;
  /** Whether the packet filter may be used. */
  packetFilter: boolean;
  removal: LinkRemoval;
}

export class BridgeNetwork implements NetworkDriver {
  readonly link: string;
  readonly options: BridgeOptions;
  readonly interfacePrefix: string;
  readonly filtered: FirewallNetwork;
  readonly #netlink: Netlink;
  readonly #spec: BridgeSpec;
  readonly #mayFilter: boolean;
  readonly #removal: LinkRemoval;
  #bridge: Bridge | undefined;
  /** Whether its ports are kept from each other by the kernel's bridge, because the packet filter cannot do it. */
  #isolated = false;

  /** Throws Docker's sentences about options. Nothing is made before `up`. */
  constructor({ netlink, id, record, alias, defaultMtu, directRouting, packetFilter, removal }: BridgeNetworkInput) {
    const options = bridgeOptions(record);
    const { bridgeName, icc, masquerade, sourceAddress, gatewayMode, trustedInterfaces } = options;
    this.options = options;
    this.link = bridgeName ?? `br-${id.slice(0, 12)}`;
    this.interfacePrefix = options.interfacePrefix;
    this.#netlink = netlink;
    this.#mayFilter = packetFilter;
    this.#removal = removal;
    const mtu = options.mtu ?? (defaultMtu === 0 ? uplinkMtu(netlink) : defaultMtu);
    const addresses = poolsOf(record)
      .filter(({ subnet: { family } }) =>
        family === 4 ? !options.inhibitIpv4 && gatewayMode.v4 !== "isolated" : gatewayMode.v6 !== "isolated",
      )
      .flatMap(({ subnet, gateway }) =>
        gateway === undefined ? [] : { address: gateway, prefixLength: subnet.prefixLength },
      );
    this.#spec = { name: this.link, mtu, alias, addresses, routesLocalnet: packetFilter };
    this.filtered = {
      bridge: this.link,
      internal: record.internal,
      icc,
      masquerade: { v4: masquerade, v6: masquerade },
      sourceAddress,
      gatewayMode,
      trustedInterfaces,
      directRouting,
    };
  }

  get mtu(): number {
    return this.#bridge?.mtu ?? this.#spec.mtu;
  }

  /** Whether Brig has made the bridge. */
  get own(): boolean {
    return this.#bridge?.own ?? false;
  }

  /** Whether the kernel's bridge keeps its ports from each other, whatever they send. */
  get isolated(): boolean {
    return this.#isolated;
  }

  up(): void {
    if (this.#removal.isPending(this.link)) this.#netlink.deleteLink(this.link);
    this.#bridge = bringUpBridge(this.#netlink, this.#spec);
    this.#isolated = !this.options.icc && !(this.#mayFilter && filterWithin(this.#netlink, this.#bridge.index));
  }

  plug({ link, interfaceName, mac }: Attachment, namespaceFd: number, hairpin: boolean): void {
    if (this.#bridge === undefined) this.up();
    this.#netlink.createVeth({
      name: link,
      master: this.#bridge!.index,
      mtu: this.mtu,
      // A container that reaches its own published port is answered out of the port the question came in by.
      hairpin,
      isolated: this.#isolated,
      peer: { name: interfaceName, mac, namespaceFd },
    });
  }

  reflect({ link }: Attachment): void {
    this.#netlink.setHairpin(link);
  }

  unplug({ link }: Attachment): void {
    this.#netlink.deleteLink(link);
  }

  replug(places: Iterable<{ attachment: Attachment; hairpin: boolean }>): void {
    for (const { attachment, hairpin } of places)
      if (this.#netlink.link(attachment.link) !== undefined)
        this.#netlink.setMaster(attachment.link, this.#bridge!.index, { hairpin, isolated: this.#isolated });
  }

  gatewaysOf({ v4, v6 }: Attachment): Uint8Array[] {
    if (this.filtered.internal) return [];
    return [v4?.gateway, v6?.gateway].flatMap((gateway) => (gateway ? addressBytes(gateway)! : []));
  }

  /** Whether the link is the one that was brought up. Costs one message to the kernel. */
  get intact(): boolean {
    return this.#bridge !== undefined && this.#netlink.link(this.link)?.index === this.#bridge.index;
  }

  remove(): void {
    const link = this.#netlink.link(this.link);
    this.#bridge = undefined;
    if (link?.alias !== this.#spec.alias) return;
    // At once, so that the subnet is free for others.
    for (const { linkIndex, address, prefixLength } of this.#netlink.addresses())
      if (linkIndex === link.index) this.#netlink.deleteAddress(linkIndex, address, prefixLength);
    this.#removal.remove(link);
  }
}
