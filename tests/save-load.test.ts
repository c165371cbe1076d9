import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { gzipSync } from "node:zlib";
import { imageOf, indexLayout, type TestImage, tarOf } from "../src/images/testing.ts";
import { sha256Of } from "../src/lib/reference.ts";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

setDefaultTimeout(60_000);
const registry = `127.0.0.1:${20_000 + Math.floor(Math.random() * 10_000)}`;
const daemon = new TestDaemon(["--insecure-registry", registry]);
const docker = (...args: string[]) => daemon.docker(...args);
const brig = (...args: string[]) => daemon.brig(...args);
const path = (name: string) => `${daemon.root}/${name}`;
const skopeo = (...args: string[]) => run(["skopeo", "--insecure-policy", "copy", "-q", ...args]);
const here = process.arch === "arm64" ? "arm64" : "amd64";
const elsewhere = here === "arm64" ? "amd64" : "arm64";
let server: ReturnType<typeof Bun.spawn>;
let index: ReturnType<typeof indexLayout>;

/** An image that runs: busybox, and a file that names its platform. */
async function runnable(architecture: string): Promise<TestImage> {
  const busybox = readFileSync(path("busybox.tar"));
  const image = await imageOf([architecture], { architecture });
  const bytes = gzipSync(busybox, { level: 1 });
  const config = JSON.parse(image.blobs.get(image.configDigest)!.toString());
  config.rootfs.diff_ids.push(sha256Of(busybox));
  config.config.Env = ["PATH=/bin:/sbin:/usr/bin:/usr/sbin"];
  const configBytes = Buffer.from(JSON.stringify(config));
  const manifest = JSON.parse(image.manifest.toString());
  Object.assign(manifest.config, { digest: sha256Of(configBytes), size: configBytes.length });
  manifest.layers.push({ ...manifest.layers[0], digest: sha256Of(bytes), size: bytes.length });
  const manifestBytes = Buffer.from(JSON.stringify(manifest));
  image.blobs.delete(image.configDigest);
  for (const blob of [bytes, configBytes]) image.blobs.set(sha256Of(blob), blob);
  return {
    ...image,
    manifest: manifestBytes,
    manifestDigest: sha256Of(manifestBytes),
    configDigest: sha256Of(configBytes),
  };
}

beforeAll(async () => {
  await (await daemon.start()).withImage();
  const [own, other] = [await runnable(here), await runnable(elsewhere)];
  const attestation = await imageOf(["statement"], { architecture: "unknown", os: "unknown" });
  index = indexLayout("docker.io/library/multi:1", [
    { image: own, descriptor: { platform: { os: "linux", architecture: here } } },
    { image: other, descriptor: { platform: { os: "linux", architecture: elsewhere } } },
    {
      image: attestation,
      descriptor: {
        platform: { os: "unknown", architecture: "unknown" },
        annotations: {
          "vnd.docker.reference.type": "attestation-manifest",
          "vnd.docker.reference.digest": own.manifestDigest,
        },
      },
    },
  ]);
  await Bun.write(path("multi.tar"), await tarOf(index.files));
  mkdirSync(path("registry"));
  await Bun.write(
    path("registry.yml"),
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${path("registry")}}}\nhttp: {addr: "${registry}"}\nlog: {level: error}\n`,
  );
  server = Bun.spawn(["docker-registry", "serve", path("registry.yml")], { stdout: "ignore", stderr: "ignore" });
  for (let i = 0; i < 100; i++) {
    if ((await fetch(`http://${registry}/v2/`).catch(() => undefined))?.ok) break;
    await Bun.sleep(50);
  }
});
afterAll(async () => {
  server?.kill();
  await daemon.dispose();
});

/** The blobs on disk, in the store and half written. */
const blobs = () => ["sha256", "ingest"].flatMap((name) => readdirSync(path(`data/content/${name}`))).sort();
const settled = async (wanted: string[]) => {
  for (let attempt = 0; attempt < 100 && blobs().join() !== wanted.join(); attempt++) await Bun.sleep(20);
  expect(blobs()).toEqual(wanted);
};

describe("an image of several platforms", () => {
  test("is loaded whole, and each of its platforms can be run, if the machine can", async () => {
    expect(await docker("load", "-i", path("multi.tar"))).toMatchObject({ code: 0, stdout: "Loaded image: multi:1\n" });
    expect((await docker("run", "--rm", "multi:1", "cat", "/file0")).stdout).toBe(here);
    const { stdout } = await docker("create", "--name", "other", "--platform", `linux/${elsewhere}`, "multi:1");
    expect(stdout).toMatch(/^[0-9a-f]{64}\n$/);
    expect((await docker("rmi", "multi:1")).stderr).toContain("is using its referenced image");
    expect((await docker("system", "df", "--format", "{{.Type}} {{.TotalCount}} {{.Active}}")).stdout).toContain(
      "Images 2 1\n",
    );
    await docker("rm", "other");
    const { stderr } = await docker("create", "--pull", "never", "--platform", "linux/s390x", "multi:1");
    expect(stderr).toContain("was found but does not provide the specified platform (linux/s390x)");
    expect((await docker("images", "-aq", "multi")).stdout.split("\n")).toHaveLength(2);
    expect((await docker("images", "-f", "dangling=true", "-q")).stdout).toBe("");
    const inspect = ["image", "inspect", "-f", "{{.Architecture}}", "--platform", `linux/${elsewhere}`, "multi:1"];
    expect((await brig(...inspect)).stdout).toBe(`${elsewhere}\n`);
    expect((await brig("history", "-q", "--platform", `linux/${elsewhere}`, "multi:1")).code).toBe(0);
    const tree = (await brig("images", "--tree", "multi")).stdout;
    if ((await run(["docker", "--version"])).stdout.startsWith("Docker version 28.2"))
      for (const columns of [120, 40]) {
        const onTerminal = (program: string) =>
          run(["script", "-qec", `stty cols ${columns}; ${program} -H ${daemon.host} images --tree`, "/dev/null"]);
        expect((await onTerminal(brigBinary)).stdout).toBe((await onTerminal("docker")).stdout);
      }
    expect(tree).toContain(`├─ linux/${here} `);
    expect(tree).toContain(`└─ linux/${elsewhere} `);
  });

  test("is saved with the blobs it came with, for skopeo too", async () => {
    expect(await docker("save", "-o", path("saved.tar"), "multi:1")).toMatchObject({ code: 0, stderr: "" });
    expect((await brig("save", "-o", path("saved-by-brig.tar"), "multi:1")).code).toBe(0);
    expect(readFileSync(path("saved-by-brig.tar")).equals(readFileSync(path("saved.tar")))).toBe(true);
    for (const [source, flags] of [
      [`oci-archive:${path("saved.tar")}`, ["--all"]],
      [`docker-archive:${path("saved.tar")}`, []],
    ] as const) {
      const target = path(`copy-${source.slice(0, 3)}`);
      expect(await skopeo(...flags, source, `dir:${target}`)).toMatchObject({ code: 0 });
      if (flags.length > 0)
        for (const name of Object.keys(index.files).filter(
          (file) => file.startsWith("blobs/") && !file.endsWith(index.digest.slice(7)),
        ))
          expect(
            existsSync(`${target}/${name.slice("blobs/sha256/".length)}`) ||
              existsSync(`${target}/${name.slice("blobs/sha256/".length)}.manifest.json`),
          ).toBe(true);
    }
    await docker("rmi", "multi:1");
    expect((await docker("load", "-qi", path("saved.tar"))).stdout).toBe("Loaded image: multi:1\n");
    expect((await brig("image", "rm", "--platform", `linux/${here}`, "multi:1")).stdout).toMatch(/^Deleted: sha256:/);
    expect((await docker("image", "inspect", "-f", "{{.Architecture}}", "multi:1")).stdout).toBe(`${elsewhere}\n`);
    // The index stays as it was, though not all of it is here.
    await docker("save", "-o", path("partial.tar"), "multi:1");
    const listed = await run(["tar", "-xOf", path("partial.tar"), "index.json"]);
    expect(JSON.parse(listed.stdout).manifests[0].digest).toBe(index.digest);
    await docker("rmi", "multi:1");
    expect((await docker("load", "-qi", path("partial.tar"))).stdout).toBe("Loaded image: multi:1\n");
    await docker("rmi", "multi:1");
  });

  test("goes to podman and comes back", async () => {
    const podman = (...args: string[]) =>
      run(["podman", "--root", path("podman"), "--runroot", path("podman-run"), "--storage-driver", "vfs", ...args]);
    await docker("load", "-qi", path("multi.tar"));
    const id = (await docker("image", "inspect", "-f", "{{.Id}}", "multi:1")).stdout;
    await docker("save", "-o", path("for-podman.tar"), "multi:1");
    await docker("rmi", "multi:1");
    expect((await podman("load", "-qi", path("for-podman.tar"))).stdout).toContain("docker.io/library/multi:1");
    for (const format of ["docker-archive", "oci-archive"]) {
      const archive = path(`podman-${format}.tar`);
      expect(await podman("save", "--format", format, "-o", archive, "multi:1")).toMatchObject({ code: 0 });
      expect((await docker("load", "-qi", archive)).stdout).toBe("Loaded image: multi:1\n");
      if (format === "docker-archive")
        expect((await docker("image", "inspect", "-f", "{{.Id}}", "multi:1")).stdout).toBe(id);
      expect((await docker("run", "--rm", "multi:1", "cat", "/file0")).stdout).toBe(here);
    }
    await podman("rmi", "-af");
    await docker("rmi", "multi:1");
    await docker("image", "prune", "-f");
  });

  test("is pulled platform by platform under one name", async () => {
    const name = `${registry}/multi:1`;
    await skopeo("--all", "--dest-tls-verify=false", `oci-archive:${path("multi.tar")}`, `docker://${name}`);
    expect((await docker("pull", "-q", name)).code).toBe(0);
    expect((await docker("pull", "-q", "--platform", `linux/${elsewhere}`, name)).code).toBe(0);
    expect((await docker("image", "inspect", "-f", "{{.Architecture}}", name)).stdout).toBe(`${elsewhere}\n`);
    expect((await docker("images", "-f", "dangling=true", "-q")).stdout).toBe("");
    expect((await docker("image", "prune", "-f")).stdout).toContain("Total reclaimed space: 0B");
    const own = await brig("image", "inspect", "-f", "{{.Id}}", "--platform", `linux/${here}`, name);
    expect(own.stdout).toMatch(/^sha256:/);
    const { stdout } = await docker("rmi", name);
    expect(stdout).toContain(`Deleted: ${own.stdout}`);
  });
});

describe("what save says", () => {
  test("of names, files and terminals", async () => {
    const failure = async (...args: string[]) => {
      const [theirs, ours] = await Promise.all([docker(...args), brig(...args)]);
      expect({ code: ours.code, stderr: ours.stderr }).toEqual({ code: theirs.code, stderr: theirs.stderr });
      return ours.stderr;
    };
    expect(await failure("save", "nothing")).toBe("Error response from daemon: No such image: nothing\n");
    expect(await failure("save", "alpine", "nothing:1")).toBe("Error response from daemon: reference does not exist\n");
    if ((await run(["docker", "--version"])).stdout.startsWith("Docker version 28")) {
      expect(await failure("save", "-o", "/nowhere/x.tar", "alpine")).toContain("invalid output path");
      expect(await failure("save", "-o", "/dev/null", "alpine")).toContain("cannot write to a character device file");
      expect(await failure("save", "-o", daemon.root, "alpine")).toContain("cannot write to a directory");
    }
    const onTerminal = await run(["script", "-qec", `${brigBinary} -H ${daemon.host} save alpine`, "/dev/null"]);
    expect(onTerminal.code).toBe(1);
    expect(onTerminal.stdout).toContain("cowardly refusing to save to a terminal. Use the -o flag or redirect");
  });
});

describe("what is broken off leaves nothing", () => {
  test("load and save by a client that goes away", async () => {
    const random = path("random");
    await run([
      "sh",
      "-c",
      `mkdir ${random}; head -c 30000000 /dev/urandom >${random}/file; tar -cf ${random}.tar -C ${random} .`,
    ]);
    await docker("import", `${random}.tar`, "large:1");
    await docker("save", "-o", path("large.tar"), "large:1");
    const withImage = blobs();
    const save = `curl -s --unix-socket ${daemon.socket} http://engine/images/large:1/get | head -c 1000000 | wc -c`;
    expect((await run(["sh", "-c", save])).stdout.trim()).toBe("1000000");
    await docker("rmi", "large:1");
    const without = blobs();
    expect(without.length).toBeLessThan(withImage.length);
    const load = `head -c 20000000 ${path("large.tar")} | (cat; exec sleep 1) | curl -s -X POST -T - --max-time 0.6 --unix-socket ${daemon.socket} http://engine/images/load`;
    await run(["sh", "-c", load]);
    await settled(without);
    const { code, stderr } = await daemon.dockerWith(readFileSync(path("large.tar")).subarray(0, 20_000_000), "load");
    expect(code).toBe(1);
    expect(stderr).toContain("unexpected EOF");
    await settled(without);
    expect(readdirSync(path("data/layers/tmp"))).toEqual([]);
    expect((await docker("load", "-i", path("large.tar"))).code).toBe(0);
  });

  test("a daemon that is killed with -9", async () => {
    await docker("rmi", "large:1");
    const without = blobs();
    const layers = readdirSync(path("data/layers"));
    const loading = docker("load", "-i", path("large.tar"));
    while (blobs().length === without.length) await Bun.sleep(1);
    await daemon.end("SIGKILL");
    expect((await loading).code).toBe(1);
    await daemon.start();
    expect(blobs()).toEqual(without);
    expect(readdirSync(path("data/layers"))).toEqual(layers);
    expect((await docker("load", "-i", path("large.tar"))).code).toBe(0);
  });

  test("a disk that is full", async () => {
    const other = new TestDaemon();
    mkdirSync(`${other.root}/data`);
    await run(["mount", "-t", "tmpfs", "-o", "size=40m", "tmpfs", `${other.root}/data`]);
    try {
      await other.start();
      const { code, stderr } = await other.docker("load", "-i", path("large.tar"));
      expect(code).toBe(1);
      expect(stderr).toMatch(/no space left on device/i);
      expect(readdirSync(`${other.root}/data/content/sha256`)).toEqual([]);
      expect(readdirSync(`${other.root}/data/content/ingest`)).toEqual([]);
      expect(readdirSync(`${other.root}/data/layers`)).toEqual(["tmp"]);
      expect(readdirSync(`${other.root}/data/layers/tmp`)).toEqual([]);
      expect((await other.docker("load", "-i", path("multi.tar"))).stdout).toContain("Loaded image: multi:1");
    } finally {
      await run(["umount", "-l", `${other.root}/data`]);
      await other.dispose();
    }
  });
});
