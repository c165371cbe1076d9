/** What the parts of one trace share. */
import type { TraceLog } from "./log.ts";
import type { Surroundings, TracedContainer, TraceTools } from "./surroundings.ts";
import type { Target } from "./target.ts";

/** Where a trace begins. */
export type Source =
  | { kind: "container"; container: TracedContainer }
  | { kind: "host" }
  | { kind: "outside"; address: string };

/** Runs its argument in the network namespace of the source. */
export type Inside = <T>(work: () => T) => T;

export interface TraceContext {
  tools: TraceTools;
  known: Surroundings;
  log: TraceLog;
  source: Source;
  target: Target;
  inside: Inside;
}
