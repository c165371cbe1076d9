/** HostConfig's limits as the OCI runtime wants them; it brings them into the form of cgroups v1 or v2 itself. */
import type { HostConfig } from "../wire/engine-api.ts";
import { containerBlockIo } from "./devices.ts";
import type { OciDeviceRule, OciResources } from "./oci.ts";

const nanosPerCpu = 1_000_000_000;
/** The period that --cpus is a share of, in microseconds. */
const cpusPeriodUs = 100_000;
const unlimited = -1;

/** Leaves out what is undefined; undefined where nothing is left. */
function given<T extends object>(fields: T): T | undefined {
  const entries = Object.entries(fields).filter(([, value]) => value !== undefined);
  return entries.length === 0 ? undefined : (Object.fromEntries(entries) as T);
}

function memoryOf(hostConfig: HostConfig): OciResources["memory"] {
  const { Memory = 0, MemorySwap = 0, MemoryReservation = 0, MemorySwappiness, OomKillDisable } = hostConfig;
  return given({
    limit: Memory > 0 ? Memory : undefined,
    reservation: MemoryReservation > 0 ? MemoryReservation : undefined,
    swap: MemorySwap === 0 ? undefined : Math.max(MemorySwap, unlimited),
    swappiness: MemorySwappiness == null || MemorySwappiness < 0 ? undefined : MemorySwappiness,
    disableOOMKiller: OomKillDisable ? true : undefined,
  });
}

function cpuOf(hostConfig: HostConfig): OciResources["cpu"] {
  const { NanoCpus = 0, CpuShares = 0, CpuPeriod = 0, CpuQuota = 0 } = hostConfig;
  const { CpuRealtimePeriod = 0, CpuRealtimeRuntime = 0, CpusetCpus, CpusetMems } = hostConfig;
  return given({
    shares: CpuShares > 0 ? CpuShares : undefined,
    quota: NanoCpus > 0 ? Math.round((NanoCpus * cpusPeriodUs) / nanosPerCpu) : CpuQuota || undefined,
    period: NanoCpus > 0 ? cpusPeriodUs : CpuPeriod || undefined,
    realtimePeriod: CpuRealtimePeriod || undefined,
    realtimeRuntime: CpuRealtimeRuntime || undefined,
    cpus: CpusetCpus || undefined,
    mems: CpusetMems || undefined,
  });
}

/** The resources section; `devices` are the rules of the device cgroup. Throws for a block device that is not there. */
export function containerResources(hostConfig: HostConfig, devices: OciDeviceRule[]): OciResources {
  const pidsLimit = hostConfig.PidsLimit ?? 0;
  return {
    devices,
    ...given({
      memory: memoryOf(hostConfig),
      cpu: cpuOf(hostConfig),
      pids: pidsLimit > 0 ? { limit: pidsLimit } : undefined,
      blockIO: containerBlockIo(hostConfig),
    }),
  };
}

/**
 * Where a container's cgroup lies, in the form the runtime takes: a path below `parent`, or slice:prefix:id for
 * systemd. `parent` is empty for the default.
 */
export function cgroupsPathOf(id: string, parent: string, systemd: boolean): string {
  if (systemd) return `${parent || "system.slice"}:brig:${id}`;
  return `/${(parent || "brig").replace(/^\/+|\/+$/g, "")}/${id}`;
}

/**
 * The cgroup that systemd makes of `slice:prefix:name`: a scope below the slice, and `a-b.slice` lies in `a.slice`
 * (systemd.slice(5)).
 */
export function systemdCgroupPath(cgroupsPath: string): string {
  const [slice = "", prefix = "", name = ""] = cgroupsPath.split(":");
  const words = slice.replace(/\.slice$/, "").split("-");
  const parents =
    slice === "" || slice === "-.slice" ? [] : words.map((_, index) => `${words.slice(0, index + 1).join("-")}.slice`);
  return `/${[...parents, `${prefix}-${name}.scope`].join("/")}`;
}
