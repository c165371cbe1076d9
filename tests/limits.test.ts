/** Limits, each tried by a program that wants more than it may have. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, readFileSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { splitDevice } from "../src/kernel/files.ts";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

const docker = (...args: string[]) => daemon.docker(...args);
const sh = (options: string[], script: string) => docker("run", "--rm", ...options, "alpine", "sh", "-c", script);
const inspect = async (format: string, name: string) => (await docker("inspect", "-f", format, name)).stdout.trim();

/** What a file of the container's cgroup says; `v1` and `v2` are controller/file and file. */
async function cgroupFile(name: string, v1: string, v2: string): Promise<string> {
  const id = await inspect("{{.Id}}", name);
  const [controller = "", file = ""] = v1.split("/");
  const unified = await Bun.file("/sys/fs/cgroup/cgroup.controllers").exists();
  const path = unified ? `/sys/fs/cgroup/brig/${id}/${v2}` : `/sys/fs/cgroup/${controller}/brig/${id}/${file}`;
  return readFileSync(path, "utf8").trim();
}

describe("memory", () => {
  test("a hog is killed, and that is told", async () => {
    const since = String(Date.now() / 1000);
    const { code } = await docker(
      "run",
      "--name",
      "hog",
      "-m",
      "24m",
      "--memory-swap",
      "24m",
      "alpine",
      "tail",
      "/dev/zero",
    );
    expect(code).toBe(137);
    expect(await inspect("{{.State.OOMKilled}} {{.State.ExitCode}}", "hog")).toBe("true 137");
    const { stdout } = await docker(
      "events",
      "--since",
      since,
      "--until",
      String(Date.now() / 1000 + 1),
      "-f",
      "container=hog",
      "--format",
      "{{.Action}}",
    );
    expect(stdout).toContain("oom\ndie\n");
    await docker("rm", "hog");
  });

  test("a child's death is told while the container goes on", async () => {
    const script = "tail /dev/zero; echo survived; sleep 100";
    await docker("run", "-d", "--name", "parent", "-m", "24m", "--memory-swap", "24m", "alpine", "sh", "-c", script);
    for (let i = 0; i < 100 && !(await docker("logs", "parent")).stdout.includes("survived"); i++) await Bun.sleep(50);
    for (let i = 0; i < 40 && (await inspect("{{.State.OOMKilled}}", "parent")) !== "true"; i++) await Bun.sleep(50);
    expect(await inspect("{{.State.Status}} {{.State.OOMKilled}}", "parent")).toBe("running true");
    await docker("rm", "-f", "parent");
  });

  test("what makes no sense is refused", async () => {
    for (const [options, sentence] of [
      [["-m", "5m"], "Minimum memory limit allowed is 6MB"],
      [["-m", "64m", "--memory-swap", "32m"], "Minimum memoryswap limit should be larger than memory limit, see usage"],
      [["--memory-swap", "32m"], "You should always set the Memory limit when using Memoryswap limit, see usage"],
      [["-m", "64m", "--memory-reservation", "65m"], "can not be less than memory reservation limit, see usage"],
    ] as const) {
      const { code, stderr } = await sh([...options], "true");
      expect(stderr).toContain(sentence);
      expect(code).toBe(125);
    }
  });

  test("/dev/shm holds what it may", async () => {
    const { stdout, stderr } = await sh(
      ["--shm-size", "4m"],
      "dd if=/dev/zero of=/dev/shm/x bs=1M count=8; stat -c %s /dev/shm/x",
    );
    expect(stderr).toContain("No space left on device");
    expect(stdout).toBe(`${4 << 20}\n`);
  });
});

describe("processes", () => {
  test("a fork bomb stays small", async () => {
    const { stdout, stderr } = await sh(
      ["--pids-limit", "12"],
      "i=0; while [ $i -lt 40 ]; do sleep 2 & i=$((i+1)); done; ls -d /proc/[0-9]* | wc -l",
    );
    expect(stderr).toContain("can't fork");
    expect(Number(stdout || "0")).toBeLessThanOrEqual(12);
  });

  test("ulimits", async () => {
    const { stdout } = await sh(
      ["--ulimit", "nofile=100:200", "--ulimit", "core=0", "--ulimit", "fsize=1048576"],
      "ulimit -Sn; ulimit -Hn; ulimit -c; head -c 4m /dev/zero >/tmp/f; stat -c %s /tmp/f",
    );
    expect(stdout).toBe("100\n200\n0\n1048576\n");
  });

  test("oom score", async () => {
    expect((await sh(["--oom-score-adj", "321"], "cat /proc/self/oom_score_adj")).stdout).toBe("321\n");
  });
});

describe("processor", () => {
  test("a quota is all there is", async () => {
    await docker("run", "-d", "--name", "burner", "--cpus", "0.2", "alpine", "sh", "-c", "yes >/dev/null");
    await Bun.sleep(1000);
    const usage = async () => {
      const text = await cgroupFile("burner", "cpuacct/cpuacct.usage", "cpu.stat");
      return text.startsWith("usage_usec") ? Number(text.split(/\s/)[1]) / 1e3 : Number(text) / 1e6;
    };
    const [before, begun] = [await usage(), performance.now()];
    await Bun.sleep(2000);
    const share = ((await usage()) - before) / (performance.now() - begun);
    expect(share).toBeGreaterThan(0.1);
    expect(share).toBeLessThan(0.26);
    await docker("rm", "-f", "burner");
  });

  test("only the processors that are named", async () => {
    expect((await sh(["--cpuset-cpus", "0"], "grep Cpus_allowed_list /proc/self/status")).stdout).toMatch(/:\s+0\n$/);
    expect((await sh(["--cpuset-cpus", "4000"], "true")).stderr).toContain(
      "Requested CPUs are not available - requested 4000",
    );
    expect((await sh(["--cpus", "4000"], "true")).stderr).toContain("Range of CPUs is from 0.01 to");
  });
});

const disk = Bun.spawnSync(["findmnt", "-no", "SOURCE", "--target", tmpdir()]).stdout.toString().trim();

// Elsewhere the files are on no disk that could be named.
test.skipIf(!existsSync(disk) || !statSync(disk).isBlockDevice())(
  "a disk is written no faster than it may be",
  async () => {
    const { major, minor } = splitDevice(BigInt(statSync(disk).rdev));
    const { stderr } = await sh(
      ["--device-write-bps", `${disk}:2mb`],
      "time dd if=/dev/zero of=/file bs=512k count=12 oflag=direct",
    );
    // The first burst is let through.
    const seconds = Number(/real\s+0m ([\d.]+)s/.exec(stderr)?.[1]);
    expect(seconds, stderr).toBeGreaterThan(1.5);
    await docker("run", "-d", "--name", "slow", "--device-write-iops", `${disk}:77`, "alpine", "sleep", "100");
    const file = await cgroupFile("slow", "blkio/blkio.throttle.write_iops_device", "io.max");
    expect(file).toMatch(new RegExp(`^${major}:${minor} .*77`));
    await docker("rm", "-f", "slow");
  },
);

describe("devices", () => {
  const { major, minor } = splitDevice(BigInt(statSync("/dev/fuse").rdev));
  test("none but those that are named", async () => {
    const make = `mknod /tmp/f c ${major} ${minor} && : </tmp/f && echo open`;
    expect((await sh([], make)).stderr).toContain("Operation not permitted");
    const named = await sh(["--device", "/dev/fuse:/dev/own:r"], ": </dev/own && echo open; : >/dev/own");
    expect(named.stdout).toBe("open\n");
    expect(named.stderr).toContain("Operation not permitted");
    expect((await sh(["--device-cgroup-rule", `c ${major}:${minor} rw`], make)).stdout).toBe("open\n");
  });
});

describe("update", () => {
  const id = () => inspect("{{.Id}}", "changing");
  beforeAll(async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "changing",
      "-m",
      "64m",
      "--memory-swap",
      "128m",
      "--cpus",
      "1",
      "alpine",
      "sleep",
      "1000",
    );
  });
  afterAll(async () => {
    await docker("rm", "-f", "changing");
  });

  test("changes what runs, and what inspect says", async () => {
    const update = await docker(
      "update",
      "-m",
      "256m",
      "--memory-swap",
      "300m",
      "--cpus",
      "0.5",
      "--pids-limit",
      "33",
      "--cpuset-cpus",
      "0",
      "--cpu-shares",
      "100",
      "--memory-reservation",
      "32m",
      "changing",
    );
    expect(update).toEqual({ code: 0, stdout: "changing\n", stderr: "" });
    expect(await cgroupFile("changing", "memory/memory.limit_in_bytes", "memory.max")).toBe(String(256 << 20));
    expect(await cgroupFile("changing", "pids/pids.max", "pids.max")).toBe("33");
    expect(await cgroupFile("changing", "cpu/cpu.cfs_quota_us", "cpu.max")).toMatch(/^50000/);
    expect(await cgroupFile("changing", "cpuset/cpuset.cpus", "cpuset.cpus")).toBe("0");
    const format =
      "{{.HostConfig.Memory}} {{.HostConfig.MemorySwap}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}} {{.HostConfig.CpusetCpus}} {{.HostConfig.CpuShares}}";
    expect(await inspect(format, "changing")).toBe(`${256 << 20} ${300 << 20} 500000000 33 0 100`);
    // Down again, memory with swap behind memory.
    expect((await docker("update", "-m", "32m", "--memory-swap", "40m", "changing")).stderr).toBe("");
    expect(await cgroupFile("changing", "memory/memory.limit_in_bytes", "memory.max")).toBe(String(32 << 20));
    expect((await docker("update", "-m", "64m", "--memory-swap", "-1", "--pids-limit", "-1", "changing")).stderr).toBe(
      "",
    );
    expect(await cgroupFile("changing", "pids/pids.max", "pids.max")).toBe("max");
    expect((await docker("update", "-m", "60m", "--memory-swap", "80m", "changing")).stderr).toBe("");
  });

  test("refuses in Docker's words, and then changes nothing", async () => {
    const start = `Error response from daemon: Cannot update container ${await id()}: `;
    const refused = async (...options: string[]) => (await docker("update", ...options, "changing")).stderr.trim();
    expect(await refused("-m", "256m")).toBe(
      `${start}Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time`,
    );
    expect(await refused("-m", "5m")).toBe("Error response from daemon: Minimum memory limit allowed is 6MB");
    expect(await refused("--cpu-quota", "50000")).toBe(
      `${start}Conflicting options: CPU Quota cannot be updated as NanoCPUs has already been set`,
    );
    expect(await refused("--cpuset-cpus", "4000")).toContain("Requested CPUs are not available - requested 4000");
    expect(await refused("--pids-limit", "5", "--cpu-rt-runtime", "1000")).toContain("cpu");
    expect(await inspect("{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}", "changing")).toBe(`${60 << 20} 0`);
    expect(await cgroupFile("changing", "pids/pids.max", "pids.max")).toBe("max");
  });

  test("holds after a kill -9 of the daemon, and after a restart", async () => {
    await docker("update", "-m", "48m", "--memory-swap", "50m", "changing");
    await daemon.end("SIGKILL");
    await daemon.start();
    expect(await inspect("{{.HostConfig.Memory}}", "changing")).toBe(String(48 << 20));
    await docker("restart", "-t", "0", "changing");
    expect(await cgroupFile("changing", "memory/memory.limit_in_bytes", "memory.max")).toBe(String(48 << 20));
  });
});
