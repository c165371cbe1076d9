/** Keeps the removal of a blob and its coming apart: one waits for the other. */

export class Removals {
  readonly #held = new Map<string, number>();
  readonly #under = new Map<string, Promise<void>>();

  /** Resolves when no removal of the blob is under way; until the returned function is called none begins. */
  async hold(digest: string): Promise<() => void> {
    this.#held.set(digest, (this.#held.get(digest) ?? 0) + 1);
    await this.#under.get(digest)?.catch(() => undefined);
    return () => {
      const left = this.#held.get(digest)! - 1;
      if (left === 0) this.#held.delete(digest);
      else this.#held.set(digest, left);
    };
  }

  /** Removes a blob unless it is held, or `isWanted` says so at the last moment. Returns whether it is gone. */
  async remove(digest: string, isWanted: () => boolean, remove: () => Promise<void>): Promise<boolean> {
    if (this.#held.has(digest) || this.#under.has(digest) || isWanted()) return false;
    const removal = remove();
    this.#under.set(digest, removal);
    try {
      await removal;
    } finally {
      this.#under.delete(digest);
    }
    return true;
  }
}
