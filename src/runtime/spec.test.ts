/** The spec as crun takes it: every test runs a real process and looks at what it sees. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { mount, unmount } from "../kernel/mount.ts";
import type { HostConfig } from "../wire/engine-api.ts";
import { containerEnvironment } from "./environment.ts";
import { hostFacts } from "./host-facts.ts";
import { buildExecProcess, buildSpec, type SpecInput } from "./spec.ts";
import { resolveUser } from "./user.ts";

const directory = mkdtempSync(join(tmpdir(), "brig-spec-"));
const rootfs = join(directory, "rootfs");
let count = 0;

/** The host's own root file system as an image: it has a shell wherever this runs. */
beforeAll(() => {
  mount("tmpfs", directory, "tmpfs", 0);
  for (const name of ["rootfs", "upper", "work"]) mkdirSync(join(directory, name));
  const layers = `lowerdir=/,upperdir=${join(directory, "upper")},workdir=${join(directory, "work")}`;
  mount("overlay", rootfs, "overlay", 0, layers);
});
afterAll(() => {
  unmount(rootfs, true);
  unmount(directory, true);
  rmSync(directory, { recursive: true });
});

function specFor(script: string, hostConfig: HostConfig, more: Partial<SpecInput> & { userName?: string }) {
  const id = `${basename(directory)}-${count++}`;
  const user = resolveUser(rootfs, more.userName ?? "", hostConfig.GroupAdd);
  const spec = buildSpec({
    id,
    hostname: "tested",
    domainname: "",
    rootfs,
    args: ["/bin/sh", "-c", script],
    env: containerEnvironment([], { hostname: "tested", home: user.home, tty: false }),
    cwd: "/",
    user,
    tty: false,
    config: {},
    hostConfig,
    mounts: [],
    namespaces: {},
    ownsNetwork: true,
    cgroupsPath: `/${id}`,
    defaultUlimits: [],
    defaultSeccompProfile: "builtin",
    defaultNoNewPrivileges: false,
    host: hostFacts(),
    ...more,
  });
  return { id, spec };
}

const crun = (...args: string[]) => {
  const { stdout, stderr, exitCode } = Bun.spawnSync(["crun", "--root", join(directory, "crun"), ...args]);
  return { text: stdout.toString() + stderr.toString(), exitCode };
};

/** What a shell script in a container prints. */
function run(
  script: string,
  hostConfig: HostConfig = {},
  more: Partial<SpecInput> & { userName?: string } = {},
): string {
  const { id, spec } = specFor(script, hostConfig, more);
  const bundle = join(directory, id);
  mkdirSync(bundle);
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  try {
    return crun("run", "--bundle", bundle, id).text;
  } finally {
    crun("delete", "--force", id);
  }
}

test("safe by default", () => {
  const said = run(
    "grep -E 'CapEff|CapBnd|NoNewPrivs|Seccomp:' /proc/self/status; ls /proc/acpi /sys/firmware 2>/dev/null | grep -v : ;" +
      "cat /proc/interrupts /proc/keys; (unshare -r true) 2>&1; (mount -t tmpfs x /mnt) 2>&1; (echo x > /proc/sys/kernel/hostname) 2>&1;" +
      "(mkdir /sys/fs/cgroup/x) 2>&1; head -n 1 /proc/self/cgroup; hostname; echo $HOME",
  );
  expect(said).toContain("CapEff:\t00000000a80425fb");
  expect(said).toContain("CapBnd:\t00000000a80425fb");
  expect(said).toContain("NoNewPrivs:\t0");
  expect(said).toContain("Seccomp:\t2");
  expect(said).toContain("unshare failed: Operation not permitted");
  expect(said).toMatch(/mount: .*(permission denied|must be superuser)/i);
  expect(said.match(/Read-only file system|cannot create/g)?.length).toBeGreaterThanOrEqual(2);
  expect(said).toMatch(/^\d+:.*:\/$/m);
  expect(said).toContain("tested\n/root\n");
});

test("a user without privileges", () => {
  const said = run(
    "id; grep -E 'CapEff|CapBnd' /proc/self/status; echo $HOME",
    { GroupAdd: ["77"] },
    { userName: "daemon" },
  );
  expect(said).toContain("uid=1(daemon) gid=1(daemon) groups=1(daemon),77");
  expect(said).toContain("CapEff:\t0000000000000000");
  expect(said).toContain("CapBnd:\t00000000a80425fb");
});

test("privileged", () => {
  const said = run(
    "grep -E 'CapEff|Seccomp:' /proc/self/status; mount -t tmpfs x /mnt && echo mounted; ls -d /dev/kmsg; ls /sys/firmware; echo 1 > /proc/sys/net/ipv4/ip_forward && echo written",
    { Privileged: true },
  );
  expect(said).toContain("Seccomp:\t0");
  expect(said).toContain("mounted");
  expect(said).toContain("/dev/kmsg");
  expect(said).toContain("written");
  expect(said).not.toContain("00000000a80425fb");
});

test("what options ask for", () => {
  expect(run("grep NoNew /proc/self/status", { SecurityOpt: ["no-new-privileges"] })).toContain("NoNewPrivs:\t1");
  expect(run("grep Seccomp: /proc/self/status", { SecurityOpt: ["seccomp=unconfined"] })).toContain("Seccomp:\t0");
  expect(run("touch /x", { ReadonlyRootfs: true })).toContain("Read-only file system");
  expect(run("ulimit -n; ulimit -Hn", { Ulimits: [{ Name: "nofile", Soft: 100, Hard: 200 }] })).toBe("100\n200\n");
  expect(run("ulimit -c", { Ulimits: [{ Name: "core", Soft: -1, Hard: -1 }] })).toBe("unlimited\n");
  expect(run("cat /proc/sys/kernel/domainname", {}, { domainname: "example.org" })).toBe("example.org\n");
  expect(run("cat /proc/sys/net/ipv4/ip_forward", { Sysctls: { "net.ipv4.ip_forward": "1" } })).toBe("1\n");
  expect(run("cat /proc/self/oom_score_adj", { OomScoreAdj: 100 })).toBe("100\n");
  expect(run("df --output=size /dev/shm | tail -1", { ShmSize: 2 ** 20 }).trim()).toBe("1024");
  expect(run("ls /dev/shm", { IpcMode: "none" })).toContain("No such file");
  expect(run("stat -c %t:%T /dev/mine", { Devices: [{ PathOnHost: "/dev/null", PathInContainer: "/dev/mine" }] })).toBe(
    "1:3\n",
  );
  expect(run("ls /proc/acpi", { SecurityOpt: ["systempaths=unconfined"] }, {})).not.toContain("denied");
});

test("a seccomp profile of one's own", () => {
  const profile = {
    defaultAction: "SCMP_ACT_ALLOW",
    syscalls: [{ names: ["mkdir", "mkdirat", "no_such_call"], action: "SCMP_ACT_ERRNO", errnoRet: 38 }],
  };
  expect(run("mkdir /x", { SecurityOpt: [`seccomp=${JSON.stringify(profile)}`] })).toContain(
    "Function not implemented",
  );
});

test("exec is confined as the container is", () => {
  const { id, spec } = specFor("sleep 10", {}, {});
  const bundle = join(directory, id);
  mkdirSync(bundle);
  writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
  const process = buildExecProcess({
    args: ["/bin/sh", "-c", "grep -E 'CapEff|Seccomp:' /proc/self/status; (unshare -r true) 2>&1; echo $A; pwd"],
    env: ["PATH=/usr/bin:/bin", "A=b"],
    cwd: "/usr",
    user: resolveUser(rootfs, ""),
    tty: false,
    privileged: false,
    hostConfig: {},
    defaultNoNewPrivileges: false,
    defaultUlimits: [],
    host: hostFacts(),
  });
  const processFile = join(bundle, "process.json");
  writeFileSync(processFile, JSON.stringify(process));
  // Its own stdio, or crun would hold ours until the container ends.
  const started = Bun.spawnSync(
    ["crun", "--root", join(directory, "crun"), "run", "--detach", "--bundle", bundle, id],
    {
      stdio: ["ignore", "ignore", "ignore"],
    },
  );
  expect(started.exitCode).toBe(0);
  try {
    const { text } = crun("exec", "--process", processFile, id);
    expect(text).toContain("CapEff:\t00000000a80425fb");
    expect(text).toContain("Seccomp:\t2");
    expect(text).toContain("Operation not permitted");
    expect(text).toContain("b\n/usr\n");
  } finally {
    crun("delete", "--force", id);
  }
});

test("what cannot be had is refused with the reason", () => {
  const refuse = (hostConfig: HostConfig) => () => specFor("true", hostConfig, {});
  expect(refuse({ Devices: [{ PathOnHost: "/dev/nope" }] })).toThrow(
    'error gathering device information while adding custom device "/dev/nope": no such file or directory',
  );
  expect(refuse({ Sysctls: { "kernel.panic": "1" } })).toThrow(
    'sysctl "kernel.panic" is not in a separate kernel namespace',
  );
  expect(refuse({ SecurityOpt: ["seccomp={"] })).toThrow("Decoding seccomp profile failed");
  const host = { ...hostFacts(), capabilities: [], rlimits: new Map([["nofile", { soft: 1, hard: 20 }]]) };
  const limited = (hostConfig: HostConfig) =>
    specFor("true", hostConfig, { host, defaultUlimits: [{ Name: "nofile", Soft: 9, Hard: 99 }] });
  expect(limited({}).spec.process.rlimits).toEqual([{ type: "RLIMIT_NOFILE", soft: 9, hard: 20 }]);
  expect(() => limited({ Ulimits: [{ Name: "nofile", Soft: 9, Hard: 99 }] })).toThrow("cannot set ulimit nofile to 99");
  expect(() => limited({ OomScoreAdj: -1000 })).toThrow("cannot set the OOM score adjustment to -1000");
});

test("a client's annotation does not take the place of the filter", () => {
  const mine = "run.oci.seccomp_bpf_data";
  const { spec } = specFor("true", { Annotations: { [mine]: "AAAA", a: "b" } }, {});
  expect(spec.annotations).toMatchObject({ a: "b" });
  expect(spec.annotations?.[mine]).not.toBe("AAAA");
  expect(specFor("true", { Privileged: true, Annotations: { [mine]: "AAAA" } }, {}).spec.annotations).toEqual({});
});
