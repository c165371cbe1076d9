/** The mounts every container has, and the paths that are hidden or read-only in it. */
import { existsSync } from "node:fs";
import type { OciMount } from "./oci.ts";

/** What the default mounts depend on. */
export interface DefaultMountsRequest {
  privileged: boolean;
  /** Bytes of /dev/shm. */
  shmSize: number;
  /** A directory of the host to be /dev/shm, shared with whoever else has it; "none" for no /dev/shm at all. */
  shmPath?: string;
}

/** proc, /dev and what is in it, sysfs and cgroups: read-only where the host's state could be changed, unless privileged. */
export function defaultMounts({ privileged, shmSize, shmPath }: DefaultMountsRequest): OciMount[] {
  const guarded = ["nosuid", "noexec", "nodev"];
  const host = privileged ? guarded : [...guarded, "ro"];
  const mounts: OciMount[] = [
    { destination: "/proc", type: "proc", source: "proc", options: guarded },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"],
    },
    { destination: "/sys", type: "sysfs", source: "sysfs", options: host },
    { destination: "/sys/fs/cgroup", type: "cgroup", source: "cgroup", options: host },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: guarded },
  ];
  if (shmPath === undefined)
    mounts.push({
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...guarded, "mode=1777", `size=${shmSize}`],
    });
  else if (shmPath !== "none")
    mounts.push({ destination: "/dev/shm", type: "bind", source: shmPath, options: ["rbind", "rprivate"] });
  return mounts;
}

/**
 * Puts a container's own mounts after the default ones; one at the same place takes the default's, and one at /dev
 * takes all that would be mounted below it.
 */
export function withMounts(defaults: readonly OciMount[], own: readonly OciMount[]): OciMount[] {
  const taken = new Set(own.map(({ destination }) => destination));
  const kept = defaults.filter(
    ({ destination }) => !taken.has(destination) && !(taken.has("/dev") && destination.startsWith("/dev/")),
  );
  return [...kept, ...own];
}

const alwaysMasked = [
  "/proc/asound",
  "/proc/acpi",
  "/proc/interrupts",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/proc/scsi",
  "/sys/firmware",
  "/sys/devices/virtual/powercap",
];

/**
 * What is hidden in a container: it tells about the host, or lets others' work be guessed from heat and power.
 * `cpuCount` is how many CPUs the host can have.
 */
export function defaultMaskedPaths(cpuCount: number): string[] {
  const paths = [...alwaysMasked];
  for (let cpu = 0; cpu < cpuCount; cpu++) {
    const path = `/sys/devices/system/cpu/cpu${cpu}/thermal_throttle`;
    if (existsSync(path)) paths.push(path);
  }
  return paths;
}

/** What can be read in a container but not written. */
export const defaultReadonlyPaths = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
