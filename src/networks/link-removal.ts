/**
 * Links that nobody needs any more. The kernel waits for all processors before a link is gone, some 20 ms and more, and
 * lets the caller wait: so another thread calls, which ends when it has nothing to do.
 */
import type { Removal } from "./link-removal.worker.ts";

const idleMs = 2000;

export class LinkRemoval {
  readonly #warn: (message: string) => void;
  /** Names of links that are on their way, by index. */
  readonly #pending = new Map<number, string>();
  #worker: Worker | undefined;
  #end: NodeJS.Timeout | undefined;

  constructor(warn: (message: string) => void) {
    this.#warn = warn;
  }

  /** Removes a link, soon. What a crash leaves is found by its mark at the next start. */
  remove({ index, name }: { index: number; name: string }): void {
    clearTimeout(this.#end);
    this.#pending.set(index, name);
    this.#worker ??= this.#begin();
    this.#worker.postMessage({ index } satisfies Removal);
  }

  /** Whether a link of that name may still be there, and will not be for long. */
  isPending(name: string): boolean {
    return [...this.#pending.values()].includes(name);
  }

  close(): void {
    clearTimeout(this.#end);
    this.#worker?.terminate();
    this.#worker = undefined;
    this.#pending.clear();
  }

  #begin(): Worker {
    const worker = new Worker(workerEntry(), { smol: true });
    worker.unref();
    worker.onmessage = ({ data: { index, trouble } }: MessageEvent<Removal>) => {
      if (trouble !== undefined) this.#warn(`link ${this.#pending.get(index)} could not be removed: ${trouble}`);
      this.#pending.delete(index);
      if (this.#pending.size === 0) this.#end = setTimeout(() => this.close(), idleMs).unref();
    };
    worker.onerror = ({ message }) => {
      this.#warn(`links could not be removed, and will be at the next start: ${message}`);
      this.close();
    };
    return worker;
  }
}

/** In the executable modules have no files of their own; an entry keeps its path below `src/`. */
function workerEntry(): string {
  return Bun.isStandaloneExecutable
    ? "/$bunfs/root/networks/link-removal.worker.js"
    : new URL("./link-removal.worker.ts", import.meta.url).href;
}
