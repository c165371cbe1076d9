/** The daemon's configuration: flags and daemon.json together, checked. */
import { readFileSync } from "node:fs";
import { isIP } from "node:net";
import { homedir } from "node:os";
import { isAbsolute, join, resolve } from "node:path";
import { checkLogConfig } from "../containers/check-log-config.ts";
import { environmentProxies, type ProxySettings } from "../distribution/proxies.ts";
import { invalidParameter, messageOf } from "../lib/errors.ts";
import type { ParsedFlags } from "../lib/flags.ts";
import { parseMemoryBytes } from "../lib/units.ts";
import type { PublishPolicy } from "../networks/packet-filter.ts";
import type { NetworkOptions } from "../networks/settings.ts";
import { checkUlimits, type Ulimit } from "../runtime/rlimits.ts";
import { parseProfile } from "../runtime/seccomp.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { configKeys, refusedKeys, warningFor } from "./config-keys.ts";
import { type ConfigFile, checkConflicts, flagOf, mapOf, readConfigFile, Settings } from "./config-source.ts";
import { checkMirror, type DefaultNetworkOption, defaultConfigFile, parseHost } from "./options.ts";

/** An OCI runtime by its name in HostConfig.Runtime. */
export interface RuntimeOption {
  path: string;
  args: string[];
}

export interface TlsOptions {
  /** Clients must show a certificate signed by `caFile`. */
  verify: boolean;
  caFile: string;
  certFile: string;
  keyFile: string;
}

export interface DaemonConfig {
  configFile: string;
  dataRoot: string;
  execRoot: string;
  pidfile: string;
  /** unix://…, tcp://…, fd://… */
  hosts: string[];
  /** For the tcp hosts; undefined for none. */
  tls: TlsOptions | undefined;
  /** Owner of the unix socket. */
  group: string;
  debug: boolean;
  logLevel: "debug" | "info" | "warn" | "error" | "fatal";
  logFormat: "text" | "json";
  labels: string[];
  experimental: boolean;
  features: Record<string, boolean>;
  liveRestore: boolean;
  shutdownTimeoutSeconds: number;
  network: NetworkOptions;
  userlandProxy: boolean;
  logDriver: string;
  logOptions: Record<string, string>;
  /** "" to choose. */
  storageDriver: string;
  runtimes: Record<string, RuntimeOption>;
  defaultRuntime: string;
  defaultUlimits: Required<Ulimit>[];
  defaultShmSizeBytes: number;
  defaultIpcMode: "private" | "shareable";
  defaultCgroupnsMode: "private" | "host";
  /** "" for the engine's own. */
  cgroupParent: string;
  systemdCgroup: boolean;
  init: boolean;
  /** "" to search. */
  initPath: string;
  noNewPrivileges: boolean;
  /** builtin, unconfined, or a profile as JSON. */
  seccompProfile: string;
  registryMirrors: string[];
  insecureRegistries: string[];
  maxConcurrentDownloads: number;
  maxConcurrentUploads: number;
  maxDownloadAttempts: number;
  /** Of the unpacked archive; 0 for a limit by the length of the compressed one. */
  maxLayerBytes: number;
  proxies: ProxySettings;
  /** For the log: what was accepted without effect. */
  warnings: string[];
}

/** What SIGHUP reloads; all else takes a restart. */
const reloadable = [
  "debug",
  "labels",
  "features",
  "liveRestore",
  "shutdownTimeoutSeconds",
  "runtimes",
  "defaultRuntime",
  "registryMirrors",
  "insecureRegistries",
  "maxConcurrentDownloads",
  "maxConcurrentUploads",
  "maxDownloadAttempts",
  "maxLayerBytes",
  "warnings",
] as const satisfies (keyof DaemonConfig)[];

export type ReloadableConfig = Pick<DaemonConfig, (typeof reloadable)[number]>;

/** Throws unless `value` is one of `words`. */
function oneOf<T extends string>(value: string, words: readonly T[], otherwise: (value: string) => string): T {
  if (!(words as readonly string[]).includes(value)) throw invalidParameter(otherwise(value));
  return value as T;
}

function atLeast(value: number, least: number, name: string): number {
  if (value < least) throw invalidParameter(`invalid ${name}: ${value}`);
  return value;
}

function addresses(values: string[]): string[] {
  for (const value of values) if (isIP(value) === 0) throw invalidParameter(`invalid IP address: ${value}`);
  return values;
}

function domains(values: string[]): string[] {
  for (const value of values)
    if (value !== "." && !/^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?$/.test(value))
      throw invalidParameter(`${value} is not a valid domain`);
  return values;
}

function labelsOf(labels: string[]): string[] {
  const seen = new Map<string, string>();
  for (const text of labels) {
    if (!/^[^=]+=/.test(text)) throw invalidParameter(`bad attribute format: ${text}`);
    const key = text.split("=", 1)[0]!;
    const before = seen.get(key);
    if (before !== undefined && before !== text) throw invalidParameter(`conflict labels for ${text} and ${before}`);
    seen.set(key, text);
  }
  return [...seen.values()];
}

const isObject = (value: unknown): value is ConfigFile =>
  typeof value === "object" && value !== null && !Array.isArray(value);

function addressPools(value: unknown): { base: string; size: number }[] {
  const wrong = () => invalidParameter('invalid default-address-pools: it is a list of {"base": CIDR, "size": bits}');
  if (!Array.isArray(value)) throw wrong();
  return value.map((pool) => {
    if (!isObject(pool) || typeof pool.base !== "string" || !Number.isInteger(pool.size)) throw wrong();
    return { base: pool.base, size: pool.size as number };
  });
}

function networkOptions(value: unknown): DefaultNetworkOption[] {
  const wrong = () => invalidParameter('invalid default-network-opts: it is a map of {"driver": {"option": "value"}}');
  if (!isObject(value)) throw wrong();
  return Object.entries(value).flatMap(([driver, options]) => {
    if (!isObject(options)) throw wrong();
    return Object.entries(options).map(([name, option]) => {
      if (typeof option !== "string") throw wrong();
      return { driver, name, value: option };
    });
  });
}

function ulimitsOf(value: unknown): Required<Ulimit>[] {
  const wrong = () => invalidParameter('invalid default-ulimits: it is a map of {"Name", "Soft", "Hard"}');
  if (!isObject(value)) throw wrong();
  return Object.entries(value).map(([key, limit]) => {
    if (!isObject(limit)) throw wrong();
    const { Name = key, Soft = 0, Hard = 0 } = limit;
    if (typeof Name !== "string" || typeof Soft !== "number" || typeof Hard !== "number") throw wrong();
    return { Name, Soft, Hard };
  });
}

const builtinRuntimes: Record<string, RuntimeOption> = {
  crun: { path: "crun", args: [] },
  runc: { path: "runc", args: [] },
};

function runtimesOf(settings: Settings): Record<string, RuntimeOption> {
  const runtimes = { ...builtinRuntimes };
  const add = (name: string, option: RuntimeOption) => {
    if (Object.hasOwn(builtinRuntimes, name)) throw invalidParameter(`runtime name '${name}' is reserved`);
    runtimes[name] = option;
  };
  const fromFile = settings.file.runtimes ?? {};
  if (!isObject(fromFile)) throw invalidParameter("invalid runtimes: it is a map of names to runtimes");
  for (const [name, runtime] of Object.entries(fromFile)) {
    if (!isObject(runtime)) throw invalidParameter(`invalid runtime '${name}'`);
    if (runtime.runtimeType !== undefined)
      throw invalidParameter(`runtime '${name}': containerd's runtimes (runtimeType) are not supported, give a path`);
    if (typeof runtime.path !== "string" || runtime.path === "")
      throw invalidParameter(`runtime '${name}': either a runtimeType or a path must be configured`);
    const args = runtime.runtimeArgs ?? [];
    if (!Array.isArray(args) || args.some((argument) => typeof argument !== "string"))
      throw invalidParameter(`runtime '${name}': runtimeArgs is a list of strings`);
    add(name, { path: runtime.path, args: args as string[] });
  }
  for (const { name, path } of settings.flags.values<{ name: string; path: string }>("add-runtime"))
    add(name, { path, args: [] });
  return runtimes;
}

function systemdCgroupOf(options: string[]): boolean {
  let driver = "cgroupfs";
  for (const option of options) {
    const [key, value = ""] = option.split("=", 2);
    if (key !== "native.cgroupdriver") throw invalidParameter(`invalid exec-opts: unknown option ${option}`);
    driver = oneOf(value, ["cgroupfs", "systemd"], (text) => `invalid native.cgroupdriver: ${text}`);
  }
  return driver === "systemd";
}

function tlsOf(settings: Settings): TlsOptions | undefined {
  const verify = settings.bool("tlsverify");
  if (!verify && !settings.bool("tls")) return undefined;
  const directory = process.env.DOCKER_CERT_PATH || join(homedir(), ".docker");
  return {
    verify,
    caFile: settings.string("tlscacert") || join(directory, "ca.pem"),
    certFile: settings.string("tlscert") || join(directory, "cert.pem"),
    keyFile: settings.string("tlskey") || join(directory, "key.pem"),
  };
}

function networkOf(settings: Settings): NetworkOptions {
  const gateway = settings.file["host-gateway-ip"];
  const gateways =
    gateway === undefined ? settings.strings("host-gateway-ips") : Array.isArray(gateway) ? gateway : [gateway];
  const optional = (text: string) => (text === "" ? undefined : text);
  const named = settings.string("publish-address");
  if (named !== "" && (settings.file.ip !== undefined || settings.flags.has("ip")))
    throw invalidParameter("ip and publish-address are two names of one option");
  const [publishAddress = ""] = addresses([named || settings.string("ip")]);
  return {
    bridge: settings.string("bridge"),
    bip: optional(settings.string("bip")),
    bip6: optional(settings.string("bip6")),
    fixedCidr: optional(settings.string("fixed-cidr")),
    fixedCidr6: optional(settings.string("fixed-cidr-v6")),
    ipv6: settings.bool("ipv6"),
    defaultGateway: optional(settings.string("default-gateway")),
    defaultGateway6: optional(settings.string("default-gateway-v6")),
    defaultAddressPools: settings.parsed("default-address-pools", addressPools),
    mtu: atLeast(settings.int("mtu"), 0, "default MTU") || undefined,
    defaultNetworkOptions: settings.parsed<DefaultNetworkOption>("default-network-opts", networkOptions),
    icc: settings.bool("icc"),
    ipForward: settings.bool("ip-forward"),
    allowDirectRouting: settings.bool("allow-direct-routing"),
    ipMasquerade: settings.bool("ip-masq"),
    packetFilter: settings.bool("iptables"),
    publishAddress,
    publishPolicy: oneOf<PublishPolicy>(
      settings.string("publish-policy"),
      ["docker", "host-firewall"],
      (text) => `invalid publish policy (${text}); use "docker" or "host-firewall"`,
    ),
    dns: addresses(settings.strings("dns")),
    dnsSearch: domains(settings.strings("dns-search")),
    dnsOptions: settings.strings("dns-opts"),
    hostGatewayIps: addresses(gateways.map(String)),
  };
}

function seccompOf(choice: string): string {
  if (choice === "" || choice === "builtin") return "builtin";
  if (choice === "unconfined") return choice;
  let text: string;
  try {
    text = readFileSync(choice, "utf8");
  } catch (thrown) {
    throw invalidParameter(`opening seccomp profile (${choice}) failed: ${messageOf(thrown)}`);
  }
  parseProfile(text);
  return text;
}

function proxiesOf(settings: Settings): ProxySettings {
  const nested = isObject(settings.file.proxies) ? settings.file.proxies : {};
  const environment = environmentProxies();
  const from = (key: string, otherwise: string) => {
    const value = nested[key] ?? (settings.string(key) || otherwise);
    if (typeof value !== "string") throw invalidParameter(`invalid proxies: ${key} is a string`);
    return value;
  };
  return {
    http: from("http-proxy", environment.http),
    https: from("https-proxy", environment.https),
    none: from("no-proxy", environment.none),
  };
}

function merge(settings: Settings, configFile: string): DaemonConfig {
  const { file } = settings;
  const execRoot = resolve(settings.string("exec-root"));
  const given = (key: string) => file[key] !== undefined || settings.flags.has(flagOf(key)!);
  const hosts = settings.strings("hosts").map(parseHost);
  const runtimes = runtimesOf(settings);
  const defaultRuntime = settings.string("default-runtime");
  if (!Object.hasOwn(runtimes, defaultRuntime))
    throw invalidParameter(`specified default runtime '${defaultRuntime}' does not exist`);
  const logDriver = settings.string("log-driver");
  const logOptions = (file["log-opts"] as Record<string, string> | undefined) ?? mapOf(settings.flags.list("log-opt"));
  checkLogConfig({ Type: logDriver as NonNullable<HostConfig["LogConfig"]>["Type"], Config: logOptions }, logDriver);
  const defaultUlimits = settings.parsed("default-ulimits", ulimitsOf);
  checkUlimits(defaultUlimits);
  const registryMirrors = settings.strings("registry-mirrors");
  for (const mirror of registryMirrors) checkMirror(mirror);
  const insecureRegistries = settings
    .strings("insecure-registries")
    .map((registry) => registry.replace(/^https?:\/\//, ""));
  const cgroupParent = settings.string("cgroup-parent");
  const systemdCgroup = systemdCgroupOf(settings.strings("exec-opts"));
  if (systemdCgroup && cgroupParent !== "" && !cgroupParent.endsWith(".slice"))
    throw invalidParameter(`cgroup-parent for systemd cgroup should be a valid slice named as "xxx.slice"`);
  return {
    configFile,
    dataRoot: resolve(settings.string("data-root") || "/var/lib/brig"),
    execRoot,
    // Both follow the exec-root, so that daemons side by side need no more than roots of their own.
    pidfile: given("pidfile") ? resolve(settings.string("pidfile")) : join(execRoot, "brig.pid"),
    hosts: hosts.length > 0 ? [...new Set(hosts)] : [`unix://${join(execRoot, "brig.sock")}`],
    tls: tlsOf(settings),
    group: settings.string("group"),
    debug: settings.bool("debug"),
    logLevel: oneOf(
      settings.string("log-level"),
      ["debug", "info", "warn", "error", "fatal"],
      (text) => `invalid logging level: ${text}`,
    ),
    logFormat: oneOf(settings.string("log-format"), ["text", "json"], (text) => `invalid log format: ${text}`),
    labels: labelsOf(settings.strings("labels")),
    experimental: settings.bool("experimental"),
    features: (file.features as Record<string, boolean> | undefined) ?? {},
    liveRestore: true,
    shutdownTimeoutSeconds: atLeast(settings.int("shutdown-timeout"), -1, "shutdown timeout"),
    network: networkOf(settings),
    userlandProxy: settings.bool("userland-proxy"),
    logDriver,
    logOptions,
    storageDriver: settings.string("storage-driver"),
    runtimes,
    defaultRuntime,
    defaultUlimits,
    defaultShmSizeBytes: bytesOf(settings, "default-shm-size"),
    defaultIpcMode: oneOf(
      settings.string("default-ipc-mode"),
      ["private", "shareable"],
      (text) => `default IPC mode setting (${text}) is invalid; use "shareable" or "private"`,
    ),
    defaultCgroupnsMode: oneOf(
      settings.string("default-cgroupns-mode"),
      ["private", "host"],
      (text) => `default cgroup namespace mode (${text}) is invalid; use "host" or "private"`,
    ),
    cgroupParent,
    systemdCgroup,
    init: settings.bool("init"),
    initPath: settings.string("init-path"),
    noNewPrivileges: settings.bool("no-new-privileges"),
    seccompProfile: seccompOf(settings.string("seccomp-profile")),
    registryMirrors,
    insecureRegistries,
    maxConcurrentDownloads: atLeast(settings.int("max-concurrent-downloads"), 0, "max concurrent downloads"),
    maxConcurrentUploads: atLeast(settings.int("max-concurrent-uploads"), 0, "max concurrent uploads"),
    maxDownloadAttempts: atLeast(settings.int("max-download-attempts"), 0, "max download attempts"),
    maxLayerBytes: atLeast(bytesOf(settings, "max-layer-size"), 0, "max layer size"),
    proxies: proxiesOf(settings),
    warnings: warningsOf(settings),
  };
}

/** A number of bytes, or one with a unit. */
function bytesOf({ file, flags }: Settings, key: string): number {
  const value = file[key] ?? flags.string(key);
  return typeof value === "number" ? value : parseMemoryBytes(String(value));
}

function warningsOf({ file, flags }: Settings): string[] {
  const warnings: string[] = [...flags.warnings];
  for (const key of Object.keys(configKeys)) {
    const flag = flagOf(key);
    const isBoolean = configKeys[key]!.shape === "bool";
    const fromFlag =
      flag !== undefined && flags.has(flag) ? (isBoolean ? flags.bool(flag) : flags.string(flag)) : undefined;
    const value = file[key] ?? fromFlag;
    if (value === undefined) continue;
    const warning = warningFor(key, value);
    if (warning === undefined) continue;
    if (refusedKeys.has(key)) throw invalidParameter(`${key} is not supported yet`);
    warnings.push(warning);
  }
  return warnings;
}

/**
 * The configuration from flags and, unless it is not there, the file that --config-file names.
 * Throws with Docker's sentences: an unknown key, a value of the wrong kind, the same option in both places.
 */
export function loadConfig(flags: ParsedFlags): DaemonConfig {
  const named = flags.string("config-file");
  const configFile = isAbsolute(named) ? named : resolve(named || defaultConfigFile);
  const [unexpected] = flags.args;
  if (unexpected !== undefined) throw invalidParameter(`unexpected argument: ${unexpected}`);
  try {
    const file = readConfigFile(configFile, flags.has("config-file"));
    checkConflicts(file, flags);
    return merge(new Settings(file, flags), configFile);
  } catch (thrown) {
    throw invalidParameter(`unable to configure the daemon with file ${configFile}: ${messageOf(thrown)}`);
  }
}

/** What of the configuration changes while the daemon runs, read anew. Throws as loadConfig does; then nothing changes. */
export function reloadConfig(flags: ParsedFlags): ReloadableConfig {
  const fresh = loadConfig(flags);
  return Object.fromEntries(reloadable.map((key) => [key, fresh[key]])) as unknown as ReloadableConfig;
}
