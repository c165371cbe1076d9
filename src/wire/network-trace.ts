/** What GET /networks/trace answers: Brig's own. */

/** What a hop did: let it pass, end it, or nothing that Brig could tell. */
export type HopResult = "pass" | "stop" | "unknown";

/** One hop on the way. Fields that say nothing about it are absent. */
export interface Hop {
  Kind: "source" | "name" | "route" | "bridge" | "port" | "filter" | "masquerade" | "target" | "listener" | "attempt";
  Result: HopResult;
  /** One line for people. */
  Text: string;
  Name?: string;
  Address?: string;
  Network?: string;
  /** How the kernel of that namespace sends it. */
  Route?: { Interface: string; Gateway: string; Source: string };
  /** The rule that decides: `table` with its family, `chain`, and the rule in nft's words. */
  Rule?: { Table: string; Chain: string; Rule: string };
}

export interface TraceReport {
  From: string;
  To: string;
  /** `unknown` where nothing stops it as far as Brig can tell, and the rest is in the hands of others. */
  Reaches: "yes" | "no" | "unknown";
  Hops: Hop[];
  /** One sentence. */
  Verdict: string;
  /** What to do about it; "" where nothing comes to mind. */
  Next: string;
}
