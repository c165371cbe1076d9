/**
 * What a cgroup has used, in the shapes of the Engine API (ContainerStatsResponse). Files: the kernel's
 * Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst. What a kernel does not have is left out.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join } from "node:path";
import type {
  ContainerBlkioStatEntry,
  ContainerBlkioStats,
  ContainerCPUStats,
  ContainerMemoryStats,
  ContainerPidsStats,
} from "../wire/engine-api.ts";
import type { DirectoryOf } from "./cgroup-limits.ts";

/** All but the processor's time, which is asked for more often. */
export interface CgroupUsage {
  pids_stats: ContainerPidsStats;
  blkio_stats: ContainerBlkioStats;
  memory_stats: ContainerMemoryStats;
}

/** The kernel's clock ticks in a second, in which cgroup v1 counts user and system time. */
const ticksPerSecond = 100;
const nsPerSecond = 1_000_000_000;

/** Processor time of a cgroup, and the time that all processors had until now. */
export function cpuUsage(directoryOf: DirectoryOf, version: 1 | 2): ContainerCPUStats {
  const cpus = availableParallelism();
  // Docker adds up /proc/stat, whose ticks are too coarse for short spans; all processors together pass as much.
  const system = Math.round(Number(process.hrtime.bigint()) * cpus);
  const common = { system_cpu_usage: system, online_cpus: cpus };
  const cpu = directoryOf("cpu");
  const stat = keyed(cpu, "cpu.stat");
  if (version === 2)
    return {
      cpu_usage: {
        total_usage: (stat.usage_usec ?? 0) * 1000,
        usage_in_kernelmode: (stat.system_usec ?? 0) * 1000,
        usage_in_usermode: (stat.user_usec ?? 0) * 1000,
      },
      ...common,
      throttling_data: throttling(stat, (stat.throttled_usec ?? 0) * 1000),
    };
  const account = directoryOf("cpuacct");
  const ticks = keyed(account, "cpuacct.stat");
  const ns = (count = 0) => count * (nsPerSecond / ticksPerSecond);
  const perCpu = text(account, "cpuacct.usage_percpu")?.trim().split(/\s+/).map(Number);
  return {
    cpu_usage: {
      total_usage: number(account, "cpuacct.usage") ?? 0,
      ...(perCpu === undefined ? {} : { percpu_usage: perCpu }),
      usage_in_kernelmode: ns(ticks.system),
      usage_in_usermode: ns(ticks.user),
    },
    ...common,
    throttling_data: throttling(stat, stat.throttled_time ?? 0),
  };
}

/** Memory, processes, and what went to and from disks. `hostMemory` is in bytes: a limit above it is none. */
export function cgroupUsage(directoryOf: DirectoryOf, version: 1 | 2, hostMemory: number): CgroupUsage {
  return {
    pids_stats: pids(directoryOf("pids")),
    blkio_stats: version === 2 ? unifiedIo(directoryOf("io")) : legacyIo(directoryOf("blkio")),
    memory_stats: (version === 2 ? unifiedMemory : legacyMemory)(directoryOf("memory"), hostMemory),
  };
}

/** Docker's answer about a container that does not run. */
export const noBlkio = {
  io_service_bytes_recursive: null,
  io_serviced_recursive: null,
  io_queue_recursive: null,
  io_service_time_recursive: null,
  io_wait_time_recursive: null,
  io_merged_recursive: null,
  io_time_recursive: null,
  sectors_recursive: null,
};

export const noCpu: ContainerCPUStats = {
  cpu_usage: { total_usage: 0, usage_in_kernelmode: 0, usage_in_usermode: 0 },
  throttling_data: { periods: 0, throttled_periods: 0, throttled_time: 0 },
};

function throttling(stat: Record<string, number>, throttledNs: number) {
  return { periods: stat.nr_periods ?? 0, throttled_periods: stat.nr_throttled ?? 0, throttled_time: throttledNs };
}

function pids(directory: string | undefined): ContainerPidsStats {
  const limit = number(directory, "pids.max");
  return { current: number(directory, "pids.current") ?? 0, ...(limit === undefined ? {} : { limit }) };
}

function legacyMemory(directory: string | undefined, hostMemory: number): ContainerMemoryStats {
  const failures = number(directory, "memory.failcnt") ?? 0;
  return {
    usage: number(directory, "memory.usage_in_bytes") ?? 0,
    max_usage: number(directory, "memory.max_usage_in_bytes") ?? 0,
    stats: keyed(directory, "memory.stat"),
    ...(failures > 0 ? { failcnt: failures } : {}),
    limit: Math.min(number(directory, "memory.limit_in_bytes") ?? hostMemory, hostMemory),
  };
}

function unifiedMemory(directory: string | undefined, hostMemory: number): ContainerMemoryStats {
  const { oom = 0 } = keyed(directory, "memory.events");
  return {
    usage: number(directory, "memory.current") ?? 0,
    stats: keyed(directory, "memory.stat"),
    ...(oom > 0 ? { failcnt: oom } : {}),
    limit: Math.min(number(directory, "memory.max") ?? hostMemory, hostMemory),
  };
}

/** Lines `254:0 Read 49152`; the last is a total. */
function legacyIo(directory: string | undefined): ContainerBlkioStats {
  const entries = (file: string): ContainerBlkioStatEntry[] =>
    lines(directory, file).flatMap((line) => {
      const [, major, minor, op, value] = /^(\d+):(\d+) (\w+) (\d+)$/.exec(line) ?? [];
      return op === undefined ? [] : { major: Number(major), minor: Number(minor), op, value: Number(value) };
    });
  const either = (first: string, second: string) => {
    const found = entries(first);
    return found.length > 0 ? found : entries(second);
  };
  return {
    ...emptyLists,
    io_service_bytes_recursive: either("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"),
    io_serviced_recursive: either("blkio.throttle.io_serviced_recursive", "blkio.throttle.io_serviced"),
  };
}

/** Lines `254:0 rbytes=49152 wbytes=0 rios=11 wios=0 …`. */
function unifiedIo(directory: string | undefined): ContainerBlkioStats {
  const bytes: ContainerBlkioStatEntry[] = [];
  const operations: ContainerBlkioStatEntry[] = [];
  for (const line of lines(directory, "io.stat")) {
    const [device = "", ...fields] = line.split(" ");
    const [major, minor] = device.split(":").map(Number);
    const values = new Map(fields.map((field) => field.split("=") as [string, string]));
    const add = (into: ContainerBlkioStatEntry[], op: string, key: string) =>
      into.push({ major: major ?? 0, minor: minor ?? 0, op, value: Number(values.get(key) ?? 0) });
    add(bytes, "read", "rbytes");
    add(bytes, "write", "wbytes");
    add(operations, "read", "rios");
    add(operations, "write", "wios");
  }
  return { ...noBlkio, io_service_bytes_recursive: bytes, io_serviced_recursive: operations };
}

const emptyLists = Object.fromEntries(Object.keys(noBlkio).map((key) => [key, []])) as ContainerBlkioStats;

function text(directory: string | undefined, file: string): string | undefined {
  if (directory === undefined) return undefined;
  try {
    return readFileSync(join(directory, file), "latin1");
  } catch {
    return undefined; // Not every kernel has every file; and the cgroup may be gone.
  }
}

function lines(directory: string | undefined, file: string): string[] {
  return (text(directory, file) ?? "").split("\n").filter((line) => line !== "");
}

/** undefined also for `max`. */
function number(directory: string | undefined, file: string): number | undefined {
  const value = Number(text(directory, file)?.trim() || Number.NaN);
  return Number.isNaN(value) ? undefined : value;
}

/** Lines of a name and a number. */
function keyed(directory: string | undefined, file: string): Record<string, number> {
  return Object.fromEntries(
    lines(directory, file).map((line) => {
      const at = line.indexOf(" ");
      return [line.slice(0, at), Number(line.slice(at + 1))];
    }),
  );
}
