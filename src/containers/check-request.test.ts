import { expect, test } from "bun:test";
import { allCapabilities } from "../runtime/capabilities.ts";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { type CheckHost, checkCreateRequest } from "./check-request.ts";
import { fillHostConfig } from "./fill-host-config.ts";

const host: CheckHost = {
  cgroupMode: "hybrid",
  cpus: "0-1",
  memoryNodes: "0",
  cpuCount: 2,
  hasSwapLimit: true,
  hasBlkioWeight: false,
  capabilities: allCapabilities,
  appArmor: false,
  runtimes: ["crun", "runc"],
  defaultLogDriver: "local",
};
/** Hostile or old clients send what the types do not have. */
type Loose = Record<string, unknown>;
const check = (hostConfig: Loose, config: Loose = {}) =>
  checkCreateRequest({ config: config as ContainerConfig, hostConfig: hostConfig as HostConfig }, host);

const invalidName = (name: string) =>
  `invalid mount config for type "volume": invalid mount path: '${name}' mount path must be absolute`;

const refusedConfigs: [Loose, string][] = [
  [{ WorkingDir: "foo" }, "the working directory 'foo' is invalid, it needs to be an absolute path"],
  [{ Env: ["=x"] }, "invalid environment variable: =x"],
  [{ Env: [""] }, "invalid environment variable: "],
  [{ Healthcheck: { Interval: 5 } }, "Interval in Healthcheck cannot be less than 1ms"],
  [{ Healthcheck: { StartPeriod: -5 } }, "StartPeriod in Healthcheck cannot be less than 1ms"],
  [{ Healthcheck: { Retries: -1 } }, "Retries in Healthcheck cannot be negative"],
  [{ StopSignal: "FOO" }, "invalid signal: FOO"],
  [{ Hostname: "a".repeat(65) }, "invalid hostname"],
];
const refusedHostConfigs: [Loose, string][] = [
  [
    { RestartPolicy: { Name: "always", MaximumRetryCount: 3 } },
    "invalid restart policy: maximum retry count can only be used with 'on-failure'",
  ],
  [{ RestartPolicy: { Name: "on-failure", MaximumRetryCount: -3 } }, "maximum retry count cannot be negative"],
  [
    { RestartPolicy: { Name: "foo" } },
    "unknown policy 'foo'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'",
  ],
  [{ RestartPolicy: { Name: "always" }, AutoRemove: true }, "can't create 'AutoRemove' container with restart policy"],
  [{ Memory: 1 }, "Minimum memory limit allowed is 6MB"],
  [{ Memory: 1e8, MemorySwap: 1e7 }, "Minimum memoryswap limit should be larger than memory limit, see usage"],
  [{ MemorySwap: 1e7 }, "You should always set the Memory limit when using Memoryswap limit, see usage"],
  [{ MemorySwappiness: 101 }, "Invalid value: 101, valid memory swappiness range is 0-100"],
  [
    { Memory: 1e8, MemoryReservation: 2e8 },
    "Minimum memory limit can not be less than memory reservation limit, see usage",
  ],
  [{ NanoCpus: 3e12 }, "Range of CPUs is from 0.01 to 2.00, as there are only 2 CPUs available"],
  [{ NanoCpus: 1e9, CpuQuota: 1000 }, "Conflicting options: Nano CPUs and CPU Quota cannot both be set"],
  [{ CpuPeriod: 1 }, "CPU cfs period can not be less than 1ms (i.e. 1000) or larger than 1s (i.e. 1000000)"],
  [{ CpusetCpus: "a" }, "Invalid value a for cpuset cpus: invalid format: a"],
  [{ CpusetCpus: "1-0" }, "Invalid value 1-0 for cpuset cpus: invalid format: 1-0"],
  [{ CpusetCpus: "9" }, "Requested CPUs are not available - requested 9, available: 0-1"],
  [{ CpusetMems: "9" }, "Requested memory nodes are not available - requested 9, available: 0"],
  [{ ShmSize: -1 }, "SHM size can not be less than 0"],
  [{ OomScoreAdj: 2000 }, "Invalid value 2000, range for oom score adj is [-1000, 1000]"],
  [{ IpcMode: "foo" }, "invalid IPC mode: foo"],
  [{ PidMode: "container:" }, "invalid PID mode: container:"],
  [{ UTSMode: "private" }, "invalid UTS mode: private"],
  [{ CgroupnsMode: "foo" }, "invalid cgroup namespace mode: foo"],
  [{ Links: ["a:b:c"] }, "bad format for links: a:b:c"],
  [{ Tmpfs: { foo: "" } }, "invalid mount path: 'foo' mount path must be absolute"],
  [{ Tmpfs: { "/": "" } }, "invalid specification: destination can't be '/'"],
  [{ Tmpfs: { "/x": "bar" } }, 'invalid tmpfs option "bar"'],
  [{ Ulimits: [{ Name: "foo", Soft: 1, Hard: 2 }] }, "invalid ulimit type: foo"],
  [
    { Ulimits: [{ Name: "nofile", Soft: 3, Hard: 2 }] },
    "ulimit soft limit must be less than or equal to hard limit: 3 > 2",
  ],
  [{ Sysctls: { foo: "1" } }, "sysctl 'foo=1' is not allowed"],
  [{ Sysctls: { "net.a": "1" }, NetworkMode: "host" }, 'sysctl "net.a" not allowed in host network namespace'],
  [{ LogConfig: { Type: "foo" } }, 'error looking up logging plugin foo: plugin "foo" not found'],
  [{ LogConfig: { Type: "json-file", Config: { foo: "1" } } }, "unknown log opt 'foo' for json-file log driver"],
  [{ LogConfig: { Type: "", Config: { bar: "1" } } }, "unknown log opt 'bar' for log driver local"],
  [{ LogConfig: { Type: "json-file", Config: { mode: "x" } } }, "logger: logging mode not supported: x"],
  [{ LogConfig: { Type: "local", Config: { "max-size": "x" } } }, "invalid size: 'x'"],
  [{ Annotations: { "": "x" } }, "invalid Annotations: the empty string is not permitted as an annotation key"],
  [{ SecurityOpt: ["foo"] }, 'invalid --security-opt 1: "foo"'],
  [{ SecurityOpt: ["foo=bar"] }, 'invalid --security-opt 2: "foo=bar"'],
  [{ SecurityOpt: ["seccomp={"] }, "Decoding seccomp profile failed"],
  [{ SecurityOpt: ["apparmor=foo"] }, "AppArmor is not enabled"],
  [{ CapAdd: ["FOO"] }, 'invalid CapAdd: unknown capability: "CAP_FOO"'],
  [{ DeviceCgroupRules: ["foo"] }, "invalid device cgroup rule format: 'foo'"],
  [
    { DeviceRequests: [{ Count: -1, Capabilities: [["gpu"]] }] },
    'could not select device driver "" with capabilities: [[gpu]]',
  ],
  [{ Runtime: "nope" }, "unknown or invalid runtime name: nope"],
  [{ Isolation: "hyperv" }, `Invalid isolation: "hyperv" - linux only supports 'default'`],
  [{ StorageOpt: { size: "1G" } }, "--storage-opt is supported only for overlay over xfs with 'pquota' mount option"],
  [{ VolumesFrom: ["x:foo"] }, "invalid mode: foo"],
  [{ VolumesFrom: [":ro"] }, 'invalid name or ID supplied: ""'],
  [{ Binds: ["x"] }, `invalid volume specification: 'x': ${invalidName("x")}`],
  [{ Binds: ["/a:b"] }, "invalid volume specification: '/a:b': invalid mount config for type \"bind\""],
  [{ Binds: ["/a:/b:foo"] }, "invalid mode: foo"],
  [{ Binds: ["/a:/b:ro,rw"] }, "invalid mode: ro,rw"],
  [{ Binds: ["/tmp:/"] }, "invalid specification: destination can't be '/'"],
  [{ Binds: ["/tmp:/a/.."] }, "invalid specification: destination can't be '/'"],
  [{ Binds: [""] }, "invalid volume specification: ''"],
  [{ Binds: [":/b"] }, "invalid volume specification: ':/b'"],
  [{ Binds: ["/tmp:/b:ro:z"] }, "invalid volume specification: '/tmp:/b:ro:z'"],
  [{ Binds: ["vv:/a:shared"] }, "field BindOptions must not be specified"],
  [{ Binds: ["/tmp:/b", "/root:/b/"] }, "Duplicate mount point: /b"],
  [{ Binds: ["/tmp:/b"], Mounts: [{ Type: "bind", Source: "/root", Target: "/b" }] }, "Duplicate mount point: /b"],
  [{ Binds: ["/tmp:/b"], Tmpfs: { "/b": "" } }, "Duplicate mount point: /b"],
  [
    { Mounts: [{ Type: "foo", Source: "/tmp", Target: "/x" }] },
    'invalid mount config for type "foo": mount type unknown',
  ],
  [
    { Mounts: [{ Type: "bind", Source: "/tmp" }] },
    'invalid mount config for type "bind": field Target must not be empty',
  ],
  [{ Mounts: [{ Type: "bind", Target: "/x" }] }, "field Source must not be empty"],
  [
    { Mounts: [{ Type: "bind", Source: "foo", Target: "/x" }] },
    "invalid mount path: 'foo' mount path must be absolute",
  ],
  [
    { Mounts: [{ Type: "bind", Source: "/tmp", Target: "/x", VolumeOptions: {} }] },
    'VolumeOptions must not be specified on mount type "bind"',
  ],
  [
    { Mounts: [{ Type: "bind", Source: "/a", Target: "/x", BindOptions: { Propagation: "foo" } }] },
    "invalid propagation mode: foo",
  ],
  [
    { Mounts: [{ Type: "volume", Target: "/x", ReadOnly: true }] },
    "must not set ReadOnly mode when using anonymous volumes",
  ],
  [{ Mounts: [{ Type: "tmpfs", Source: "/tmp", Target: "/x" }] }, "field Source must not be specified"],
];

for (const [config, sentence] of refusedConfigs)
  test(`refuses ${JSON.stringify(config).slice(0, 80)}`, () => {
    expect(() => check({}, config)).toThrow(sentence);
  });
for (const [hostConfig, sentence] of refusedHostConfigs)
  test(`refuses ${JSON.stringify(hostConfig).slice(0, 80)}`, () => {
    expect(() => check(hostConfig)).toThrow(sentence);
  });

test("takes what is right", () => {
  const hostConfig = {
    Binds: ["/tmp:/b:ro,z,rslave", "vol:/v:nocopy", "/anonymous"],
    Tmpfs: { "/t": "size=1m,mode=700,exec,uid=3" },
    Mounts: [{ Type: "tmpfs", Target: "/m", TmpfsOptions: { SizeBytes: 1 } }],
    CapAdd: ["ALL", "net_admin"],
    SecurityOpt: ["no-new-privileges:true", "seccomp=unconfined", "label=disable", "apparmor=unconfined"],
    Memory: 64 << 20,
    MemorySwap: -1,
    CpusetCpus: "0-1",
    LogConfig: { Type: "json-file", Config: { "max-size": "10m", "max-file": "3", tag: "{{.Name}}" } },
    Sysctls: { "net.core.somaxconn": "1", "kernel.shmmax": "1" },
  };
  expect(check(hostConfig, { Env: ["A", "B=c"], StopSignal: "SIGRTMIN+3", Healthcheck: { Interval: 0 } })).toEqual([]);
});

test("warns of what the host cannot do, and takes it out", () => {
  const hostConfig: HostConfig = {
    BlkioWeight: 100,
    CpuPercent: 5,
    NetworkMode: "host",
    PortBindings: { "80/tcp": [{}] },
  };
  expect(checkCreateRequest({ config: {}, hostConfig }, host)).toEqual([
    "Published ports are discarded when using host network mode",
    "linux does not support CPU percent. Percent discarded.",
    "Your kernel does not support Block I/O weight or the cgroup is not mounted. Weight discarded.",
  ]);
  expect(hostConfig.BlkioWeight).toBeUndefined();
});

test("fills in what inspect shows", () => {
  const defaults = {
    logDriver: "local",
    logOptions: { "max-size": "10m" },
    ipcMode: "private",
    cgroupnsMode: "private" as const,
    shmSizeBytes: 64 << 20,
    runtime: "crun",
    cpuCount: 2,
  };
  const filled = fillHostConfig({ Memory: 10e6, NetworkMode: "default" }, defaults);
  expect(filled).toMatchObject({
    NetworkMode: "bridge",
    IpcMode: "private",
    CgroupnsMode: "private",
    RestartPolicy: { Name: "no", MaximumRetryCount: 0 },
    LogConfig: { Type: "local", Config: { "max-size": "10m" } },
    MemorySwap: 20e6,
    ShmSize: 64 << 20,
    Runtime: "crun",
    ConsoleSize: [0, 0],
  });
  expect(filled.MaskedPaths).toContain("/proc/kcore");
  expect("Tmpfs" in filled).toBe(false);
  expect(fillHostConfig({ LogConfig: { Type: "json-file" } }, defaults).LogConfig?.Config).toEqual({});
  expect(fillHostConfig({ Privileged: true }, defaults)).toMatchObject({
    MaskedPaths: null,
    SecurityOpt: ["label=disable"],
  });
});
