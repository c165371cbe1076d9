import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { TestStorage } from "./driver.suite.ts";
import type { LayerSource } from "./layers.ts";
import { directory, file, makeTar, stream, type TestMember } from "./test-layers.ts";

let storage: TestStorage;
let outside: string;
beforeEach(() => {
  storage = new TestStorage(mkdtempSync(join(tmpdir(), "brig-layers-")), "overlay2");
  outside = join(storage.root, "outside");
  mkdirSync(outside);
});
afterEach(() => storage.dispose());

const digestOf = (bytes: Uint8Array) => `sha256:${new Bun.CryptoHasher("sha256").update(bytes).digest("hex")}`;
const layerNames = () => readdirSync(join(storage.dataRoot, "layers"), { recursive: true });

async function failure(source: LayerSource | TestMember[], options = {}): Promise<string> {
  const layer = Array.isArray(source) ? stream(makeTar(source)) : source;
  const message = await storage.layers.unpack(layer, options).then(
    () => "it was accepted",
    (thrown: Error) => thrown.message,
  );
  expect(layerNames()).toEqual(["tmp"]);
  return message;
}

describe("plain, gzip and zstd, from a file and a stream", () => {
  const content = Buffer.alloc(3_000_000, "0123456789abcdef\n");
  const archive = makeTar([directory("d"), file("d/a", content), file("b", "b")]);
  const half = archive.length >> 1;
  const forms = {
    plain: archive,
    gzip: gzipSync(archive),
    "gzip in two members": Buffer.concat([gzipSync(archive.subarray(0, half)), gzipSync(archive.subarray(half))]),
    zstd: zstdCompressSync(archive),
    "zstd in two frames": Buffer.concat([
      zstdCompressSync(archive.subarray(0, half)),
      zstdCompressSync(archive.subarray(half)),
    ]),
  };
  for (const [name, bytes] of Object.entries(forms))
    test(name, async () => {
      const path = join(storage.root, "layer");
      writeFileSync(path, bytes);
      const diffId = digestOf(archive);
      let read = 0;
      const onProgress = (bytesRead: number) => {
        read = bytesRead;
      };
      expect(await storage.layers.unpack({ path }, { diffId, onProgress })).toMatchObject({ diffId, size: 3_000_001 });
      expect(read).toBe(bytes.length);
      expect(readFileSync(join(storage.layers.pathOf(diffId), "d/a")).equals(content)).toBe(true);
      await storage.layers.remove(diffId);
      const copyTo = { path: join(storage.root, "copy"), resumeFrom: 0 };
      const { copy } = await storage.layers.unpack(stream(bytes, 1000), { copyTo });
      expect(copy).toEqual({ digest: digestOf(bytes), size: bytes.length });
      expect(readFileSync(copyTo.path).equals(bytes)).toBe(true);
    });

  for (const form of ["plain", "gzip", "zstd"] as const)
    test(`${form}, cut off and corrupt`, async () => {
      const bytes = forms[form];
      for (const length of [3, 100, bytes.length >> 1, bytes.length - (form === "plain" ? 3000 : 4)])
        expect(await failure(stream(bytes.subarray(0, length)))).toMatch(/^failed to register layer: .*unexpected EOF/);
      if (form === "plain") return;
      const corrupt = Buffer.from(bytes);
      corrupt.fill(0x55, bytes.length >> 1, (bytes.length >> 1) + 20);
      expect(await failure(stream(corrupt))).toMatch(/^failed to register layer: /);
    });
});

test("another diff ID than was asked for", async () => {
  const asked = `sha256:${"1".repeat(64)}`;
  expect(await failure([file("a")], { diffId: asked })).toContain(`not ${asked}`);
});

test("xz, and what is no archive", async () => {
  expect(await failure(stream(Buffer.from("\xfd7zXZ\0xxxxxxxx", "latin1")))).toContain("compressed with xz");
  expect(await failure(stream(Buffer.alloc(4096, "<html>")))).toContain("invalid tar header");
  expect(await failure({ path: join(storage.root, "nowhere") })).toContain("ENOENT");
});

test("an archive that is too large when it is decompressed", async () => {
  const bytes = makeTar([file("zeros", Buffer.alloc(8 << 20))]);
  storage.layers.limitBytes = 4 << 20;
  for (const bomb of [gzipSync(bytes), zstdCompressSync(bytes), bytes])
    expect(await failure(stream(bomb))).toMatch(/the layer has more than 4194304 bytes \(max-layer-size\)/);
  storage.layers.limitBytes = 16 << 20;
  expect((await storage.layers.unpack(stream(gzipSync(bytes)))).size).toBe(8 << 20);
});

describe("entries that want out", () => {
  const hostile: Record<string, [TestMember[], RegExp]> = {
    "..": [[file("../outside/x")], /"..\/outside\/x" is outside of/],
    "a/../..": [[directory("a"), file("a/../../outside/x")], /is outside of/],
    "a symbolic link that climbs": [
      [{ name: "d/out", type: "symlink", linkName: "../../outside" }, file("d/out/x")],
      /invalid symlink "d\/out" -> "..\/..\/outside"/,
    ],
    "a hard link out": [
      [{ name: "x", type: "link", linkName: "../../../../../../etc/passwd" }],
      /invalid hardlink "x" -> "/,
    ],
    "a hard link to what is not there": [[{ name: "x", type: "link", linkName: "/etc/passwd" }], /No such file/],
    "a parent that is a file": [[file("a"), file("a/b")], /Not a directory/],
    "a parent that is a loop": [[{ name: "l", type: "symlink", linkName: "l" }, file("l/b")], /symbolic links/],
    "a whiteout of ..": [[directory("d"), file("d/.wh...")], /invalid whiteout/],
    "a root that is a file": [[file(".")], /is not a directory/],
    "a name that is too long": [[file("n".repeat(256))], /File name too long/],
  };
  for (const [name, [members, message]] of Object.entries(hostile))
    test(name, async () => {
      expect(await failure(members)).toMatch(message);
      expect(readdirSync(outside)).toEqual([]);
    });

  test("absolute paths and links stay within the layer", async () => {
    const diffId = await storage.layer(
      file("/abs", "1"),
      file(`${outside}/y`),
      { name: "out", type: "symlink", linkName: outside },
      file("out/x", "2"),
      { name: "up", type: "symlink", linkName: "/" },
      file("up/up/z", "3"),
      { name: "hard", type: "link", linkName: "/up/z" },
    );
    const path = storage.layers.pathOf(diffId);
    expect(readdirSync(outside)).toEqual([]);
    expect(readFileSync(join(path, "abs"), "utf8")).toBe("1");
    expect(readFileSync(join(path, outside, "x"), "utf8")).toBe("2");
    expect(readFileSync(join(path, "hard"), "utf8")).toBe("3");
  });

  test("a file is written beside a link of its name, not through it", async () => {
    writeFileSync(join(outside, "victim"), "safe");
    const diffId = await storage.layer(
      { name: "a", type: "symlink", linkName: join(outside, "victim") },
      file("a", "mine"),
      { name: "d", type: "symlink", linkName: outside },
      directory("d"),
      file("d/x", "mine"),
    );
    expect(readFileSync(join(outside, "victim"), "utf8")).toBe("safe");
    expect(readdirSync(outside)).toEqual(["victim"]);
    expect(readFileSync(join(storage.layers.pathOf(diffId), "d/x"), "utf8")).toBe("mine");
  });
});

test("a later member replaces an earlier one of its name", async () => {
  const diffId = await storage
    .layer(
      directory("d", { mode: 0o700 }),
      file("d/x", "1"),
      directory("d", { mode: 0o711 }),
      file("d/x", "2"),
      directory("e"),
      directory("e/sub"),
      file("e/sub/y"),
      file("e", "file"),
      file("f"),
      directory("f"),
      file("f/z"),
      directory("g"),
      file("g/old"),
      { name: "g", type: "symlink", linkName: "d" },
      file("g/through"),
      { name: "h", type: "link", linkName: "h" },
    )
    .catch((thrown: Error) => thrown.message);
  const path = storage.layers.pathOf(diffId);
  expect(readFileSync(join(path, "d/x"), "utf8")).toBe("2");
  expect(lstatSync(join(path, "d")).mode & 0o777).toBe(0o711);
  expect(lstatSync(join(path, "e")).isFile()).toBe(true);
  expect(existsSync(join(path, "f/z"))).toBe(true);
  expect(readdirSync(join(path, "d")).sort()).toEqual(["through", "x"]);
});

test("the same layer twice at once is unpacked once", async () => {
  const archive = makeTar([file("a", "x".repeat(200_000))]);
  const diffId = digestOf(archive);
  let pulled = 0;
  async function* counted() {
    pulled++;
    yield* stream(archive, 4096);
  }
  const results = await Promise.all([1, 2, 3].map(() => storage.layers.unpack(counted(), { diffId })));
  expect(results.map((result) => result.diffId)).toEqual([diffId, diffId, diffId]);
  expect(pulled).toBe(1);
  expect(storage.layers.size(diffId)).toBe(200_000);
});

test("when the first of two gives up, the second takes over", async () => {
  const archive = makeTar([file("a", "x".repeat(200_000))]);
  const diffId = digestOf(archive);
  const controller = new AbortController();
  async function* slow() {
    yield archive.subarray(0, 100_000);
    await new Promise((resolve) => controller.signal.addEventListener("abort", resolve));
    yield archive.subarray(100_000);
  }
  const first = storage.layers.unpack(slow(), { diffId, signal: controller.signal });
  const second = storage.layers.unpack(stream(archive), { diffId });
  await Bun.sleep(20);
  controller.abort();
  await expect(first).rejects.toThrow();
  expect((await second).diffId).toBe(diffId);
});

test("cancelling stops a source that hangs, and cleans up", async () => {
  const controller = new AbortController();
  async function* hanging() {
    yield makeTar([file("a", "x".repeat(10_000))]).subarray(0, 5000);
    await new Promise(() => {});
  }
  const work = storage.layers.unpack(hanging(), { signal: controller.signal });
  await Bun.sleep(50);
  controller.abort();
  await expect(work).rejects.toThrow(/abort/i);
  await work.catch(() => {});
  expect(layerNames()).toEqual(["tmp"]);
});
