import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { mediaTypes } from "../distribution/media-types.ts";
import { sha256Of } from "../lib/reference.ts";
import { file, makeTar, type TestMember } from "../storage/test-layers.ts";
import { Bench, imageOf, ociLayout, streamOf, type TestImage, tarOf } from "./testing.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const load = (archive: Uint8Array, chunkBytes?: number) =>
  bench.images.load(streamOf(archive, chunkBytes), bench.report);
const said = () => bench.messages.flatMap(({ stream }) => stream ?? []);
/** As `docker save` wrote it before version 25. */
async function dockerArchive(image: TestImage, tags: string[] | null): Promise<Record<string, string | Buffer>> {
  const config = `${image.configDigest.slice(7)}.json`;
  const layers = image.layers.map((_, index) => `layer${index}/layer.tar`);
  return {
    "manifest.json": JSON.stringify([{ Config: config, RepoTags: tags, Layers: layers }]),
    [config]: image.blobs.get(image.configDigest)!,
    ...Object.fromEntries(image.layers.map(({ digest }, index) => [layers[index]!, image.blobs.get(digest)!])),
  };
}

describe("load", () => {
  for (const [name, compress] of [
    ["plain", (bytes: Buffer) => bytes],
    ["gzip", gzipSync],
    ["zstd", zstdCompressSync],
  ] as const)
    test(`a docker-archive, ${name}`, async () => {
      const image = await imageOf(["one", "two"]);
      const archive = await tarOf(await dockerArchive(image, ["app:1", "me/app:2"]));
      const [loaded] = await load(compress(archive), 1000);
      expect(loaded!.id).toBe(image.configDigest);
      expect(loaded!.references).toEqual(["app:1", "me/app:2"]);
      expect(said()).toEqual(["Loaded image: app:1\n", "Loaded image: me/app:2\n"]);
      expect(bench.messages[0]).toMatchObject({ status: "Loading layer" });
      expect(bench.events).toEqual([["load", image.configDigest, { maker: "test", name: image.configDigest }]]);
    });

  test("an archive without names", async () => {
    const image = await imageOf(["one"]);
    await load(await tarOf(await dockerArchive(image, null)));
    expect(said()).toEqual([`Loaded image ID: ${image.configDigest}\n`]);
  });

  test("an OCI layout, whose manifest keeps its digest", async () => {
    const image = await imageOf(["one", "two"]);
    await load(await tarOf(ociLayout(image, { "org.opencontainers.image.ref.name": "app:1" })));
    expect(said()).toEqual(["Loaded image: app:1\n"]);
    expect(bench.images.inspect("app:1").Descriptor?.digest).toBe(image.manifestDigest);
    expect(bench.content.has(image.manifestDigest)).toBe(true);
  });

  test("an index inside an index, of which only this platform is there", async () => {
    const image = await imageOf(["one"]);
    const mediaType = "application/vnd.oci.image.manifest.v1+json";
    const inner = Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        manifests: [
          { mediaType, digest: `sha256:${"0".repeat(64)}`, size: 5, platform: { os: "linux", architecture: "s390x" } },
          { mediaType, digest: image.manifestDigest, size: 5, platform: { os: "linux", architecture: "amd64" } },
        ],
      }),
    );
    const outer = {
      schemaVersion: 2,
      manifests: [
        {
          mediaType: "application/vnd.oci.image.index.v1+json",
          digest: sha256Of(inner),
          size: inner.length,
          annotations: { "io.containerd.image.name": "docker.io/library/app:1" },
        },
      ],
    };
    const files = { ...ociLayout(image, {}), "index.json": JSON.stringify(outer) };
    await load(await tarOf({ ...files, [`blobs/sha256/${sha256Of(inner).slice(7)}`]: inner }));
    expect(bench.images.get("app:1").id).toBe(image.configDigest);
    expect(bench.content.has(sha256Of(inner))).toBe(true);
  });

  test("an archive from before Docker 1.10", async () => {
    const [low, high] = ["a".repeat(64), "b".repeat(64)];
    const archive = await tarOf({
      repositories: JSON.stringify({ app: { old: high } }),
      [`${low}/json`]: JSON.stringify({ id: low, created: "2014-01-01T00:00:00Z" }),
      [`${low}/VERSION`]: "1.0",
      [`${low}/layer.tar`]: await tarOf({ one: "1" }),
      [`${high}/json`]: JSON.stringify({
        id: high,
        parent: low,
        created: "2014-01-02T00:00:00Z",
        os: "linux",
        architecture: "amd64",
        config: { Cmd: ["/two"] },
      }),
      [`${high}/layer.tar`]: await tarOf({ two: "2" }),
    });
    await load(archive);
    const image = bench.images.get("app:old");
    expect(image.diffIds).toHaveLength(2);
    expect(image.config.Cmd).toEqual(["/two"]);
  });

  test("moves a name, and says so", async () => {
    const [first, second] = [await imageOf(["one"]), await imageOf(["two"])];
    await load(await tarOf(await dockerArchive(first, ["app:1"])));
    await load(await tarOf(await dockerArchive(second, ["app:1"])));
    expect(said()[1]).toBe(
      `The image app:1 already exists, renaming the old one with ID ${first.configDigest} to empty string\n`,
    );
    expect(bench.images.get(first.configDigest).references).toEqual([]);
  });
});

describe("a broken archive", () => {
  const cases: [name: string, archive: (image: TestImage) => Promise<Uint8Array>, message: string][] = [
    ["nothing", async () => new Uint8Array(), "open manifest.json: no such file or directory"],
    ["noise", async () => Buffer.alloc(4096, "noise"), "archive/tar: invalid tar header"],
    ["cut off", async (image) => (await tarOf(ociLayout(image, {}))).subarray(0, 3000), "unexpected EOF"],
    [
      "cut off in gzip",
      async (image) => gzipSync(await tarOf(ociLayout(image, {}))).subarray(0, 700),
      "unexpected EOF",
    ],
    [
      "without the config",
      async () => tarOf({ "manifest.json": '[{"Config":"x.json","RepoTags":["a:b"],"Layers":[]}]' }),
      "open x.json: no such file or directory",
    ],
    [
      "whose names climb",
      async () => tarOf({ "manifest.json": '[{"Config":"../../etc/passwd","Layers":[]}]' }),
      "open ../../etc/passwd: no such file or directory",
    ],
    ["with bad JSON", async () => tarOf({ "manifest.json": "{bad" }), "manifest.json is not JSON"],
    ["of the wrong shape", async () => tarOf({ "manifest.json": '[{"Config":5}]' }), "field of the wrong type"],
    [
      "with a bad name",
      async (image) => tarOf(await dockerArchive(image, ["App:1"])),
      "invalid reference format: repository name (library/App) must be lowercase",
    ],
    [
      "with too few layers",
      async (image) => {
        const archive = await dockerArchive(image, ["app:1"]);
        const [entry] = JSON.parse(String(archive["manifest.json"]));
        return tarOf({ ...archive, "manifest.json": JSON.stringify([{ ...entry, Layers: [] }]) });
      },
      "invalid manifest, layers length mismatch: expected 0, got 1",
    ],
    [
      "with another layer than its config says",
      async (image) =>
        tarOf({ ...(await dockerArchive(image, ["app:1"])), "layer0/layer.tar": await tarOf({ x: "y" }) }),
      "failed to register layer",
    ],
    [
      "with a blob that is not its name",
      async (image) =>
        tarOf({ ...ociLayout(image, {}), [`blobs/sha256/${image.configDigest.slice(7)}`]: "other bytes" }),
      "unexpected digest",
    ],
  ];
  const member = (entry: Partial<TestMember>, bytes = "") => makeTar([file("manifest.json", bytes, entry)]);
  /** A tar header with some fields overwritten, and its checksum put right. */
  const forged = (...fields: [offset: number, bytes: Buffer | string][]) => {
    const header = Buffer.from(member({}).subarray(0, 512));
    for (const [offset, bytes] of fields) Buffer.from(bytes).copy(header, offset);
    header.fill(" ", 148, 156);
    const sum = header.reduce((total, byte) => total + byte, 0);
    header.write(`${sum.toString(8).padStart(6, "0")}\0 `, 148, "latin1");
    return header;
  };
  cases.push(
    ["with a document of 100 MB", async () => forged([124, "00575360400\0"]), "100000000 bytes is too long"],
    ["with a negative size", async () => forged([124, Buffer.alloc(12, 0xff)]), "invalid tar header: negative size"],
    ["with a name of 100 kB", async () => member({ name: "x".repeat(100_000) }), "is too long"],
    [
      "with a member that is one hole",
      async () => {
        const size = Buffer.alloc(12);
        size[0] = 0x80;
        size.writeUIntBE(1e14, 6, 6);
        return Buffer.concat([forged([0, "hole\0"], [156, "S"], [257, "ustar  \0"], [483, size]), Buffer.alloc(1024)]);
      },
      "sparse members are not supported",
    ],
    [
      "with indexes that are nested too deeply",
      async (image) => {
        const layout = ociLayout(image, {});
        for (let depth = 0; depth < 6; depth++) {
          const bytes = Buffer.from(String(layout["index.json"]));
          layout[`blobs/sha256/${sha256Of(bytes).slice(7)}`] = bytes;
          const entry = { mediaType: mediaTypes.ociIndex, digest: sha256Of(bytes), size: bytes.length };
          layout["index.json"] = JSON.stringify({ schemaVersion: 2, manifests: [entry] });
        }
        return tarOf(layout);
      },
      "nested too deeply",
    ],
    [
      "of another operating system",
      async () => tarOf(await dockerArchive(await imageOf(["one"], { os: "windows" }), ["app:1"])),
      "cannot load windows image on linux",
    ],
    ["in xz", async () => Buffer.from("\xfd7zXZ\0xxxxxxxx", "latin1"), "compressed with xz are not supported"],
    [
      "whose index names what is not in it",
      async () => {
        const entry = { mediaType: mediaTypes.ociManifest, digest: `sha256:${"1".repeat(64)}`, size: 2 };
        return tarOf({ "index.json": JSON.stringify({ schemaVersion: 2, manifests: [entry] }) });
      },
      `open blobs/sha256/${"1".repeat(64)}: no such file or directory`,
    ],
    [
      "that lacks a layer",
      async (image) => {
        const layout = ociLayout(image, {});
        delete layout[`blobs/sha256/${image.layers[0]!.digest.slice(7)}`];
        return tarOf(layout);
      },
      "no such file or directory",
    ],
  );
  for (const [name, archive, message] of cases)
    test(`${name} is refused, and leaves nothing`, async () => {
      const image = await imageOf(["one"]);
      await expect(load(await archive(image))).rejects.toThrow(message);
      expect(bench.images.list({ all: true, sharedSize: false, filters: new Map() })).toEqual([]);
      expect(bench.leftovers()).toEqual([]);
      await load(await tarOf(await dockerArchive(image, ["app:1"])));
      expect(bench.images.get("app:1").id).toBe(image.configDigest);
    });
});

test("what a crash left without an owner goes at the next start", async () => {
  const image = await imageOf(["one"]);
  await load(await tarOf(await dockerArchive(image, ["app:1"])));
  const { digest } = await bench.content.write(Buffer.from("orphan"));
  const { diffId } = await bench.layers.unpack(streamOf(await tarOf({ orphan: "1" })));
  const { diffId: inUse } = await bench.layers.unpack(streamOf(await tarOf({ inUse: "1" })));
  bench.restart();
  bench.images.layersInUse = () => [inUse];
  await bench.images.mend();
  expect(bench.content.has(digest)).toBe(false);
  expect(bench.layers.has(diffId)).toBe(false);
  expect(bench.layers.has(inUse)).toBe(true);
  expect(bench.images.get("app:1").id).toBe(image.configDigest);
  expect(bench.content.has(image.layers[0]!.digest)).toBe(true);
});

test("a layer that unpacks to more than the limit is refused, and leaves nothing", async () => {
  const image = await imageOf(["x".repeat(1 << 20)]);
  bench.layers.limitBytes = 1 << 19;
  await expect(load(await tarOf(ociLayout(image, {})))).rejects.toThrow("more than 524288 bytes (max-layer-size)");
  await expect(load(await tarOf(await dockerArchive(image, ["app:1"])))).rejects.toThrow("(max-layer-size)");
  expect(bench.leftovers()).toEqual([]);
});

test("one bad layer ends the others too, also where all blobs are here already", async () => {
  const good = await imageOf(["one", randomBytes(4 << 20).toString("latin1")]);
  const [, large] = good.layers;
  const image = await imageOf(["one", ""], {
    rootfs: { type: "layers", diff_ids: [`sha256:${"1".repeat(64)}`, large!.diffId] },
  });
  const manifest = JSON.parse(image.manifest.toString());
  Object.assign(manifest.layers[1], { digest: large!.digest, size: large!.size });
  const bytes = Buffer.from(JSON.stringify(manifest));
  const blobs = new Map([...image.blobs, ...good.blobs]);
  for (const blob of blobs.values()) await bench.content.write(blob);
  const layout = ociLayout({ ...image, blobs, manifest: bytes, manifestDigest: sha256Of(bytes) }, {});
  await expect(load(await tarOf(layout))).rejects.toThrow("failed to register layer");
  expect(bench.leftovers()).toEqual([]);
});

test("a load that is given up at any point leaves nothing", async () => {
  const archive = await tarOf(ociLayout(await imageOf(["one", "two".repeat(100_000)]), {}));
  for (const share of [0.1, 0.5, 0.9, 1]) {
    const abort = new AbortController();
    const cut = async function* () {
      yield* streamOf(archive.subarray(0, Math.floor(archive.length * share)), 4096);
      abort.abort(new Error("context canceled"));
      if (share < 1) throw new Error("context canceled");
    };
    const loading = bench.images.load(cut(), bench.report, { signal: abort.signal });
    await expect(loading).rejects.toThrow("context canceled");
    expect(bench.leftovers()).toEqual([]);
  }
});

describe("unusual images", () => {
  const roundTrip = async (image: TestImage) => {
    await load(await tarOf(ociLayout(image, { "io.containerd.image.name": "docker.io/library/app:1" })));
    const saved = await Array.fromAsync(await bench.images.save(["app:1"]));
    await bench.images.remove("app:1", { force: false, noPrune: false });
    expect(bench.leftovers()).toEqual([]);
    const [again] = await load(Buffer.concat(saved));
    expect(again!.id).toBe(image.configDigest);
    expect(again!.diffIds).toEqual(image.layers.map(({ diffId }) => diffId));
    return again!;
  };

  test("the same layer twice", async () => {
    const once = await imageOf(["one"]);
    const config = JSON.parse(once.blobs.get(once.configDigest)!.toString());
    const twice = await imageOf(["one"], {
      rootfs: { type: "layers", diff_ids: [...config.rootfs.diff_ids, ...config.rootfs.diff_ids] },
    });
    const document = JSON.parse(twice.manifest.toString());
    document.layers.push(document.layers[0]);
    const manifest = Buffer.from(JSON.stringify(document));
    const layers = [twice.layers[0]!, twice.layers[0]!];
    await roundTrip({ ...twice, manifest, manifestDigest: sha256Of(manifest), layers });
  });

  test("no layers, and an empty one", async () => {
    await roundTrip(await imageOf([]));
    await bench.images.remove("app:1", { force: false, noPrune: false });
    const image = await imageOf(["one"]);
    const empty = Buffer.alloc(1024);
    const document = JSON.parse(image.manifest.toString());
    const config = JSON.parse(image.blobs.get(image.configDigest)!.toString());
    config.rootfs.diff_ids.push(sha256Of(empty));
    const configBytes = Buffer.from(JSON.stringify(config));
    document.config = { ...document.config, digest: sha256Of(configBytes), size: configBytes.length };
    document.layers.push({ mediaType: mediaTypes.ociLayer, digest: sha256Of(empty), size: empty.length });
    const manifest = Buffer.from(JSON.stringify(document));
    await roundTrip({
      blobs: new Map([...image.blobs, [sha256Of(configBytes), configBytes], [sha256Of(empty), empty]]),
      manifest,
      manifestDigest: sha256Of(manifest),
      configDigest: sha256Of(configBytes),
      layers: [...image.layers, { digest: sha256Of(empty), diffId: sha256Of(empty), size: empty.length }],
    });
  });

  test("127 layers", async () => {
    await roundTrip(await imageOf(Array.from({ length: 127 }, (_, index) => `layer ${index}`)));
  });

  test("a foreign layer stays one", async () => {
    const image = await imageOf(["one"]);
    const document = JSON.parse(image.manifest.toString());
    document.layers[0].mediaType = "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip";
    document.layers[0].urls = ["https://example.com/layer"];
    const manifest = Buffer.from(JSON.stringify(document));
    await roundTrip({ ...image, manifest, manifestDigest: sha256Of(manifest) });
    const stored = bench.images.inspect("app:1").Descriptor!.digest!;
    expect(stored).toBe(sha256Of(manifest));
    const saved = Buffer.concat(await Array.fromAsync(await bench.images.save(["app:1"]))).toString("latin1");
    expect(saved).toContain(
      `"LayerSources":{"${image.layers[0]!.diffId}":{"mediaType":"application/vnd.docker.image.rootfs.foreign`,
    );
  });
});
