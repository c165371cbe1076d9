/** Times and memory, as the benchmark takes them. */
import { readdirSync, readFileSync } from "node:fs";

const commandTimeoutMs = 60_000;

/** Runs a command and returns its time in milliseconds. Throws where it fails or takes more than a minute. */
export async function time(command: string[]): Promise<number> {
  const begun = performance.now();
  const child = Bun.spawn(command, {
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: commandTimeoutMs,
    killSignal: "SIGKILL",
  });
  const code = await child.exited;
  const tookMs = performance.now() - begun;
  if (code !== 0) throw new Error(`${command.join(" ").slice(0, 300)}: exit ${code}: ${await child.stderr.text()}`);
  return tookMs;
}

/** Runs `work` for 0 … count-1, `width` at once, and returns the milliseconds that all of it took. */
export async function concurrently(
  count: number,
  width: number,
  work: (index: number) => Promise<unknown>,
): Promise<number> {
  const begun = performance.now();
  let next = 0;
  const worker = async () => {
    while (next < count) await work(next++);
  };
  await Promise.all(Array.from({ length: width }, worker));
  return performance.now() - begun;
}

export const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Resident memory of a process in MB. */
export function residentMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
}

/** Runs `work`, and returns the most memory in MB that the process had meanwhile. */
export async function peakMb(pid: number, work: () => Promise<unknown>): Promise<number> {
  let peak = residentMb(pid);
  const timer = setInterval(() => (peak = Math.max(peak, residentMb(pid))), 25);
  try {
    await work();
  } finally {
    clearInterval(timer);
  }
  return peak;
}

/** A port that nobody listens on just now. */
export function freePort(): number {
  const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
  server.stop();
  return server.port;
}

/** Processes whose command line has all the words. */
export function processesWith(...words: string[]): number[] {
  return readdirSync("/proc")
    .map(Number)
    .filter((pid) => pid > 0 && words.every((word) => commandLine(pid).includes(word)));
}

function commandLine(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ");
  } catch {
    return ""; // Ended meanwhile.
  }
}

/** What the processes hold together in MB; pages they share count once. */
export function proportionalMb(pids: number[]): number {
  let kb = 0;
  for (const pid of pids)
    try {
      kb += Number(/^Pss:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1] ?? 0);
    } catch {
      // Ended meanwhile.
    }
  return kb / 1024;
}

/** Medians of each engine's measure, one engine after the other in each run. The first run does not count. */
export async function inTurn<Subject>(
  engines: Subject[],
  count: number,
  measure: (engine: Subject) => Promise<number>,
): Promise<number[]> {
  const values = engines.map(() => [] as number[]);
  for (let round = -1; round < count; round++)
    for (const [index, engine] of engines.entries()) {
      const value = await measure(engine);
      if (round >= 0) values[index]!.push(value);
    }
  return values.map(median);
}

/** The values of each engine's measure, one engine after the other. */
export async function each<Subject>(
  engines: Subject[],
  measure: (engine: Subject) => Promise<number>,
): Promise<number[]> {
  const values: number[] = [];
  for (const engine of engines) values.push(await measure(engine));
  return values;
}
