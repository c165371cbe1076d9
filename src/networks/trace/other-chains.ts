/** Chains of others that may drop a packet. Their rules are not followed: that would mean to do the kernel's work again. */
import type { Nftables } from "../../kernel/nftables.ts";

/** A chain that may drop, or does. */
export interface Obstacle {
  /** `ip filter FORWARD`. */
  chain: string;
  /** Whether it drops everything: its policy is that, and no rule of it says otherwise. */
  certain: boolean;
  reason: string;
}

interface Chain {
  family: string;
  table: string;
  name: string;
  hook?: string;
  type?: string;
  policy?: string;
}

/** How deep chains are followed into those they jump to. */
const depthLimit = 8;

/**
 * Chains with a hook that may drop packets of a family. `ownChain`: the chain of Brig's beside them, which accepts: what
 * comes behind the jump to it does not count.
 */
export function obstacles(nft: Nftables, hook: "forward" | "input", family: 4 | 6, ownChain: string): Obstacle[] {
  const families = ["inet", family === 4 ? "ip" : "ip6"];
  return nft
    .list("list chains")
    .flatMap(({ chain }) => (chain === undefined ? [] : [chain as Chain]))
    .filter(({ table, hook: at, type, family: of }) => {
      return at === hook && type === "filter" && families.includes(of) && !table.startsWith("brig_");
    })
    .flatMap((chain) => {
      const where = `${chain.family} ${chain.table}`;
      const rules = rulesOf(nft, `${where} ${chain.name}`);
      const own = rules.findIndex((rule) => targetsOf(rule).includes(ownChain));
      const counted = own < 0 ? rules : rules.slice(0, own);
      const drops = counted.some((rule) => mayDrop(nft, where, rule, depthLimit));
      const name = `${where} ${chain.name}`;
      if (own < 0 && chain.policy === "drop")
        return [
          {
            chain: name,
            certain: rules.length === 0,
            reason:
              rules.length === 0
                ? "its policy is drop and it has no rules"
                : "its policy is drop; what its rules let through, Brig does not read",
          },
        ];
      return drops ? [{ chain: name, certain: false, reason: "it has rules that drop" }] : [];
    });
}

function mayDrop(nft: Nftables, where: string, rule: unknown[], depth: number): boolean {
  if (rule.some((expression) => isDrop(expression))) return true;
  return (
    depth > 0 &&
    targetsOf(rule).some((target) =>
      rulesOf(nft, `${where} ${target}`).some((inner) => mayDrop(nft, where, inner, depth - 1)),
    )
  );
}

/** Targets of the older iptables that nft only passes on (`xt`) may be REJECT. */
function isDrop(expression: unknown): boolean {
  if (typeof expression !== "object" || expression === null) return false;
  return (
    "drop" in expression ||
    "reject" in expression ||
    ("xt" in expression && JSON.stringify(expression).includes('"target"')) ||
    "vmap" in expression
  );
}

function targetsOf(rule: unknown[]): string[] {
  return rule.flatMap((expression) => {
    const { jump, goto } = expression as { jump?: { target?: string }; goto?: { target?: string } };
    return jump?.target ?? goto?.target ?? [];
  });
}

function rulesOf(nft: Nftables, chain: string): unknown[][] {
  return nft.list(`list chain ${chain}`).flatMap(({ rule }) => {
    const { expr } = (rule ?? {}) as { expr?: unknown };
    return Array.isArray(expr) ? [expr as unknown[]] : [];
  });
}
