import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { writeFileSync } from "node:fs";
import { connect } from "node:net";
import { run, TestDaemon } from "./support/daemon.ts";

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
