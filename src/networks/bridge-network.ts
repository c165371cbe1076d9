/** A bridge network at work: addresses, links, published ports, and the packet filter's rules for them. */
import { writeFileSync } from "node:fs";
import { forgetUdpFlows } from "../kernel/conntrack.ts";
import { insideNetworkNamespace } from "../kernel/namespaces.ts";
import { Netlink } from "../kernel/rtnetlink.ts";
import { messageOf, systemError } from "../lib/errors.ts";
import type { EndpointSettings, HostConfig } from "../wire/engine-api.ts";
import { formatIpv4, ipv4Bytes, parseIpv4 } from "./addresses.ts";
import { type Bridge, bridgesOfOthers, bringUpBridge } from "./bridge.ts";
import type { PortElement } from "./firewall.ts";
import { AddressPool } from "./ipam.ts";
import { PacketFilter } from "./packet-filter.ts";
import { type HeldPorts, PortTable, publishRequests } from "./ports.ts";
import type { Attachment } from "./record.ts";
import type { NetworkOptions } from "./settings.ts";
import type { ConfigWithMac } from "./validate.ts";

/** Name of the interface inside of a container. */
const containerLink = "eth0";

/** What a container needs of the network. */
export interface AttachRequest {
  endpointId: string;
  containerName: string;
  config: ConfigWithMac;
  hostConfig: HostConfig;
  requested: EndpointSettings;
}

/** A place on the network that has been taken. */
interface Place {
  attachment: Attachment;
  held: HeldPorts;
  /** Whether its ports may be in the packet filter. */
  published: boolean;
}

/** How a bridge network was configured, and whom it tells of trouble. */
export interface BridgeNetworkInput {
  options: NetworkOptions;
  /** Gateway and prefix length of the last time. */
  remembered: string | undefined;
  /** Whether Brig has turned the host's forwarding on. */
  guardForwarding: boolean;
  warn: (message: string) => void;
}

/** The default bridge network. */
export class BridgeNetwork {
  readonly bridge: Bridge;
  readonly #options: NetworkOptions;
  readonly #guardForwarding: boolean;
  readonly #warn: (message: string) => void;
  readonly #netlink = new Netlink();
  readonly #addresses: AddressPool;
  readonly #ports: PortTable;
  readonly #places = new Map<string, Place>();
  #filter: PacketFilter | undefined;

  /** Brings the bridge up. The packet filter follows in `start`. */
  constructor({ options, remembered, guardForwarding, warn }: BridgeNetworkInput) {
    this.#options = options;
    this.#guardForwarding = guardForwarding;
    this.#warn = warn;
    this.bridge = bringUpBridge(this.#netlink, options, remembered);
    this.#addresses = new AddressPool(this.bridge.subnet, this.bridge.range, [this.bridge.gateway]);
    this.#ports = new PortTable(options.publishAddress);
  }

  /**
   * Takes over the containers that run already, by endpoint, removes the links nobody owns, and puts the packet
   * filter's rules in place of whatever was there.
   */
  start(running: Map<string, Attachment>): void {
    for (const [endpointId, attachment] of running) {
      this.#addresses.take(parseIpv4(attachment.address)!);
      const held = this.#ports.holdAgain(attachment.ports, attachment.address, (port, reason) =>
        this.#warn(`port ${port.hostPort}/${port.protocol} stays published, but could not be held: ${reason}`),
      );
      this.#places.set(endpointId, { attachment, held, published: true });
    }
    const owned = new Set([...running.values()].map(({ link }) => link));
    if (this.bridge.own)
      for (const { name, kind } of this.#netlink.ports(this.bridge.index))
        if (kind === "veth" && !owned.has(name)) this.#netlink.deleteLink(name);
    if (this.#options.packetFilter) this.#startFilter();
  }

  /** Takes an address and ports for a container. Throws Docker's sentences. */
  reserve({ endpointId, containerName, config, hostConfig, requested }: AttachRequest): Attachment {
    const address = this.#addresses.allocate();
    try {
      const text = formatIpv4(address);
      const held = this.#hold(publishRequests(config, hostConfig), text, containerName, endpointId);
      const attachment: Attachment = {
        address: text,
        prefixLength: this.bridge.subnet.prefixLength,
        gateway: formatIpv4(this.bridge.gateway),
        mac: (requested.MacAddress || config.MacAddress || macOf(address)).toLowerCase().replaceAll("-", ":"),
        link: `veth${endpointId.slice(0, 7)}`,
        ports: held.ports,
        exposed: Object.keys(config.ExposedPorts ?? {}).map((key) => (key.includes("/") ? key : `${key}/tcp`)),
      };
      this.#places.set(endpointId, { attachment, held, published: false });
      return attachment;
    } catch (error) {
      this.#addresses.release(address);
      throw error;
    }
  }

  /** Links a container's namespace to the bridge and publishes its ports. */
  connect(endpointId: string, namespaceFd: number): void {
    const place = this.#places.get(endpointId);
    if (place === undefined) throw systemError(`endpoint ${endpointId} has no place on ${this.bridge.name}`);
    const { attachment } = place;
    this.#netlink.createVeth({
      name: attachment.link,
      master: this.bridge.index,
      mtu: this.bridge.mtu,
      // A container that reaches its own published port is answered out of the port the question came in by.
      hairpin: attachment.ports.length > 0,
      isolated: !this.#options.icc,
      peer: { name: containerLink, mac: attachment.mac, namespaceFd },
    });
    insideNetworkNamespace(namespaceFd, () => {
      disableIpv6(containerLink);
      const netlink = new Netlink();
      try {
        const address = ipv4Bytes(parseIpv4(attachment.address)!);
        netlink.configureContainer(containerLink, address, attachment.prefixLength, ipv4Bytes(this.bridge.gateway));
      } finally {
        netlink.close();
      }
    });
    if (attachment.ports.length === 0) return;
    place.published = true;
    this.#filter?.addPorts(this.#elementsOf(attachment));
    for (const { protocol, hostPort } of attachment.ports) if (protocol === "udp") this.#forgetFlows(hostPort);
  }

  /** Gives an endpoint's address and ports back. Its link goes with the container's namespace. Idempotent. */
  release(endpointId: string): void {
    const place = this.#places.get(endpointId);
    if (place === undefined) return;
    this.#places.delete(endpointId);
    if (place.published) this.#filter?.removePorts(this.#elementsOf(place.attachment));
    place.held.release();
    this.#addresses.release(parseIpv4(place.attachment.address)!);
  }

  /** Puts back what others have changed of Brig's rules, and follows what they have changed of their own. */
  mend(): void {
    this.#filter?.mend();
  }

  /** Stops watching and gives the held ports back. Containers stay connected and published. */
  close(): void {
    for (const { held } of this.#places.values()) held.release();
    this.#filter?.close();
    this.#filter = undefined;
    this.#netlink.close();
  }

  /** Removes the bridge and every rule from the host. */
  destroy(): void {
    this.#filter?.destroy();
    this.#filter = undefined;
    if (this.bridge.own) this.#netlink.deleteLink(this.bridge.name);
    this.close();
  }

  /** `10.0.0.1/24`, to be remembered. */
  get gatewayWithPrefix(): string {
    return `${formatIpv4(this.bridge.gateway)}/${this.bridge.subnet.prefixLength}`;
  }

  #startFilter(): void {
    const { name: bridge } = this.bridge;
    const { icc, ipMasquerade } = this.#options;
    this.#filter = new PacketFilter({
      defaultBridge: bridge,
      guardForwarding: { v4: this.#guardForwarding, v6: false },
      foreignBridges: () => bridgesOfOthers(this.#netlink, bridge),
      warn: this.#warn,
    });
    const published = [...this.#places.values()].filter((place) => place.published);
    this.#filter.start(
      [
        {
          bridge,
          internal: false,
          icc,
          masquerade: { v4: ipMasquerade, v6: false },
          sourceAddress: {},
          gatewayMode: { v4: "nat", v6: "nat" },
          trustedInterfaces: [],
          directRouting: false,
        },
      ],
      published.flatMap(({ attachment }) => this.#elementsOf(attachment)),
    );
  }

  #elementsOf({ address, ports }: Attachment): PortElement[] {
    return ports.map((port) => ({ ...port, bridge: this.bridge.name, containerAddress: address }));
  }

  #hold(requests: ReturnType<typeof publishRequests>, address: string, name: string, endpointId: string): HeldPorts {
    try {
      if (requests.length > 0 && !this.#options.packetFilter)
        throw systemError("ports cannot be published while the daemon leaves the packet filter alone");
      return this.#ports.hold(requests, address);
    } catch (error) {
      throw systemError(
        `driver failed programming external connectivity on endpoint ${name} (${endpointId}): ${messageOf(error)}`,
        error,
      );
    }
  }

  #forgetFlows(port: number): void {
    try {
      forgetUdpFlows(port);
    } catch (error) {
      this.#warn(`udp flows to port ${port} that began earlier go on to where they went: ${messageOf(error)}`);
    }
  }
}

/** Docker's: the address in it keeps neighbours' caches right when an address changes hands. */
function macOf(address: number): string {
  return `02:42:${Buffer.from(ipv4Bytes(address))
    .toString("hex")
    .replace(/(..)(?=.)/g, "$1:")}`;
}

/** Inside of a container's namespace, before the link is up: the network is IPv4 only. */
function disableIpv6(link: string): void {
  try {
    writeFileSync(`/proc/sys/net/ipv6/conf/${link}/disable_ipv6`, "1");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
