/** The flags that run and create share. */
import type { FlagSpec } from "../lib/flags.ts";
import { parseGoDuration } from "../lib/units.ts";
import { parseEnv, parseLabel } from "./key-values.ts";
import { parseMount } from "./mount-option.ts";
import { parseNetwork } from "./network-option.ts";
import * as values from "./option-values.ts";

/** `pullUsage` is the sentence of --pull, which the two commands put differently. */
export function containerFlags(pullUsage: string): FlagSpec[] {
  return [
    ...identity(),
    ...process(),
    ...storage(),
    ...network(),
    ...isolation(),
    ...resources(),
    ...health(),
    { name: "help", type: "bool", usage: "Print usage" },
    { name: "pull", type: "string", default: "missing", usage: pullUsage },
    { name: "quiet", short: "q", type: "bool", usage: "Suppress the pull output" },
    { name: "platform", type: "string", usage: "Set platform if server is multi-platform capable" },
    {
      name: "disable-content-trust",
      type: "bool",
      default: "true",
      usage: "Skip image verification",
    },
    { name: "use-api-socket", type: "bool", usage: "Bind mount Docker API socket and required auth" },
  ];
}

function identity(): FlagSpec[] {
  return [
    { name: "name", type: "string", usage: "Assign a name to the container" },
    { name: "hostname", short: "h", type: "string", usage: "Container host name" },
    { name: "domainname", type: "string", usage: "Container NIS domain name" },
    { name: "label", short: "l", type: "list", usage: "Set meta data on a container", parse: parseLabel },
    { name: "label-file", type: "list", usage: "Read in a line delimited file of labels" },
    {
      name: "annotation",
      type: "list",
      value: "map",
      shownDefault: "map[]",
      usage: "Add an annotation to the container (passed through to the OCI runtime)",
    },
    { name: "cidfile", type: "string", usage: "Write the container ID to the file" },
  ];
}

function process(): FlagSpec[] {
  return [
    {
      name: "attach",
      short: "a",
      type: "list",
      usage: "Attach to STDIN, STDOUT or STDERR",
      parse: values.parseAttach,
    },
    { name: "interactive", short: "i", type: "bool", usage: "Keep STDIN open even if not attached" },
    { name: "tty", short: "t", type: "bool", usage: "Allocate a pseudo-TTY" },
    { name: "entrypoint", type: "string", usage: "Overwrite the default ENTRYPOINT of the image" },
    { name: "env", short: "e", type: "list", usage: "Set environment variables", parse: parseEnv },
    { name: "env-file", type: "list", usage: "Read in a file of environment variables" },
    { name: "workdir", short: "w", type: "string", usage: "Working directory inside the container" },
    { name: "user", short: "u", type: "string", usage: "Username or UID (format: <name|uid>[:<group|gid>])" },
    { name: "group-add", type: "list", usage: "Add additional groups to join" },
    { name: "init", type: "bool", usage: "Run an init inside the container that forwards signals and reaps processes" },
    { name: "stop-signal", type: "string", usage: "Signal to stop the container" },
    { name: "stop-timeout", type: "int", usage: "Timeout (in seconds) to stop a container" },
    { name: "restart", type: "string", default: "no", usage: "Restart policy to apply when a container exits" },
    {
      name: "rm",
      type: "bool",
      usage: "Automatically remove the container and its associated anonymous volumes when it exits",
    },
    { name: "log-driver", type: "string", usage: "Logging driver for the container" },
    { name: "log-opt", type: "list", usage: "Log driver options" },
    { name: "runtime", type: "string", usage: "Runtime to use for this container" },
  ];
}

function storage(): FlagSpec[] {
  return [
    { name: "volume", short: "v", type: "list", usage: "Bind mount a volume" },
    { name: "volume-driver", type: "string", usage: "Optional volume driver for the container" },
    { name: "volumes-from", type: "list", usage: "Mount volumes from the specified container(s)" },
    {
      name: "mount",
      type: "list",
      value: "mount",
      usage: "Attach a filesystem mount to the container",
      parse: parseMount,
    },
    { name: "tmpfs", type: "list", usage: "Mount a tmpfs directory" },
    { name: "read-only", type: "bool", usage: "Mount the container's root filesystem as read only" },
    { name: "storage-opt", type: "list", usage: "Storage driver options for the container" },
    { name: "shm-size", type: "string", value: "bytes", usage: "Size of /dev/shm", parse: values.parseBytes },
    { name: "device", type: "list", usage: "Add a host device to the container" },
    {
      name: "gpus",
      type: "list",
      value: "gpu-request",
      usage: "GPU devices to add to the container ('all' to pass all GPUs)",
      parse: values.parseGpus,
    },
  ];
}

function network(): FlagSpec[] {
  return [
    {
      name: "network",
      type: "list",
      value: "network",
      usage: "Connect a container to a network",
      parse: parseNetwork,
    },
    { name: "net", type: "list", sameAs: "network", usage: "" },
    { name: "network-alias", type: "list", usage: "Add network-scoped alias for the container" },
    { name: "net-alias", type: "list", sameAs: "network-alias", usage: "" },
    { name: "ip", type: "string", usage: "IPv4 address (e.g., 172.30.100.104)" },
    { name: "ip6", type: "string", usage: "IPv6 address (e.g., 2001:db8::33)" },
    { name: "link", type: "list", usage: "Add link to another container", parse: values.parseLink },
    { name: "link-local-ip", type: "list", usage: "Container IPv4/IPv6 link-local addresses" },
    { name: "mac-address", type: "string", usage: "Container MAC address (e.g., 92:d0:c6:0a:29:33)" },
    { name: "publish", short: "p", type: "list", usage: "Publish a container's port(s) to the host" },
    { name: "publish-all", short: "P", type: "bool", usage: "Publish all exposed ports to random ports" },
    { name: "expose", type: "list", usage: "Expose a port or a range of ports" },
    { name: "dns", type: "list", usage: "Set custom DNS servers", parse: values.parseDns },
    { name: "dns-option", type: "list", usage: "Set DNS options" },
    { name: "dns-opt", type: "list", sameAs: "dns-option", usage: "" },
    { name: "dns-search", type: "list", usage: "Set custom DNS search domains", parse: values.parseDnsSearch },
    {
      name: "add-host",
      type: "list",
      usage: "Add a custom host-to-IP mapping (host:ip)",
      parse: values.parseExtraHost,
    },
  ];
}

function isolation(): FlagSpec[] {
  return [
    { name: "privileged", type: "bool", usage: "Give extended privileges to this container" },
    { name: "cap-add", type: "list", usage: "Add Linux capabilities" },
    { name: "cap-drop", type: "list", usage: "Drop Linux capabilities" },
    { name: "security-opt", type: "list", usage: "Security Options" },
    { name: "pid", type: "string", usage: "PID namespace to use" },
    { name: "ipc", type: "string", usage: "IPC mode to use" },
    { name: "uts", type: "string", usage: "UTS namespace to use" },
    { name: "userns", type: "string", usage: "User namespace to use" },
    {
      name: "cgroupns",
      type: "string",
      usage:
        "Cgroup namespace to use (host|private)\n" +
        "'host':    Run the container in the Docker host's cgroup namespace\n" +
        "'private': Run the container in its own private cgroup namespace\n" +
        "'':        Use the cgroup namespace as configured by the\n" +
        "           default-cgroupns-mode option on the daemon (default)",
    },
    { name: "cgroup-parent", type: "string", usage: "Optional parent cgroup for the container" },
    { name: "isolation", type: "string", usage: "Container isolation technology" },
    {
      name: "sysctl",
      type: "list",
      value: "map",
      shownDefault: "map[]",
      usage: "Sysctl options",
      parse: values.parseSysctl,
    },
    {
      name: "ulimit",
      type: "list",
      value: "ulimit",
      shownDefault: "[]",
      usage: "Ulimit options",
      parse: values.parseUlimit,
    },
    {
      name: "device-cgroup-rule",
      type: "list",
      usage: "Add a rule to the cgroup allowed devices list",
      parse: values.parseDeviceRule,
    },
  ];
}

function resources(): FlagSpec[] {
  return [
    { name: "memory", short: "m", type: "string", value: "bytes", usage: "Memory limit", parse: values.parseBytes },
    {
      name: "memory-reservation",
      type: "string",
      value: "bytes",
      usage: "Memory soft limit",
      parse: values.parseBytes,
    },
    {
      name: "memory-swap",
      type: "string",
      value: "bytes",
      usage: "Swap limit equal to memory plus swap: '-1' to enable unlimited swap",
      parse: values.parseSwapBytes,
    },
    {
      name: "memory-swappiness",
      type: "int",
      default: "-1",
      usage: "Tune container memory swappiness (0 to 100)",
    },
    {
      name: "kernel-memory",
      type: "string",
      value: "bytes",
      usage: "Kernel memory limit",
      parse: values.parseBytes,
    },
    { name: "oom-kill-disable", type: "bool", usage: "Disable OOM Killer" },
    { name: "oom-score-adj", type: "int", usage: "Tune host's OOM preferences (-1000 to 1000)" },
    { name: "cpus", type: "string", value: "decimal", usage: "Number of CPUs", parse: values.parseCpus },
    { name: "cpu-shares", short: "c", type: "int", usage: "CPU shares (relative weight)" },
    { name: "cpu-period", type: "int", usage: "Limit CPU CFS (Completely Fair Scheduler) period" },
    { name: "cpu-quota", type: "int", usage: "Limit CPU CFS (Completely Fair Scheduler) quota" },
    { name: "cpu-rt-period", type: "int", usage: "Limit CPU real-time period in microseconds" },
    { name: "cpu-rt-runtime", type: "int", usage: "Limit CPU real-time runtime in microseconds" },
    { name: "cpu-count", type: "int", hidden: true, usage: "CPU count (Windows only)" },
    { name: "cpu-percent", type: "int", hidden: true, usage: "CPU percent (Windows only)" },
    { name: "cpuset-cpus", type: "string", usage: "CPUs in which to allow execution (0-3, 0,1)" },
    { name: "cpuset-mems", type: "string", usage: "MEMs in which to allow execution (0-3, 0,1)" },
    { name: "pids-limit", type: "int", usage: "Tune container pids limit (set -1 for unlimited)" },
    {
      name: "blkio-weight",
      type: "uint16",
      shownDefault: "0",
      usage: "Block IO (relative weight), between 10 and 1000, or 0 to disable",
    },
    {
      name: "blkio-weight-device",
      type: "list",
      shownDefault: "[]",
      usage: "Block IO weight (relative device weight)",
      parse: values.parseWeightDevice,
    },
    ...(["read", "write"] as const).flatMap((direction): FlagSpec[] => {
      const preposition = direction === "read" ? "from" : "to";
      return [
        {
          name: `device-${direction}-bps`,
          type: "list",
          shownDefault: "[]",
          usage: `Limit ${direction} rate (bytes per second) ${preposition} a device`,
          parse: values.parseByteRate,
        },
        {
          name: `device-${direction}-iops`,
          type: "list",
          shownDefault: "[]",
          usage: `Limit ${direction} rate (IO per second) ${preposition} a device`,
          parse: values.parseIoRate,
        },
      ];
    }),
    {
      name: "io-maxbandwidth",
      type: "string",
      value: "bytes",
      hidden: true,
      usage: "Maximum IO bandwidth limit for the system drive (Windows only)",
      parse: values.parseBytes,
    },
    { name: "io-maxiops", type: "uint", hidden: true, usage: "Maximum IOps limit for the system drive (Windows only)" },
  ];
}

function health(): FlagSpec[] {
  const duration = (name: string, usage: string): FlagSpec => ({
    name,
    type: "string",
    value: "duration",
    shownDefault: "0s",
    usage,
    parse: parseGoDuration,
  });
  return [
    { name: "health-cmd", type: "string", usage: "Command to run to check health" },
    duration("health-interval", "Time between running the check (ms|s|m|h)"),
    duration("health-timeout", "Maximum time to allow one check to run (ms|s|m|h)"),
    duration(
      "health-start-period",
      "Start period for the container to initialize before starting health-retries countdown (ms|s|m|h)",
    ),
    duration("health-start-interval", "Time between running the check during the start period (ms|s|m|h)"),
    { name: "health-retries", type: "int", usage: "Consecutive failures needed to report unhealthy" },
    { name: "no-healthcheck", type: "bool", usage: "Disable any container-specified HEALTHCHECK" },
  ];
}
