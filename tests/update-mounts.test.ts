/** update --mount-add and --mount-rm: what is mounted in a container changes while it runs, and stays so. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
let here: string;
beforeAll(async () => {
  here = mkdtempSync(join(tmpdir(), "brig-update-"));
  writeFileSync(join(here, "file"), "from the host");
  await daemon.start();
  await daemon.withImage();
});
afterAll(async () => {
  rmSync(here, { recursive: true, force: true });
  await daemon.dispose();
});

const sh = async (script: string) => {
  const { stdout, stderr } = await daemon.docker("exec", "live", "sh", "-c", script);
  return stdout + stderr;
};
const update = async (...options: string[]) => {
  const { code, stdout, stderr } = await daemon.brig("update", ...options, "live");
  return code === 0 ? stdout.trim() : stderr.trim();
};
const start = (...options: string[]) =>
  daemon.docker("run", "-d", "--network", "none", "--name", "live", ...options, "alpine", "sleep", "1000");
const inspect = async (format: string) => (await daemon.docker("inspect", "-f", format, "live")).stdout.trim();
const mounted = () =>
  readFileSync("/proc/self/mountinfo", "utf8")
    .split("\n")
    .map((line) => line.split(" ")[4] ?? "")
    .filter((path) => path.startsWith(daemon.root) && !path.endsWith("/rootfs"));

test("binds, volumes, memory, parts and images come and go, and survive container and daemon", async () => {
  await start("-v", "old:/old");
  await sh("echo volume >/old/file; mkdir /old/part; echo part >/old/part/file");
  const added = await update(
    ...["--mount-add", `type=bind,src=${here},dst=/made/by/update`],
    ...["--mount-add", `type=bind,src=${here}/file,dst=/one,readonly`],
    ...["--mount-add", "type=volume,src=new,dst=/www"],
    ...["--mount-add", "type=tmpfs,dst=/mem,tmpfs-size=1m"],
    ...["--mount-add", "type=volume,src=old,dst=/part,volume-subpath=part"],
    ...["--mount-add", "type=image,src=alpine,dst=/image"],
  );
  expect(added).toBe("live");
  const look =
    "cat /made/by/update/file; cat /part/file; ls -d /image/bin; echo x >/one; echo y >/www/y; cat /www/y; df -k /mem | tail -1 | tr -s ' ' | cut -d' ' -f2";
  const seen = "from the hostpart\n/image/bin\nsh: can't create /one: Read-only file system\ny\n1024\n";
  const sorted = (text: string) => text.split("\n").sort();
  expect(sorted(await sh(look))).toEqual(sorted(seen));
  expect(mounted()).toEqual([]);
  expect(await inspect("{{len .Mounts}} {{len .HostConfig.Mounts}}")).toBe("7 6");
  expect((await daemon.docker("volume", "rm", "new")).stderr).toContain("volume is in use");
  await daemon.docker("volume", "prune", "-af");
  expect((await daemon.brig("cp", "live:/www/y", "-")).stdout).toContain("y\n");

  await daemon.docker("restart", "-t", "0", "live");
  expect(sorted(await sh(look))).toEqual(sorted(seen));
  await daemon.end("SIGKILL");
  await daemon.start();
  expect(sorted(await sh(look))).toEqual(sorted(seen));

  const places = ["/made/by/update", "/one", "/www", "/mem", "/part", "/image", "/old"];
  expect(await update(...places.flatMap((place) => ["--mount-rm", place]))).toBe("live");
  expect(
    await sh("ls /made/by/update /www /mem /part /image /old; cat /one; grep -c 'update\\|www\\|old' /proc/mounts"),
  ).toMatch(/^[^f]*0\n$/);
  expect(await inspect("{{json .Mounts}} {{json .HostConfig.Mounts}} {{json .HostConfig.Binds}}")).toBe("[] null []");
  expect((await daemon.docker("volume", "rm", "new", "old")).code).toBe(0);
  await daemon.docker("restart", "-t", "0", "live");
  expect(await sh("ls /www /old")).not.toContain("y\n");
  await daemon.docker("rm", "-f", "live");
  expect(await daemon.leftovers()).toEqual([]);
}, 30_000);

test("a container that does not run gets it when it starts", async () => {
  await daemon.docker("create", "--network", "none", "--name", "live", "-v", "/gone", "alpine", "sleep", "1000");
  expect(await update("--mount-add", `type=bind,src=${here},dst=/here`, "--mount-rm", "/gone")).toBe("live");
  await daemon.docker("start", "live");
  expect(await sh("cat /here/file; ls /gone")).toContain("from the host");
  await daemon.docker("rm", "-fv", "live");
  await daemon.docker("volume", "prune", "-f");
});

test("what cannot be is refused, and changes nothing", async () => {
  await start("-v", "old:/old");
  await sh("ln -s /proc /way; mkdir /old/deep");
  for (const [options, words] of [
    [["--mount-rm", "/nosuch"], "container live has no mount at /nosuch"],
    [["--mount-rm", "/etc/hosts"], "container live has no mount at /etc/hosts"],
    [["--mount-add", "type=bind,src=/nosuch,dst=/x"], "bind source path does not exist: /nosuch"],
    [["--mount-add", `type=bind,src=${here},dst=/old`], "Duplicate mount point: /old"],
    [["--mount-add", `type=bind,src=${here},dst=/proc/x`], 'cannot be mounted because it is inside "/proc"'],
    [["--mount-add", `type=bind,src=${here},dst=/way/x`], 'cannot be mounted because it is inside "/proc"'],
    [["--mount-add", `type=bind,src=${here},dst=/bin/busybox`], "it is not a directory"],
    [["--mount-add", "type=volume,src=old,dst=/p,volume-subpath=../x"], "subpath must be a relative path"],
    [["--mount-add", "type=volume,src=old,dst=/p,volume-subpath=nosuch"], "no such file or directory"],
    [["--mount-add", "type=bind,dst=/p"], "field Source must not be empty"],
    [["--mount-add", "type=image,src=nosuch,dst=/p"], "No such image: nosuch"],
    [["--mount-add", "dst=relative"], "mount path must be absolute"],
    [["--mount-add", "bad"], "invalid field 'bad' must be a key=value pair"],
  ] as const)
    expect(await update(...options)).toContain(words);
  expect(await inspect("{{len .Mounts}} {{json .HostConfig.Mounts}}")).toBe("1 null");
  expect(mounted()).toEqual([]);
  expect(await update("--mount-add", "type=tmpfs,dst=/old/deep")).toBe("live");
  expect(await update("--mount-rm", "/old")).toContain("other mounts of container live lie below /old");
  // In the place of another.
  expect(await update("--mount-rm", "/old/deep", "--mount-add", `type=bind,src=${here},dst=/old/deep`)).toBe("live");
  expect(await sh("cat /old/deep/file")).toBe("from the host");
  expect(await update("--mount-rm", "/old/deep", "--mount-rm", "/old")).toBe("live");
  await daemon.docker("rm", "-f", "live");
  await daemon.docker("volume", "prune", "-af");
});

test("a container that swaps the place for a link gets nothing out of it", async () => {
  await start();
  const secret = mkdtempSync(join(here, "secret-"));
  await daemon.docker(
    ...["exec", "-d", "live", "sh", "-c"],
    "mkdir /p; while true; do mkdir /p/x; rmdir /p/x; ln -s /proc /p/x; rm /p/x; ln -s /etc /p/x; rm /p/x; done",
  );
  for (let round = 0; round < 12; round++) {
    await update("--mount-add", `type=bind,src=${secret},dst=/p/x,readonly`);
    await update("--mount-rm", "/p/x");
  }
  const table = await sh("cat /proc/mounts");
  expect(table).not.toMatch(/ \/proc\/x /);
  expect(existsSync("/proc/1/cmdline")).toBe(true);
  expect(readdirSync(secret)).toEqual([]);
  await daemon.docker("rm", "-f", "live");
  expect(await daemon.leftovers()).toEqual([]);
}, 30_000);
