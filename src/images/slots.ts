/** How many may do something at once; others wait for their turn. */
export class Slots {
  readonly #limit: () => number;
  readonly #waiting: (() => void)[] = [];
  #taken = 0;

  /** `limit` is asked each time; 0 is none. */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  get isFull(): boolean {
    const limit = this.#limit();
    return limit > 0 && this.#taken >= limit;
  }

  /** Waits for a slot. Throws the signal's reason when it aborts first. Every enter() needs its leave(). */
  async enter(signal: AbortSignal): Promise<void> {
    signal.throwIfAborted();
    while (this.isFull) {
      const turn = Promise.withResolvers<void>();
      this.#waiting.push(turn.resolve);
      signal.addEventListener("abort", turn.resolve as () => void, { once: true });
      await turn.promise;
      signal.removeEventListener("abort", turn.resolve as () => void);
      if (!signal.aborted) continue;
      const index = this.#waiting.indexOf(turn.resolve);
      // One that was woken for this turn in vain wakes the next.
      if (index >= 0) this.#waiting.splice(index, 1);
      else this.#waiting.shift()?.();
      signal.throwIfAborted();
    }
    this.#taken++;
  }

  leave(): void {
    this.#taken--;
    this.#waiting.shift()?.();
  }
}
