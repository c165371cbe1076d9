/** Volumes with options, parts of volumes, images as mounts; and nothing of them left behind, however the daemon ends. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
let here: string;
beforeAll(async () => {
  here = mkdtempSync(join(tmpdir(), "brig-volumes-"));
  symlinkSync(brigBinary, join(here, "docker"));
  await daemon.start();
  await daemon.withImage();
});
afterAll(async () => {
  rmSync(here, { recursive: true, force: true });
  await daemon.dispose();
});

const sh = async (options: string[], script: string) =>
  daemon.client("run", "--rm", "--network", "none", ...options, "alpine", "sh", "-c", script);
const create = (name: string, ...options: string[]) =>
  daemon.client("volume", "create", ...options.flatMap((option) => ["-o", option]), name);
const dataOf = (name: string) => join(daemon.root, "data/volumes", name, "_data");
/** What is mounted below the daemon's roots. */
const mounted = () =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(daemon.root));

const spoken = Bun.spawnSync(["docker", "--version"]).stdout.toString().startsWith("Docker version 28.2.");

test.skipIf(!spoken)("brig's client says of volumes what docker's does", async () => {
  const script = `docker volume create w; docker volume create w; docker volume create -o foo=1 x; docker volume create -o type=nfs x
    docker volume create -o device=a x; docker volume create -o o=a x; docker volume create -o size=1m x; docker volume create -o size=x x
    docker volume create -o type=cifs -o device=//h:1/x x; docker volume create 'a b'; docker volume create a; docker volume create -d bad x
    docker volume create --label b=c --label a -o type=tmpfs -o o=size=1m -o device=tmpfs t; docker volume inspect t w | grep -v CreatedAt
    docker volume ls; docker volume ls -q; docker volume ls --format '{{json .}}'; docker volume ls -f dangling=bad; docker volume ls -f x=y
    docker volume ls -f label=a -q; docker volume inspect nosuch; docker volume rm nosuch; docker volume rm -f nosuch; docker volume update t
    docker volume update; docker volume update nosuch; docker create --name u -v w:/w alpine >/dev/null; docker volume rm w 2>&1 | sed 's/\\[.*\\]//'
    docker rm u; docker volume rm w t; docker volume --help | grep -v update; docker volume rm --help; docker volume prune -f; docker volume rm
    docker volume prune --all --filter all=1; docker volume prune -f --filter bad=x`;
  const said: string[] = [];
  for (const path of [process.env.PATH!, `${here}:${process.env.PATH}`]) {
    const env = { PATH: path, DOCKER_HOST: daemon.host };
    const { stdout, stderr } = await run(["bash", "-c", `exec 2>&1; ${script}`], { env });
    said.push(stdout + stderr);
  }
  expect(said[1]!.split("\n")).toEqual(said[0]!.split("\n"));
});

describe("options of the local driver", () => {
  test("a file system in memory lives as long as a container has it", async () => {
    await create("memory", "type=tmpfs", "device=tmpfs", "o=size=1m,uid=1000,noexec");
    expect(mounted()).toEqual([]);
    const script =
      "stat -c %u /x; df -k /x | tail -1 | tr -s ' ' | cut -d' ' -f2; grep ' /x ' /proc/mounts | grep -o noexec";
    expect((await sh(["-v", "memory:/x"], script)).stdout).toBe("1000\n1024\nnoexec\n");
    expect(mounted()).toEqual([]);
    const long = ["run", "-d", "--network", "none", "-v", "memory:/x", "--name"];
    for (const name of ["one", "two"]) await daemon.client(...long, name, "alpine", "sleep", "1000");
    await daemon.client("exec", "one", "sh", "-c", "echo kept >/x/file");
    await daemon.client("rm", "-f", "one");
    expect((await daemon.client("exec", "two", "cat", "/x/file")).stdout).toBe("kept\n");
    expect((await daemon.brig("cp", "two:/x/file", "-")).stdout).toContain("kept\n");
    // A daemon that is killed finds it again, and takes it down when the last one goes.
    await daemon.end("SIGKILL");
    await daemon.start();
    expect((await daemon.client("exec", "two", "cat", "/x/file")).stdout).toBe("kept\n");
    expect((await sh(["-v", "memory:/y"], "cat /y/file")).stdout).toBe("kept\n");
    expect(mounted()).toContain(dataOf("memory"));
    await daemon.end("SIGKILL");
    for (const pid of (await run(["pgrep", "-f", "sleep 1000"])).stdout.split("\n"))
      if (pid !== "" && readFileSync(`/proc/${pid}/mountinfo`, "utf8").includes(daemon.root))
        process.kill(Number(pid), "SIGKILL");
    await daemon.start();
    await daemon.client("rm", "-f", "two");
    expect(mounted()).toEqual([]);
    expect((await daemon.client("volume", "rm", "memory")).code).toBe(0);
  }, 30_000);

  test("a bind, read-only; its content survives the volume", async () => {
    const source = mkdtempSync(join(here, "source-"));
    writeFileSync(join(source, "file"), "precious");
    await create("bound", "type=none", `device=${source}`, "o=bind,ro");
    const read = await sh(["-v", "bound:/x"], "cat /x/file; touch /x/new; stat -c '' /x/new");
    expect([read.stdout, read.code]).toEqual(["precious", 1]);
    const copied = await daemon.brig("cp", join(source, "file"), "nosuch:/x");
    expect(copied.code).toBe(1);
    await daemon.client("create", "--name", "holder", "-v", "bound:/x", "alpine");
    expect((await daemon.brig("cp", "holder:/x/file", "-")).stdout).toContain("precious");
    expect((await daemon.client("volume", "rm", "bound")).stderr).toContain("volume is in use");
    await daemon.client("rm", "holder");
    // Also where somebody has mounted it meanwhile.
    await run(["mount", "--bind", source, dataOf("bound")]);
    expect((await daemon.client("volume", "rm", "bound")).code).toBe(0);
    expect(readFileSync(join(source, "file"), "utf8")).toBe("precious");
    expect(existsSync(dataOf("bound"))).toBe(false);
    expect(mounted()).toEqual([]);
  });

  test("what cannot be mounted is told in Docker's words, and leaves nothing", async () => {
    const failures: [string[], string][] = [
      [["type=none", "device=/nosuch", "o=bind"], "mount /nosuch:PATH, flags: 0x1000: no such file or directory"],
      [["type=nosuchfs", "device=d", "o=ro,a=b"], "mount d:PATH, flags: 0x1, data: a=b: no such device"],
      [["type=btrfs", "device=/dev/nosuch"], "mount /dev/nosuch:PATH"],
    ];
    for (const [options, words] of failures) {
      await create("bad", ...options);
      const { code, stderr } = await sh(["-v", "bad:/x"], "true");
      expect(stderr.replaceAll(dataOf("bad"), "PATH")).toContain(
        `error while mounting volume 'PATH': failed to mount local volume: ${words}`,
      );
      expect(code).not.toBe(0);
      expect((await daemon.client("volume", "rm", "bad")).code).toBe(0);
    }
    expect(await daemon.leftovers()).toEqual([]);
  });

  test("a source that is mounted read-only stays so in a container", async () => {
    const source = mkdtempSync(join(here, "ro-"));
    await run(["mount", "--bind", source, source]);
    try {
      await run(["mount", "-o", "remount,bind,ro,nosuid", source]);
      const { stdout } = await sh(["-v", `${source}:/x`], "touch /x/y || grep ' /x ' /proc/mounts");
      expect(stdout).toMatch(/ro,nosuid/);
      expect(readdirSync(source)).toEqual([]);
    } finally {
      await run(["umount", source]);
    }
  });
});

describe("parts", () => {
  test("a volume's subpath, also by --volumes-from and cp; links out of it lead nowhere", async () => {
    await sh(
      ["-v", "whole:/x"],
      "mkdir -p /x/a/b; echo 1 >/x/a/f; ln -s /etc /x/out; ln -s a /x/in; ln -s ../../.. /x/up",
    );
    const part = (subpath: string) => ["--mount", `type=volume,src=whole,dst=/y,volume-subpath=${subpath}`];
    expect((await sh(part("a"), "ls /y; echo 2 >/y/g")).stdout).toBe("b\nf\n");
    expect((await sh(part("a/f"), "cat /y")).stdout).toBe("1\n");
    expect((await sh(part("in"), "ls /y")).stdout).toBe("b\nf\ng\n");
    for (const [subpath, words] of [
      ["nosuch", `cannot access path ${dataOf("whole")}/nosuch: lstat`],
      ["out", "path concatenation escapes the base directory"],
      ["up", "path concatenation escapes the base directory"],
      ["../x", "subpath must be a relative path within the volume"],
      ["/a", "subpath must be a relative path within the volume"],
    ] as const)
      expect((await sh(part(subpath), "true")).stderr).toContain(words);
    await daemon.client("create", "--name", "part", "--network", "none", ...part("a"), "alpine", "sleep", "1000");
    expect((await sh(["--volumes-from", "part"], "ls /y")).stdout).toBe("b\nf\ng\n");
    const copied = await run(["bash", "-c", `${brigBinary} -H ${daemon.host} cp part:/y - | tar t`]);
    expect(copied.stdout).toBe("y/\ny/b/\ny/f\ny/g\n");
    await daemon.client("start", "part");
    expect(mounted()).toEqual([join(daemon.root, "run/containers", await idOf("part"), "rootfs")]);
    await daemon.client("rm", "-f", "part");
    await daemon.client("volume", "rm", "whole");
    expect(readdirSync(join(daemon.root, "run/mounts"))).toEqual([]);
  });

  test("an image as a mount: read-only, and its layers stay as long as a container has it", async () => {
    await daemon.client("create", "--name", "base", "alpine");
    writeFileSync(join(here, "more"), "more");
    await daemon.brig("cp", join(here, "more"), "base:/more");
    await daemon.client("commit", "base", "mounted:1");
    await daemon.client("rm", "base");
    const mount = (rest = "") => ["--mount", `type=image,src=mounted:1,dst=/i${rest}`];
    expect((await sh(mount(), "cat /i/more; ls -d /i/bin/sh; touch /i/x || echo refused")).stdout).toBe(
      "more/i/bin/sh\nrefused\n",
    );
    expect((await sh(mount(",image-subpath=www"), "ls -d /i/bin || echo none")).stdout).toBe("none\n");
    expect((await sh(mount(",image-subpath=nosuch"), "true")).stderr).toContain("no such file or directory");
    expect((await sh(["--mount", "type=image,src=nosuch,dst=/i"], "true")).stderr).toContain("No such image: nosuch");
    expect((await sh(["--mount", "type=image,dst=/i"], "true")).stderr).toContain("field Source must not be empty");
    await daemon.client("create", "--name", "user", "--network", "none", ...mount(), "alpine", "cat", "/i/more");
    await daemon.client("rmi", "-f", "mounted:1");
    expect((await daemon.client("start", "-a", "user")).stdout).toBe("more");
    expect((await daemon.brig("cp", "user:/i/more", "-")).stdout).toContain("more");
    const inspected = await daemon.client(
      "inspect",
      "-f",
      "{{range .Mounts}}{{.Type}} {{.Name}} {{.RW}}{{end}}",
      "user",
    );
    expect(inspected.stdout).toBe("image mounted:1 false\n");
    await daemon.client("rm", "user");
    expect(mounted()).toEqual([]);
  });
});

const idOf = async (name: string) => (await daemon.client("inspect", "-f", "{{.Id}}", name)).stdout.trim();

test("kill -9 while volumes are made and removed: each is there or not, and none that is used is lost", async () => {
  await daemon.client("run", "-d", "--network", "none", "--name", "user", "-v", "used:/x", "alpine", "sleep", "1000");
  await daemon.client("exec", "user", "sh", "-c", "echo kept >/x/file");
  for (let round = 0; round < 3; round++) {
    const made: Promise<unknown>[] = [];
    for (let index = 0; index < 30; index++)
      made.push(
        daemon
          .request("POST", "/volumes/create", {
            Name: `many${round}-${index}`,
            DriverOpts: index % 2 ? { type: "tmpfs", device: "tmpfs" } : {},
          })
          .then(() => daemon.request("POST", "/volumes/prune?filters=%7B%22all%22%3A%5B%22true%22%5D%7D"))
          .catch(() => undefined),
      );
    await Bun.sleep(10 + 15 * round);
    await daemon.end("SIGKILL");
    await Promise.all(made);
    await daemon.start();
    const { Volumes } = (await (await daemon.request("GET", "/volumes")).json()) as { Volumes: { Name: string }[] };
    const names = Volumes.map(({ Name }) => Name);
    expect(names).toContain("used");
    expect(readdirSync(join(daemon.root, "data/volumes")).sort()).toEqual(names.sort());
  }
  expect((await daemon.client("exec", "user", "cat", "/x/file")).stdout).toBe("kept\n");
  await daemon.client("rm", "-f", "user");
  await daemon.client("volume", "prune", "-af");
  expect(readdirSync(join(daemon.root, "data/volumes"))).toEqual([]);
}, 30_000);
