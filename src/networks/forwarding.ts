/**
 * Living with the FORWARD chain of others. An accept in one table never outweighs a drop in another, so where
 * iptables' FORWARD chain may drop (Docker and ufw set its policy to that), Brig's bridge needs two rules in it.
 * They accept everything of the bridge: what may pass is decided by Brig's own table, whose drops are as final.
 */
import { existsSync, readFileSync } from "node:fs";
import type { Nftables } from "../kernel/nftables.ts";
import { messageOf } from "../lib/errors.ts";

interface ListedRule {
  handle: number;
  comment?: string;
  expr: unknown;
}

interface ListedChain {
  policy?: string;
}

const legacyTables = "/proc/net/ip_tables_names";

/** The rules of one bridge in `ip filter FORWARD`. */
export class ForwardRules {
  readonly #nft: Nftables;
  readonly #bridge: string;
  readonly #comment: string;

  /** `bridge` has been checked to be a bridge's name. */
  constructor(nft: Nftables, bridge: string) {
    this.#nft = nft;
    this.#bridge = bridge;
    this.#comment = `brig ${bridge}`;
  }

  /** Adds the rules where they are needed and missing. Returns whether it changed anything. */
  mend(): boolean {
    const listed = this.#list();
    if (listed === undefined) return false;
    const { policy, rules } = listed;
    const others = rules.filter((rule) => rule.comment !== this.#comment);
    const own = rules.length - others.length;
    const needed = policy === "drop" || others.length > 0;
    if (own === (needed ? 2 : 0)) return false;
    const commands = this.#removal(rules);
    if (needed) {
      // Behind Docker's chain for its users' own rules, which shall hold for Brig's containers as well.
      const userChain = others.find(({ expr }) => jumpsTo(expr, "DOCKER-USER"));
      const place =
        userChain === undefined
          ? "insert rule ip filter FORWARD"
          : `add rule ip filter FORWARD position ${userChain.handle}`;
      for (const side of ["iifname", "oifname"])
        commands.push(`${place} ${side} "${this.#bridge}" counter accept comment "${this.#comment}"`);
    }
    this.#nft.run(commands.join("\n"));
    return true;
  }

  /** Removes the rules. */
  remove(): void {
    const commands = this.#removal(this.#list()?.rules ?? []);
    if (commands.length > 0) this.#nft.run(commands.join("\n"));
  }

  #removal(rules: ListedRule[]): string[] {
    return rules
      .filter((rule) => rule.comment === this.#comment)
      .map((rule) => `delete rule ip filter FORWARD handle ${rule.handle}`);
  }

  #list(): { policy: string | undefined; rules: ListedRule[] } | undefined {
    let listed: Record<string, unknown>[];
    try {
      listed = this.#nft.list("list chain ip filter FORWARD");
    } catch (error) {
      if (messageOf(error).includes("No such file or directory")) return undefined;
      throw error;
    }
    const chain = listed.find((entry) => "chain" in entry)?.chain as ListedChain | undefined;
    return {
      policy: chain?.policy,
      rules: listed.flatMap(({ rule }) => (rule === undefined ? [] : [rule as ListedRule])),
    };
  }
}

/**
 * The same for the older iptables, whose rules only its own program can change. It is run only where its filter
 * table exists, which hardly any machine has any more. Returns a warning where the rules are needed and cannot be set.
 */
export function mendLegacyForwarding(bridge: string): string | undefined {
  if (!legacyFilterExists()) return undefined;
  const chain = iptablesLegacy(["-S", "FORWARD"]);
  if (chain === undefined)
    return "the kernel has a filter table of the older iptables, and iptables-legacy is not there to let Brig's bridge through it: install Debian's package iptables";
  const rules = chain.trim().split("\n");
  if (rules[0] === "-P FORWARD ACCEPT" && rules.length === 1) return undefined;
  for (const rule of legacyRules(bridge))
    if (
      iptablesLegacy(["-C", "FORWARD", ...rule]) === undefined &&
      iptablesLegacy(["-I", "FORWARD", ...rule]) === undefined
    )
      return `iptables-legacy does not take a rule that lets ${bridge} through its chain FORWARD: traffic of containers may be dropped`;
  return undefined;
}

/** Takes back what mendLegacyForwarding() did. */
export function removeLegacyForwarding(bridge: string): void {
  if (legacyFilterExists()) for (const rule of legacyRules(bridge)) iptablesLegacy(["-D", "FORWARD", ...rule]);
}

function legacyFilterExists(): boolean {
  return existsSync(legacyTables) && readFileSync(legacyTables, "utf8").split("\n").includes("filter");
}

function legacyRules(bridge: string): string[][] {
  return ["-i", "-o"].map((side) => [side, bridge, "-m", "comment", "--comment", `brig ${bridge}`, "-j", "ACCEPT"]);
}

/** Output of the program, or undefined where it failed or is not there. */
function iptablesLegacy(args: string[]): string | undefined {
  try {
    const { success, stdout } = Bun.spawnSync(["iptables-legacy", "-w", "5", ...args], {
      stderr: "ignore",
      stdin: "ignore",
    });
    return success ? stdout.toString() : undefined;
  } catch {
    return undefined;
  }
}

function jumpsTo(expressions: unknown, chain: string): boolean {
  return (
    Array.isArray(expressions) &&
    expressions.some((expression: { jump?: { target?: string } }) => expression.jump?.target === chain)
  );
}
