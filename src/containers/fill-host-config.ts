/** What a container's HostConfig says where the client said nothing, so that inspect shows what is really done. */
import { defaultMaskedPaths, defaultReadonlyPaths } from "../runtime/default-mounts.ts";
import type { HostConfig } from "../wire/engine-api.ts";

/** The daemon's own defaults. */
export interface HostConfigDefaults {
  logDriver: string;
  logOptions: Record<string, string>;
  ipcMode: string;
  cgroupnsMode: "private" | "host";
  shmSizeBytes: number;
  runtime: string;
  /** CPUs the host can have: some paths are masked for each of them. */
  cpuCount: number;
}

/**
 * A HostConfig with every field that Docker's inspect shows, in its order. Does not change what it is given.
 * `initialConsoleSize` stays what the client sent.
 */
export function fillHostConfig(given: HostConfig, defaults: HostConfigDefaults): HostConfig {
  const memory = given.Memory ?? 0;
  const privileged = given.Privileged ?? false;
  const logType = given.LogConfig?.Type || defaults.logDriver;
  // The daemon's options are for the daemon's driver: another driver may not know them.
  const logOptions = given.LogConfig?.Type && given.LogConfig.Type !== defaults.logDriver ? {} : defaults.logOptions;
  const networkMode = given.NetworkMode;
  const filled: Record<string, unknown> = {
    Binds: given.Binds ?? null,
    ContainerIDFile: given.ContainerIDFile ?? "",
    LogConfig: { Type: logType, Config: { ...logOptions, ...given.LogConfig?.Config } },
    NetworkMode: networkMode === undefined || networkMode === "" || networkMode === "default" ? "bridge" : networkMode,
    PortBindings: given.PortBindings ?? {},
    RestartPolicy: {
      Name: given.RestartPolicy?.Name || "no",
      MaximumRetryCount: given.RestartPolicy?.MaximumRetryCount ?? 0,
    },
    AutoRemove: given.AutoRemove ?? false,
    VolumeDriver: given.VolumeDriver ?? "",
    VolumesFrom: given.VolumesFrom ?? null,
    ConsoleSize: given.ConsoleSize ?? [0, 0],
    CapAdd: given.CapAdd ?? null,
    CapDrop: given.CapDrop ?? null,
    CgroupnsMode: given.CgroupnsMode || (privileged ? "host" : defaults.cgroupnsMode),
    Dns: given.Dns ?? [],
    DnsOptions: given.DnsOptions ?? [],
    DnsSearch: given.DnsSearch ?? [],
    ExtraHosts: given.ExtraHosts ?? null,
    GroupAdd: given.GroupAdd ?? null,
    IpcMode: given.IpcMode || defaults.ipcMode,
    Cgroup: given.Cgroup ?? "",
    Links: given.Links ?? null,
    OomScoreAdj: given.OomScoreAdj ?? 0,
    PidMode: given.PidMode ?? "",
    Privileged: privileged,
    PublishAllPorts: given.PublishAllPorts ?? false,
    ReadonlyRootfs: given.ReadonlyRootfs ?? false,
    // Two processes that see each other, or the host, need the same labels: Docker shows it on every host.
    SecurityOpt:
      given.SecurityOpt ??
      (privileged || given.IpcMode === "host" || given.PidMode === "host" ? ["label=disable"] : null),
    StorageOpt: given.StorageOpt,
    Tmpfs: given.Tmpfs,
    UTSMode: given.UTSMode ?? "",
    UsernsMode: given.UsernsMode ?? "",
    ShmSize: given.ShmSize || defaults.shmSizeBytes,
    Sysctls: given.Sysctls ?? undefined,
    Runtime: given.Runtime || defaults.runtime,
    Isolation: given.Isolation ?? "",
    CpuShares: given.CpuShares ?? 0,
    Memory: memory,
    NanoCpus: given.NanoCpus ?? 0,
    CgroupParent: given.CgroupParent ?? "",
    BlkioWeight: given.BlkioWeight ?? 0,
    BlkioWeightDevice: given.BlkioWeightDevice ?? [],
    BlkioDeviceReadBps: given.BlkioDeviceReadBps ?? [],
    BlkioDeviceWriteBps: given.BlkioDeviceWriteBps ?? [],
    BlkioDeviceReadIOps: given.BlkioDeviceReadIOps ?? [],
    BlkioDeviceWriteIOps: given.BlkioDeviceWriteIOps ?? [],
    CpuPeriod: given.CpuPeriod ?? 0,
    CpuQuota: given.CpuQuota ?? 0,
    CpuRealtimePeriod: given.CpuRealtimePeriod ?? 0,
    CpuRealtimeRuntime: given.CpuRealtimeRuntime ?? 0,
    CpusetCpus: given.CpusetCpus ?? "",
    CpusetMems: given.CpusetMems ?? "",
    Devices: given.Devices ?? [],
    DeviceCgroupRules: given.DeviceCgroupRules ?? null,
    DeviceRequests: given.DeviceRequests ?? null,
    MemoryReservation: given.MemoryReservation ?? 0,
    MemorySwap: memory > 0 && !given.MemorySwap ? memory * 2 : (given.MemorySwap ?? 0),
    MemorySwappiness: given.MemorySwappiness === -1 ? null : (given.MemorySwappiness ?? null),
    OomKillDisable: given.OomKillDisable ?? false,
    PidsLimit: (given.PidsLimit ?? 0) <= 0 ? null : given.PidsLimit,
    Ulimits: given.Ulimits ?? [],
    CpuCount: given.CpuCount ?? 0,
    CpuPercent: given.CpuPercent ?? 0,
    IOMaximumIOps: given.IOMaximumIOps ?? 0,
    IOMaximumBandwidth: given.IOMaximumBandwidth ?? 0,
    Mounts: given.Mounts?.length ? given.Mounts : undefined,
    MaskedPaths: privileged ? null : (given.MaskedPaths ?? defaultMaskedPaths(defaults.cpuCount)),
    ReadonlyPaths: privileged ? null : (given.ReadonlyPaths ?? defaultReadonlyPaths),
    Init: given.Init ?? undefined,
    Annotations: given.Annotations,
  };
  for (const [field, value] of Object.entries(filled)) if (value === undefined) delete filled[field];
  return filled as HostConfig;
}
