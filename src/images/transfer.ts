/** Layers on their way, here or to a registry, for whoever waits for them. */
import type { ProgressMessage, Report } from "./progress.ts";

type Work = (signal: AbortSignal, report: Report) => Promise<void>;

/** All layers under way in one direction, each once however many want it. */
export class Transfers {
  readonly #underWay = new Map<string, Transfer>();

  /** Joins whoever does the same already, or begins. Rejects at once when `signal` aborts; others go on with it. */
  async join(key: string, work: Work, report: Report, signal: AbortSignal | undefined): Promise<void> {
    let transfer = this.#underWay.get(key);
    if (!transfer || transfer.isAborted) {
      const fresh = new Transfer(work);
      this.#underWay.set(key, fresh);
      const forget = () => {
        if (this.#underWay.get(key) === fresh) this.#underWay.delete(key);
      };
      fresh.outcome.then(forget, forget);
      transfer = fresh;
    }
    await transfer.join(report, signal);
  }
}

/** One layer under way, and all who wait for it. It is given up when the last of them leaves. */
class Transfer {
  readonly outcome: Promise<void>;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<Report>();
  #last: ProgressMessage | undefined;

  constructor(work: Work) {
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
