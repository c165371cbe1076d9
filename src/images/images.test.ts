import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { gzipSync } from "node:zlib";
import { Bench, streamOf, tarOf } from "./testing.ts";

let bench: Bench;
beforeEach(() => {
  bench = new Bench();
});
afterEach(() => bench.close());

const make = async (name: string, content = name, changes: string[] = []) =>
  bench.images.importTar({ source: streamOf(await tarOf({ content })), repo: name, tag: "1", changes }, bench.report);
const remove = (reference: string, force = false) => bench.images.remove(reference, { force, noPrune: false });
const names = (filters: [string, string[]][]) =>
  bench.images.list({ all: false, sharedSize: false, filters: new Map(filters) }).flatMap(({ RepoTags }) => RepoTags);

describe("import", () => {
  test("makes an image of one layer, with changes and events as Docker's", async () => {
    const image = await make("app", "x", ['CMD ["/x"]', "ENV A=b", "LABEL v=1"]);
    expect(bench.messages.at(-1)).toEqual({ status: image.id });
    const inspected = bench.images.inspect("app:1");
    expect(inspected.Config).toEqual({ Cmd: ["/x"], Env: ["A=b"], Labels: { v: "1" } });
    expect(inspected.Comment).toBe("Imported from -");
    expect(inspected.RootFS?.Layers).toEqual(image.diffIds);
    expect(bench.events.map(([action, , { name }]) => [action, name])).toEqual([
      ["tag", "app:1"],
      ["import", image.id],
    ]);
    expect(bench.images.history("app:1")).toMatchObject([
      { Id: image.id, Tags: ["app:1"], Comment: "Imported from -" },
    ]);
  });

  test("takes gzip, and no name", async () => {
    const source = streamOf(gzipSync(await tarOf({ a: "1" })));
    const image = await bench.images.importTar({ source }, bench.report);
    expect(image.references).toEqual([]);
  });

  for (const [request, message] of [
    [{ repo: "App" }, "must be lowercase"],
    [{ repo: "app", tag: "-x" }, "invalid tag format"],
    [{ repo: "app", changes: ["FOO x"] }, "FOO is not a valid change command"],
    [{ repo: "app", platform: "a/b/c/d" }, "cannot parse platform specifier"],
  ] as const)
    test(`refuses ${JSON.stringify(request)}`, async () => {
      const source = streamOf(await tarOf({ a: "1" }));
      const changes = "changes" in request ? [...request.changes] : [];
      await expect(bench.images.importTar({ ...request, changes, source }, bench.report)).rejects.toThrow(message);
      expect(bench.leftovers()).toEqual([]);
    });

  test("refuses what is no archive, and leaves nothing", async () => {
    const source = streamOf(Buffer.from("noise"));
    await expect(bench.images.importTar({ source, repo: "app" }, bench.report)).rejects.toThrow("unexpected EOF");
    expect(bench.leftovers()).toEqual([]);
  });
});

describe("an image is found", () => {
  test("by name, digest, id and the beginning of an id, before and after a restart", async () => {
    const { id } = await make("app");
    for (const restart of [false, true]) {
      if (restart) bench.restart();
      for (const text of ["app:1", "docker.io/library/app:1", id, id.slice(7), id.slice(7, 19), id.slice(0, 15)])
        expect(bench.images.get(text).id).toBe(id);
    }
  });

  for (const [text, message] of [
    ["nosuch", "No such image: nosuch:latest"],
    ["nosuch:1", "No such image: nosuch:1"],
    [`sha256:${"0".repeat(64)}`, `No such image: sha256:${"0".repeat(64)}`],
    ["App", "invalid reference format: repository name (library/App) must be lowercase"],
    ["", "invalid reference format"],
  ] as const)
    test(`not by ${text}`, () => {
      expect(() => bench.images.get(text)).toThrow(message);
      expect(bench.images.find(text)).toBeUndefined();
    });
});

describe("tag", () => {
  test("gives no name that would be taken for the beginning of an id", async () => {
    await make("one");
    expect(() => bench.images.tag("one:1", "sha256", "abc")).toThrow("refusing to create an ambiguous tag");
  });

  test("gives one more name, and takes it from another image", async () => {
    const [one, two] = [await make("one"), await make("two")];
    bench.images.tag("one:1", "both", "x");
    expect(bench.images.get("both:x").id).toBe(one.id);
    bench.images.tag("two:1", "both", "x");
    expect(bench.images.get("both:x").id).toBe(two.id);
    expect(bench.images.get(one.id).references).toEqual(["one:1"]);
    expect(bench.events.at(-1)).toEqual(["tag", two.id, { name: "both:x" }]);
  });
});

describe("rmi", () => {
  test("takes the name, then the image, its blobs and its layers", async () => {
    const image = await make("app");
    expect(await remove("app:1")).toEqual([
      { Untagged: "app:1" },
      { Deleted: image.id },
      { Deleted: image.diffIds[0]! },
    ]);
    expect(bench.leftovers()).toEqual([]);
    expect(bench.layers.has(image.diffIds[0]!)).toBe(false);
    expect(bench.events.slice(-2).map(([action]) => action)).toEqual(["untag", "delete"]);
    await expect(remove("app:1")).rejects.toThrow("No such image: app:1");
  });

  test("keeps what another image shares", async () => {
    const one = await make("one", "same");
    const two = await make("two", "same", ["LABEL a=b"]);
    expect(two.diffIds).toEqual(one.diffIds);
    await remove("one:1");
    expect(bench.layers.has(two.diffIds[0]!)).toBe(true);
    bench.restart();
    await bench.images.mend();
    expect(bench.images.get("two:1").diffIds).toEqual(one.diffIds);
  });

  test("refuses an id with names in several repositories, unless forced", async () => {
    const image = await make("app");
    bench.images.tag("app:1", "other", "1");
    const short = image.id.slice(7, 19);
    await expect(remove(short)).rejects.toThrow(
      `conflict: unable to delete ${short} (must be forced) - image is referenced in multiple repositories`,
    );
    expect(await remove("other:1")).toEqual([{ Untagged: "other:1" }]);
    bench.images.tag("app:1", "other", "1");
    expect(await remove(short, true)).toMatchObject([
      { Untagged: "app:1" },
      { Untagged: "other:1" },
      { Deleted: image.id },
      {},
    ]);
  });

  test("refuses an image that containers use, in Docker's words", async () => {
    const image = await make("app");
    const short = image.id.slice(7, 19);
    const user = { id: "c".repeat(64), name: "web", running: false };
    bench.images.usedBy = (id) => (id === image.id ? [user] : []);
    bench.images.layersInUse = () => image.diffIds;
    await expect(remove("app:1")).rejects.toThrow(
      `conflict: unable to remove repository reference "app:1" (must force) - container cccccccccccc is using its referenced image ${short}`,
    );
    await expect(remove(image.id)).rejects.toThrow(
      `conflict: unable to delete ${short} (must be forced) - image is being used by stopped container cccccccccccc`,
    );
    user.running = true;
    await expect(remove(image.id, true)).rejects.toThrow(
      `conflict: unable to delete ${short} (cannot be forced) - image is being used by running container cccccccccccc`,
    );
    expect(await remove("app:1", true)).toEqual([{ Untagged: "app:1" }]);
    expect(bench.images.get(image.id).references).toEqual([]);
    user.running = false;
    expect(await remove(image.id, true)).toEqual([{ Deleted: image.id }]);
    expect(bench.layers.has(image.diffIds[0]!)).toBe(true);
    bench.images.layersInUse = () => [];
    await bench.images.sweep();
    expect(bench.layers.has(image.diffIds[0]!)).toBe(false);
  });
});

describe("images", () => {
  test("are filtered as Docker filters", async () => {
    const old = await make("library/old", "old", ["LABEL a=1"]);
    await Bun.sleep(5);
    await make("me/new", "new", ["LABEL a=2"]);
    expect(names([["label", ["a"]]])).toEqual(["me/new:1", "old:1"]);
    expect(names([["label", ["a=1"]]])).toEqual(["old:1"]);
    expect(names([["label!", ["a=1"]]])).toEqual(["me/new:1"]);
    expect(names([["before", ["me/new:1"]]])).toEqual(["old:1"]);
    expect(names([["since", [old.id]]])).toEqual(["me/new:1"]);
    expect(names([["reference", ["o*"]]])).toEqual(["old:1"]);
    expect(names([["reference", ["*"]]])).toEqual(["old:1"]);
    expect(names([["reference", ["*/*:[0-9]"]]])).toEqual(["me/new:1"]);
    expect(names([["dangling", ["true"]]])).toEqual([]);
    expect(names([["until", ["1h"]]])).toEqual([]);
    expect(() => names([["colour", ["red"]]])).toThrow("invalid filter 'colour'");
    expect(() => names([["dangling", ["perhaps"]]])).toThrow("invalid filter 'dangling=[perhaps]'");
    expect(() => names([["reference", ["[a"]]])).toThrow("syntax error in pattern");
  });

  test("tell what they share", async () => {
    await make("one", "same");
    await make("two", "same", ["LABEL a=b"]);
    const summaries = bench.images.list({ all: false, sharedSize: true, filters: new Map() });
    for (const { SharedSize, Size } of summaries) expect(SharedSize).toBe(Size);
  });
});
