import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { sha256Of } from "../lib/reference.ts";
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
