/** cp: both ways, by both clients, running and stopped; hostile containers and archives; a daemon killed in between. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type NewTarEntry, tarEnd, tarHeader, tarPadding } from "../src/lib/tar-writer.ts";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
let here: string;
beforeAll(async () => {
  here = mkdtempSync(join(tmpdir(), "brig-cp-"));
  symlinkSync(brigBinary, join(here, "docker"));
  await daemon.start();
  await daemon.withImage();
});
afterAll(async () => {
  rmSync(here, { recursive: true, force: true });
  await daemon.dispose();
});

const make = async (name: string, ...options: string[]) => {
  const { code, stderr } = await daemon.docker(
    ...["create", "--network", "none", "--name", name, ...options],
    ...["alpine", "sleep", "1000"],
  );
  expect([code, stderr]).toEqual([0, ""]);
};
const remove = (...names: string[]) => daemon.docker("rm", "-fv", ...names);
const inside = async (name: string, script: string) => {
  const { code, stdout, stderr } = await daemon.docker("exec", name, "sh", "-c", script);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
};

/** An archive of members, each with its data. */
function tar(...members: (NewTarEntry & { data?: string })[]): Buffer {
  const blocks = members.flatMap(({ data = "", ...entry }) => {
    const bytes = Buffer.from(data);
    return [tarHeader({ ...entry, size: entry.size ?? bytes.length }), bytes, tarPadding(bytes.length)];
  });
  return Buffer.concat([...blocks, tarEnd()]);
}

async function put(name: string, path: string, archive: Uint8Array, query = ""): Promise<[number, string]> {
  const answer = await fetch(`http://engine/containers/${name}/archive?path=${encodeURIComponent(path)}${query}`, {
    ...{ unix: daemon.socket, method: "PUT", body: archive },
    headers: { "Content-Type": "application/x-tar" },
  });
  const text = await answer.text();
  return [answer.status, text === "" ? "" : (JSON.parse(text) as { message: string }).message];
}

async function stat(name: string, path: string): Promise<Record<string, unknown>> {
  const answer = await daemon.request("HEAD", `/containers/${name}/archive?path=${encodeURIComponent(path)}`);
  const header = answer.headers.get("x-docker-container-path-stat");
  return header === null
    ? { status: answer.status }
    : (JSON.parse(Buffer.from(header, "base64").toString()) as Record<string, unknown>);
}

/** What both clients are asked in the same surroundings. Each line shows what it says, and what is there afterwards. */
const words = `
  t() { docker cp "$@" 2>&1 | sed "s#$W#W#g; /read.write on closed pipe/d"; echo "= \${PIPESTATUS[0]}"; }
  list() { find "$1" -printf '%P %y %m %U:%G %l\\n' | sort; }
  mkdir -p s/sub; echo a >s/a; echo b >s/sub/b; ln -s a s/l; ln -s s ls; ln -s nowhere dang; echo file >file; chown 77:88 s/a
  for p in /d /d/ /d/. d /ld /ld/ /ld/. /d/f /d/lf /d/up /dang /nosuch /d/f/ /d/f/x /loop1 /loop1/x /d/../d/f ''; do
    echo "# $p"; docker cp "$N:$p" - 2>&1 | tar tvf - 2>&1 | sed 's/20..-..-.. ..:..//'; docker cp "$N:$p" - 2>&1 >/dev/null; done
  for p in /ld /d/lf /dang /loop1; do docker cp -L "$N:$p" - 2>&1 | tar tf - 2>/dev/null; done
  t $N:/d o1; t $N:/d o1; list o1; t $N:/d/. o2; list o2; t $N:/d/. o3/; t $N:/d/f o4/; t $N:/d/f o5/x; t $N:/d file
  t $N:/d/f s; t -a $N:/d/sub o6; list o6; t $N:/d/f dang; cat nowhere; t $N:/ld o7; list o7; t -L $N:/ld o8; list o8
  t -L $N:/ld s; list s; t $N:/d/f file/; t $N:/d/f file/x; t $N:/nosuch x; t nosuch:/a x; t $N: x; t -L $N:/nosuch x
  t $N:/d /dev/null; t $N:/d /nosuch/a; mkdir -p q/f r; echo x >r/d; t $N:/d/f q; t $N:/d r; t $N:/d/fifo o9; list o9
  t s $N:/; t s $N:/new; t s $N:/new2/; t s/. $N:/new3; t s/. $N:/new3; t s $N:/no/such; t file $N:/no/such
  t file $N:/newdir/; t file $N:/f1; t s $N:/f1; t file $N:/d; t file $N:/ld/; t file $N:/dang; t file $N:/d/lf
  t s $N:/d/lf; t file $N:/loop1; t ls $N:/; t -L ls $N:/; t -L ls $N:/z; t nosuch $N:/; t file/ $N:/; t file/. $N:/
  t file nosuch:/; t a b; t $N:/a $N:/b; t '' a; t a ''; t a; t file $N:/ro/; t file $N:/vol/; t file $N:/dev/null
  t - $N:/d/f </dev/null; t - $N:/nosuch </dev/null; echo garbage | t - $N:/d; tar c s | t - $N:/d; tar cz s | t - $N:/d
  t - $N:/d </dev/null; tar c s | head -c 1500 | t - $N:/d; mkdir -p u/f; tar c -C u f | t - $N:/d
  mkdir u2; echo >u2/sub; tar c -C u2 sub | t - $N:/d; t $N:/d/f ./$N:x; ls; t -q=false file $N:/quiet
  t -q=false $N:/d/f quiet; t --bad; t -q file $N:/q1; cd s; t . $N:/dot; t .. $N:/dot2 >/dev/null; t ./a $N:/; t $N:/d/f .; ls
  docker cp $N:/ - | tar t | grep -v /.*/ | sort; docker exec $N sh -c 'cd /; find new new2 new3 z f1 ls dang d s dot q1 vol | sort'
  docker exec $N sh -c 'cd /; stat -c "%n %u:%g %a" new/* d/* dot/* vol/*'`;
const setting =
  "mkdir -p /d/sub /e; echo 1 >/d/f; echo 2 >/d/sub/g; ln -s /d /ld; ln -s f /d/lf; ln -s ../e /d/up; ln -s /nowhere /dang; " +
  "ln -s loop2 /loop1; ln -s loop1 /loop2; mkfifo /d/fifo; chown -R 12:34 /d/sub; chmod 4755 /d/f";
const spoken = Bun.spawnSync(["docker", "--version"]).stdout.toString().startsWith("Docker version 28.2.");

test.skipIf(!spoken)(
  "brig's client and docker's do and say the same",
  async () => {
    const said: string[] = [];
    for (const path of [process.env.PATH!, `${here}:${process.env.PATH}`]) {
      await make("same", "-v", "/vol", "-v", "samero:/ro:ro");
      await daemon.docker("start", "same");
      await inside("same", setting);
      const work = mkdtempSync(join(here, "words-"));
      const script = `W=${work}; N=same; cd $W; ${words}`;
      const { stdout, stderr } = await run(["bash", "-c", script], { env: { PATH: path, DOCKER_HOST: daemon.host } });
      said.push(stdout + stderr);
      await remove("same");
      await daemon.docker("volume", "rm", "samero");
    }
    expect(said[1]!.split("\n")).toEqual(said[0]!.split("\n"));
    expect(said[1]!.length).toBeGreaterThan(5000);
  },
  30_000,
);

test("what the API says of paths", async () => {
  await make("paths");
  await daemon.docker("start", "paths");
  await inside("paths", `${setting}; mknod /null c 1 3; touch -d @1700000000 /d/f`);
  const time = "2023-11-14T22:13:20Z";
  expect(await stat("paths", "/d/f")).toEqual({ name: "f", size: 2, mode: 0x8001ed, mtime: time, linkTarget: "" });
  expect(await stat("paths", "/ld")).toMatchObject({ name: "ld", mode: (1 << 27) + 0o777, linkTarget: "/d" });
  expect(await stat("paths", "/ld/.")).toMatchObject({ name: ".", mode: 0x8000_0000 + 0o755 });
  expect(await stat("paths", "/")).toMatchObject({ name: "/" });
  expect(await stat("paths", "/tmp")).toMatchObject({ mode: 0x8000_0000 + (1 << 20) + 0o777 });
  expect(await stat("paths", "/null")).toMatchObject({ mode: (1 << 26) + (1 << 21) + 0o644 });
  expect(await stat("paths", "/d/fifo")).toMatchObject({ mode: (1 << 25) + 0o644 });
  expect(await stat("paths", "/dang")).toMatchObject({ linkTarget: "/nowhere" });
  expect(await stat("paths", "/d/up/../../../x")).toEqual({ status: 404 });
  expect(await stat("paths", "/d/f/x")).toEqual({ status: 500 });
  expect(await stat("nosuch", "/")).toEqual({ status: 404 });
  expect(await stat("paths", "")).toEqual({ status: 400 });
  const empty = tar();
  expect(await put("paths", "/nosuch", empty)).toEqual([404, "Could not find the file /nosuch in container paths"]);
  expect(await put("paths", "/d/f", empty)).toEqual([400, "extraction point is not a directory"]);
  expect(await put("nosuch", "/", empty)).toEqual([404, "No such container: nosuch"]);
  expect(await put("paths", "/ld", empty)).toEqual([200, ""]);
  // Without noOverwriteDirNonDir a directory gives way.
  expect(await put("paths", "/", tar({ name: "d", type: "file", data: "now a file" }))).toEqual([200, ""]);
  expect(await inside("paths", "cat /d")).toBe("now a file");
  await Bun.sleep(1000);
  const { stdout } = await daemon.docker(
    ...["events", "--since", "1m", "--until", "0s", "--filter", "container=paths", "--format", "{{.Action}}"],
  );
  expect(stdout).toContain("extract-to-dir");
  await remove("paths");
});

describe("mounts", () => {
  test("volumes, binds, memory and the files of /etc are seen, running and stopped", async () => {
    const host = mkdtempSync(join(here, "bind-"));
    await make("seen", ...["-v", "seen:/vol", "-v", `${host}:/bind`, "-v", `${host}:/ro:ro`, "--tmpfs", "/mem"]);
    writeFileSync(join(here, "one"), "1");
    for (const place of ["/vol/created", "/bind/created", "/etc/created"])
      expect(await daemon.brig("cp", join(here, "one"), `seen:${place}`)).toMatchObject({ code: 0, stderr: "" });
    expect(existsSync(join(host, "created"))).toBe(true);
    const refused = await daemon.brig("cp", join(here, "one"), "seen:/ro/x");
    expect(refused.stderr).toBe("Error response from daemon: mounted volume is marked read-only\n");
    await daemon.docker("start", "seen");
    expect(await inside("seen", "cat /vol/created /bind/created /etc/created")).toBe("111");
    await daemon.brig("cp", join(here, "one"), "seen:/mem/x");
    await daemon.brig("cp", join(here, "one"), "seen:/dev/shm/x");
    expect(await inside("seen", "cat /mem/x /dev/shm/x; echo 2 >/mem/y; echo 3 >/vol/y")).toBe("11");
    expect((await daemon.brig("cp", "seen:/mem/y", "-")).stdout).toContain("2\n");
    expect((await daemon.brig("cp", "seen:/etc/hostname", "-")).stdout).toMatch(/[0-9a-f]{12}\n/);
    await daemon.docker("stop", "-t", "0", "seen");
    expect((await daemon.brig("cp", "seen:/vol/y", "-")).stdout).toContain("3\n");
    const whole = await run(["bash", "-c", `${brigBinary} -H ${daemon.host} cp seen:/ - | tar t`]);
    expect(whole.stdout).toContain("/vol/created\n");
    expect(whole.stdout).toContain("/bin/busybox\n");
    await remove("seen");
    await daemon.docker("volume", "rm", "seen");
    expect(await daemon.leftovers()).toEqual([]);
  });

  test("a read-only root is one for cp; --archive gives files to the container's user", async () => {
    await make("owned", "--read-only", "-v", "/vol", "-u", "nobody");
    writeFileSync(join(here, "one"), "1");
    const refused = await daemon.docker("cp", join(here, "one"), "owned:/");
    expect(refused.stderr).toBe("Error response from daemon: container rootfs is marked read-only\n");
    expect((await daemon.docker("cp", "-a", join(here, "one"), "owned:/vol/")).code).toBe(0);
    const { stdout } = await run([
      "bash",
      "-c",
      `docker -H ${daemon.host} cp owned:/vol/one - | tar tv --numeric-owner`,
    ]);
    expect(stdout).toContain("65534/65534");
    await remove("owned");
  });
});

describe("hostile", () => {
  test("a path that a container swaps for a link out of it never leads out", async () => {
    await make("swap");
    await daemon.docker("start", "swap");
    const secret = mkdtempSync(join(here, "secret-"));
    writeFileSync(join(secret, "key"), "SECRET");
    // Inside there is such a directory too: what is found there is the container's own.
    await inside("swap", `mkdir -p ${secret} /p/real; echo own >${secret}/key; echo own >/p/real/key`);
    await daemon.docker(
      ...["exec", "-d", "swap", "sh", "-c"],
      `cd /p; while true; do mv real x; ln -s ${secret} real; rm real; ln -s ../../../../../..${secret} real; rm real; mv x real; done`,
    );
    const archive = tar(
      { name: "sub/", type: "directory", mode: 0o777, uid: 7 },
      { name: "sub/new", type: "file", data: "new" },
      { name: "key", type: "file", data: "overwritten" },
    );
    const before = lstatSync(secret);
    let found = 0;
    for (let round = 0; round < 150; round++) {
      await put("swap", "/p/real", archive);
      const answer = await daemon.request("GET", "/containers/swap/archive?path=/p/real/.");
      const text = await answer.text().catch(() => "");
      expect(text).not.toContain("SECRET");
      if (text.includes("own") || text.includes("overwritten")) found++;
    }
    expect(found).toBeGreaterThan(0);
    expect(readdirSync(secret)).toEqual(["key"]);
    expect(readFileSync(join(secret, "key"), "utf8")).toBe("SECRET");
    expect(lstatSync(secret)).toMatchObject({ mode: before.mode, uid: before.uid, mtimeMs: before.mtimeMs });
    await remove("swap");
  }, 30_000);

  test("archives that climb out, or lead out by links", async () => {
    await make("climb");
    const outside = join(here, "outside");
    writeFileSync(outside, "untouched");
    const [status, message] = await put("climb", "/tmp", tar({ name: "../../../../etc/x", type: "file", data: "x" }));
    expect([status, message]).toEqual([500, '"../../../../etc/x" is outside of "/"']);
    expect(await put("climb", "/tmp", tar({ name: "h", type: "link", linkName: "../../../../etc/passwd" }))).toEqual([
      500,
      'invalid hardlink "h" -> "../../../../etc/passwd"',
    ]);
    // What a link leads to is the container's own; the host's stays as it is.
    const links = tar(
      { name: "abs", type: "symlink", linkName: here },
      { name: "up", type: "symlink", linkName: `../../../../..${here}` },
      { name: "abs/outside", type: "file", data: "through a link" },
      { name: "up/outside", type: "file", data: "through a link" },
    );
    expect((await put("climb", "/tmp", links))[0]).toBe(500);
    expect(readFileSync(outside, "utf8")).toBe("untouched");
    expect((await daemon.docker("cp", "climb:/tmp/abs", "-")).stdout).toContain(here);
    await remove("climb");
  });

  test("devices, setuid, holes, attributes, and lengths that are lies", async () => {
    await make("odd");
    await daemon.docker("start", "odd");
    const odd = tar(
      { name: "null", type: "char", devMajor: 1, devMinor: 3, mode: 0o600 },
      { name: "pipe", type: "fifo", mode: 0o640 },
      { name: "su", type: "file", mode: 0o6755, uid: 5, gid: 6, data: "x" },
      { name: "hard", type: "link", linkName: "su" },
      { name: "deep/er/file", type: "file", data: "y" },
    );
    expect(await put("odd", "/tmp", odd)).toEqual([200, ""]);
    expect(await inside("odd", "cd /tmp; stat -c '%n %a %u:%g %h %t' null pipe su hard deep/er")).toBe(
      "null 600 0:0 1 1\npipe 640 0:0 1 0\nsu 6755 5:6 2 0\nhard 6755 5:6 2 0\ndeep/er 755 0:0 1 0\n".replace(
        /deep\/er 755 0:0 \d/,
        "deep/er 755 0:0 2",
      ),
    );
    const [status, message] = await put("odd", "/tmp", tar({ name: "huge", type: "file", size: 8 * 2 ** 30 }));
    expect([status, message]).toEqual([500, "unexpected EOF"]);
    const sparse = join(here, "sparse");
    await run(["truncate", "-s", "1G", sparse]);
    expect(await daemon.brig("cp", sparse, "odd:/tmp/")).toMatchObject({ code: 0 });
    expect(await inside("odd", "stat -c '%s %b' /tmp/sparse")).toBe("1073741824 0\n");
    expect(await daemon.brig("cp", "odd:/tmp/sparse", join(here, "back"))).toMatchObject({ code: 0 });
    expect(statSync(join(here, "back"))).toMatchObject({ size: 2 ** 30, blocks: 0 });
    await remove("odd");
  });
});

test("a container that is removed while it is copied, or a client that goes away, ends the copy", async () => {
  await make("gone");
  await daemon.docker("start", "gone");
  await inside("gone", "head -c 300000000 /dev/zero | tr '\\0' x >/big");
  const child = Bun.spawn(["docker", "-H", daemon.host, "cp", "gone:/big", "-"], { stdout: "pipe", stderr: "pipe" });
  const reader = child.stdout.getReader();
  await reader.read();
  expect((await daemon.docker("rm", "-f", "gone")).code).toBe(0);
  while (!(await reader.read()).done);
  expect(await child.exited).not.toBe(0);
  expect(await daemon.leftovers()).toEqual([]);
});

test("kill -9 of the daemon in a copy leaves nothing, and what is copied again is whole", async () => {
  const big = join(here, "big");
  writeFileSync(big, Buffer.alloc(200 << 20, "0123456789abcdef"));
  await make("killed", "-v", "killed:/vol");
  for (const path of ["/vol/big", "/root/big"]) {
    const copy = daemon.brig("cp", big, `killed:${path}`);
    await Bun.sleep(120);
    await daemon.end("SIGKILL");
    await copy;
    await daemon.start();
    const mounts = readFileSync("/proc/self/mountinfo", "utf8");
    expect(mounts.split("\n").filter((line) => line.includes(daemon.root))).toEqual([]);
    expect((await daemon.brig("cp", big, `killed:${path}`)).code).toBe(0);
    await daemon.brig("cp", `killed:${path}`, `${big}.back`);
    expect((await run(["cmp", big, `${big}.back`])).code).toBe(0);
  }
  await remove("killed");
  await daemon.docker("volume", "rm", "killed");
}, 30_000);

test("the client follows no link of an archive either", async () => {
  const place = mkdtempSync(join(here, "place-"));
  mkdirSync(join(place, "target"));
  symlinkSync(join(place, "target"), join(place, "dir"));
  await make("sly");
  await put("sly", "/tmp", tar({ name: "dir/", type: "directory" }, { name: "dir/x", type: "file", data: "x" }));
  const { code, stderr } = await daemon.brig("cp", "sly:/tmp/.", place);
  expect([code, stderr]).toEqual([1, `cannot overwrite non-directory "${place}/dir" with directory "${place}"\n`]);
  expect(readdirSync(join(place, "target"))).toEqual([]);
  await remove("sly");
});
