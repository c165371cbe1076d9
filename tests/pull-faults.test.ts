/** Pulls on days when the line, the registry, the disk or the daemon fails: a clear error, nothing half, the next one works. */
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { createServer, type Server, type Socket } from "node:net";
import { gzipSync } from "node:zlib";
import { mediaTypes } from "../src/distribution/media-types.ts";
import { imageOf, type TestImage } from "../src/images/testing.ts";
import { sha256Of } from "../src/lib/reference.ts";
import { tarEnd, tarHeader } from "../src/lib/tar-writer.ts";
import { run, TestDaemon } from "./support/daemon.ts";

const layerBytes = 12 << 20;
let image: TestImage;
/** Blobs by digest, whatever image they are of. */
const blobs = new Map<string, Uint8Array>();
const manifests = new Map<string, Uint8Array>();
const origin = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: answer });
/** How many bytes each connection may carry before it is cut, one after the other; then as many as it likes. */
let cuts: number[] = [];
let proxy: Server;
let host: string;
/** When set, a layer stops in the middle and the line stays open. */
let hang = false;

function answer(request: Request): Response {
  const path = new URL(request.url).pathname;
  const name = path.split("/").at(-1)!;
  if (path === "/v2/") return new Response("{}");
  const manifest = path.includes("/manifests/") ? manifests.get(name) : undefined;
  if (manifest) return new Response(manifest, { headers: { "content-type": mediaTypes.ociManifest } });
  const blob = path.includes("/blobs/") ? blobs.get(name) : undefined;
  if (!blob) return Response.json({ errors: [{ code: "MANIFEST_UNKNOWN", message: "unknown" }] }, { status: 404 });
  const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
  const status = from > 0 ? 206 : 200;
  const headers = { "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}` };
  if (hang && blob.length > layerBytes / 2) {
    const half = blob.subarray(from, blob.length >> 1);
    return new Response(new ReadableStream({ start: (controller) => controller.enqueue(half) }), { status, headers });
  }
  return new Response(blob.subarray(from), { status, headers });
}

function publish(tag: string, made: TestImage): void {
  manifests.set(tag, made.manifest).set(made.manifestDigest, made.manifest);
  for (const [digest, bytes] of made.blobs) blobs.set(digest, bytes);
}

/** Passes bytes from the origin on until the connection's share is used up. */
function serveCut(client: Socket): void {
  let left = cuts.shift() ?? Number.POSITIVE_INFINITY;
  const { port } = origin;
  Bun.connect({
    hostname: "127.0.0.1",
    port: port!,
    socket: {
      open: (socket) => void client.on("data", (chunk: Buffer) => socket.write(chunk)),
      data: (socket, chunk) => {
        client.write(chunk.subarray(0, left));
        left -= chunk.length;
        if (left > 0) return;
        client.destroy();
        socket.end();
      },
      close: () => void client.end(),
    },
  });
  client.on("error", () => undefined);
}

let daemon: TestDaemon;
beforeAll(async () => {
  image = await imageOf([randomBytes(layerBytes).toString("latin1"), "small"]);
  publish("latest", image);
  proxy = createServer(serveCut);
  await new Promise<void>((resolve) => proxy.listen(0, "127.0.0.1", resolve));
  host = `127.0.0.1:${(proxy.address() as { port: number }).port}`;
  daemon = await new TestDaemon(["--max-layer-size", "64m"]).start();
});
afterEach(async () => {
  cuts = [];
  hang = false;
  await daemon.docker("rmi", "-f", `${host}/app`);
});
afterAll(async () => {
  await daemon.dispose();
  proxy.close();
  await origin.stop(true);
});

const contentOf = (one: TestDaemon, part: string) => readdirSync(`${one.root}/data/content/${part}`);

/** An image that is here is whole: its layers are those it was made of, and nothing else is on the disk. */
async function expectWhole(one: TestDaemon): Promise<void> {
  const { stdout } = await one.docker("inspect", "-f", "{{.Id}} {{.RootFS.Layers}}", `${host}/app`);
  expect(stdout.trim()).toBe(`${image.configDigest} [${image.layers.map(({ diffId }) => diffId).join(" ")}]`);
  const digests = [...image.blobs.keys(), image.manifestDigest].map((digest) => digest.slice(7)).sort();
  expect(contentOf(one, "sha256").sort()).toEqual(digests);
  expect(contentOf(one, "partial")).toEqual([]);
  expect(readdirSync(`${one.root}/data/layers/tmp`)).toEqual([]);
}

test("the line is cut at any byte: the pull goes on from there", async () => {
  for (let round = 0; round < 6; round++) {
    cuts = Array.from({ length: 6 }, () => 1 + Math.floor(Math.random() * layerBytes * 1.3));
    const { code, stderr } = await daemon.docker("pull", "-q", `${host}/app`);
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" });
    await expectWhole(daemon);
    await daemon.docker("rmi", `${host}/app`);
    expect(contentOf(daemon, "sha256")).toEqual([]);
  }
});

test("the daemon is killed in the middle: nothing is half there, and the next pull goes on from what came", async () => {
  hang = true;
  const pulling = daemon.docker("pull", "-q", `${host}/app`);
  const digest = image.layers[0]!.digest;
  const size = () => Bun.file(`${daemon.root}/data/content/partial/${digest.slice(7)}`).size;
  for (let attempt = 0; size() < layerBytes / 3 && attempt < 400; attempt++) await Bun.sleep(25);
  await daemon.end("SIGKILL");
  expect((await pulling).code).toBe(1);
  hang = false;
  await daemon.start();
  expect((await daemon.docker("images", "-aq")).stdout).toBe("");
  expect(contentOf(daemon, "sha256")).toEqual([]);
  const ranges: string[] = [];
  origin.reload({
    fetch(request) {
      if (request.url.endsWith(digest)) ranges.push(request.headers.get("range") ?? "all");
      return answer(request);
    },
  });
  expect((await daemon.docker("pull", "-q", `${host}/app`)).code).toBe(0);
  expect(ranges).toEqual([expect.stringMatching(/^bytes=[1-9]\d+-$/)]);
  await expectWhole(daemon);
});

test("a client that goes away stops its pull at once", async () => {
  hang = true;
  const child = Bun.spawn(["docker", "-H", daemon.host, "pull", `${host}/app`], { stdout: "ignore", stderr: "ignore" });
  for (let attempt = 0; contentOf(daemon, "partial").length === 0 && attempt < 400; attempt++) await Bun.sleep(25);
  child.kill("SIGKILL");
  const unpacked = () => readdirSync(`${daemon.root}/data/layers/tmp`).length;
  for (let attempt = 0; unpacked() > 0 && attempt < 80; attempt++) await Bun.sleep(25);
  expect(unpacked()).toBe(0);
  hang = false;
  expect((await daemon.docker("pull", "-q", `${host}/app`)).code).toBe(0);
  await expectWhole(daemon);
});

test("a layer that unpacks to more than is allowed is given up, and so is its blob", async () => {
  const size = 200 << 20;
  const tar = Buffer.concat([tarHeader({ name: "bomb", type: "file", size }), Buffer.alloc(size), tarEnd()]);
  const layer = gzipSync(tar);
  const made = await imageOf(["x"], { rootfs: { type: "layers", diff_ids: [sha256Of(tar)] } });
  const manifest = JSON.parse(made.manifest.toString()) as { layers: { digest: string; size: number }[] };
  Object.assign(manifest.layers[0]!, { digest: sha256Of(layer), size: layer.length });
  blobs.set(sha256Of(layer), layer);
  for (const [digest, bytes] of made.blobs) blobs.set(digest, bytes);
  manifests.set("bomb", Buffer.from(JSON.stringify(manifest)));
  const { code, stderr } = await daemon.docker("pull", "-q", `${host}/app:bomb`);
  expect(code).toBe(1);
  expect(stderr).toContain("max-layer-size");
  expect(contentOf(daemon, "partial")).toEqual([]);
  expect(readdirSync(`${daemon.root}/data/layers`)).toEqual(["tmp"]);
  expect(readdirSync(`${daemon.root}/data/layers/tmp`)).toEqual([]);
});

test("a disk that fills up in the middle: a clear error, nothing kept, and when there is room it works", async () => {
  const small = new TestDaemon();
  const data = `${small.root}/data`;
  mkdirSync(data);
  await run(["mount", "-t", "tmpfs", "-o", `size=${(layerBytes * 1.5) >> 10}k`, "tmpfs", data]);
  try {
    await small.start();
    const { code, stderr } = await small.docker("pull", "-q", `${host}/app`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/no space left on device/i);
    expect(contentOf(small, "partial")).toEqual([]);
    expect(readdirSync(`${data}/layers/tmp`)).toEqual([]);
    expect((await small.docker("images", "-aq")).stdout).toBe("");
    await run(["mount", "-o", "remount,size=100m", data]);
    expect((await small.docker("pull", "-q", `${host}/app`)).code).toBe(0);
    await expectWhole(small);
  } finally {
    await small.end("SIGTERM");
    await run(["umount", "-l", data]);
    await small.dispose();
    rmSync(small.root, { recursive: true, force: true });
  }
});
