/** GET /info and GET /version: the truth about this daemon and its host. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { availableParallelism, hostname, machine, release, totalmem } from "node:os";
import { basename, join } from "node:path";
import { newestVersion, oldestVersion } from "../api/versions.ts";
import { cgroupControllers, cgroupMode, controllerDirectory } from "../kernel/cgroups.ts";
import { nowRfc3339Nano } from "../lib/time.ts";
import type { IndexInfo, SystemInfo, SystemVersion } from "../wire/engine-api.ts";
import { type ProgramVersion, programVersion } from "./program-version.ts";

/** What of the daemon's configuration is told. */
export interface SystemSettings {
  /** Of this data root, for ever. */
  id: string;
  /** Brig's own version, the commit and the time (RFC 3339) it was built from. */
  version: string;
  gitCommit: string;
  buildTime: string;
  dataRoot: string;
  labels: string[];
  debug: boolean;
  experimental: boolean;
  storageDriver: string;
  cgroupDriver: "cgroupfs" | "systemd";
  /** The default, and all there are. */
  logDriver: string;
  logDrivers: string[];
  defaultRuntime: string;
  /** Paths of the OCI runtimes by their names. */
  runtimes: Record<string, string>;
  conmonPath: string;
  initPath: string;
  registryMirrors: string[];
  insecureRegistries: string[];
  defaultAddressPools: { base: string; size: number }[];
  httpProxy: string;
  httpsProxy: string;
  noProxy: string;
  /** TCP addresses that are served without TLS. */
  insecureHosts: string[];
}

export interface SystemParts {
  /** Called for each answer: a reload may have changed them. */
  settings: () => SystemSettings;
  containers: () => { running: number; paused: number; stopped: number };
  images: () => number;
  /** Pairs of name and value about where layers are kept. */
  driverStatus: () => string[][];
  eventListeners: () => number;
}

const architectures: Record<string, string> = { x64: "amd64", arm64: "arm64", arm: "arm", ia32: "386" };

export class SystemFacts {
  readonly #parts: SystemParts;
  readonly #host = readHost();

  constructor(parts: SystemParts) {
    this.#parts = parts;
  }

  async version(): Promise<SystemVersion> {
    const settings = this.#parts.settings();
    const { kernel, architecture } = this.#host;
    const { version, gitCommit, buildTime, experimental } = settings;
    const bunVersion = `bun${Bun.version}`;
    const details = {
      ApiVersion: newestVersion,
      Arch: architecture,
      BuildTime: buildTime,
      Experimental: String(experimental),
      GitCommit: gitCommit,
      GoVersion: bunVersion,
      KernelVersion: kernel,
      MinAPIVersion: oldestVersion,
      Os: "linux",
    };
    const helpers = await Promise.all([
      programVersion(defaultRuntimePath(settings)),
      programVersion(settings.conmonPath),
    ]);
    const components = [
      { Name: "Engine", Version: version, Details: details },
      ...helpers.map(({ name, version, commit }) => ({ Name: name, Version: version, Details: { GitCommit: commit } })),
    ];
    return {
      Platform: { Name: "Brig" },
      Components: components as unknown as SystemVersion["Components"],
      Version: version,
      ApiVersion: newestVersion,
      MinAPIVersion: oldestVersion,
      GitCommit: gitCommit,
      GoVersion: bunVersion,
      Os: "linux",
      Arch: architecture,
      KernelVersion: kernel,
      ...(experimental && { Experimental: true }),
      BuildTime: buildTime,
    };
  }

  async info(): Promise<SystemInfo> {
    const parts = this.#parts;
    const settings = parts.settings();
    const runtime = await programVersion(defaultRuntimePath(settings));
    const { running, paused, stopped } = parts.containers();
    const limits = readLimits();
    return {
      ID: settings.id,
      Containers: running + paused + stopped,
      ContainersRunning: running,
      ContainersPaused: paused,
      ContainersStopped: stopped,
      Images: parts.images(),
      Driver: settings.storageDriver,
      DriverStatus: parts.driverStatus(),
      Plugins: {
        Volume: ["local"],
        Network: ["bridge", "host", "null"],
        Authorization: [],
        Log: [...settings.logDrivers].sort(),
      },
      ...limits,
      IPv4Forwarding: read("/proc/sys/net/ipv4/ip_forward").trim() === "1",
      Debug: settings.debug,
      NFd: count("/proc/self/fd"),
      NGoroutines: count("/proc/self/task"),
      SystemTime: nowRfc3339Nano(),
      LoggingDriver: settings.logDriver,
      CgroupDriver: settings.cgroupDriver,
      CgroupVersion: cgroupMode() === "v2" ? "2" : "1",
      NEventsListener: parts.eventListeners(),
      ...this.#hostInfo(),
      IndexServerAddress: "https://index.docker.io/v1/",
      RegistryConfig: registryConfig(settings),
      GenericResources: null as unknown as SystemInfo["GenericResources"],
      DockerRootDir: settings.dataRoot,
      HttpProxy: withoutPassword(settings.httpProxy),
      HttpsProxy: withoutPassword(settings.httpsProxy),
      NoProxy: settings.noProxy,
      Labels: settings.labels,
      ExperimentalBuild: settings.experimental,
      ServerVersion: settings.version,
      Runtimes: Object.fromEntries(Object.entries(settings.runtimes).map(([name, path]) => [name, { path }])),
      DefaultRuntime: settings.defaultRuntime,
      Swarm: {
        NodeID: "",
        NodeAddr: "",
        LocalNodeState: "inactive",
        ControlAvailable: false,
        Error: "",
        RemoteManagers: null,
      },
      LiveRestoreEnabled: true,
      Isolation: "",
      InitBinary: basename(settings.initPath),
      ContainerdCommit: { ID: "" },
      RuncCommit: { ID: commitOf(runtime) },
      InitCommit: { ID: "N/A" },
      SecurityOptions: this.#securityOptions(),
      ...(settings.defaultAddressPools.length > 0 && {
        DefaultAddressPools: settings.defaultAddressPools.map(({ base, size }) => ({ Base: base, Size: size })),
      }),
      FirewallBackend: { Driver: "nftables" },
      CDISpecDirs: [],
      Warnings: warnings(limits, settings),
    };
  }

  #hostInfo(): SystemInfo {
    const { kernel, operatingSystem, osVersion } = this.#host;
    return {
      KernelVersion: kernel,
      OperatingSystem: operatingSystem,
      OSVersion: osVersion,
      OSType: "linux",
      Architecture: machine(),
      NCPU: availableParallelism(),
      MemTotal: totalmem(),
      Name: hostname(),
    };
  }

  #securityOptions(): string[] {
    const options = ["name=seccomp,profile=builtin", "name=cgroupns"];
    return this.#host.appArmor ? ["name=apparmor", ...options] : options;
  }
}

function defaultRuntimePath({ runtimes, defaultRuntime }: SystemSettings): string {
  return runtimes[defaultRuntime] ?? defaultRuntime;
}

function commitOf({ name, version, commit }: ProgramVersion): string {
  return commit || (version && `${name} ${version}`);
}

interface HostDescription {
  kernel: string;
  architecture: string;
  operatingSystem: string;
  osVersion: string;
  appArmor: boolean;
}

function readHost(): HostDescription {
  const osRelease = parseOsRelease(read("/etc/os-release") || read("/usr/lib/os-release"));
  return {
    kernel: release(),
    architecture: architectures[process.arch] ?? process.arch,
    operatingSystem: osRelease.get("PRETTY_NAME") ?? "Linux",
    osVersion: osRelease.get("VERSION_ID") ?? "",
    appArmor: read("/sys/module/apparmor/parameters/enabled").startsWith("Y"),
  };
}

/** The variables of an os-release(5) file. */
export function parseOsRelease(text: string): Map<string, string> {
  const variables = new Map<string, string>();
  for (const line of text.split("\n")) {
    const parts = /^([A-Z0-9_]+)=(?:"((?:[^"\\]|\\.)*)"|'([^']*)'|(.*))$/.exec(line.trim());
    if (parts) variables.set(parts[1]!, (parts[2]?.replace(/\\(.)/g, "$1") ?? parts[3] ?? parts[4] ?? "").trim());
  }
  return variables;
}

type Limits = Required<
  Pick<
    SystemInfo,
    | "MemoryLimit"
    | "SwapLimit"
    | "CpuCfsPeriod"
    | "CpuCfsQuota"
    | "CPUShares"
    | "CPUSet"
    | "PidsLimit"
    | "OomKillDisable"
  >
>;

/** What the mounted control groups can limit. */
function readLimits(): Limits {
  const controllers = cgroupControllers();
  const isV2 = cgroupMode() === "v2";
  const has = (controller: string, file: string) => {
    const directory = controllerDirectory(controller, "/");
    return directory !== undefined && existsSync(join(directory, file));
  };
  const cpu = controllers.has("cpu");
  return {
    MemoryLimit: controllers.has("memory"),
    // The root of v2 has no limits of its own: the file is in none but groups below.
    SwapLimit: isV2
      ? controllers.has("memory") && existsSync("/proc/swaps")
      : has("memory", "memory.memsw.limit_in_bytes"),
    CpuCfsPeriod: isV2 ? cpu : has("cpu", "cpu.cfs_period_us"),
    CpuCfsQuota: isV2 ? cpu : has("cpu", "cpu.cfs_quota_us"),
    CPUShares: isV2 ? cpu : has("cpu", "cpu.shares"),
    CPUSet: controllers.has("cpuset"),
    PidsLimit: controllers.has("pids"),
    OomKillDisable: !isV2 && has("memory", "memory.oom_control"),
  };
}

function warnings(limits: Limits, { insecureHosts }: SystemSettings): string[] {
  const found = insecureHosts.map(
    (host) =>
      `WARNING: API is accessible on ${host.replace(/^tcp:/, "http:")} without encryption.\n         Access to the remote API is equivalent to root access on the host.`,
  );
  const missing: [keyof Limits, string][] = [
    ["MemoryLimit", "memory limit"],
    ["SwapLimit", "swap limit"],
    ["CpuCfsPeriod", "cpu cfs period"],
    ["CpuCfsQuota", "cpu cfs quota"],
    ["CPUShares", "cpu shares"],
    ["CPUSet", "cpuset"],
  ];
  for (const [limit, words] of missing) if (!limits[limit]) found.push(`WARNING: No ${words} support`);
  if (read("/proc/sys/net/ipv4/ip_forward").trim() !== "1") found.push("WARNING: IPv4 forwarding is disabled");
  return found;
}

function registryConfig({ registryMirrors, insecureRegistries }: SystemSettings): SystemInfo["RegistryConfig"] {
  const mirrors = registryMirrors.map((mirror) => (mirror.endsWith("/") ? mirror : `${mirror}/`));
  const cidrs = ["::1/128", "127.0.0.0/8"];
  const indexes: Record<string, IndexInfo> = {
    "docker.io": { Name: "docker.io", Mirrors: mirrors, Secure: true, Official: true },
  };
  for (const registry of insecureRegistries) {
    if (/^[0-9a-f.:]+\/\d+$/i.test(registry)) cidrs.push(registry);
    else indexes[registry] = { Name: registry, Mirrors: [], Secure: false, Official: false };
  }
  return { InsecureRegistryCIDRs: cidrs, IndexConfigs: indexes, Mirrors: mirrors };
}

function withoutPassword(proxy: string): string {
  return proxy.replace(/^([a-z]+:\/\/)[^/@]*@/i, "$1xxxxx:xxxxx@");
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function count(directory: string): number {
  try {
    return readdirSync(directory).length;
  } catch {
    return -1;
  }
}
