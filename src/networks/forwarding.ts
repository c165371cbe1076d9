/**
 * Living with the forward chains of others. An accept in one table never outweighs a drop in another, so where a chain
 * of others drops what is forwarded (Docker and ufw set the policy of iptables' FORWARD to that, firewalld rejects what
 * belongs to none of its zones), it is made to jump to a chain of Brig's beside it, which accepts everything of Brig's
 * bridges: what may pass is decided by Brig's own table, whose drops are as final.
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
  family: string;
  table: string;
  name: string;
  hook?: string;
  policy?: string;
}

const legacyTables = "/proc/net/ip_tables_names";

/** The rules of one daemon in the forward chains of others. */
export class ForwardRules {
  readonly #nft: Nftables;
  readonly #chain: string;
  readonly #warn: (message: string) => void;
  readonly #told = new Set<string>();

  /** `chain` is the name of the daemon's own chain, an identifier that begins with `brig_`. */
  constructor(nft: Nftables, chain: string, warn: (message: string) => void) {
    this.#nft = nft;
    this.#chain = chain;
    this.#warn = warn;
  }

  /** Adds what is needed and missing for these bridges, whose names have been checked, and removes the rest. */
  mend(bridges: readonly string[]): void {
    const chains = this.#chains();
    const own = new Set(chains.filter(({ name }) => name === this.#chain).map(place));
    for (const chain of chains)
      if (chain.hook === "forward" && !chain.table.startsWith("brig_"))
        try {
          this.#mendOne(chain, own.has(place(chain)), bridges);
        } catch (error) {
          this.#warnOnce(
            `${place(chain)} ${chain.name} may drop what containers send, and takes no rule: ${messageOf(error)}`,
          );
        }
  }

  /** Removes the rules. Idempotent. */
  remove(): void {
    this.mend([]);
  }

  #mendOne(chain: ListedChain, hasOwn: boolean, bridges: readonly string[]): void {
    const where = place(chain);
    const rules = this.#rules(`${where} ${chain.name}`);
    const jumps = rules.filter(({ expr }) => jumpsTo(expr, this.#chain));
    const others = rules.filter((rule) => !jumps.includes(rule));
    const wanted = mayDrop(chain, others.length > 0) ? bridges : [];
    const commands: string[] = [];
    if (jumps.length !== 1 || wanted.length === 0)
      commands.push(...jumps.map(({ handle }) => `delete rule ${where} ${chain.name} handle ${handle}`));
    if (wanted.length > 0) {
      commands.push(...this.#chainCommands(where, hasOwn, wanted));
      // Behind Docker's chain for its users' own rules, which shall hold for Brig's containers as well.
      const userChain = others.find(({ expr }) => jumpsTo(expr, "DOCKER-USER"));
      if (jumps.length !== 1)
        commands.push(
          userChain === undefined
            ? `insert rule ${where} ${chain.name} counter jump ${this.#chain}`
            : `add rule ${where} ${chain.name} position ${userChain.handle} counter jump ${this.#chain}`,
        );
    } else if (hasOwn) commands.push(`flush chain ${where} ${this.#chain}`, `delete chain ${where} ${this.#chain}`);
    if (commands.length > 0) this.#nft.run(commands.join("\n"));
  }

  /** What makes Brig's own chain accept these bridges and no others. */
  #chainCommands(where: string, exists: boolean, bridges: readonly string[]): string[] {
    const rules = exists ? this.#rules(`${where} ${this.#chain}`) : [];
    const complete = new Set(
      [...Map.groupBy(rules, ({ comment }) => comment)]
        .filter(([, two]) => two.length === 2)
        .map(([comment]) => comment),
    );
    const wanted = new Set(bridges.map(commentOf));
    const commands = exists ? [] : [`add chain ${where} ${this.#chain}`];
    for (const { handle, comment } of rules)
      if (!wanted.has(comment ?? "") || !complete.has(comment))
        commands.push(`delete rule ${where} ${this.#chain} handle ${handle}`);
    for (const bridge of bridges)
      if (!complete.has(commentOf(bridge)))
        for (const side of ["iifname", "oifname"])
          commands.push(
            `add rule ${where} ${this.#chain} ${side} "${bridge}" counter accept comment "${commentOf(bridge)}"`,
          );
    return commands;
  }

  #chains(): ListedChain[] {
    return this.#nft
      .list("list chains")
      .flatMap(({ chain }) => (chain === undefined ? [] : [chain as ListedChain]))
      .filter(({ family }) => ["ip", "ip6", "inet"].includes(family));
  }

  #rules(chain: string): ListedRule[] {
    return this.#nft
      .list(`list chain ${chain}`)
      .flatMap(({ rule }) => (rule === undefined ? [] : [rule as ListedRule]));
  }

  #warnOnce(message: string): void {
    if (this.#told.has(message)) return;
    this.#told.add(message);
    this.#warn(message);
  }
}

function place({ family, table }: ListedChain): string {
  return `${family} ${table}`;
}

function commentOf(bridge: string): string {
  return `brig ${bridge}`;
}

/** Whose rules these are tells more than they do: to follow them would mean to do the kernel's work again. */
function mayDrop({ table, name, policy }: ListedChain, hasRules: boolean): boolean {
  if (policy === "drop") return true;
  return hasRules && ((table === "filter" && name === "FORWARD") || table === "firewalld");
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
