/** The daemon's flags: Docker's names, letters and words. */
import { isIP } from "node:net";
import type { FlagSpec } from "../lib/flags.ts";
import { parseMemoryBytes } from "../lib/units.ts";

const booleanFlag = (name: string, usage: string, on = false): FlagSpec => ({
  name,
  type: "bool",
  usage,
  ...(on && { default: "true" }),
});
const text = (name: string, usage: string, otherwise?: string): FlagSpec => ({
  name,
  type: "string",
  usage,
  ...(otherwise !== undefined && { default: otherwise }),
});
const list = (name: string, usage: string, parse?: (value: string) => unknown): FlagSpec => ({
  name,
  type: "list",
  usage,
  ...(parse && { parse }),
});
const count = (name: string, usage: string, otherwise?: number): FlagSpec => ({
  name,
  type: "int",
  usage,
  ...(otherwise !== undefined && { default: String(otherwise) }),
});

/** Throws with Docker's reason for a text that is no address. */
function address(value: string): string {
  if (isIP(value) === 0) throw new Error(`invalid IP address: ${value}`);
  return value;
}

/** `key=value`; throws with Docker's reason. */
function label(value: string): string {
  if (!/^[^=]+=/.test(value)) throw new Error(`bad attribute format: ${value}`);
  return value;
}

const hostSchemes = ["unix", "tcp", "fd"];

/** Where to listen, with the scheme filled in. Throws for another scheme. */
export function parseHost(value: string): string {
  const trimmed = value.trim();
  if (trimmed === "") return defaultHost;
  const scheme = /^([a-z][a-z0-9+.-]*):\/\//.exec(trimmed)?.[1];
  if (scheme === undefined) return trimmed.startsWith("/") ? `unix://${trimmed}` : `tcp://${trimmed}`;
  if (!hostSchemes.includes(scheme)) throw new Error(`invalid bind address (${value}): unsupported proto '${scheme}'`);
  return trimmed === "unix://" ? defaultHost : trimmed;
}

/** Throws with Docker's reason for what cannot be a mirror. */
export function checkMirror(value: string): string {
  let url: URL;
  try {
    url = new URL(value);
  } catch {
    throw new Error(`invalid mirror: "${value}" is not a valid URI`);
  }
  if (url.protocol !== "http:" && url.protocol !== "https:")
    throw new Error(
      `invalid mirror: unsupported scheme "${url.protocol.slice(0, -1)}" in "${value}", must use either 'https://' or 'http://'`,
    );
  if (url.search !== "" || url.hash !== "")
    throw new Error(`invalid mirror: query or fragment at end of the URI "${value}"`);
  if (url.username !== "") throw new Error(`invalid mirror: username/password not allowed in URI "${value}"`);
  return value;
}

/** A limit as `--default-ulimit` writes it: NAME=SOFT[:HARD]. */
export function parseUlimit(value: string): { Name: string; Soft: number; Hard: number } {
  const match = /^([a-z]+)=(-?[0-9]+)(?::(-?[0-9]+))?$/.exec(value);
  if (match === null) throw new Error(`invalid ulimit argument: ${value}`);
  const soft = Number(match[2]);
  const hard = match[3] === undefined ? soft : Number(match[3]);
  return { Name: match[1]!, Soft: soft, Hard: hard };
}

/** A pool as `--default-address-pool` writes it: base=CIDR,size=N. */
export function parseAddressPool(value: string): { base: string; size: number } {
  const fields = new Map(value.split(",").map((field) => [field.split("=")[0], field.slice(field.indexOf("=") + 1)]));
  const base = fields.get("base");
  const size = Number(fields.get("size"));
  if (base === undefined || !Number.isInteger(size) || fields.size !== 2)
    throw new Error(`invalid default address pool: ${value} (it is base=CIDR,size=BITS)`);
  return { base, size };
}

/** An option of all new networks of a driver. */
export interface DefaultNetworkOption {
  driver: string;
  name: string;
  value: string;
}

/** An option as `--default-network-opt` writes it: DRIVER=NAME=VALUE. */
export function parseNetworkOption(text: string): DefaultNetworkOption {
  const [driver = "", name = "", ...rest] = text.split("=");
  if (driver === "" || name === "" || rest.length === 0)
    throw new Error(`invalid default network option: ${text} (it is DRIVER=NAME=VALUE)`);
  return { driver, name, value: rest.join("=") };
}

/** A runtime as `--add-runtime` writes it: NAME=PATH. */
export function parseRuntime(value: string): { name: string; path: string } {
  const at = value.indexOf("=");
  if (at <= 0 || at === value.length - 1) throw new Error(`invalid runtime definition: ${value}`);
  return { name: value.slice(0, at), path: value.slice(at + 1) };
}

export const defaultHost = "unix:///run/brig/brig.sock";
export const defaultConfigFile = "/etc/brig/daemon.json";

/** Every flag of `brig daemon`. A default is shown by help and holds where neither flag nor file say otherwise. */
export const daemonFlags: FlagSpec[] = [
  { ...list("add-runtime", "Register an additional OCI compatible runtime", parseRuntime), value: "runtime" },
  booleanFlag("allow-direct-routing", "Allow published ports to be reached at the container's own address"),
  list("allow-nondistributable-artifacts", "Allow push of nondistributable artifacts to registry"),
  list("authorization-plugin", "Authorization plugins to load"),
  text("bip", "IPv4 address for the default bridge"),
  text("bip6", "IPv6 address for the default bridge"),
  { ...text("bridge", "Attach containers to a network bridge", "brig0"), short: "b" },
  list("cdi-spec-dir", "CDI specification directories to use"),
  text("cgroup-parent", "Set parent cgroup for all containers"),
  text("config-file", "Daemon configuration file", defaultConfigFile),
  text("containerd", "containerd grpc address"),
  text("data-root", "Root directory of persistent Brig state", "/var/lib/brig"),
  { ...booleanFlag("debug", "Enable debug mode"), short: "D" },
  {
    ...list("default-address-pool", "Default address pools for node specific local networks", parseAddressPool),
    value: "pool-options",
  },
  text("default-cgroupns-mode", 'Default mode for containers cgroup namespace ("host" | "private")', "private"),
  { ...text("default-gateway", "Container default gateway IPv4 address"), value: "ip", parse: address },
  {
    ...text("default-gateway-v6", "Container default gateway IPv6 address"),
    value: "ip",
    parse: address,
  },
  text("default-ipc-mode", 'Default mode for containers ipc ("shareable" | "private")', "private"),
  {
    ...list("default-network-opt", "Default network options", parseNetworkOption),
    value: "driver=name=value",
  },
  text("default-runtime", "Default OCI runtime for containers", "crun"),
  { ...text("default-shm-size", "Default shm size for containers", "64MiB"), value: "bytes", parse: parseMemoryBytes },
  { ...list("default-ulimit", "Default ulimits for containers", parseUlimit), value: "ulimit" },
  { ...list("dns", "DNS server to use", address), value: "ip" },
  list("dns-opt", "DNS options to use"),
  list("dns-search", "DNS search domains to use"),
  list("exec-opt", "Runtime execution options"),
  text("exec-root", "Root directory for execution state files", "/run/brig"),
  booleanFlag("experimental", "Enable experimental features"),
  text("fixed-cidr", "IPv4 subnet for the default bridge network"),
  text("fixed-cidr-v6", "IPv6 subnet for the default bridge network"),
  { ...text("group", "Group for the unix socket", "docker"), short: "G" },
  { ...list("host", "Daemon socket(s) to connect to", parseHost), short: "H" },
  {
    ...list("host-gateway-ip", "IP address that the special 'host-gateway' string in --add-host resolves to", address),
    value: "ip",
  },
  text("http-proxy", "HTTP proxy URL to use for outgoing traffic"),
  text("https-proxy", "HTTPS proxy URL to use for outgoing traffic"),
  booleanFlag("icc", "Enable inter-container communication for the default bridge network", true),
  booleanFlag("init", "Run an init in the container to forward signals and reap processes"),
  text("init-path", "Path to the init binary"),
  list("insecure-registry", "Enable insecure registry communication"),
  {
    ...text("ip", "Host IP for port publishing from the default bridge network", "0.0.0.0"),
    value: "ip",
    parse: address,
  },
  booleanFlag("ip-forward", "Enable IP forwarding in the system configuration", true),
  booleanFlag("ip-masq", "Enable IP masquerading for the default bridge network", true),
  booleanFlag("ip6tables", "Enable addition of IPv6 packet filter rules", true),
  booleanFlag("iptables", "Enable addition of packet filter rules", true),
  booleanFlag("ipv6", "Enable IPv6 networking for the default bridge network"),
  list("label", "Set key=value labels to the daemon", label),
  booleanFlag("live-restore", "Accepted; containers always live on when the daemon ends"),
  text("log-driver", "Default driver for container logs", "json-file"),
  text("log-format", 'Set the logging format ("text"|"json")', "text"),
  { ...text("log-level", 'Set the logging level ("debug"|"info"|"warn"|"error"|"fatal")', "info"), short: "l" },
  { ...list("log-opt", "Default log driver options for containers", label), value: "map" },
  count("max-concurrent-downloads", "Set the max concurrent downloads", 3),
  count("max-concurrent-uploads", "Set the max concurrent uploads", 5),
  count("max-download-attempts", "Set the max download attempts for each pull", 5),
  {
    ...text("max-layer-size", "Largest size of an unpacked layer; 0 is 16GiB, or 200 times the compressed size", "0"),
    value: "bytes",
    parse: parseMemoryBytes,
  },
  text("metrics-addr", "Set default address and port to serve the metrics api on"),
  count("mtu", 'Set the MTU for the default "bridge" network; 0 is that of the way out', 0),
  booleanFlag("no-new-privileges", "Set no-new-privileges by default for new containers"),
  text("no-proxy", "Comma-separated list of hosts or IP addresses for which the proxy is skipped"),
  { ...text("pidfile", "Path to use for daemon PID file", "/run/brig/brig.pid"), short: "p" },
  {
    ...text("publish-address", "Host IP for port publishing from the default bridge network; another name of --ip"),
    value: "ip",
    parse: address,
  },
  text(
    "publish-policy",
    'Who decides about packets to published ports ("docker": nobody else | "host-firewall": the host\'s input rules)',
    "docker",
  ),
  booleanFlag("raw-logs", "Full timestamps without ANSI coloring"),
  list("registry-mirror", "Preferred registry mirror", checkMirror),
  text(
    "seccomp-profile",
    'Path to seccomp profile. Set to "unconfined" to disable the default seccomp profile',
    "builtin",
  ),
  booleanFlag("selinux-enabled", "Enable selinux support"),
  count("shutdown-timeout", "Set the default shutdown timeout", 15),
  { ...text("storage-driver", "Storage driver to use"), short: "s" },
  list("storage-opt", "Storage driver options"),
  booleanFlag("tls", "Use TLS; implied by --tlsverify"),
  text("tlscacert", "Trust certs signed only by this CA"),
  text("tlscert", "Path to TLS certificate file"),
  text("tlskey", "Path to TLS key file"),
  booleanFlag("tlsverify", "Use TLS and verify the remote"),
  booleanFlag("userland-proxy", "Use userland proxy for loopback traffic", true),
  text("userland-proxy-path", "Path to the userland proxy binary"),
  text("userns-remap", "User/Group setting for user namespaces"),
  booleanFlag("uninstall", "Remove the bridge and all firewall rules of a daemon that no longer runs, and exit"),
  booleanFlag("validate", "Validate daemon configuration and exit"),
  { ...booleanFlag("version", "Print version information and quit"), short: "v" },
];
