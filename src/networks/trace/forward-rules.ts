/** What the packet filter's table (firewall-table.ts) does with a packet from one network to another, rule by rule. */
import type { TransportProtocol } from "../../kernel/sockets.ts";
import type { FirewallNetwork, FirewallView } from "../firewall.ts";

type Questions = Pick<FirewallView, "guardForwarding" | "hasLink" | "isForeign" | "isOpened">;

/** A packet that the host forwards. */
export interface ForwardedPacket {
  family: 4 | 6;
  /** Network it comes from, or the name of another link of the host. */
  from: FirewallNetwork | string;
  to: FirewallNetwork | string;
  protocol: TransportProtocol;
  source: string;
  destination: string;
  /** Absent of an echo request. */
  port?: number | undefined;
  /** Whether it was sent to a published port. */
  translated: boolean;
}

/** The rule that decides. */
export interface RuleVerdict {
  passes: boolean;
  chain: string;
  rule: string;
  /** What the rule stands for, to be read after "because". */
  reason: string;
}

/** Follows the chain `forward` for the first packet of a connection. */
export function judgeForwarded(packet: ForwardedPacket, table: Questions): RuleVerdict {
  const { from, to, family, translated } = packet;
  const inLink = linkOf(from);
  const outLink = linkOf(to);
  if (typeof from !== "string" && inLink === outLink) return judgeWithin(packet, from, table);
  for (const [network, side] of [
    [from, "iifname"],
    [to, "oifname"],
  ] as const)
    if (typeof network !== "string" && network.internal)
      return drop("forward", `${side} @internal drop`, `the network is internal (${network.bridge})`);
  if (typeof to !== "string") {
    if (translated) return accept("inbound", "ct status dnat accept", "the port is published");
    const mode = to.gatewayMode[family === 4 ? "v4" : "v6"];
    const chain = `inbound${family}`;
    if (mode === "routed") return judgeOpened(packet, table);
    if (typeof from !== "string")
      return drop(chain, "iifname @bridges drop", "networks reach each other by published ports only");
    if (mode === "nat-unprotected")
      return accept(chain, `oifname @open${family} accept`, "the network's gateway mode is nat-unprotected");
    if (to.directRouting || to.trustedInterfaces.includes(inLink)) return judgeOpened(packet, table);
    return drop(chain, "drop", "from outside a container is reached by published ports of the host only");
  }
  if (typeof from !== "string" && !translated && table.isForeign(outLink))
    return drop("outbound", "oifname @foreign ct status & dnat == 0 drop", "the network is another engine's");
  if (typeof from === "string" && table.guardForwarding[family === 4 ? "v4" : "v6"])
    return drop("guard", "drop", "the host is a router for containers only");
  return accept("forward", "policy accept", "what containers send out is let through");
}

function judgeWithin(packet: ForwardedPacket, { icc }: FirewallNetwork, table: Questions): RuleVerdict {
  const { family, translated, protocol, source, destination, port } = packet;
  if (icc) return accept("within", "iifname != @separate accept", "containers of the network may talk to each other");
  if (translated) return accept("within", "ct status dnat accept", "the port is published");
  if (
    port !== undefined &&
    table.hasLink({ protocol, sourceAddress: source, containerAddress: destination, containerPort: port })
  )
    return accept("within", `@links${family} accept`, "a link opens the port");
  return drop("within", "drop", "containers of the network may not talk to each other (icc=false)");
}

function judgeOpened({ family, protocol, destination, port }: ForwardedPacket, table: Questions): RuleVerdict {
  const chain = `opened${family}`;
  if (port === undefined) return accept(chain, "icmp accept", "the network is reached directly");
  if (table.isOpened(protocol, destination, port))
    return accept(chain, `@opened${family} accept`, "the network is reached directly, and the port is published");
  return drop(chain, "drop", "the port is not published");
}

function linkOf(network: FirewallNetwork | string): string {
  return typeof network === "string" ? network : network.bridge;
}

function accept(chain: string, rule: string, reason: string): RuleVerdict {
  return { passes: true, chain, rule, reason };
}

function drop(chain: string, rule: string, reason: string): RuleVerdict {
  return { passes: false, chain, rule, reason };
}
