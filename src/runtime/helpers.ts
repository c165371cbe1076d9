/** conmon and the OCI runtime at work, found among all processes: a crashed daemon may not have noted whom it started. */
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { processStartTime, sendSignal } from "../kernel/process.ts";

/** A conmon, or a runtime on behalf of one. */
export interface Helper {
  pid: number;
  startTime: number;
  /** Id of the container it works on. */
  container: string;
  /** conmon's directory; empty for a runtime. */
  directory: string;
}

const SIGKILL = 9;
const patienceMs = 5000;

/** All of those that were given `stateRoot`. Reads every process' command line: not for the way of a request. */
export function findHelpers(stateRoot: string): Helper[] {
  const found: Helper[] = [];
  const ourMounts = readlinkSync("/proc/self/ns/mnt");
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    try {
      const words = readFileSync(`/proc/${name}/cmdline`, "utf8").split("\0").slice(0, -1);
      if (!words.includes(`--root=${stateRoot}`)) continue;
      // An engine inside of a container may have the same paths.
      if (readlinkSync(`/proc/${name}/ns/mnt`) !== ourMounts) continue;
      const startTime = processStartTime(Number(name));
      const helper = parse(words);
      if (helper !== undefined && startTime !== undefined) found.push({ ...helper, pid: Number(name), startTime });
    } catch {} // It has ended.
  }
  return found;
}

function parse(words: string[]): Pick<Helper, "container" | "directory"> | undefined {
  const after = (option: string) => words[words.indexOf(option) + 1] ?? "";
  if (words.includes("--exit-dir") || words.includes("--exec"))
    return { container: after("-c"), directory: after("-b") };
  if (words.includes("create") || words.includes("exec")) return { container: words.at(-1) ?? "", directory: "" };
  return undefined;
}

/** Kills all that `find` finds, until it finds nothing any more. Gives up after a while, where the kernel holds one. */
export async function killHelpers(find: () => Helper[]): Promise<void> {
  const deadline = performance.now() + patienceMs;
  for (let helpers = find(); helpers.length > 0 && performance.now() < deadline; helpers = find()) {
    for (const { pid, startTime } of helpers) sendSignal(pid, SIGKILL, startTime);
    await Bun.sleep(2);
  }
}
