import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

const inContainer = (...args: string[]) => daemon.docker("run", "--rm", ...args);
const output = async (...args: string[]) => {
  const { code, stdout, stderr } = await inContainer(...args);
  expect(stderr).toBe("");
  expect(code).toBe(0);
  return stdout;
};

describe("exit codes", () => {
  test("the container's own", async () => {
    expect((await inContainer("alpine", "sh", "-c", "exit 42")).code).toBe(42);
  });
  test("127 for a command that is not there", async () => {
    const { code, stderr } = await inContainer("alpine", "nosuchcommand");
    expect(code).toBe(127);
    expect(stderr).toContain("nosuchcommand");
    expect(stderr).toContain("executable file");
  });
  test("126 for one that cannot be executed", async () => {
    const { code, stderr } = await inContainer("alpine", "/etc/passwd");
    expect(code).toBe(126);
    expect(stderr).toContain("permission denied");
  });
  test("125 for a flag that is unknown", async () => {
    expect((await inContainer("--no-such-flag", "alpine")).code).toBe(125);
  });
  test("125 for an image that is not there", async () => {
    const { code, stderr } = await inContainer("--pull", "never", "no/such:image");
    expect(code).toBe(125);
    expect(stderr).toContain("No such image: no/such:image");
  });
  test("128+n for a signal", async () => {
    const running = inContainer("--name", "killed", "alpine", "sleep", "100");
    while ((await daemon.docker("kill", "killed")).code !== 0) await Bun.sleep(20);
    expect((await running).code).toBe(137);
  });
});

describe("what a container sees", () => {
  test("environment", async () => {
    writeFileSync(`${daemon.root}/env`, "FROM_FILE=yes\n# a comment\nHOME_OF=x y\n");
    const env = await output("-e", "A=b", "--env-file", `${daemon.root}/env`, "-h", "boat", "alpine", "env");
    expect(env.split("\n")).toContain("A=b");
    expect(env).toContain("FROM_FILE=yes\n");
    expect(env).toContain("HOME_OF=x y\n");
    expect(env).toContain("HOSTNAME=boat\n");
    expect(env).toContain("HOME=/root\n");
    expect(env).toContain("PATH=/usr/local/sbin");
  });
  test("working directory, made where it is missing", async () => {
    expect(await output("-w", "/some/where", "alpine", "pwd")).toBe("/some/where\n");
  });
  test("user by name, by number, with group, with additional groups", async () => {
    expect(await output("-u", "nobody", "alpine", "id", "-u")).toBe("65534\n");
    expect(await output("-u", "1234:5678", "alpine", "sh", "-c", "id -u; id -g")).toBe("1234\n5678\n");
    expect(await output("-u", "nobody:users", "--group-add", "777", "alpine", "id", "-G")).toBe("100 777\n");
    const { code, stderr } = await inContainer("-u", "stranger", "alpine", "true");
    expect(code).toBe(125);
    expect(stderr).toContain("unable to find user stranger: no matching entries in passwd file");
  });
  test("entrypoint and init", async () => {
    expect(await output("--entrypoint", "echo", "alpine", "hello")).toBe("hello\n");
    expect(await output("--init", "alpine", "cat", "/proc/1/comm")).toContain("init");
  });
  test("read-only root and tmpfs", async () => {
    expect((await inContainer("--read-only", "alpine", "touch", "/x")).code).toBe(1);
    const mounts = await output(
      "--read-only",
      "--tmpfs",
      "/scratch:size=1m,mode=1777",
      "alpine",
      "cat",
      "/proc/mounts",
    );
    expect(mounts).toMatch(/tmpfs \/scratch tmpfs rw,.*size=1024k/);
  });
  test("hosts, resolv.conf, hostname", async () => {
    const hosts = await output("--add-host", "db:10.0.0.9", "-h", "me", "alpine", "cat", "/etc/hosts");
    expect(hosts).toContain("10.0.0.9\tdb\n");
    expect(hosts).toMatch(/\d+\.\d+\.\d+\.\d+\tme\n/);
    expect(await output("--dns", "9.9.9.9", "--dns-search", "lan", "alpine", "cat", "/etc/resolv.conf")).toContain(
      "nameserver 9.9.9.9",
    );
    expect(await output("-h", "me", "alpine", "cat", "/etc/hostname")).toBe("me\n");
  });
  test("ulimits, sysctls, shm", async () => {
    expect(await output("--ulimit", "nofile=100:200", "alpine", "sh", "-c", "ulimit -n; ulimit -Hn")).toBe(
      "100\n200\n",
    );
    expect(await output("--sysctl", "net.ipv4.ip_forward=0", "alpine", "cat", "/proc/sys/net/ipv4/ip_forward")).toBe(
      "0\n",
    );
    expect(await output("--shm-size", "2m", "alpine", "sh", "-c", "df -k /dev/shm | tail -n1")).toContain("2048");
  });
  test("its own pid, ipc and uts namespaces, and the host's where asked for", async () => {
    expect(await output("alpine", "sh", "-c", "echo $$")).toBe("1\n");
    const host = readFileSync("/etc/hostname", "utf8").trim() || "localhost";
    expect((await output("--uts", "host", "alpine", "hostname")).trim().length).toBeGreaterThan(0);
    expect(Number(await output("--pid", "host", "alpine", "sh", "-c", "ls -d /proc/[0-9]* | wc -l"))).toBeGreaterThan(
      20,
    );
    expect(host.length).toBeGreaterThan(0);
  });
  test("memory and cpu limits", async () => {
    const { stdout } = await daemon.docker(
      "run",
      "-d",
      "-m",
      "64m",
      "--cpus",
      "0.5",
      "--pids-limit",
      "50",
      "alpine",
      "sleep",
      "60",
    );
    const id = stdout.trim();
    const { stdout: limits } = await daemon.docker(
      "inspect",
      "-f",
      "{{.HostConfig.Memory}} {{.HostConfig.NanoCpus}} {{.HostConfig.PidsLimit}}",
      id,
    );
    expect(limits).toBe("67108864 500000000 50\n");
    expect(readFileSync(`/sys/fs/cgroup/memory/brig/${id}/memory.limit_in_bytes`, "utf8").trim()).toBe("67108864");
    expect(readFileSync(`/sys/fs/cgroup/pids/brig/${id}/pids.max`, "utf8").trim()).toBe("50");
    await daemon.docker("rm", "-f", id);
  });
});

describe("safety", () => {
  test("Docker's capabilities, no more", async () => {
    expect(await output("alpine", "grep", "CapEff", "/proc/self/status")).toContain("00000000a80425fb");
    expect(await output("--cap-drop", "ALL", "alpine", "grep", "CapEff", "/proc/self/status")).toContain(
      "0000000000000000",
    );
    expect(await output("--cap-add", "NET_ADMIN", "alpine", "grep", "CapEff", "/proc/self/status")).toContain(
      "00000000a80435fb",
    );
  });
  test("seccomp is on, and off where asked for", async () => {
    expect(await output("alpine", "grep", "^Seccomp:", "/proc/self/status")).toContain("2");
    expect(
      await output("--security-opt", "seccomp=unconfined", "alpine", "grep", "^Seccomp:", "/proc/self/status"),
    ).toContain("0");
    expect((await inContainer("alpine", "unshare", "-r", "true")).code).not.toBe(0);
    expect((await inContainer("alpine", "mount", "-t", "tmpfs", "none", "/tmp")).code).not.toBe(0);
  });
  test("no-new-privileges", async () => {
    expect(
      await output("--security-opt", "no-new-privileges", "alpine", "grep", "NoNewPrivs", "/proc/self/status"),
    ).toContain("1");
  });
  test("masked and read-only paths", async () => {
    expect(await output("alpine", "sh", "-c", "wc -c </proc/timer_list; ls /sys/firmware | wc -l")).toBe("0\n0\n");
    expect((await inContainer("alpine", "sh", "-c", "echo 1 >/proc/sys/kernel/panic")).code).not.toBe(0);
  });
  test("devices", async () => {
    expect((await inContainer("alpine", "sh", "-c", "mknod /tmp/vda b 254 0 && head -c1 /tmp/vda")).code).not.toBe(0);
    expect(
      await output("--device", "/dev/null:/dev/mynull", "alpine", "sh", "-c", "echo x >/dev/mynull; ls /dev/mynull"),
    ).toBe("/dev/mynull\n");
  });
  test("privileged", async () => {
    expect(await output("--privileged", "alpine", "sh", "-c", "mount -t tmpfs none /tmp && echo ok")).toBe("ok\n");
  });
});

describe("volumes and binds", () => {
  test("binds, read-only and not", async () => {
    mkdirSync(`${daemon.root}/bind`);
    await output("-v", `${daemon.root}/bind:/data`, "alpine", "sh", "-c", "echo hi >/data/file");
    expect(readFileSync(`${daemon.root}/bind/file`, "utf8")).toBe("hi\n");
    expect((await inContainer("-v", `${daemon.root}/bind:/data:ro`, "alpine", "touch", "/data/x")).code).toBe(1);
    expect(
      (
        await inContainer(
          "--mount",
          `type=bind,src=${daemon.root}/bind,dst=/data,readonly`,
          "alpine",
          "touch",
          "/data/x",
        )
      ).code,
    ).toBe(1);
  });
  test("a missing source is made for -v, refused for --mount", async () => {
    await output("-v", `${daemon.root}/made:/data`, "alpine", "true");
    expect(existsSync(`${daemon.root}/made`)).toBe(true);
    const { code, stderr } = await inContainer(
      "--mount",
      `type=bind,src=${daemon.root}/nowhere,dst=/data`,
      "alpine",
      "true",
    );
    expect(code).toBe(125);
    expect(stderr).toContain("bind source path does not exist");
  });
  test("named volumes keep their content; anonymous ones go with --rm", async () => {
    await output("-v", "keep:/data", "alpine", "sh", "-c", "echo kept >/data/file");
    expect(await output("-v", "keep:/data", "alpine", "cat", "/data/file")).toBe("kept\n");
    await output("-v", "/anonymous", "alpine", "true");
    expect((await daemon.docker("volume", "ls", "-q")).stdout).toBe("keep\n");
    expect((await daemon.docker("volume", "rm", "keep")).stdout).toBe("keep\n");
  });
  test("volumes-from", async () => {
    await daemon.docker("create", "--name", "holder", "-v", "/shared", "alpine", "true");
    await output("--volumes-from", "holder", "alpine", "sh", "-c", "echo there >/shared/file");
    expect(await output("--volumes-from", "holder:ro", "alpine", "cat", "/shared/file")).toBe("there\n");
    await daemon.docker("rm", "-v", "holder");
  });
});

test("cidfile", async () => {
  const file = `${daemon.root}/cid`;
  await output("--cidfile", file, "alpine", "true");
  expect(readFileSync(file, "utf8")).toMatch(/^[0-9a-f]{64}$/);
  expect((await inContainer("--cidfile", file, "alpine", "true")).stderr).toContain("found");
});

test("brig's own command line does the same", async () => {
  const { code, stdout } = await daemon.brig("run", "--rm", "-e", "A=1", "alpine", "sh", "-c", "echo $A; exit 3");
  expect({ code, stdout }).toEqual({ code: 3, stdout: "1\n" });
});
