/** What single flags of run and create take; each function throws with docker's sentence. */
import { parseInteger } from "../lib/flags.ts";
import { parseMemoryBytes } from "../lib/units.ts";
import type { DeviceMapping, DeviceRequest, RestartPolicy, ThrottleDevice } from "../wire/engine-api.ts";
import { parseCsvRow } from "./csv.ts";
import { canonicalIp } from "./ip.ts";
import { cut, recordOf } from "./key-values.ts";

/** A limit of setrlimit(2); -1 is none. */
export interface Ulimit {
  Name: string;
  Hard: number;
  Soft: number;
}

const ulimitNames = new Set(
  "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack".split(" "),
);

/** `--ulimit nofile=1024:2048` */
export function parseUlimit(text: string): Ulimit {
  const [name, limits] = cut(text);
  if (limits === undefined) throw new Error(`invalid ulimit argument: ${text}`);
  if (!ulimitNames.has(name)) throw new Error(`invalid ulimit type: ${name}`);
  const parts = limits.split(":");
  if (parts.length > 2) {
    throw new Error(`too many limit value arguments - ${limits}, can only have up to two, \`soft[:hard]\``);
  }
  const soft = Number(parseInteger(parts[0]!, "ParseInt", 64, 10));
  const hard = parts[1] === undefined ? soft : Number(parseInteger(parts[1], "ParseInt", 64, 10));
  const rule = "ulimit soft limit must be less than or equal to hard limit:";
  if (hard !== -1 && soft === -1) throw new Error(`${rule} soft: -1 (unlimited), hard: ${hard}`);
  if (hard !== -1 && soft > hard) throw new Error(`${rule} ${soft} > ${hard}`);
  return { Name: name, Hard: hard, Soft: soft };
}

/** `--cpus 1.5`, in billionths of a CPU. */
export function parseCpus(text: string): number {
  const decimal = /^([+-]?)(\d*)\.?(\d*)(?:[eE]([+-]?\d{1,3}))?$/.exec(text);
  const fraction = /^([+-]?)(\d+)\/(\d+)$/.exec(text);
  let top: bigint;
  let bottom: bigint;
  if (fraction !== null && BigInt(fraction[3]!) !== 0n) {
    top = BigInt(fraction[2]!) * 1_000_000_000n;
    bottom = BigInt(fraction[3]!);
  } else if (decimal !== null && decimal[2]! + decimal[3]! !== "") {
    const exponent = BigInt(decimal[4] ?? 0) + 9n - BigInt(decimal[3]!.length);
    top = BigInt(decimal[2]! + decimal[3]!) * (exponent > 0n ? 10n ** exponent : 1n);
    bottom = exponent < 0n ? 10n ** -exponent : 1n;
  } else {
    throw new Error(`failed to parse ${text} as a rational number`);
  }
  if (top % bottom !== 0n) throw new Error("value is too precise");
  const sign = (fraction ?? decimal)![1] === "-" ? -1n : 1n;
  return Number((sign * top) / bottom);
}

/** `--memory 512m`, in bytes. */
export function parseBytes(text: string): number {
  return parseMemoryBytes(text);
}

/** `--memory-swap`: bytes, or -1 for no limit. */
export function parseSwapBytes(text: string): number {
  return text === "-1" ? -1 : parseMemoryBytes(text);
}

/** `--blkio-weight-device /dev/sda:200` */
export function parseWeightDevice(text: string): { Path: string; Weight: number } {
  const [Path, value] = devicePath(text);
  const weight = /^\d{1,5}$/.test(value) ? Number(value) : Number.NaN;
  if (!(weight === 0 || (weight >= 10 && weight <= 1000))) throw new Error(`invalid weight for device: ${text}`);
  return { Path, Weight: weight };
}

/** `--device-read-bps /dev/sda:1mb` */
export function parseByteRate(text: string): ThrottleDevice {
  const [Path, value] = devicePath(text);
  try {
    return { Path, Rate: parseMemoryBytes(value) };
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>[<unit>]. ` +
        "Number must be a positive integer. Unit is optional and can be kb, mb, or gb",
    );
  }
}

/** `--device-read-iops /dev/sda:1000` */
export function parseIoRate(text: string): ThrottleDevice {
  const [Path, value] = devicePath(text);
  try {
    return { Path, Rate: Number(parseInteger(value, "ParseUint", 64, 10)) };
  } catch {
    throw new Error(
      `invalid rate for device: ${text}. The correct format is <device-path>:<number>. ` +
        "Number must be a positive integer",
    );
  }
}

function devicePath(text: string): [path: string, value: string] {
  const [path, value] = cut(text, ":");
  if (value === undefined || path === "") throw new Error(`bad format: ${text}`);
  if (!path.startsWith("/dev/")) throw new Error(`bad format for device path: ${text}`);
  return [path, value];
}

/** `--device-cgroup-rule "c 1:3 rwm"` */
export function parseDeviceRule(text: string): string {
  if (/^[acb] (\d+|\*):(\d+|\*) [rwm]{1,3}$/.test(text)) return text;
  throw new Error(`invalid device cgroup format '${text}'`);
}

/** `--device HOST[:CONTAINER][:rwm]` */
export function parseDevice(text: string): DeviceMapping {
  const parts = text.split(":");
  if (parts.length > 3 || parts[0] === "") throw new Error(`bad format for path: ${text}`);
  const isMode = (part: string) => /^[rwm]{1,3}$/.test(part) && new Set(part).size === part.length;
  const [host, second, third] = parts as [string, string?, string?];
  if (third !== undefined && !isMode(third)) throw new Error(`bad mode specified: ${third}`);
  const secondIsMode = third === undefined && second !== undefined && isMode(second);
  const target = second === undefined || secondIsMode ? host : second;
  if (!target.startsWith("/")) throw new Error(`${target} is not an absolute path`);
  return {
    PathOnHost: host,
    PathInContainer: target,
    CgroupPermissions: third ?? (secondIsMode ? second : "rwm"),
  };
}

/** Whether a `--device` names a device of the Container Device Interface: `vendor.com/class=name`. */
export function isCdiDevice(text: string): boolean {
  return /^[A-Za-z][\w.-]*\/[A-Za-z][\w-]*=[A-Za-z0-9][\w:.-]*$/.test(text);
}

/** `--gpus all`, `--gpus 2`, `--gpus device=0,capabilities=utility` */
export function parseGpus(text: string): DeviceRequest {
  const request: Required<Pick<DeviceRequest, "Driver" | "Count" | "Capabilities" | "Options">> & DeviceRequest = {
    Driver: "",
    Count: 0,
    Capabilities: [["gpu"]],
    Options: {},
  };
  const seen = new Set<string>();
  for (const field of parseCsvRow(text)) {
    const [name, value] = cut(field);
    const key = value === undefined ? "count" : name;
    if (seen.has(key)) throw new Error(`gpu request key '${name}' can be specified only once`);
    seen.add(key);
    switch (key) {
      case "count":
        request.Count = parseGpuCount(value ?? name);
        break;
      case "driver":
        request.Driver = value!;
        break;
      case "device":
        request.DeviceIDs = value!.split(",");
        break;
      case "capabilities":
        request.Capabilities = [[...value!.split(","), "gpu"]];
        break;
      case "options":
        request.Options = recordOf(parseCsvRow(value!));
        break;
      default:
        throw new Error(`unexpected key '${name}' in '${field}'`);
    }
  }
  if (!seen.has("count") && request.DeviceIDs === undefined) request.Count = 1;
  return request;
}

function parseGpuCount(text: string): number {
  if (text === "all") return -1;
  try {
    return Number(parseInteger(text, "Atoi", 64, 10));
  } catch (error) {
    const reason = (error as Error).message.split(": ").at(-1);
    throw new Error(`invalid count (${text}): value must be either "all" or an integer: ${reason}`);
  }
}

/** `--attach stdin` */
export function parseAttach(text: string): string {
  const stream = text.toLowerCase();
  if (["stdin", "stdout", "stderr"].includes(stream)) return stream;
  throw new Error("valid streams are STDIN, STDOUT and STDERR");
}

/** `--add-host name:address`, or with `=`; as the API takes it, with a colon. */
export function parseExtraHost(text: string): string {
  const [name, address] = cut(text, text.includes("=") ? "=" : ":");
  if (address === undefined || name === "" || name.includes(":")) {
    throw new Error(`bad format for add-host: ${JSON.stringify(text)}`);
  }
  if (address === "host-gateway") return `${name}:${address}`;
  const bare = /^\[(.+)\]$/.exec(address)?.[1] ?? address;
  if (canonicalIp(bare.trim()) === undefined)
    throw new Error(`invalid IP address in add-host: ${JSON.stringify(bare)}`);
  return `${name}:${bare}`;
}

/** `--dns 1.1.1.1` */
export function parseDns(text: string): string {
  const address = canonicalIp(text.trim());
  if (address === undefined) throw new Error(`IP address is not correctly formatted: ${text}`);
  return address;
}

/** `--dns-search example.com`, or `.` for none. */
export function parseDnsSearch(text: string): string {
  const domain = text.trim();
  if (domain === ".") return domain;
  const label = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?";
  const isDomain = new RegExp(`^${label}(?:\\.${label})*\\.?$`).test(domain);
  if (!isDomain || !/[a-zA-Z]/.test(domain) || domain.length > 255) throw new Error(`${domain} is not a valid domain`);
  return domain;
}

/** `--link container[:alias]` */
export function parseLink(text: string): string {
  if (text === "") throw new Error("empty string specified for links");
  if (text.split(":").length > 2) throw new Error(`bad format for links: ${text}`);
  return text;
}

const sysctlNames = new Set(
  (
    "kernel.msgmax kernel.msgmnb kernel.msgmni kernel.sem kernel.shmall kernel.shmmax kernel.shmmni " +
    "kernel.shm_rmid_forced"
  ).split(" "),
);

/** `--sysctl net.ipv4.ip_forward=1`: only what the kernel keeps apart for each container. */
export function parseSysctl(text: string): string {
  const [name, value] = cut(text);
  const isNamespaced = sysctlNames.has(name) || name.startsWith("net.") || name.startsWith("fs.mqueue.");
  if (value === undefined || !isNamespaced) throw new Error(`sysctl '${text}' is not allowed`);
  return text;
}

/** `--restart on-failure:5` */
export function parseRestartPolicy(text: string): RestartPolicy {
  const [name, count] = cut(text, ":");
  const refuse = (reason: string) => new Error(`invalid restart policy format: ${reason}`);
  if (count !== undefined && name === "") throw refuse("no policy provided before colon");
  if (count !== undefined && count !== "" && !/^[+-]?\d{1,9}$/.test(count)) {
    throw refuse("maximum retry count must be an integer");
  }
  return { Name: name as NonNullable<RestartPolicy["Name"]>, MaximumRetryCount: Number(count ?? 0) };
}

/** Capabilities in the one spelling the engine knows, each once, in order. */
export function normalizeCapabilities(names: string[]): string[] {
  const normalized = names.map((name) => {
    const upper = name.trim().toUpperCase();
    return upper === "ALL" || upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
  });
  return [...new Set(normalized)].sort();
}

const systems = new Set(
  "aix android darwin dragonfly freebsd illumos ios js linux netbsd openbsd plan9 solaris wasip1 windows".split(" "),
);
const architectures: Record<string, string> = {
  "386": "386",
  i386: "386",
  amd64: "amd64",
  x86_64: "amd64",
  "x86-64": "amd64",
  arm64: "arm64",
  aarch64: "arm64",
  arm: "arm",
  armhf: "arm/v7",
  armel: "arm/v6",
  ppc64: "ppc64",
  ppc64le: "ppc64le",
  s390x: "s390x",
  mips: "mips",
  mips64: "mips64",
  mips64le: "mips64le",
  mipsle: "mipsle",
  riscv64: "riscv64",
  loong64: "loong64",
  wasm: "wasm",
};

/** `--platform linux/arm64` in full and in lower case. `what` begins the error where it is none. */
export function parsePlatform(text: string, what = "error parsing specified platform: "): string {
  const refuse = (reason: string) => new Error(`${what}"${text}": ${reason}`);
  const parts = text.split("/");
  if (parts.some((part) => !/^[A-Za-z0-9_.-]+$/.test(part))) throw refuse("invalid component: invalid argument");
  const [first = "", second, variant] = parts.map((part) => part.toLowerCase());
  if (parts.length > 3) throw refuse("cannot parse platform specifier: invalid argument");
  const host = process.arch === "arm64" ? "arm64" : "amd64";
  if (second === undefined) {
    if (systems.has(first)) return `${first}/${host}`;
    if (architectures[first] !== undefined) return `linux/${architectures[first]}`;
    throw refuse("unknown operating system or architecture: invalid argument");
  }
  const architecture = architectures[second] ?? second;
  if (variant === undefined) return `${first}/${architecture}`;
  return architecture === "arm64" && (variant === "v8" || variant === "8")
    ? `${first}/arm64`
    : `${first}/${architecture}/${variant}`;
}
