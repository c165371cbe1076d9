/** The keys of daemon.json: of which shape each is, which flag sets the same, and what becomes of it. */
import { invalidParameter } from "../lib/errors.ts";

export type KeyShape = "string" | "bool" | "int" | "strings" | "stringMap" | "boolMap" | "size" | "any";

interface KeySpec {
  shape: KeyShape;
  /** The flag that sets the same, where its name is another. */
  flag?: string;
  /** Accepted, so that a file written for Docker is taken as it is, but nothing comes of it: the reason. */
  without?: string;
}

const notYet = "not supported yet";
const alwaysOn = "containers always live on when the daemon ends";
const inProcess = "Brig has no such process";

/** Every key; Docker's names. */
export const configKeys: Record<string, KeySpec> = {
  "allow-direct-routing": { shape: "bool" },
  "allow-nondistributable-artifacts": { shape: "strings", without: notYet },
  "authorization-plugins": { shape: "strings", flag: "authorization-plugin", without: notYet },
  bip: { shape: "string" },
  bip6: { shape: "string" },
  bridge: { shape: "string" },
  "bridge-accept-fwmark": { shape: "string", without: notYet },
  builder: { shape: "any", without: notYet },
  "cdi-spec-dirs": { shape: "strings", flag: "cdi-spec-dir", without: notYet },
  "cgroup-parent": { shape: "string" },
  "cluster-advertise": { shape: "string", without: notYet },
  "cluster-store": { shape: "string", without: notYet },
  containerd: { shape: "string", without: inProcess },
  "containerd-namespace": { shape: "string", without: inProcess },
  "containerd-plugin-namespace": { shape: "string", without: inProcess },
  "containerd-plugins-namespace": { shape: "string", without: inProcess },
  "cpu-rt-period": { shape: "int", without: notYet },
  "cpu-rt-runtime": { shape: "int", without: notYet },
  "data-root": { shape: "string" },
  debug: { shape: "bool" },
  "default-address-pools": { shape: "any", flag: "default-address-pool" },
  "default-cgroupns-mode": { shape: "string" },
  "default-gateway": { shape: "string" },
  "default-gateway-v6": { shape: "string" },
  "default-ipc-mode": { shape: "string" },
  "default-network-opts": { shape: "any", flag: "default-network-opt" },
  "default-runtime": { shape: "string" },
  "default-shm-size": { shape: "size" },
  "default-ulimits": { shape: "any", flag: "default-ulimit" },
  dns: { shape: "strings" },
  "dns-opts": { shape: "strings", flag: "dns-opt" },
  "dns-search": { shape: "strings" },
  "exec-opts": { shape: "strings", flag: "exec-opt" },
  "exec-root": { shape: "string" },
  experimental: { shape: "bool" },
  features: { shape: "boolMap", without: notYet },
  "firewall-backend": { shape: "string", without: "Brig always uses nftables" },
  "fixed-cidr": { shape: "string" },
  "fixed-cidr-v6": { shape: "string" },
  group: { shape: "string" },
  "host-gateway-ip": { shape: "any" },
  "host-gateway-ips": { shape: "strings", flag: "host-gateway-ip" },
  hosts: { shape: "strings", flag: "host" },
  "http-proxy": { shape: "string" },
  "https-proxy": { shape: "string" },
  icc: { shape: "bool" },
  init: { shape: "bool" },
  "init-path": { shape: "string" },
  "insecure-registries": { shape: "strings", flag: "insecure-registry" },
  ip: { shape: "string" },
  "ip-forward": { shape: "bool" },
  "ip-forward-no-drop": { shape: "bool", without: "Brig never sets a policy of DROP" },
  "ip-masq": { shape: "bool" },
  ip6tables: { shape: "bool", without: "iptables holds for both families" },
  iptables: { shape: "bool" },
  ipv6: { shape: "bool" },
  labels: { shape: "strings", flag: "label" },
  "live-restore": { shape: "bool" },
  "log-driver": { shape: "string" },
  "log-format": { shape: "string" },
  "log-level": { shape: "string" },
  "log-opts": { shape: "stringMap", flag: "log-opt" },
  "max-concurrent-downloads": { shape: "int" },
  "max-concurrent-uploads": { shape: "int" },
  "max-download-attempts": { shape: "int" },
  "max-layer-size": { shape: "any" },
  "metrics-addr": { shape: "string", without: notYet },
  mtu: { shape: "int" },
  "network-control-plane-mtu": { shape: "int", without: notYet },
  "no-new-privileges": { shape: "bool" },
  "no-proxy": { shape: "string" },
  "node-generic-resources": { shape: "strings", flag: "node-generic-resource", without: notYet },
  "oom-score-adjust": { shape: "int", without: "deprecated: set it where the daemon is started" },
  pidfile: { shape: "string" },
  proxies: { shape: "any" },
  "publish-address": { shape: "string" },
  "publish-policy": { shape: "string" },
  "raw-logs": { shape: "bool", without: "the log has no colours" },
  "registry-mirrors": { shape: "strings", flag: "registry-mirror" },
  rootless: { shape: "bool", without: notYet },
  runtimes: { shape: "any", flag: "add-runtime" },
  "seccomp-profile": { shape: "string" },
  "selinux-enabled": { shape: "bool", without: notYet },
  "shutdown-timeout": { shape: "int", without: alwaysOn },
  "storage-driver": { shape: "string" },
  "storage-opts": { shape: "strings", flag: "storage-opt", without: notYet },
  "swarm-default-advertise-addr": { shape: "string", without: notYet },
  tls: { shape: "bool" },
  tlscacert: { shape: "string" },
  tlscert: { shape: "string" },
  tlskey: { shape: "string" },
  tlsverify: { shape: "bool" },
  "userland-proxy": { shape: "bool" },
  "userland-proxy-path": { shape: "string", without: inProcess },
  "userns-remap": { shape: "string", without: notYet },
};

/** What a file that asks for it is refused for: to take it silently would leave containers less apart than asked. */
export const refusedKeys = new Set(["userns-remap", "selinux-enabled", "rootless", "authorization-plugins"]);

/** Words for the warning about a key that is accepted without effect; undefined where it has one. */
export function warningFor(key: string, value: unknown): string | undefined {
  const spec = configKeys[key]!;
  const asksForNothing = value === false || value === "" || (Array.isArray(value) && value.length === 0);
  if (key === "live-restore") return value === false ? `live-restore: ${alwaysOn}` : undefined;
  return spec.without === undefined || asksForNothing
    ? undefined
    : `${key} is accepted but has no effect: ${spec.without}`;
}

const kindOf = (value: unknown) =>
  Array.isArray(value)
    ? "array"
    : value !== null && typeof value === "object"
      ? "object"
      : typeof value === "boolean"
        ? "bool"
        : typeof value;

const goTypes: Record<KeyShape, string> = {
  string: "string",
  bool: "bool",
  int: "int",
  strings: "[]string",
  stringMap: "map[string]string",
  boolMap: "map[string]bool",
  size: "opts.MemBytes",
  any: "",
};

const isRecordOf = (value: unknown, kind: string) =>
  kindOf(value) === "object" && Object.values(value as object).every((entry) => typeof entry === kind);

/** Checks the shape of a key's value. Throws invalidParameter that names the key, as Go's decoder does. */
export function checkShape(key: string, value: unknown): void {
  const { shape } = configKeys[key]!;
  const fits: Record<KeyShape, () => boolean> = {
    string: () => typeof value === "string",
    bool: () => typeof value === "boolean",
    int: () => Number.isSafeInteger(value),
    strings: () => Array.isArray(value) && value.every((entry) => typeof entry === "string"),
    stringMap: () => isRecordOf(value, "string"),
    boolMap: () => isRecordOf(value, "boolean"),
    size: () => typeof value === "string" || Number.isSafeInteger(value),
    any: () => true,
  };
  if (fits[shape]()) return;
  const kind = kindOf(value) === "number" && shape === "int" ? `number ${String(value)}` : kindOf(value);
  throw invalidParameter(`json: cannot unmarshal ${kind} into Go struct field Config.${key} of type ${goTypes[shape]}`);
}
