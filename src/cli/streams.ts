/** What flows between this terminal and a process in a container. */
import type { HijackedStream } from "../client/client.ts";
import { demultiplex } from "../client/demux.ts";
import { isTerminal, makeRaw } from "../kernel/terminal.ts";
import { Detached, DetachKeys } from "./detach-keys.ts";

/** Where a stream may go and come from. */
export interface StreamOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** The process has a terminal: one raw stream, and keys that detach. */
  tty: boolean;
  /** Keys that detach, as `--detach-keys` writes them; empty for the usual ones. */
  detachKeys: string;
}

/** Writes to a descriptor without ever blocking signals or stdin: a slow reader holds only this stream back. */
export class Output {
  readonly #fd: number;
  readonly #sink: ReturnType<ReturnType<typeof Bun.file>["writer"]>;

  constructor(fd: 1 | 2) {
    this.#fd = fd;
    this.#sink = Bun.file(fd).writer({ highWaterMark: 1 << 16 });
  }

  /** Resolves when the bytes are written. Ends the process where the reader is gone, as SIGPIPE would. */
  async write(bytes: Uint8Array): Promise<void> {
    try {
      // Both may be promises, and either may be the one that fails.
      await this.#sink.write(bytes);
      await this.#sink.flush();
    } catch (error) {
      if (this.#fd === 1 && (error as NodeJS.ErrnoException).code === "EPIPE") process.exit(128 + 13);
    }
  }
}

/**
 * Carries the streams until the process's output ends, or, where none is wanted, until stdin does.
 * Throws Detached where the user struck the keys for it. The terminal is raw meanwhile and restored afterwards.
 */
export async function carry(remote: HijackedStream, options: StreamOptions): Promise<void> {
  const raw = options.tty && options.stdin && isTerminal(0);
  const restore = raw ? makeRaw(0) : () => undefined;
  process.on("exit", restore);
  try {
    const detached = Promise.withResolvers<never>();
    const input = options.stdin ? sendInput(remote, options, detached.reject) : Promise.resolve();
    const output = options.stdout || options.stderr ? receiveOutput(remote, options) : input;
    await Promise.race([output, detached.promise]);
  } finally {
    restore();
    process.off("exit", restore);
    remote.close();
  }
}

async function receiveOutput(remote: HijackedStream, options: StreamOptions): Promise<void> {
  const stdout = new Output(1);
  if (options.tty) {
    for await (const bytes of remote.read()) await stdout.write(bytes);
    return;
  }
  const stderr = new Output(2);
  for await (const { stream, bytes } of demultiplex(remote.read())) {
    if (stream === 1 && options.stdout) await stdout.write(bytes);
    if (stream === 2 && options.stderr) await stderr.write(bytes);
  }
}

/** Stdin's end is the process's too; that the process closed its own first is no error. */
async function sendInput(
  remote: HijackedStream,
  options: StreamOptions,
  onDetach: (reason: Detached) => void,
): Promise<void> {
  const keys = options.tty ? new DetachKeys(options.detachKeys) : undefined;
  try {
    for await (const bytes of Bun.stdin.stream()) {
      const { pass, detach } = keys?.filter(bytes) ?? { pass: bytes, detach: false };
      if (pass.length > 0) await remote.write(pass);
      if (detach) return onDetach(new Detached());
    }
    remote.closeWrite();
  } catch {
    // The process, or the engine, went away; what it said last is still being read.
  }
}
