/**
 * A short command in a running container whose end and output alone matter, as health checks are: the OCI runtime is
 * run directly, without a conmon, for nobody attaches to it and nobody has to outlive the daemon for it.
 */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { processStartTime, sendSignal } from "../kernel/process.ts";

export interface ProbeOptions {
  /** The program, and all its arguments up to the command `exec`. */
  runtime: string[];
  /** The container's. */
  id: string;
  /** File with the OCI process. */
  specPath: string;
  /** Where the runtime notes the process's pid. */
  directory: string;
  timeoutMs: number;
  outputLimitBytes: number;
  signal: AbortSignal;
}

/** How it ended. */
export interface ProbeResult {
  /** undefined where it took too long, or `signal` aborted, and was killed. */
  exitCode: number | undefined;
  /** What it wrote to both streams, as far as the limit. */
  output: string;
  isTruncated: boolean;
}

const SIGKILL = 9;
/** For what a killed process has passed its output on to. */
const drainMs = 100;

/** Runs it to its end. Throws where the runtime cannot be executed. */
export async function runProbe(options: ProbeOptions): Promise<ProbeResult> {
  const { runtime, id, specPath, directory, timeoutMs, outputLimitBytes, signal } = options;
  const pidFile = join(directory, "health.pid");
  rmSync(pidFile, { force: true });
  const child = Bun.spawn({
    cmd: [...runtime, "exec", "--pid-file", pidFile, "--process", specPath, id],
    env: { PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin" },
    cwd: "/",
    stdio: ["ignore", "pipe", "pipe"],
  });
  const output = new BoundedOutput(outputLimitBytes);
  const read = Promise.all([output.take(child.stdout), output.take(child.stderr)]);
  let isKilled = false;
  const kill = () => {
    isKilled = true;
    killProcess(pidFile);
    child.kill(SIGKILL);
  };
  const timer = setTimeout(kill, timeoutMs);
  signal.addEventListener("abort", kill, { once: true });
  if (signal.aborted) kill();
  try {
    const exitCode = await child.exited;
    // What it has left behind in the container may hold the pipes for ever.
    await Promise.race([read, Bun.sleep(drainMs)]);
    return { exitCode: isKilled ? undefined : exitCode, output: output.text, isTruncated: output.isTruncated };
  } finally {
    clearTimeout(timer);
    signal.removeEventListener("abort", kill);
    output.stop();
  }
}

function killProcess(pidFile: string): void {
  try {
    const pid = Number(readFileSync(pidFile, "utf8"));
    const startTime = processStartTime(pid);
    if (pid > 1 && startTime !== undefined) sendSignal(pid, SIGKILL, startTime);
  } catch {} // It has not begun.
}

class BoundedOutput {
  readonly #pieces: Uint8Array[] = [];
  readonly #limit: number;
  readonly #cancel: (() => Promise<void>)[] = [];
  #length = 0;
  isTruncated = false;

  constructor(limitBytes: number) {
    this.#limit = limitBytes;
  }

  get text(): string {
    return Buffer.concat(this.#pieces).toString("utf8");
  }

  async take(stream: ReadableStream<Uint8Array>): Promise<void> {
    const reader = stream.getReader();
    this.#cancel.push(() => reader.cancel());
    for (;;) {
      const { done, value } = await reader.read();
      if (done || value === undefined) return;
      const room = this.#limit - this.#length;
      if (value.length > room) this.isTruncated = true;
      if (room > 0) this.#pieces.push(Uint8Array.from(value.subarray(0, room)));
      this.#length = Math.min(this.#limit, this.#length + value.length);
    }
  }

  stop(): void {
    for (const cancel of this.#cancel) void cancel().catch(() => undefined);
  }
}
