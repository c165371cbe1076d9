/** The client's end of an answer that goes on: writing at the client's pace, and reading what it sends meanwhile. */
import type { Readable, Writable } from "node:stream";

/** How long a client may take to hang up after we have said all, before we do. */
const lingerMs = 5_000;

export class ClientStream {
  readonly #output: Writable;
  readonly #input: Readable | undefined;
  readonly #gone = new AbortController();
  #waiting: (() => void)[] = [];

  /** `input` and `output` may be one connection; a client without `input` never says anything, not even that it is done. */
  constructor(output: Writable, input: Readable | undefined) {
    this.#output = output;
    this.#input = input;
    // Errors are followed by close, which is all that anybody here waits for.
    output.on("error", () => {});
    input?.on("error", () => {});
    output.on("drain", () => this.#wake());
    const close = () => {
      this.#gone.abort();
      this.#wake();
    };
    if (output.destroyed) close();
    else output.once("close", close);
  }

  /** Aborted when the connection is closed, by whichever end. */
  get gone(): AbortSignal {
    return this.#gone.signal;
  }

  /** Resolves when there is room for more: true, or false where the client is gone. */
  write(data: Uint8Array | string): Promise<boolean> | boolean {
    if (this.#gone.signal.aborted || this.#output.destroyed) return false;
    if (this.#output.write(data)) return true;
    return new Promise((resolve) => this.#waiting.push(() => resolve(!this.#gone.signal.aborted)));
  }

  /** True where the client has no way to say that its input is over. */
  get speaksNever(): boolean {
    return this.#input === undefined;
  }

  /** Bytes that the client has not taken yet. */
  get pendingBytes(): number {
    return this.#output.writableLength;
  }

  #wake(): void {
    const waiting = this.#waiting;
    this.#waiting = [];
    for (const resolve of waiting) resolve();
  }

  /** What the client sends, until it says that it will send no more. Read no faster than `take` takes it. */
  async forEachInput(take: (data: Uint8Array) => Promise<void>): Promise<void> {
    if (!this.#input) return;
    try {
      for await (const data of this.#input.iterator({ destroyOnReturn: false })) await take(data as Buffer);
    } catch {
      // Cut off: the same as the end, and `gone` tells the rest.
    }
  }

  /** Nothing more will be written. The connection goes when the client hangs up, or after a while. */
  end(): void {
    if (this.#gone.signal.aborted) return;
    this.#output.end();
    // A close with unread bytes would reset the connection, and the client would lose what it has not read.
    this.#input?.resume();
    const timer = setTimeout(() => this.#output.destroy(), lingerMs);
    timer.unref();
    this.#gone.signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  }

  /** Closes the connection now. */
  destroy(): void {
    this.#output.destroy();
  }
}
