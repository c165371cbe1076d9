/** What `cp` shows while it copies, and at its end: on a terminal, and only the last line elsewhere. */
import { humanSize } from "../lib/units.ts";
import type { CliContext } from "./command.ts";

const updateMs = 75;
const significantDigits = 3;
const saveCursor = "\x1b[s";
const restoreCursor = "\x1b[u";
const hideCursor = "\x1b[?25l";
const showCursor = "\x1b[?25h";
const eraseLine = "\x1b[2K";
const eraseTail = "\x1b[0K";

export class CopyProgress {
  readonly #ctx: CliContext;
  readonly #isQuiet: boolean;
  readonly #isTerminal: boolean;
  readonly #header: string;
  #bytes = 0;
  #shown = 0;
  #shownAtMs = 0;

  constructor(ctx: CliContext, isQuiet: boolean, header: string) {
    this.#ctx = ctx;
    this.#isQuiet = isQuiet;
    this.#isTerminal = !isQuiet && ctx.isTerminal("stderr");
    this.#header = header;
    if (!this.#isTerminal) return;
    ctx.err(`${saveCursor}Preparing to copy...${hideCursor}${restoreCursor}${eraseLine}${header}${this.#size}`);
  }

  get #size(): string {
    return humanSize(this.#bytes, significantDigits);
  }

  /** Counts what goes by. */
  async *watch(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    for await (const chunk of chunks) {
      this.#bytes += chunk.length;
      if (this.#isTerminal) this.#show();
      yield chunk;
    }
  }

  #show(): void {
    const now = performance.now();
    if (now - this.#shownAtMs < updateMs || this.#bytes === this.#shown) return;
    this.#shownAtMs = now;
    this.#shown = this.#bytes;
    this.#ctx.err(`\x1b[${this.#header.length + 1}G${eraseTail}${this.#size}`);
  }

  /** Says how much has been copied to where, also where it was not all: that is told after it. */
  finish(target: string): void {
    if (this.#isTerminal) this.#ctx.err(`${showCursor}${restoreCursor}${eraseLine}`);
    if (!this.#isQuiet) this.#ctx.err(`Successfully copied ${this.#size} to ${target}\n`);
  }
}
