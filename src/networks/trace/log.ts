/** What a trace has found so far, and the report that it comes to. */
import type { Hop, TraceReport } from "../../wire/network-trace.ts";
import type { AttemptResult } from "./attempt.ts";
import type { TracedContainer } from "./surroundings.ts";

type HopFound = Omit<Hop, "Result">;

export class TraceLog {
  readonly #from: string;
  readonly #to: string;
  readonly #hops: Hop[] = [];
  #reason = "";
  #next = "";
  /** How it gets there, for the verdict. */
  way = "";
  /** Whether a connection would not tell that somebody answers. */
  isProofless = false;

  constructor(from: string, to: string) {
    this.#from = from;
    this.#to = to;
  }

  /** Whether the target is in the hands of others. */
  get isOutside(): boolean {
    return this.#hops.some(({ Kind, Result }) => Kind === "target" && Result === "unknown");
  }

  get length(): number {
    return this.#hops.length;
  }

  /** Forgets all but the first hops, to try another address. */
  restart(length: number): void {
    this.#hops.length = length;
    [this.way, this.#reason, this.#next, this.isProofless] = ["", "", "", false];
  }

  add(hop: Hop): undefined {
    this.#hops.push(hop);
  }

  pass(hop: HopFound): undefined {
    this.add({ ...hop, Result: "pass" });
  }

  unknown(hop: HopFound): undefined {
    this.add({ ...hop, Result: "unknown" });
  }

  /** The first one is what the verdict is about; `next` is what to do about it. */
  stop(hop: HopFound, next = ""): undefined {
    this.add({ ...hop, Result: "stop" });
    if (this.#reason !== "") return;
    this.#reason = hop.Text;
    this.#next = next;
  }

  /** Whether a container runs. Where it does not, that is the end. */
  isAwake({ name, status, pid }: TracedContainer, kind: "source" | "target"): boolean {
    if (pid === 0) {
      const verb = status === "created" || status === "exited" ? `start ${name}` : `ps -a --filter name=${name}`;
      this.stop({ Kind: kind, Name: name, Text: `${name} does not run (${status})` }, `brig ${verb}`);
      return false;
    }
    if (status !== "paused") return true;
    this.isProofless = true;
    this.stop(
      { Kind: kind, Name: name, Text: `${name} is paused: it neither asks nor answers` },
      `brig unpause ${name}`,
    );
    return false;
  }

  report(attempt?: AttemptResult): TraceReport {
    const isStopped = this.#hops.some(({ Result, Kind }) => Result === "stop" && Kind !== "attempt");
    const isUnknown = this.#hops.some(({ Result }) => Result === "unknown");
    let Reaches: TraceReport["Reaches"] = isStopped ? "no" : isUnknown ? "unknown" : "yes";
    if (attempt !== undefined) Reaches = attempt === "answered" ? "yes" : "no";
    const way = this.way === "" ? "" : ` ${this.way}`;
    let Verdict: string;
    if (Reaches === "yes") {
      Verdict = `${this.#from} reaches ${this.#to}${way}`;
      if (isStopped) Verdict += `, though it should not: ${this.#reason}`;
    } else if (Reaches === "unknown") {
      const open = this.#hops.filter(({ Result }) => Result === "unknown").map(({ Text }) => Text);
      Verdict = `${this.#from} may reach ${this.#to}${way}: ${open.join("; ")}`;
    } else
      Verdict = `${this.#from} does not reach ${this.#to}: ${isStopped ? this.#reason : this.#unexplained(attempt)}`;
    return {
      From: this.#from,
      To: this.#to,
      Reaches,
      Hops: [...this.#hops],
      Verdict,
      Next: Reaches === "yes" ? "" : this.#next,
    };
  }

  /** Nothing of what Brig knows stops it, and yet it does not arrive. */
  #unexplained(attempt: AttemptResult | undefined): string {
    if (attempt === "refused")
      return this.isOutside
        ? "nobody listens there, or somebody refuses it"
        : "somebody refuses it whom Brig does not know: rules of the host, or in the container";
    if (attempt === "silent")
      return this.isOutside
        ? "there is no answer"
        : "somebody drops it whom Brig does not know: rules of the host, or in the container";
    return `the kernel says ${typeof attempt === "object" ? attempt.failed : "no"}`;
  }
}
