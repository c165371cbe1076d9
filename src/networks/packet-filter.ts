/**
 * The packet filter as the networks use it: the daemon's table, its rules in the chains of others, and the watch that
 * mends both where somebody has flushed them.
 */
import { createHash } from "node:crypto";
import { createLoopLink, type LoopLink, removeLoopLink } from "../kernel/loop-link.ts";
import { Nftables } from "../kernel/nftables.ts";
import { watchRuleset } from "../kernel/nftables-watch.ts";
import { Netlink } from "../kernel/rtnetlink.ts";
import { messageOf } from "../lib/errors.ts";
import {
  Firewall,
  type FirewallNetwork,
  type FirewallView,
  type Link,
  type PortElement,
  tableName,
} from "./firewall.ts";
import { ForwardRules, mendLegacyRules, removeLegacyRules } from "./forwarding.ts";

/** Others may change the ruleset hundreds of times a second: it is not looked at more often than this. */
const quietMs = 100;
const retryMs = 1000;

/** Who decides about packets from outside to published ports: nobody else, as with Docker, or the host's input rules. */
export type PublishPolicy = "docker" | "host-firewall";

/** How the packet filter is used, and whom it tells of trouble. */
export interface PacketFilterOptions {
  /** Name of the daemon's default bridge: daemons side by side have a table each. */
  defaultBridge: string;
  /** Whether it was Brig that made the host a router: then it must not become one for anybody else. */
  guardForwarding: { v4: boolean; v6: boolean };
  publishPolicy: PublishPolicy;
  /** Names of the bridges of other engines, asked whenever the ruleset has changed. */
  foreignBridges: () => string[];
  warn: (message: string) => void;
}

/** Every method is synchronous and, but for `start`, costs the same however many networks and ports there are. */
export class PacketFilter {
  readonly #nft = new Nftables();
  readonly #firewall: Firewall;
  readonly #forward: ForwardRules;
  readonly #options: PacketFilterOptions;
  readonly #bridges = new Set<string>();
  readonly #loop: LoopLink;
  #endWatch = () => {};
  #nextLook: NodeJS.Timeout | undefined;
  #lastLook = 0;
  #toldOfLegacy = "";

  /** Throws `unavailable` where libnftables is missing. */
  constructor(options: PacketFilterOptions) {
    const table = tableName(options.defaultBridge);
    this.#options = options;
    this.#loop = loopLinkOf(options.defaultBridge);
    this.#firewall = new Firewall(this.#nft, {
      table,
      guardForwarding: options.guardForwarding,
      ...(options.publishPolicy === "host-firewall" && {
        judged: { ...this.#loop, exitIndex: createLoopLink(this.#loop) },
      }),
    });
    this.#forward = new ForwardRules(this.#nft, table, options.warn);
  }

  /** Puts everything in place of whatever was there, in one transaction, and begins to watch it. */
  start(networks: FirewallNetwork[], ports: PortElement[]): void {
    // Asked before, so that what others do meanwhile is noticed.
    this.#nft.changedByOthers();
    if (this.#options.publishPolicy !== "host-firewall") removeLoopLink(this.#loop);
    this.#firewall.start(networks, ports, this.#options.foreignBridges());
    this.#bridges.clear();
    for (const { bridge } of networks) this.#bridges.add(bridge);
    this.#mendForward();
    this.#mendLegacy();
    this.#watch();
  }

  /** Adds a network, or changes one: its ports must have been removed where its gateway mode changes. */
  addNetwork(network: FirewallNetwork): void {
    const isAsItWas = this.#bridges.size > 0 && !this.#nft.changedByOthers();
    this.#firewall.addNetwork(network);
    if (this.#bridges.has(network.bridge)) return;
    this.#bridges.add(network.bridge);
    if (isAsItWas) this.#forward.add(network.bridge);
    else this.#mendAll();
    this.#mendLegacy();
  }

  /** Removes a network. Its ports must have been removed. Idempotent. */
  removeNetwork(bridge: string): void {
    this.#firewall.removeNetwork(bridge);
    if (!this.#bridges.delete(bridge)) return;
    this.#mendForward();
    removeLegacyRules([bridge], linkExists);
  }

  /** Publishes ports of networks that are there. Throws where one of them leads elsewhere already. */
  addPorts(ports: PortElement[]): void {
    this.#firewall.addPorts(ports);
  }

  /** Takes published ports back. */
  removePorts(ports: PortElement[]): void {
    this.#firewall.removePorts(ports);
  }

  /** Lets containers reach ports of others on a network whose containers may not talk to each other. */
  addLinks(links: Link[]): void {
    this.#firewall.addLinks(links);
  }

  removeLinks(links: Link[]): void {
    this.#firewall.removeLinks(links);
  }

  /** Puts back what others have changed of Brig's rules, and follows what they have changed of their own. */
  mend(): void {
    // The older iptables tells nobody of its changes: to be asked now and then.
    this.#mendLegacy();
    if (this.#nft.changedByOthers()) this.#mendAll();
  }

  /** What the table says, to be asked only. */
  get table(): FirewallView {
    return this.#firewall;
  }

  /** Stops watching. All rules stay. */
  close(): void {
    this.#endWatch();
    clearTimeout(this.#nextLook);
    this.#nft.close();
  }

  /** Removes every rule from the host, and closes. */
  destroy(): void {
    this.#forward.remove();
    this.#firewall.destroy();
    removeLoopLink(this.#loop);
    removeLegacyRules([...this.#bridges, this.#loop.exit], linkExists);
    this.close();
  }

  /** The link by which packets leave to come in again, where they do. */
  get #exit(): string | undefined {
    return this.#options.publishPolicy === "host-firewall" ? this.#loop.exit : undefined;
  }

  #mendAll(): void {
    this.#firewall.mend();
    this.#firewall.setForeignBridges(this.#options.foreignBridges());
    this.#mendForward();
  }

  #mendForward(): void {
    this.#forward.mend([...this.#bridges], this.#exit);
  }

  #watch(): void {
    this.#endWatch();
    this.#endWatch = watchRuleset(
      () => this.#lookIn(Math.max(0, this.#lastLook + quietMs - performance.now())),
      (reason) => {
        this.#options.warn(`changes of the packet filter are not noticed for a moment: ${reason}`);
        clearTimeout(this.#nextLook);
        this.#nextLook = setTimeout(() => {
          this.#nextLook = undefined;
          this.#watch();
          this.#look();
        }, retryMs).unref();
      },
    );
  }

  #lookIn(milliseconds: number): void {
    this.#nextLook ??= setTimeout(() => this.#look(), milliseconds).unref();
  }

  #look(): void {
    this.#nextLook = undefined;
    this.#lastLook = performance.now();
    try {
      this.mend();
    } catch (error) {
      this.#options.warn(`the packet filter's rules could not be mended: ${messageOf(error)}`);
    }
  }

  #mendLegacy(): void {
    const warning = mendLegacyRules([...this.#bridges], this.#exit);
    if (warning === undefined || warning === this.#toldOfLegacy) return;
    this.#toldOfLegacy = warning;
    this.#options.warn(warning);
  }
}

function linkExists(name: string): boolean {
  const netlink = new Netlink();
  try {
    return netlink.link(name) !== undefined;
  } finally {
    netlink.close();
  }
}

/** Names and a number that daemons side by side do not share. */
function loopLinkOf(bridge: string): LoopLink {
  const digest = createHash("sha256").update(bridge).digest();
  const name = digest.toString("hex", 0, 3);
  return {
    exit: `brigout-${name}`,
    entry: `brigin-${name}`,
    mark: 0x42000000 + digest.readUIntBE(0, 3),
    alias: "brig",
  };
}
