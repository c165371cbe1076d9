import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
const docker = (...args: string[]) => daemon.docker(...args);
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

async function refused(response: Promise<Response>, status: number, message: RegExp): Promise<void> {
  const answer = await response;
  const body = (await answer.json()) as { message: string };
  expect(body.message).toMatch(message);
  expect(answer.status).toBe(status);
}

describe("requests", () => {
  test("malformed and mistyped JSON", async () => {
    await refused(daemon.request("POST", "/containers/create", "{"), 400, /invalid JSON|unexpected EOF/);
    await refused(daemon.request("POST", "/containers/create", '{"Image": 3}'), 400, /cannot unmarshal number/);
    await refused(daemon.request("POST", "/containers/create", "[]"), 400, /cannot unmarshal array/);
    await refused(
      daemon.request("POST", "/containers/create", { Image: "alpine", HostConfig: { Memory: "lots" } }),
      400,
      /cannot unmarshal string/,
    );
    await refused(
      daemon.request("POST", "/containers/create", "x", { "Content-Type": "text/plain" }),
      400,
      /Content-Type/,
    );
  });
  test("paths, versions, filters that are not", async () => {
    await refused(daemon.request("GET", "/nowhere"), 404, /page not found/);
    await refused(daemon.request("GET", "/v1.12/info"), 400, /client version 1.12 is too old/);
    await refused(daemon.request("GET", "/v1.99/info"), 400, /client version 1.99 is too new/);
    await refused(daemon.request("GET", "/containers/json?filters=%7B"), 400, /.+/);
    await refused(daemon.request("GET", "/containers/..%2f..%2fetc/json"), 404, /No such container/);
  });
  test("images and names that are not there, or out of rule", async () => {
    await refused(
      daemon.request("POST", "/containers/create", { Image: "nothing/here" }),
      404,
      /No such image: nothing\/here/,
    );
    await refused(
      daemon.request("POST", "/containers/create?name=a/b", { Image: "alpine", Cmd: ["true"] }),
      400,
      /Invalid container name/,
    );
    await refused(
      daemon.request("POST", "/containers/create", { Image: "ALPINE" }),
      400,
      /must be lowercase|invalid reference/,
    );
    await refused(
      daemon.request("POST", "/containers/create", { Image: "alpine", HostConfig: { Binds: ["/x:relative"] } }),
      500,
      /invalid volume specification/,
    );
    await refused(
      daemon.request("POST", "/containers/create", {
        Image: "alpine",
        HostConfig: { PortBindings: { "99999/tcp": [] } },
      }),
      400,
      /port/,
    );
    await refused(
      daemon.request("POST", "/containers/create", { Image: "alpine", HostConfig: { CapAdd: ["FLY"] } }),
      400,
      /FLY/,
    );
    await refused(
      daemon.request("POST", "/containers/create", { Image: "alpine", HostConfig: { Memory: 1024 } }),
      400,
      /Minimum memory limit allowed is 6MB/,
    );
  });
  test("a body cut off in the middle makes nothing", async () => {
    const before = (await docker("ps", "-aq")).stdout;
    const socket = connect(daemon.socket);
    socket.write(
      'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"Image":"alp',
    );
    await Bun.sleep(100);
    socket.destroy();
    await Bun.sleep(200);
    expect((await docker("ps", "-aq")).stdout).toBe(before);
    expect((await daemon.request("GET", "/_ping")).status).toBe(200);
  });
  test("garbage on the socket", async () => {
    for (const garbage of ["\0\0\0\0", "GET", "GET / HTTP/9.9\r\n\r\n", "A".repeat(200_000)]) {
      const socket = connect(daemon.socket);
      socket.on("error", () => undefined);
      socket.write(garbage);
      await Bun.sleep(50);
      socket.destroy();
    }
    expect((await daemon.request("GET", "/_ping")).status).toBe(200);
  });
  test("every version prefix answers", async () => {
    for (let minor = 24; minor <= 56; minor++)
      expect((await daemon.request("GET", `/v1.${minor}/version`)).status).toBe(200);
  });
});

describe("archives", () => {
  const tarOf = async (script: string) => {
    await run(["sh", "-c", `rm -rf ${daemon.root}/t && mkdir ${daemon.root}/t && cd ${daemon.root}/t && ${script}`]);
    return `${daemon.root}/t/out.tar`;
  };
  test("an entry that climbs out stays inside or is refused; the host is untouched", async () => {
    const tar = await tarOf(
      "mkdir a && echo evil >a/x && ln -s / a/root && tar -cf out.tar --transform 's,^a/x,../../../../../../../../../../tmp/brig-escaped,' a/x",
    );
    await docker("import", tar, "evil");
    expect(await Bun.file("/tmp/brig-escaped").exists()).toBe(false);
    const climb = await tarOf(
      "ln -s / link && tar -cf out.tar link && rm link && mkdir -p link/tmp && echo evil >link/tmp/brig-escaped && tar -rf out.tar link/tmp/brig-escaped",
    );
    await docker("import", climb, "evil2");
    expect(await Bun.file("/tmp/brig-escaped").exists()).toBe(false);
    await docker("rmi", "-f", "evil", "evil2");
  });
  test("truncated and corrupt", async () => {
    await docker("save", "alpine");
    const tar = await tarOf(`head -c 100000 ${daemon.root}/busybox.tar >out.tar`);
    expect((await docker("import", tar, "cut")).code).not.toBe(0);
    expect((await docker("inspect", "cut")).code).not.toBe(0);
    writeFileSync(`${daemon.root}/junk.tar`, Buffer.alloc(20_000, 7));
    expect((await docker("load", "-i", `${daemon.root}/junk.tar`)).code).not.toBe(0);
  });
});

/** A python script that writes a tar with what tar(1) would refuse to write: entries as [name, type, link or content]. */
async function hostileTar(
  path: string,
  entries: [name: string, type: "file" | "sym" | "hard" | "dir", text?: string][],
) {
  const script = `import tarfile, io, json, sys
t = tarfile.open(sys.argv[1], "w")
for name, kind, text in json.loads(sys.argv[2]):
  i = tarfile.TarInfo(name); i.mode = 0o755
  i.type = {"file": tarfile.REGTYPE, "sym": tarfile.SYMTYPE, "hard": tarfile.LNKTYPE, "dir": tarfile.DIRTYPE}[kind]
  if kind == "file": i.size = len(text)
  else: i.linkname = text or ""
  t.addfile(i, io.BytesIO(text.encode()) if kind == "file" else None)
t.close()`;
  await run([
    "python3",
    "-c",
    script,
    path,
    JSON.stringify(entries.map(([name, type, text = ""]) => [name, type, text])),
  ]);
  return path;
}

describe("hostile images", () => {
  test("no entry of a layer, and no name in a manifest, leads out", async () => {
    const outside = `${daemon.root}/outside`;
    const victim = `${outside}/victim`;
    mkdirSync(outside);
    writeFileSync(victim, "safe");
    const up = "../".repeat(20);
    const layers: [string, Parameters<typeof hostileTar>[1]][] = [
      ["dotdot", [[`${up}${victim}`, "file", "evil"]]],
      ["absolute", [[victim, "file", "evil"]]],
      [
        "climb",
        [
          ["a", "sym", outside],
          ["a/victim", "file", "evil"],
        ],
      ],
      [
        "climb-up",
        [
          ["a", "sym", `${up}${outside}`],
          ["a/victim", "file", "evil"],
        ],
      ],
      [
        "hard",
        [
          ["h", "hard", victim],
          ["h", "file", "evil"],
        ],
      ],
      [
        "hard-up",
        [
          ["h", "hard", `${up}${victim}`],
          ["h", "file", "evil"],
        ],
      ],
      [
        "hard-to-link",
        [
          ["s", "sym", victim],
          ["h", "hard", "s"],
          ["h", "file", "evil"],
        ],
      ],
      [
        "whiteout",
        [
          ["s", "sym", outside],
          ["s/.wh.victim", "file", ""],
        ],
      ],
      [
        "opaque",
        [
          ["s", "sym", outside],
          ["s/.wh..wh..opq", "file", ""],
        ],
      ],
      ["parent", [[".wh...", "file", ""]]],
      [
        "loop",
        [
          ["a", "sym", "a"],
          ["a/b", "file", "x"],
        ],
      ],
    ];
    for (const [name, entries] of layers) {
      const tar = await hostileTar(`${daemon.root}/hostile.tar`, entries);
      await docker("import", tar, `hostile:${name}`);
    }
    const manifest = (config: string, layer: string) =>
      JSON.stringify([{ Config: config, RepoTags: ["h:1"], Layers: [layer] }]);
    for (const [config, layer] of [
      [victim, "l"],
      [`${up}${victim}`, "l"],
      ["c", `${up}${victim}`],
      ["c", "link"],
    ]) {
      const tar = await hostileTar(`${daemon.root}/hostile.tar`, [
        ["manifest.json", "file", manifest(config!, layer!)],
        ["c", "file", "{}"],
        ["link", "sym", victim],
      ]);
      expect((await docker("load", "-i", tar)).code).toBe(1);
    }
    expect(readFileSync(victim, "utf8")).toBe("safe");
    expect(readdirSync(outside)).toEqual(["victim"]);
    const made = (await docker("images", "-q", "hostile")).stdout.split("\n").filter(Boolean);
    if (made.length > 0) await docker("rmi", "-f", ...made);
    expect(readdirSync(`${daemon.root}/data/layers/tmp`)).toEqual([]);
  });

  test("links in a root file system do not lead mounts, users or the working directory out", async () => {
    const outside = `${daemon.root}/away`;
    mkdirSync(outside);
    writeFileSync(`${outside}/victim`, "safe");
    const tar = `${daemon.root}/rootfs.tar`;
    await run(["cp", `${daemon.root}/busybox.tar`, tar]);
    await run([
      "sh",
      "-c",
      `cd $(mktemp -d) && mkdir etc && ln -s ${outside}/victim etc/hosts && ln -s ${outside}/new etc/resolv.conf &&
      ln -s ${outside} w && ln -s ${outside} v && ln -sf /etc/shadow etc/passwd && tar -rf ${tar} etc/hosts etc/resolv.conf etc/passwd w v`,
    ]);
    await docker("import", tar, "links");
    await docker(
      "run",
      "--rm",
      "links",
      "/bin/busybox",
      "sh",
      "-c",
      "echo evil >/etc/hosts; echo evil >/etc/resolv.conf",
    );
    await docker("run", "--rm", "-w", "/w/deep", "links", "/bin/busybox", "touch", "x");
    await docker("run", "--rm", "--tmpfs", "/v/t", "-v", "/etc/hostname:/v/h", "links", "/bin/busybox", "true");
    expect((await docker("run", "--rm", "-u", "daemon", "links", "/bin/busybox", "id")).stderr).toContain(
      "unable to find user daemon",
    );
    expect(readFileSync(`${outside}/victim`, "utf8")).toBe("safe");
    expect(readdirSync(outside)).toEqual(["victim"]);
    await docker("rmi", "-f", "links");
  });

  test("a refused archive of which much is still to come is answered", async () => {
    const tar = `${daemon.root}/long-junk.tar`;
    writeFileSync(tar, Buffer.alloc(30_000_000, 7));
    for (let round = 0; round < 5; round++) {
      expect((await docker("import", tar, "junk")).stderr).toContain("invalid tar header");
      expect((await daemon.brig("load", "-i", tar)).stderr).toContain("invalid tar header");
    }
  });
});

test("clients that vanish leave nothing open, and slow ones do not fill the memory", async () => {
  await docker("run", "-d", "--name", "chatty", "alpine", "sh", "-c", "while :; do echo tick; sleep 0.001; done");
  await docker("run", "-d", "--name", "flood", "alpine", "yes");
  const upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\nContent-Length: 0\r\n";
  const requests = [
    `POST /containers/chatty/attach?stream=1&stdout=1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`,
    "GET /containers/chatty/logs?follow=1&stdout=1 HTTP/1.1\r\nHost: x\r\n\r\n",
    "GET /events HTTP/1.1\r\nHost: x\r\n\r\n",
    "POST /containers/chatty/wait HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"Im',
    `POST /images/create?fromSrc=-&repo=cut HTTP/1.1\r\nHost: x\r\nContent-Length: 99999\r\n\r\n${"x".repeat(600)}`,
  ];
  const openFds = () => readdirSync(`/proc/${daemon.pid}/fd`).length;
  const visit = async (request: string) => {
    const socket = connect(daemon.socket);
    socket.on("error", () => undefined);
    socket.write(request);
    await Bun.sleep(Math.random() * 20);
    socket.destroy();
  };
  await Promise.all(requests.map(visit));
  await Bun.sleep(300);
  const before = openFds();
  for (let round = 0; round < 20; round++)
    await Promise.all(Array.from({ length: 10 }, () => requests.map(visit)).flat());
  for (let wait = 0; wait < 50 && openFds() > before + 3; wait++) await Bun.sleep(100);
  expect(openFds()).toBeLessThanOrEqual(before + 3);
  // conmon once died of connections that were closed while it wrote.
  expect((await docker("inspect", "-f", "{{.State.Status}}", "chatty")).stdout).toBe("running\n");

  const memoryMb = () => Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${daemon.pid}/status`, "utf8"))![1]) / 1024;
  const atFirst = memoryMb();
  const slow = requests.slice(0, 2).flatMap((request) =>
    Array.from({ length: 5 }, () => {
      const socket = connect(daemon.socket).pause();
      socket.write(request.replace("chatty", "flood"));
      return socket;
    }),
  );
  await Bun.sleep(1500);
  expect(memoryMb() - atFirst).toBeLessThan(60);
  for (const socket of slow) socket.destroy();
  await docker("rm", "-f", "chatty", "flood");
}, 60_000);

test("a full disk: clear errors, nothing half done, room can be made, and then all works again", async () => {
  const other = new TestDaemon();
  const data = `${other.root}/data`;
  mkdirSync(data);
  await run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", data]);
  try {
    await (await other.start()).withImage();
    await other.docker("create", "--name", "before", "alpine", "echo", "hi");
    await other.docker("run", "-d", "--name", "talks", "alpine", "sh", "-c", "while :; do echo tick; sleep 0.01; done");
    await run(["sh", "-c", `head -c 20000000 /dev/zero >${data}/fill`]);
    const layers = readdirSync(`${data}/layers`);
    expect((await other.docker("start", "before")).stderr).toMatch(/no space left on device/i);
    expect((await other.docker("run", "--rm", "alpine", "true")).stderr).toMatch(/no space left on device/i);
    expect((await other.docker("import", `${other.root}/busybox.tar`, "i")).stderr).toMatch(/no space left on device/i);
    expect(readdirSync(`${data}/layers`)).toEqual(layers);
    expect(readdirSync(`${data}/layers/tmp`)).toEqual([]);
    expect((await other.docker("ps", "-a", "--format", "{{.Names}}")).stdout.split("\n").sort()).toEqual([
      "",
      "before",
      "talks",
    ]);
    expect((await other.docker("exec", "talks", "echo", "still")).stdout).toBe("still\n");
    expect((await other.docker("rm", "-f", "talks")).stdout).toBe("talks\n");
    rmSync(`${data}/fill`);
    expect((await other.docker("start", "-a", "before")).stdout).toBe("hi\n");
    expect((await other.docker("import", `${other.root}/busybox.tar`, "i")).code).toBe(0);
    await other.docker("rm", "before");
    expect(await other.leftovers()).toEqual([]);
  } finally {
    await other.end("SIGTERM");
    await run(["umount", data]);
    await run([brigBinary, "daemon", "--uninstall", "--bridge", other.bridge]);
    rmSync(other.root, { recursive: true, force: true });
  }
}, 60_000);

describe("the daemon's own command line", () => {
  const brigd = (...args: string[]) => run([`${import.meta.dir}/../dist/brig`, "daemon", ...args]);
  test("unknown keys and contradictions in daemon.json", async () => {
    const file = `${daemon.root}/other.json`;
    writeFileSync(file, '{"no-such-key": 1}');
    const unknown = await brigd("--config-file", file, "--validate");
    expect(unknown.code).toBe(1);
    expect(unknown.stderr).toContain("no-such-key");
    writeFileSync(file, '{"debug": true}');
    expect(
      (await brigd("--config-file", file, "--validate")).stderr +
        (await brigd("--config-file", file, "--validate")).stdout,
    ).toContain("configuration OK");
    expect((await brigd("--config-file", file, "--debug", "--validate")).stderr).toContain("debug");
    expect((await brigd("-H", "gopher://x", "--validate")).code).not.toBe(0);
  });
  for (const program of ["crun", "conmon"])
    test(`a missing ${program} names the package to install`, async () => {
      const without = `set -e
        t=$(mktemp -d); mount -t tmpfs tmpfs $t; mkdir $t/upper $t/work
        mount -t overlay -o lowerdir=/usr/bin,upperdir=$t/upper,workdir=$t/work overlay /usr/bin
        umount -l $t; rmdir $t; rm /usr/bin/${program}; exec "$@"`;
      const other = await new TestDaemon([], ["unshare", "--mount", "sh", "-c", without, "sh"]).start();
      await other.withImage();
      const { code, stderr } = await other.docker("run", "--rm", "alpine", "true");
      expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringContaining(`apt-get install ${program}`) });
      expect((await other.docker("ps", "-aq")).stdout).toBe("");
      await other.dispose();
    });
});
