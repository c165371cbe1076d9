import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { sha256Of } from "../lib/reference.ts";
import { readTar } from "../lib/tar.ts";
import { hostPlatform } from "./platform.ts";
import { Bench, imageOf, indexLayout, ociLayout, streamOf, type TestImage, tarOf } from "./testing.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const host = hostPlatform().architecture;
const foreign = host === "arm64" ? "amd64" : "arm64";
const load = async (files: Record<string, string | Buffer>, platform?: string) =>
  bench.images.load(streamOf(await tarOf(files)), bench.report, platform ? { platforms: [platform] } : {});

/** The files of an archive, by name. */
async function save(...names: string[]): Promise<Record<string, Buffer>> {
  return readArchive(await bench.images.save(names));
}

async function readArchive(archive: AsyncIterable<Uint8Array>): Promise<Record<string, Buffer>> {
  const files: Record<string, Buffer> = {};
  for await (const { entry, body } of readTar(archive))
    if (entry.type === "file") {
      expect(files[entry.name]).toBeUndefined();
      files[entry.name] = Buffer.concat(await Array.fromAsync(body, (chunk) => Buffer.from(chunk)));
    }
  return files;
}

/** An index of this machine's image, another's, an attestation and an artifact. */
async function multiPlatform() {
  const own = await imageOf(["own", "shared"], { architecture: host });
  const other = await imageOf(["other", "shared"], { architecture: foreign });
  const attestation = await imageOf(["statement"], { architecture: "unknown", os: "unknown" });
  const artifact = withConfigType(await imageOf(["chart"]), "application/vnd.cncf.helm.config.v1+json");
  const layout = indexLayout("docker.io/library/app:1", [
    { image: other, descriptor: { platform: { os: "linux", architecture: foreign } } },
    { image: own, descriptor: { platform: { os: "linux", architecture: host } } },
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
    { image: artifact, descriptor: {} },
  ]);
  return { own, other, attestation, artifact, ...layout };
}

function withConfigType(image: TestImage, mediaType: string): TestImage {
  const document = JSON.parse(image.manifest.toString());
  document.config.mediaType = mediaType;
  const manifest = Buffer.from(JSON.stringify(document));
  return { ...image, manifest, manifestDigest: sha256Of(manifest) };
}

const blobs = (files: Record<string, Buffer | string>) =>
  Object.keys(files)
    .filter((name) => name.startsWith("blobs/"))
    .sort();

describe("an image of several platforms", () => {
  test("is loaded whole, and saved as it came", async () => {
    const { own, other, files, digest } = await multiPlatform();
    const loaded = await load(files);
    expect(loaded.map(({ id }) => id)).toEqual([own.configDigest, other.configDigest]);
    expect(bench.images.get("app:1").id).toBe(own.configDigest);
    expect(bench.messages.filter(({ stream }) => stream).map(({ stream }) => stream)).toEqual([
      "Loaded image: app:1\n",
    ]);
    bench.restart();
    await bench.images.mend();
    const saved = await save("app:1");
    expect(blobs(saved)).toEqual(blobs(files));
    for (const name of blobs(saved)) expect(`blobs/sha256/${sha256Of(saved[name]!).slice(7)}`).toBe(name);
    const [entry] = JSON.parse(saved["index.json"]!.toString()).manifests;
    expect(entry.digest).toBe(digest);
    expect(entry.annotations).toEqual({
      "io.containerd.image.name": "docker.io/library/app:1",
      "org.opencontainers.image.ref.name": "1",
    });
    expect(JSON.parse(saved["manifest.json"]!.toString())).toEqual([
      {
        Config: `blobs/sha256/${own.configDigest.slice(7)}`,
        RepoTags: ["app:1"],
        Layers: own.layers.map((layer) => `blobs/sha256/${layer.digest.slice(7)}`),
      },
    ]);
  });

  test("has one line in the list, and each platform can be asked for", async () => {
    const { own, other, files } = await multiPlatform();
    await load(files);
    const list = (filters: [string, string[]][] = []) =>
      bench.images.list({ all: false, sharedSize: false, filters: new Map(filters) }).map(({ Id }) => Id);
    expect(list()).toEqual([own.configDigest]);
    expect(list([["dangling", ["true"]]])).toEqual([]);
    expect(bench.images.get("app:1", `linux/${foreign}`).id).toBe(other.configDigest);
    expect(bench.images.inspect("app:1", `linux/${foreign}`).Architecture).toBe(foreign);
    expect(() => bench.images.get("app:1", "linux/riscv64")).toThrow(
      "image with reference app:1 was found but does not provide the specified platform (linux/riscv64)",
    );
    expect(() => bench.images.get(own.configDigest, `linux/${foreign}`)).toThrow("does not provide");
    expect((await bench.images.prune(new Map())).deleted).toEqual([]);
    expect(bench.images.count).toBe(1);
  });

  test("goes with its last name, all of it", async () => {
    const { own, other, files } = await multiPlatform();
    await load(files);
    bench.images.tag("app:1", "also", "");
    await bench.images.remove("app:1", { force: false, noPrune: false });
    expect(bench.images.get("also", `linux/${foreign}`).id).toBe(other.configDigest);
    const items = await bench.images.remove("also", { force: false, noPrune: false });
    expect(items.flatMap(({ Deleted }) => Deleted ?? [])).toEqual(
      expect.arrayContaining([own.configDigest, other.configDigest]),
    );
    expect(bench.leftovers()).toEqual([]);
  });

  test("stays where a container uses another platform's image", async () => {
    const { other, files } = await multiPlatform();
    await load(files);
    bench.images.usedBy = (id) =>
      id === other.configDigest ? [{ id: "c".repeat(64), name: "c", running: false }] : [];
    expect(bench.images.remove("app:1", { force: false, noPrune: false })).rejects.toThrow("must force");
    expect((await bench.images.prune(new Map([["dangling", ["false"]]]))).deleted).toEqual([]);
    await bench.images.remove("app:1", { force: true, noPrune: false });
    expect(bench.images.list({ all: false, sharedSize: false, filters: new Map() })).toEqual([]);
  });

  test("can lose one platform after the other", async () => {
    const { own, other, files } = await multiPlatform();
    await load(files);
    const options = { force: false, noPrune: false };
    const first = await bench.images.remove("app:1", { ...options, platforms: [`linux/${host}`] });
    expect(first[0]).toEqual({ Deleted: own.configDigest });
    expect(bench.images.get("app:1").id).toBe(other.configDigest);
    await bench.images.remove("app:1", { ...options, platforms: [`linux/${foreign}`] });
    expect(() => bench.images.get("app:1")).toThrow("No such image: app:1");
    expect(bench.leftovers()).toEqual([]);
  });

  test("is saved in part where only a part is here, with its index unchanged", async () => {
    const { own, files, digest } = await multiPlatform();
    await load(files, `linux/${host}`);
    expect(() => bench.images.get("app:1", `linux/${foreign}`)).toThrow("does not provide");
    const saved = await save("app:1");
    expect(JSON.parse(saved["index.json"]!.toString()).manifests[0].digest).toBe(digest);
    expect(blobs(saved)).toEqual(expect.arrayContaining(blobs(ociLayout(own, {}))));
    const again = new Bench();
    try {
      const [loaded] = await again.images.load(streamOf(await tarOf(saved)), again.report);
      expect(loaded!.id).toBe(own.configDigest);
    } finally {
      again.close();
    }
  });

  test("and one of its platforms alone, or several", async () => {
    const { own, other, files, digest } = await multiPlatform();
    await load(files);
    const saved = await readArchive(await bench.images.save(["app:1"], [`linux/${foreign}`]));
    expect(blobs(saved)).toEqual(blobs(ociLayout(other, {})));
    const both = await readArchive(await bench.images.save(["app:1"], [`linux/${host}`, `linux/${foreign}`]));
    const index = `blobs/sha256/${digest.slice(7)}`;
    expect(blobs(both)).toEqual([...new Set([index, ...blobs(saved), ...blobs(ociLayout(own, {}))])].sort());
    expect(bench.images.save(["app:1"], ["linux/riscv64"])).rejects.toThrow(
      "no suitable export target found: image with reference app:1 was found but does not provide",
    );
  });
});

describe("save", () => {
  test("has each blob once, whatever shares it, and all tags of a bare name", async () => {
    const [one, two] = [await imageOf(["base", "one"]), await imageOf(["base", "two"])];
    await load(ociLayout(one, { "io.containerd.image.name": "docker.io/library/a:1" }));
    bench.images.tag("a:1", "constructor", "toString");
    expect(JSON.parse((await save("constructor")).repositories!.toString())).toEqual({
      constructor: { toString: topOf(one) },
    });
    await load(ociLayout(two, { "io.containerd.image.name": "docker.io/library/a:2" }));
    bench.images.tag("a:1", "a", "also");
    const saved = await save("a", "a:1");
    const tags = JSON.parse(saved["manifest.json"]!.toString()).map(({ RepoTags }: { RepoTags: string[] }) => RepoTags);
    expect(tags).toEqual([["a:1", "a:also"], ["a:2"]]);
    expect(JSON.parse(saved.repositories!.toString())).toEqual({
      a: Object.fromEntries(
        [
          ["1", one],
          ["also", one],
          ["2", two],
        ].map(([tag, image]) => [tag, topOf(image as TestImage)]),
      ),
    });
  });

  const topOf = (image: TestImage) => image.layers.at(-1)!.digest.slice(7);

  test("by id has no name, and no layers is no fault", async () => {
    const image = await imageOf([]);
    await load(ociLayout(image, { "io.containerd.image.name": "docker.io/library/empty:1" }));
    const saved = await save(image.configDigest.slice(7));
    expect(JSON.parse(saved["manifest.json"]!.toString())).toEqual([
      { Config: `blobs/sha256/${image.configDigest.slice(7)}`, RepoTags: null, Layers: [] },
    ]);
    expect(saved.repositories).toBeUndefined();
  });

  test("knows what is not there", () => {
    expect(save("nothing")).rejects.toThrow("No such image: nothing");
    expect(save("nothing:1")).rejects.toThrow("reference does not exist");
    expect(save("sha256:123")).rejects.toThrow("No such image: sha256:123");
    expect(save("BAD")).rejects.toThrow("must be lowercase");
  });

  test("keeps what it sends until it has been sent, or given up", async () => {
    const image = await imageOf(["x"]);
    await load(ociLayout(image, { "io.containerd.image.name": "docker.io/library/a:1" }));
    const archive = await bench.images.save(["a:1"]);
    await archive.next();
    await bench.images.remove("a:1", { force: false, noPrune: false });
    expect(readFileSync(bench.content.pathOf(image.configDigest)).length).toBeGreaterThan(0);
    await archive.return(undefined);
    expect(bench.leftovers()).toEqual([]);
  });
});
