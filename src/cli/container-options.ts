/** The flags of run and create as the API's create request. */
import type { ConfigFile } from "../client/config-file.ts";
import { type ParsedFlags, quote } from "../lib/flags.ts";
import type {
  ContainerConfig,
  DeviceRequest,
  HealthConfig,
  HostConfig,
  Mount,
  NetworkingConfig,
  Resources,
} from "../wire/engine-api.ts";
import { cut, openFailure, readEnvFiles, readLabelFiles, recordOf } from "./key-values.ts";
import { parseVolume } from "./mount-option.ts";
import { checkMacAddress, endpointsOf, type NetworkOption } from "./network-option.ts";
import { isCdiDevice, normalizeCapabilities, parseDevice, parseRestartPolicy, type Ulimit } from "./option-values.ts";
import { type Ports, parsePorts } from "./port-option.ts";

/** The body of `POST /containers/create`. */
export interface CreateBody extends ContainerConfig {
  HostConfig: HostConfig;
  NetworkingConfig: NetworkingConfig;
}

/** What a create request depends on besides the flags. */
export interface Surroundings {
  /** The engine's address, by which config.json chooses its proxies. */
  host: string;
  configFile: ConfigFile;
  /** Rows and columns of the terminal; zeros where there is none. */
  consoleSize: [rows: number, columns: number];
}

/**
 * Reads the flags of run and create, and the image and command behind them. Throws an Error with docker's sentence
 * where a value is wrong or two contradict each other.
 */
export async function createBody(flags: ParsedFlags, surroundings: Surroundings): Promise<CreateBody> {
  const macAddress = flags.string("mac-address");
  if (macAddress !== "") checkMacAddress(macAddress);
  const swappiness = flags.int("memory-swappiness");
  if (swappiness !== -1 && (swappiness < 0 || swappiness > 100)) {
    throw new Error(`invalid value: ${swappiness}. Valid memory swappiness range is 0-100`);
  }
  const volumes = unique(flags.list("volume")).map((text) => ({ text, volume: parseVolume(text) }));
  const ports = parsePorts(flags.list("publish"), flags.list("expose"));
  const config = await containerConfig(flags, surroundings, ports);
  config.Volumes = Object.fromEntries(
    volumes.flatMap(({ volume }) => ("anonymous" in volume ? [[volume.anonymous, {}]] : [])),
  );
  const host = await hostConfig(flags, surroundings, ports);
  const binds = volumes.flatMap(({ volume }) => ("bind" in volume ? [volume.bind] : []));
  if (binds.length > 0) host.Binds = binds;
  const healthcheck = healthConfig(flags);
  if (healthcheck !== undefined) config.Healthcheck = healthcheck;
  const networks = flags.values<NetworkOption>("network");
  const endpoints = endpointsOf(networks, {
    aliases: flags.list("network-alias"),
    links: flags.list("link"),
    linkLocalIps: flags.list("link-local-ip"),
    ipv4: flags.string("ip"),
    ipv6: flags.string("ip6"),
    macAddress,
  });
  return { ...config, HostConfig: host, NetworkingConfig: { EndpointsConfig: endpoints } };
}

async function containerConfig(flags: ParsedFlags, surroundings: Surroundings, ports: Ports): Promise<ContainerConfig> {
  const [image = "", ...command] = flags.args;
  const attach = new Set(flags.values<string>("attach"));
  const interactive = flags.bool("interactive");
  const everything = attach.size === 0;
  const attachStdin = everything ? interactive : attach.has("stdin");
  const environment = [...(await readEnvFiles(flags.list("env-file"))), ...lastOfEachKey(flags.values<string>("env"))];
  environment.push(...proxyEnvironment(environment, surroundings));
  return {
    Hostname: flags.string("hostname"),
    Domainname: flags.string("domainname"),
    User: flags.string("user"),
    AttachStdin: attachStdin,
    AttachStdout: everything || attach.has("stdout"),
    AttachStderr: everything || attach.has("stderr"),
    Tty: flags.bool("tty"),
    OpenStdin: interactive,
    StdinOnce: interactive && attachStdin,
    ...(environment.length === 0 ? {} : { Env: environment }),
    ...(command.length === 0 ? {} : { Cmd: command }),
    Image: image,
    WorkingDir: flags.string("workdir"),
    ...(flags.has("entrypoint") ? { Entrypoint: [flags.string("entrypoint")] } : {}),
    Labels: { ...recordOf(await readLabelFiles(flags.list("label-file"))), ...recordOf(flags.list("label")) },
    ...(Object.keys(ports.exposed).length === 0 ? {} : { ExposedPorts: ports.exposed }),
    ...(flags.string("stop-signal") === "" ? {} : { StopSignal: flags.string("stop-signal") }),
    ...(flags.has("stop-timeout") ? { StopTimeout: flags.int("stop-timeout") } : {}),
  };
}

async function hostConfig(flags: ParsedFlags, surroundings: Surroundings, ports: Ports): Promise<HostConfig> {
  checkMode("pid", "PID", flags.string("pid"), /^(host|container:.+)?$/s);
  checkMode("uts", "UTS", flags.string("uts"), /^(host)?$/);
  checkMode("userns", "USER", flags.string("userns"), /^(host)?$/);
  checkMode("cgroupns", "CGROUP", flags.string("cgroupns"), /^(host|private)?$/);
  const restartPolicy = parseRestartPolicy(flags.string("restart"));
  const autoRemove = flags.bool("rm");
  if (autoRemove && !["", "no"].includes(restartPolicy.Name ?? "")) {
    throw new Error("conflicting options: cannot specify both --restart and --rm");
  }
  const networks = flags.values<NetworkOption>("network");
  const mounts = [...flags.values<Mount>("mount"), ...apiSocket(flags, surroundings)];
  return {
    ...optionalList("VolumesFrom", flags.list("volumes-from")),
    ...optionalList("CapAdd", normalizeCapabilities(flags.list("cap-add"))),
    ...optionalList("CapDrop", normalizeCapabilities(flags.list("cap-drop"))),
    ...optionalList("ExtraHosts", flags.values<string>("add-host")),
    ...optionalList("GroupAdd", flags.list("group-add")),
    ...optionalList("Links", flags.list("link")),
    ...optionalList("Mounts", mounts),
    ContainerIDFile: flags.string("cidfile"),
    LogConfig: logConfig(flags),
    NetworkMode: networks[0]?.target ?? "default",
    PortBindings: ports.bindings,
    RestartPolicy: restartPolicy,
    AutoRemove: autoRemove,
    VolumeDriver: flags.string("volume-driver"),
    ConsoleSize: surroundings.consoleSize,
    ...(flags.has("annotation") ? { Annotations: recordOf(flags.list("annotation")) } : {}),
    CgroupnsMode: flags.string("cgroupns") as NonNullable<HostConfig["CgroupnsMode"]>,
    Dns: flags.values<string>("dns"),
    DnsOptions: flags.list("dns-option"),
    DnsSearch: flags.values<string>("dns-search"),
    IpcMode: flags.string("ipc"),
    Cgroup: "",
    OomScoreAdj: flags.int("oom-score-adj"),
    PidMode: flags.string("pid"),
    Privileged: flags.bool("privileged"),
    PublishAllPorts: flags.bool("publish-all"),
    ReadonlyRootfs: flags.bool("read-only"),
    ...(await security(flags.list("security-opt"))),
    ...(flags.has("storage-opt") ? { StorageOpt: storageOptions(flags.list("storage-opt")) } : {}),
    ...(flags.has("tmpfs") ? { Tmpfs: tmpfs(flags.list("tmpfs")) } : {}),
    UTSMode: flags.string("uts"),
    UsernsMode: flags.string("userns"),
    ShmSize: flags.value<number>("shm-size") ?? 0,
    ...(flags.has("sysctl") ? { Sysctls: recordOf(flags.list("sysctl")) } : {}),
    ...(flags.string("runtime") === "" ? {} : { Runtime: flags.string("runtime") }),
    Isolation: flags.string("isolation") as NonNullable<HostConfig["Isolation"]>,
    ...resources(flags),
  };
}

function resources(flags: ParsedFlags): Resources {
  const devices = flags.list("device");
  const requests: DeviceRequest[] = flags.values<DeviceRequest>("gpus");
  const cdiDevices = devices.filter(isCdiDevice);
  if (cdiDevices.length > 0) requests.push({ Driver: "cdi", Count: 0, DeviceIDs: cdiDevices });
  const ulimits = new Map(flags.values<Ulimit>("ulimit").map((ulimit) => [ulimit.Name, ulimit]));
  return {
    CpuShares: flags.int("cpu-shares"),
    Memory: flags.value<number>("memory") ?? 0,
    NanoCpus: flags.value<number>("cpus") ?? 0,
    CgroupParent: flags.string("cgroup-parent"),
    BlkioWeight: flags.int("blkio-weight"),
    BlkioWeightDevice: flags.values("blkio-weight-device"),
    BlkioDeviceReadBps: flags.values("device-read-bps"),
    BlkioDeviceWriteBps: flags.values("device-write-bps"),
    BlkioDeviceReadIOps: flags.values("device-read-iops"),
    BlkioDeviceWriteIOps: flags.values("device-write-iops"),
    CpuPeriod: flags.int("cpu-period"),
    CpuQuota: flags.int("cpu-quota"),
    CpuRealtimePeriod: flags.int("cpu-rt-period"),
    CpuRealtimeRuntime: flags.int("cpu-rt-runtime"),
    CpusetCpus: flags.string("cpuset-cpus"),
    CpusetMems: flags.string("cpuset-mems"),
    Devices: devices.filter((device) => !isCdiDevice(device)).map(parseDevice),
    ...optionalList("DeviceCgroupRules", flags.list("device-cgroup-rule")),
    ...optionalList("DeviceRequests", requests),
    MemoryReservation: flags.value<number>("memory-reservation") ?? 0,
    MemorySwap: flags.value<number>("memory-swap") ?? 0,
    MemorySwappiness: flags.int("memory-swappiness"),
    OomKillDisable: flags.bool("oom-kill-disable"),
    ...(flags.has("init") ? { Init: flags.bool("init") } : {}),
    PidsLimit: flags.int("pids-limit"),
    Ulimits: [...ulimits.values()].sort((a, b) => (a.Name < b.Name ? -1 : 1)),
    CpuCount: flags.int("cpu-count"),
    CpuPercent: flags.int("cpu-percent"),
    IOMaximumIOps: flags.int("io-maxiops"),
    IOMaximumBandwidth: flags.value<number>("io-maxbandwidth") ?? 0,
  };
}

function healthConfig(flags: ParsedFlags): HealthConfig | undefined {
  const command = flags.string("health-cmd");
  const times = {
    Interval: flags.value<number>("health-interval") ?? 0,
    Timeout: flags.value<number>("health-timeout") ?? 0,
    StartPeriod: flags.value<number>("health-start-period") ?? 0,
    StartInterval: flags.value<number>("health-start-interval") ?? 0,
  };
  const retries = flags.int("health-retries");
  const asked = command !== "" || retries !== 0 || Object.values(times).some((time) => time !== 0);
  if (flags.bool("no-healthcheck")) {
    if (asked) throw new Error("--no-healthcheck conflicts with --health-* options");
    return { Test: ["NONE"] };
  }
  if (!asked) return undefined;
  const checked: [string, number][] = [
    ["interval", times.Interval],
    ["timeout", times.Timeout],
    ["retries", retries],
    ["start-period", times.StartPeriod],
    ["start-interval", times.StartInterval],
  ];
  for (const [name, value] of checked) if (value < 0) throw new Error(`--health-${name} cannot be negative`);
  return {
    ...(command === "" ? {} : { Test: ["CMD-SHELL", command] }),
    ...Object.fromEntries(Object.entries(times).filter(([, time]) => time !== 0)),
    ...(retries === 0 ? {} : { Retries: retries }),
  };
}

function logConfig(flags: ParsedFlags): NonNullable<HostConfig["LogConfig"]> {
  const driver = flags.string("log-driver");
  const options = recordOf(flags.list("log-opt"));
  if (driver === "none" && Object.keys(options).length > 0) {
    throw new Error("invalid logging opts for driver none");
  }
  return { Type: driver as NonNullable<NonNullable<HostConfig["LogConfig"]>["Type"]>, Config: options };
}

/** `--security-opt`: a seccomp profile is read here, because the engine may be on another machine. */
async function security(options: string[]): Promise<Pick<HostConfig, "SecurityOpt" | "MaskedPaths" | "ReadonlyPaths">> {
  if (options.length === 0) return {};
  const uncovered = "systempaths=unconfined";
  const kept: string[] = [];
  for (const option of options) {
    let [key, value] = cut(option);
    if (value === undefined && key !== "no-new-privileges") [key, value] = cut(option, ":");
    if (key !== "no-new-privileges" && !value) throw new Error(`Invalid --security-opt: ${quote(option)}`);
    const isFile = key === "seccomp" && value !== "unconfined" && value !== "builtin";
    if (option !== uncovered) kept.push(isFile ? `seccomp=${await readProfile(value!)}` : option);
  }
  return { SecurityOpt: kept, ...(options.includes(uncovered) ? { MaskedPaths: [], ReadonlyPaths: [] } : {}) };
}

async function readProfile(path: string): Promise<string> {
  let text: string;
  try {
    text = await Bun.file(path).text();
  } catch (error) {
    const reason = openFailure(path, (error as NodeJS.ErrnoException).code);
    throw new Error(`opening seccomp profile (${path}) failed: ${reason}`);
  }
  try {
    return JSON.stringify(JSON.parse(text));
  } catch (error) {
    throw new Error(`compacting json for seccomp profile (${path}) failed: ${(error as Error).message}`);
  }
}

function storageOptions(options: string[]): Record<string, string> {
  if (options.some((option) => !option.includes("="))) throw new Error("invalid storage option");
  return recordOf(options);
}

function tmpfs(options: string[]): Record<string, string> {
  return Object.fromEntries(options.map((option) => cut(option, ":")).map(([path, how]) => [path, how ?? ""]));
}

/** `--use-api-socket`: the engine's own socket, where the engine can be reached by one. */
function apiSocket(flags: ParsedFlags, { host }: Surroundings): Mount[] {
  if (!flags.bool("use-api-socket")) return [];
  if (!host.startsWith("unix://")) throw new Error(`flag --use-api-socket can't be used with ${host}: no unix socket`);
  return [{ Type: "bind", Source: host.slice("unix://".length), Target: "/var/run/docker.sock", BindOptions: {} }];
}

const proxyNames = {
  httpProxy: "HTTP_PROXY",
  httpsProxy: "HTTPS_PROXY",
  noProxy: "NO_PROXY",
  ftpProxy: "FTP_PROXY",
  allProxy: "ALL_PROXY",
};

/** The proxies of config.json for this engine, but for those that the environment names already. */
function proxyEnvironment(environment: string[], { host, configFile }: Surroundings): string[] {
  const proxies = configFile.proxies?.[host] ?? configFile.proxies?.default;
  if (proxies === undefined) return [];
  const named = new Set(environment.map((text) => cut(text)[0]));
  return Object.entries(proxyNames).flatMap(([key, name]) => {
    const value = proxies[key];
    if (!value) return [];
    return [name, name.toLowerCase()].filter((one) => !named.has(one)).map((one) => `${one}=${value}`);
  });
}

function checkMode(flag: string, kind: string, mode: string, pattern: RegExp): void {
  if (!pattern.test(mode)) throw new Error(`--${flag}: invalid ${kind} mode`);
}

function lastOfEachKey(variables: string[]): string[] {
  return [...new Map(variables.map((text) => [cut(text)[0], text])).values()];
}

function unique(texts: string[]): string[] {
  return [...new Set(texts)];
}

function optionalList<K extends string, T>(key: K, list: T[]): { [key in K]?: T[] } {
  return (list.length === 0 ? {} : { [key]: list }) as { [key in K]?: T[] };
}
