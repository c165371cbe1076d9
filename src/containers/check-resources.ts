/** Checks the limits a container asks for, against the limits of sense and of the host. Sentences are Docker's. */
import { invalidParameter, systemError } from "../lib/errors.ts";
import { containerBlockIo, parseDeviceRule } from "../runtime/devices.ts";
import { checkUlimits } from "../runtime/rlimits.ts";
import type { HostConfig } from "../wire/engine-api.ts";

/** What of the host limits matter. */
export interface ResourceHost {
  cgroupMode: "v1" | "hybrid" | "v2";
  /** CPUs that are online, as a list: 0-3,8. */
  cpus: string;
  /** Memory nodes that are online, as a list. */
  memoryNodes: string;
  cpuCount: number;
  /** Memory with swap can be limited. */
  hasSwapLimit: boolean;
  /** Block devices can be given weights. */
  hasBlkioWeight: boolean;
}

/** Limits of a container to be, or changes of one that is there: those are judged by themselves. */
export type Occasion = "create" | "update";

const minimumMemoryBytes = 6 * 2 ** 20;
const nanosPerCpu = 1e9;
const highestCpu = 8192;

function checkMemory(hostConfig: HostConfig, host: ResourceHost, warnings: string[], occasion: Occasion): void {
  const { Memory = 0, MemorySwap = 0, MemoryReservation = 0, MemorySwappiness } = hostConfig;
  if (Memory !== 0 && Memory < minimumMemoryBytes) throw invalidParameter("Minimum memory limit allowed is 6MB");
  if (Memory > 0 && MemorySwap !== -1 && !host.hasSwapLimit) {
    warnings.push(
      "Your kernel does not support swap limit capabilities or the cgroup is not mounted. Memory limited without swap.",
    );
    hostConfig.MemorySwap = -1;
  } else if (Memory > 0 && MemorySwap > 0 && MemorySwap < Memory)
    throw invalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage");
  if (Memory === 0 && MemorySwap > 0 && occasion === "create")
    throw invalidParameter("You should always set the Memory limit when using Memoryswap limit, see usage");
  if (MemorySwappiness != null && (MemorySwappiness < -1 || MemorySwappiness > 100))
    throw invalidParameter(`Invalid value: ${MemorySwappiness}, valid memory swappiness range is 0-100`);
  if (MemorySwappiness != null && MemorySwappiness !== -1 && host.cgroupMode === "v2") {
    warnings.push(
      "Your kernel does not support memory swappiness capabilities or the cgroup is not mounted. Memory swappiness discarded.",
    );
    delete hostConfig.MemorySwappiness;
  }
  if (MemoryReservation !== 0 && MemoryReservation < minimumMemoryBytes)
    throw invalidParameter("Minimum memory reservation allowed is 6MB");
  if (Memory > 0 && MemoryReservation > Memory)
    throw invalidParameter("Minimum memory limit can not be less than memory reservation limit, see usage");
  if (hostConfig.OomKillDisable && host.cgroupMode === "v2") {
    warnings.push("Your kernel does not support OomKillDisable. OomKillDisable discarded.");
    delete hostConfig.OomKillDisable;
  } else if (hostConfig.OomKillDisable && Memory === 0)
    warnings.push(
      "OOM killer is disabled for the container, but no memory limit is set, this can result in the system running out of resources.",
    );
}

/** The numbers in a list as the kernel writes it: 0-2,5. Undefined where it is none. */
function parseCpuList(list: string): Set<number> | undefined {
  const numbers = new Set<number>();
  for (const part of list.split(",")) {
    const match = /^([0-9]{1,4})(?:-([0-9]{1,4}))?$/.exec(part);
    if (match === null) return undefined;
    const first = Number(match[1]);
    const last = Number(match[2] ?? match[1]);
    if (last < first || last > highestCpu) return undefined;
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return numbers;
}

function checkCpuset(list: string, available: string, words: { field: string; things: string }): void {
  if (list === "") return;
  const asked = parseCpuList(list);
  if (asked === undefined)
    throw invalidParameter(`Invalid value ${list} for cpuset ${words.field}: invalid format: ${list}`);
  const there = parseCpuList(available);
  if (there !== undefined && [...asked].some((number) => !there.has(number)))
    throw invalidParameter(`Requested ${words.things} are not available - requested ${list}, available: ${available}`);
}

function checkCpu(hostConfig: HostConfig, host: ResourceHost, warnings: string[]): void {
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, CpuRealtimePeriod = 0, CpuRealtimeRuntime = 0 } = hostConfig;
  if (NanoCpus > 0 && CpuPeriod > 0)
    throw invalidParameter("Conflicting options: Nano CPUs and CPU Period cannot both be set");
  if (NanoCpus > 0 && CpuQuota > 0)
    throw invalidParameter("Conflicting options: Nano CPUs and CPU Quota cannot both be set");
  if (NanoCpus < 0 || NanoCpus > host.cpuCount * nanosPerCpu)
    throw invalidParameter(
      `Range of CPUs is from 0.01 to ${host.cpuCount.toFixed(2)}, as there are only ${host.cpuCount} CPUs available`,
    );
  if (CpuPeriod !== 0 && (CpuPeriod < 1000 || CpuPeriod > 1000000))
    throw invalidParameter("CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)");
  if (CpuQuota > 0 && CpuQuota < 1000) throw invalidParameter("CPU cfs quota can not be less than 1ms (i.e. 1000)");
  if ((CpuRealtimePeriod !== 0 || CpuRealtimeRuntime !== 0) && host.cgroupMode === "v2")
    throw systemError("your kernel does not support CPU real-time scheduler");
  if (CpuRealtimePeriod !== 0 && CpuRealtimeRuntime > CpuRealtimePeriod)
    throw systemError("cpu real-time runtime cannot be higher than cpu real-time period");
  if ((hostConfig.CpuPercent ?? 0) > 0) {
    warnings.push("linux does not support CPU percent. Percent discarded.");
    delete hostConfig.CpuPercent;
  }
  checkCpuset(hostConfig.CpusetCpus ?? "", host.cpus, { field: "cpus", things: "CPUs" });
  checkCpuset(hostConfig.CpusetMems ?? "", host.memoryNodes, { field: "mems", things: "memory nodes" });
}

function checkBlockIo(hostConfig: HostConfig, host: ResourceHost, warnings: string[]): void {
  const { BlkioWeight = 0, BlkioWeightDevice = [] } = hostConfig;
  if (BlkioWeight !== 0 && !host.hasBlkioWeight) {
    warnings.push("Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.");
    delete hostConfig.BlkioWeight;
  } else if (BlkioWeight !== 0 && (BlkioWeight < 10 || BlkioWeight > 1000))
    throw invalidParameter("Range of blkio weight is from 10 to 1000");
  if (BlkioWeightDevice?.length && !host.hasBlkioWeight) {
    warnings.push(
      "Your kernel does not support Block I/O weight_device or the cgroup is not mounted. Weight-device discarded.",
    );
    delete hostConfig.BlkioWeightDevice;
  }
  if ((hostConfig.IOMaximumIOps ?? 0) > 0)
    throw systemError("Invalid QoS settings: linux does not support configuration of maximum IOPs");
  if ((hostConfig.IOMaximumBandwidth ?? 0) > 0)
    throw systemError("Invalid QoS settings: linux does not support configuration of maximum bandwidth");
  containerBlockIo(hostConfig);
}

/**
 * Checks all limits, and takes out of `hostConfig` what this host cannot do, with a warning each.
 * Throws invalidParameter for what makes no sense or goes beyond the host.
 */
export function checkResources(
  hostConfig: HostConfig,
  host: ResourceHost,
  warnings: string[],
  occasion: Occasion = "create",
): void {
  checkMemory(hostConfig, host, warnings, occasion);
  checkCpu(hostConfig, host, warnings);
  checkBlockIo(hostConfig, host, warnings);
  if ((hostConfig.ShmSize ?? 0) < 0) throw invalidParameter("SHM size can not be less than 0");
  const oomScoreAdj = hostConfig.OomScoreAdj ?? 0;
  if (oomScoreAdj < -1000 || oomScoreAdj > 1000)
    throw invalidParameter(`Invalid value ${oomScoreAdj}, range for oom score adj is [-1000, 1000]`);
  checkUlimits(hostConfig.Ulimits ?? []);
  for (const rule of hostConfig.DeviceCgroupRules ?? []) parseDeviceRule(rule);
  for (const request of hostConfig.DeviceRequests ?? [])
    throw systemError(
      `could not select device driver "${request.Driver ?? ""}" with capabilities: [${(request.Capabilities ?? []).map((set) => `[${set.join(" ")}]`).join(" ")}]`,
    );
}
