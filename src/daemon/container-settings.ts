/** What containers are to know of the daemon's configuration and of the host. */
import { existsSync, readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { CheckHost } from "../containers/check-request.ts";
import type { ContainerSettings } from "../containers/rooms.ts";
import { cgroupMode } from "../kernel/cgroups.ts";
import { hostFacts } from "../runtime/host-facts.ts";
import type { DaemonConfig } from "./config.ts";
import { findInit } from "./programs.ts";

export function containerSettings(config: DaemonConfig): ContainerSettings {
  const host = hostFacts();
  return {
    dataRoot: config.dataRoot,
    runRoot: config.execRoot,
    cgroupParent: config.cgroupParent,
    systemdCgroup: config.systemdCgroup,
    initPath: config.initPath || findInit(),
    init: config.init,
    ulimits: config.defaultUlimits,
    seccompProfile: config.seccompProfile,
    noNewPrivileges: config.noNewPrivileges,
    hostConfigDefaults: {
      logDriver: config.logDriver,
      logOptions: config.logOptions,
      ipcMode: config.defaultIpcMode,
      cgroupnsMode: config.defaultCgroupnsMode,
      shmSizeBytes: config.defaultShmSizeBytes,
      get runtime() {
        return config.defaultRuntime;
      },
      cpuCount: host.cpuCount,
    },
    checkHost: checkHost(config),
  };
}

function checkHost(config: DaemonConfig): CheckHost {
  const { capabilities, appArmor } = hostFacts();
  return {
    cgroupMode: cgroupMode(),
    cpus: online("/sys/devices/system/cpu/online"),
    memoryNodes: online("/sys/devices/system/node/online"),
    cpuCount: availableParallelism(),
    hasSwapLimit: hasSwapLimit(),
    hasBlkioWeight: cgroupMode() === "v2" || existsSync("/sys/fs/cgroup/blkio/blkio.weight"),
    capabilities,
    appArmor,
    get runtimes() {
      return Object.keys(config.runtimes);
    },
    defaultLogDriver: config.logDriver,
  };
}

/** v2 has the file in every cgroup but the root. */
function hasSwapLimit(): boolean {
  if (cgroupMode() !== "v2") return existsSync("/sys/fs/cgroup/memory/memory.memsw.limit_in_bytes");
  const own = readFileSync("/proc/self/cgroup", "utf8").trim().split(":").slice(2).join(":");
  return own === "/" ? existsSync("/proc/swaps") : existsSync(`/sys/fs/cgroup${own}/memory.swap.max`);
}

/** A list of CPUs or memory nodes, 0-3 say. */
function online(path: string): string {
  return existsSync(path) ? readFileSync(path, "utf8").trim() : "0";
}
