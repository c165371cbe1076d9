/**
 * Limits of a cgroup that is there already, as the files that hold them: Documentation/admin-guide/cgroup-v1 and
 * cgroup-v2.rst of the kernel. A new cgroup gets its limits from the OCI runtime.
 */
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf, systemError } from "../lib/errors.ts";
import type { OciResources, OciThrottle } from "./oci.ts";

/** The directory of a controller's files, or undefined where there is no such controller. */
export type DirectoryOf = (controller: string) => string | undefined;

/** What is to be written into a file. */
interface Setting {
  controller: string;
  file: string;
  value: string;
  /** Written where the limit is taken away; undefined where it then stays as it is. */
  none?: string | undefined;
}

/** By file, and device where a file holds several. */
type Settings = Map<string, Setting>;

const defaultPeriodUs = 100_000;

/**
 * Brings a cgroup from `before` to `after`; writes what differs. Throws systemError for what the kernel refuses, and then
 * what was written before it is taken back.
 */
export function changeLimits(
  directoryOf: DirectoryOf,
  version: 1 | 2,
  before: OciResources,
  after: OciResources,
): void {
  const settingsOf = version === 2 ? unifiedSettings : legacySettings;
  const old = settingsOf(before, directoryOf);
  const fresh = settingsOf(after, directoryOf);
  const changes: Setting[] = [];
  for (const [key, setting] of fresh) if (old.get(key)?.value !== setting.value) changes.push(setting);
  for (const [key, setting] of old)
    if (!fresh.has(key) && setting.none !== undefined) changes.push({ ...setting, value: setting.none });
  const written: { path: string; value: string }[] = [];
  try {
    for (const change of inOrder(changes, directoryOf)) {
      const directory = directoryOf(change.controller);
      if (directory === undefined)
        throw systemError(`the cgroup controller ${change.controller} is not available: ${change.file}`);
      const path = join(directory, change.file);
      const held = write(path, change.value);
      // Of files that hold a line for each device nothing is taken back: what they say is not what they take.
      if (!/^\d+:\d+ /.test(change.value)) written.push({ path, value: held });
    }
  } catch (error) {
    for (const { path, value } of written.reverse())
      try {
        write(path, value);
      } catch {} // The first failure is the one to tell.
    throw error;
  }
}

/** Returns what the file held before. */
function write(path: string, value: string): string {
  try {
    const held = readFileSync(path, "utf8").trim();
    writeFileSync(path, value, { flag: "r+" });
    return held;
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? "";
    const words = reasons.get(code) ?? messageOf(error);
    throw systemError(`failed to write ${JSON.stringify(value)}: write ${path}: ${words}`, error);
  }
}

const reasons = new Map([
  ["EINVAL", "invalid argument"],
  ["EBUSY", "device or resource busy"],
  ["ENOENT", "no such file or directory"],
  ["EACCES", "permission denied"],
  ["ENOSPC", "no space left on device"],
  ["ENODEV", "no such device"],
  ["ERANGE", "numerical result out of range"],
]);

const legacyMemory = "memory.limit_in_bytes";
const legacySwap = "memory.memsw.limit_in_bytes";

/** v1 wants memory with swap never to be less than memory: what grows is written from above, what shrinks from below. */
function inOrder(changes: Setting[], directoryOf: DirectoryOf): Setting[] {
  const swap = changes.find(({ file }) => file === legacySwap);
  const directory = directoryOf("memory");
  if (swap === undefined || directory === undefined || !existsSync(join(directory, legacySwap))) return changes;
  const grows =
    swap.value === "-1" || BigInt(swap.value) > BigInt(readFileSync(join(directory, legacySwap), "utf8").trim());
  if (!grows) return changes;
  return [swap, ...changes.filter((change) => change !== swap)];
}

class Collector {
  readonly settings: Settings = new Map();

  /** Does nothing for undefined. */
  put(controller: string, file: string, value: number | string | undefined, none?: string): void {
    if (value !== undefined) this.settings.set(file, { controller, file, value: String(value), none });
  }

  putForDevice(controller: string, file: string, device: string, value: string, none: string): void {
    this.settings.set(`${file} ${device} ${none}`, {
      controller,
      file,
      value: `${device} ${value}`,
      none: `${device} ${none}`,
    });
  }
}

function legacySettings({ memory, cpu, pids, blockIO }: OciResources, directoryOf: DirectoryOf): Settings {
  const all = new Collector();
  all.put("memory", legacyMemory, memory?.limit);
  all.put("memory", legacySwap, memory?.swap);
  all.put("memory", "memory.soft_limit_in_bytes", memory?.reservation);
  all.put("memory", "memory.swappiness", memory?.swappiness);
  all.put("cpu", "cpu.shares", cpu?.shares);
  all.put("cpu", "cpu.cfs_period_us", cpu?.period);
  all.put("cpu", "cpu.cfs_quota_us", cpu?.quota, "-1");
  all.put("cpu", "cpu.rt_period_us", cpu?.realtimePeriod);
  all.put("cpu", "cpu.rt_runtime_us", cpu?.realtimeRuntime);
  all.put("cpuset", "cpuset.cpus", cpu?.cpus);
  all.put("cpuset", "cpuset.mems", cpu?.mems);
  all.put("pids", "pids.max", pids?.limit, "max");
  const weightFile = existsSync(join(directoryOf("blkio") ?? "", "blkio.weight")) ? "blkio" : "blkio.bfq";
  all.put("blkio", `${weightFile}.weight`, blockIO?.weight);
  for (const { major, minor, weight } of blockIO?.weightDevice ?? [])
    all.putForDevice("blkio", `${weightFile}.weight_device`, `${major}:${minor}`, String(weight), "0");
  const throttle = (file: string, list: OciThrottle[] = []) => {
    for (const { major, minor, rate } of list)
      all.putForDevice("blkio", `blkio.throttle.${file}_device`, `${major}:${minor}`, String(rate), "0");
  };
  throttle("read_bps", blockIO?.throttleReadBpsDevice);
  throttle("write_bps", blockIO?.throttleWriteBpsDevice);
  throttle("read_iops", blockIO?.throttleReadIOPSDevice);
  throttle("write_iops", blockIO?.throttleWriteIOPSDevice);
  return all.settings;
}

function unifiedSettings({ memory, cpu, pids, blockIO }: OciResources, directoryOf: DirectoryOf): Settings {
  const all = new Collector();
  all.put("memory", "memory.max", memory?.limit);
  if (memory?.swap !== undefined)
    all.put("memory", "memory.swap.max", memory.swap < 0 ? "max" : Math.max(0, memory.swap - (memory.limit ?? 0)));
  all.put("memory", "memory.low", memory?.reservation);
  if (cpu?.shares !== undefined) all.put("cpu", "cpu.weight", weightOfShares(cpu.shares));
  if (cpu?.quota !== undefined || cpu?.period !== undefined) {
    const period = cpu.period ?? defaultPeriodUs;
    all.put("cpu", "cpu.max", `${cpu.quota && cpu.quota > 0 ? cpu.quota : "max"} ${period}`, `max ${period}`);
  }
  all.put("cpuset", "cpuset.cpus", cpu?.cpus);
  all.put("cpuset", "cpuset.mems", cpu?.mems);
  all.put("pids", "pids.max", pids?.limit, "max");
  const bfq = existsSync(join(directoryOf("io") ?? "", "io.bfq.weight"));
  const weightOf = (weight: number) => (bfq ? weight : weightOfBlkio(weight));
  const weightFile = bfq ? "io.bfq.weight" : "io.weight";
  if (blockIO?.weight !== undefined) all.put("io", weightFile, weightOf(blockIO.weight));
  for (const { major, minor, weight } of blockIO?.weightDevice ?? [])
    all.putForDevice("io", weightFile, `${major}:${minor}`, String(weightOf(weight)), "default");
  const throttle = (key: string, list: OciThrottle[] = []) => {
    for (const { major, minor, rate } of list)
      all.putForDevice("io", "io.max", `${major}:${minor}`, `${key}=${rate}`, `${key}=max`);
  };
  throttle("rbps", blockIO?.throttleReadBpsDevice);
  throttle("wbps", blockIO?.throttleWriteBpsDevice);
  throttle("riops", blockIO?.throttleReadIOPSDevice);
  throttle("wiops", blockIO?.throttleWriteIOPSDevice);
  return all.settings;
}

/** cpu.shares, 2 to 262144, as cpu.weight, 1 to 10000: the same line that crun and runc draw. */
function weightOfShares(shares: number): number {
  return 1 + Math.floor(((Math.min(Math.max(shares, 2), 262_144) - 2) * 9999) / 262_142);
}

/** blkio.weight, 10 to 1000, as io.weight, 1 to 10000. */
function weightOfBlkio(weight: number): number {
  return 1 + Math.floor(((weight - 10) * 9999) / 990);
}
