/** What the host and this daemon's own process allow: facts a container's spec depends on. */
import { existsSync, readFileSync } from "node:fs";
import { release } from "node:os";
import { availableCapabilities } from "./capabilities.ts";
import { type Rlimit, readRlimits } from "./rlimits.ts";

export interface HostFacts {
  /** As the API names it: amd64, arm64. */
  machine: string;
  kernel: readonly [major: number, minor: number];
  /** What this process may hand on to a container. */
  capabilities: readonly string[];
  /** This process's own limits by name (nofile, …): no child gets more without CAP_SYS_RESOURCE. */
  rlimits: ReadonlyMap<string, Rlimit>;
  /** This process's own: no child gets a lower one without CAP_SYS_RESOURCE. */
  oomScoreAdj: number;
  /** AppArmor is on. */
  appArmor: boolean;
  /** CPUs that can ever be there, for the paths that tell about each of them. */
  cpuCount: number;
}

const machines: Record<string, string> = { x64: "amd64", arm64: "arm64", arm: "arm", ia32: "386" };

/** The number of CPUs in a list as the kernel writes it: 0-3,8 → 9, one more than the highest. */
function highestCpu(list: string): number {
  return Math.max(...list.trim().split(/[-,]/).map(Number)) + 1;
}

let known: HostFacts | undefined;

/** Reads the facts once; none of them changes while the daemon runs. */
export function hostFacts(): HostFacts {
  if (known !== undefined) return known;
  const [major = 0, minor = 0] = release().split(/[.-]/).map(Number);
  const read = (path: string, otherwise: string) => (existsSync(path) ? readFileSync(path, "utf8") : otherwise);
  known = {
    machine: machines[process.arch] ?? process.arch,
    kernel: [major, minor],
    capabilities: availableCapabilities(),
    rlimits: readRlimits(read("/proc/self/limits", "")),
    oomScoreAdj: Number(read("/proc/self/oom_score_adj", "0")),
    appArmor: read("/sys/module/apparmor/parameters/enabled", "N").startsWith("Y"),
    cpuCount: highestCpu(read("/sys/devices/system/cpu/possible", "0")),
  };
  return known;
}
