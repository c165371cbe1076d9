/**
 * Living with the chains of others. An accept in one table never outweighs a drop in another, so where a chain
 * of others drops what is forwarded (Docker and ufw set the policy of iptables' FORWARD to that, firewalld rejects what
 * belongs to none of its zones), it is made to jump to a chain of Brig's beside it, which accepts everything of Brig's
 * bridges: what may pass is decided by Brig's own table, whose drops are as final.
 */
import { hasLegacyFilter, legacyChain } from "../kernel/iptables-legacy.ts";
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
  type?: string;
  hook?: string;
  policy?: string;
}

/** A chain of Brig's beside those of others with a hook, and what it accepts: matches by the comment of their rules. */
interface OwnChain {
  name: string;
  accepted: Map<string, string[]>;
}

/** The rules of one daemon in the forward chains of others, and where it sends packets in again, the output chains. */
export class ForwardRules {
  readonly #nft: Nftables;
  readonly #chain: string;
  readonly #warn: (message: string) => void;
  readonly #told = new Set<string>();
  /** Chains of Brig's own that accept its bridges, `ip filter brig_x` say, as they were found the last time. */
  readonly #accepting = new Set<string>();

  /** `chain` is the name of the daemon's own chain, an identifier that begins with `brig_`. */
  constructor(nft: Nftables, chain: string, warn: (message: string) => void) {
    this.#nft = nft;
    this.#chain = chain;
    this.#warn = warn;
  }

  /**
   * Adds what is needed and missing for these bridges, and for the link by which packets leave to come in again; their
   * names have been checked. Removes the rest.
   */
  mend(bridges: readonly string[], exit?: string): void {
    const chains = this.#chains();
    this.#accepting.clear();
    const beside = (hook: string | undefined): OwnChain | undefined => {
      if (hook === "forward")
        return {
          name: this.#chain,
          accepted: new Map(bridges.map((name) => [`brig ${name}`, acceptanceOf(name)])),
        };
      if (hook !== "output") return undefined;
      const accepted = new Map(exit === undefined ? [] : [[`brig ${exit}`, [`oifname "${exit}"`]]]);
      return { name: `${this.#chain}_out`, accepted };
    };
    const names = new Set(chains.map((chain) => `${place(chain)} ${chain.name}`));
    for (const chain of chains) {
      if (chain.type !== "filter" || chain.table.startsWith("brig_")) continue;
      const own = beside(chain.hook);
      if (own === undefined) continue;
      try {
        this.#mendOne(chain, own, names.has(`${place(chain)} ${own.name}`));
      } catch (error) {
        this.#warnOnce(
          `${place(chain)} ${chain.name} may drop what containers send, and takes no rule: ${messageOf(error)}`,
        );
      }
    }
  }

  /** The same for one more bridge, where nobody has changed the ruleset since and there were bridges before. */
  add(bridge: string): void {
    const commands = [...this.#accepting].flatMap((chain) =>
      acceptanceOf(bridge).map((match) => `add rule ${chain} ${match} counter accept comment "brig ${bridge}"`),
    );
    if (commands.length > 0) this.#nft.run(commands.join("\n"));
  }

  /** Removes the rules. Idempotent. */
  remove(): void {
    this.mend([]);
  }

  #mendOne(chain: ListedChain, { name, accepted }: OwnChain, exists: boolean): void {
    const where = place(chain);
    const rules = this.#rules(`${where} ${chain.name}`);
    const jumps = rules.filter(({ expr }) => jumpsTo(expr, name));
    const others = rules.filter((rule) => !jumps.includes(rule));
    const needed = accepted.size > 0 && mayDrop(chain, others.length > 0);
    const commands: string[] = [];
    if (jumps.length !== 1 || !needed)
      commands.push(...jumps.map(({ handle }) => `delete rule ${where} ${chain.name} handle ${handle}`));
    if (needed) {
      if (chain.hook === "forward") this.#accepting.add(`${where} ${name}`);
      commands.push(...this.#chainCommands(`${where} ${name}`, accepted, exists));
      // Behind Docker's chain for its users' own rules, which shall hold for Brig's containers as well.
      const userChain = others.find(({ expr }) => jumpsTo(expr, "DOCKER-USER"));
      if (jumps.length !== 1)
        commands.push(
          userChain === undefined
            ? `insert rule ${where} ${chain.name} counter jump ${name}`
            : `add rule ${where} ${chain.name} position ${userChain.handle} counter jump ${name}`,
        );
    } else if (exists) commands.push(`flush chain ${where} ${name}`, `delete chain ${where} ${name}`);
    if (commands.length > 0) this.#nft.run(commands.join("\n"));
  }

  /** What makes Brig's own chain accept these and nothing else. */
  #chainCommands(chain: string, accepted: Map<string, string[]>, exists: boolean): string[] {
    const rules = exists ? this.#rules(chain) : [];
    const byComment = Map.groupBy(rules, ({ comment = "" }) => comment);
    const complete = (comment: string) => byComment.get(comment)?.length === accepted.get(comment)?.length;
    const commands = exists ? [] : [`add chain ${chain}`];
    for (const { handle, comment = "" } of rules)
      if (!complete(comment)) commands.push(`delete rule ${chain} handle ${handle}`);
    for (const [comment, matches] of accepted)
      if (!complete(comment))
        for (const match of matches) commands.push(`add rule ${chain} ${match} counter accept comment "${comment}"`);
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

function acceptanceOf(bridge: string): string[] {
  return [`iifname "${bridge}"`, `oifname "${bridge}"`];
}

function place({ family, table }: ListedChain): string {
  return `${family} ${table}`;
}

/** Whose rules these are tells more than they do: to follow them would mean to do the kernel's work again. */
function mayDrop({ table, name, policy }: ListedChain, hasRules: boolean): boolean {
  if (policy === "drop") return true;
  const places = ["filter FORWARD", "filter OUTPUT", "firewalld filter_FORWARD"];
  return hasRules && places.includes(`${table} ${name}`);
}

/**
 * The same for the older iptables, whose rules only its own program can change. What is there is read from the kernel;
 * the program is run only where rules are missing. Returns a warning where they are needed and cannot be set.
 */
export function mendLegacyRules(bridges: readonly string[], exit?: string): string | undefined {
  for (const family of [4, 6] as const)
    for (const chain of ["FORWARD", "OUTPUT"] as const) {
      const present = legacyChain(family, chain);
      if (present === undefined) continue;
      const wanted = legacyRules(chain, bridges, exit);
      const isOwn = ({ inLink, outLink }: LegacyRule) =>
        wanted.some((rule) => rule.inLink === inLink && rule.outLink === outLink);
      if (!present.drops && present.rules.every(isOwn)) continue;
      for (const rule of wanted) {
        if (present.rules.some(({ inLink, outLink }) => rule.inLink === inLink && rule.outLink === outLink)) continue;
        if (iptablesLegacy(family, ["-I", chain, ...rule.arguments]) === undefined)
          return `the older iptables' chain ${chain} may drop what ${rule.inLink || rule.outLink} sends or gets, and ${legacyPrograms[family]} takes no rule: install Debian's package iptables`;
      }
    }
  return undefined;
}

/** Takes back what mendLegacyRules() did for these bridges, and for those that are not there any more. */
export function removeLegacyRules(bridges: readonly string[], exists: (link: string) => boolean): void {
  if (!hasLegacyFilter()) return;
  for (const family of [4, 6] as const)
    for (const line of iptablesLegacy(family, ["-S"])?.split("\n") ?? []) {
      const [, chain, side, link] = /^-A (FORWARD|OUTPUT) (-[io]) (\S+) .*--comment "?brig \3"? /.exec(line) ?? [];
      if (chain === undefined || side === undefined || link === undefined) continue;
      if (bridges.includes(link) || !exists(link))
        iptablesLegacy(family, ["-D", chain, ...legacyArguments(side, link)]);
    }
}

interface LegacyRule {
  inLink: string;
  outLink: string;
}

const legacyPrograms = { 4: "iptables-legacy", 6: "ip6tables-legacy" };

function legacyRules(chain: "FORWARD" | "OUTPUT", bridges: readonly string[], exit: string | undefined) {
  const accept = (side: "-i" | "-o", link: string) => ({
    inLink: side === "-i" ? link : "",
    outLink: side === "-o" ? link : "",
    arguments: legacyArguments(side, link),
  });
  if (chain === "FORWARD") return bridges.flatMap((bridge) => [accept("-i", bridge), accept("-o", bridge)]);
  return exit === undefined ? [] : [accept("-o", exit)];
}

function legacyArguments(side: string, link: string): string[] {
  return [side, link, "-m", "comment", "--comment", `brig ${link}`, "-j", "ACCEPT"];
}

/** Output of the program, or undefined where it failed or is not there. */
function iptablesLegacy(family: 4 | 6, args: string[]): string | undefined {
  try {
    const { success, stdout } = Bun.spawnSync([legacyPrograms[family], "-w", "5", ...args], {
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
