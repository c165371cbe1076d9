/** Layers on their way, here or to a registry, for whoever waits for them. */
import type { ProgressMessage, Report } from "./progress.ts";

/** One layer under way, and all who wait for it. It is given up when the last of them leaves. */
export class Transfer {
  readonly outcome: Promise<void>;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<Report>();
  #last: ProgressMessage | undefined;

  constructor(work: (signal: AbortSignal, report: Report) => Promise<void>) {
    this.outcome = work(this.#abort.signal, (message) => {
      this.#last = message;
      for (const listener of this.#listeners) listener(message);
    });
  }

  get isAborted(): boolean {
    return this.#abort.signal.aborted;
  }

  async join(report: Report, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    this.#listeners.add(report);
    if (this.#last) report(this.#last);
    const left = Promise.withResolvers<never>();
    const onAbort = () => left.reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.outcome, left.promise]);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#listeners.delete(report);
      if (this.#listeners.size === 0) this.#abort.abort(new Error("context canceled"));
    }
  }
}
