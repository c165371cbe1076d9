/** What goes on inside a push; what comes of it is in tests/push.test.ts. */
import { afterEach, beforeEach, expect, test } from "bun:test";
import { HostileRegistry } from "../distribution/testing.ts";
import { Bench, imageOf, ociLayout, streamOf, type TestImage, tarOf } from "./testing.ts";

let bench: Bench;
let registry: HostileRegistry;
let image: TestImage;
let name: string;

beforeEach(async () => {
  bench = new Bench();
  registry = new HostileRegistry();
  name = `${new URL(await registry.start()).host}/app`;
  image = await imageOf(["one", "two"]);
  const archive = await tarOf(ociLayout(image, { "io.containerd.image.name": `${name}:1` }));
  await bench.images.load(streamOf(archive), bench.report);
  bench.messages.length = 0;
  bench.events.length = 0;
});
afterEach(() => {
  registry.stop();
  bench.close();
});

const push = (signal?: AbortSignal) =>
  bench.images.push({ reference: name, tag: "1", ...(signal ? { signal } : {}) }, (message) => bench.report(message));
const digestsOf = () => bench.images.get(`${name}:1`).references.filter((reference) => reference.includes("@"));
const statuses = () => bench.messages.map(({ status }) => status);

test("what comes of a push: bytes as they were, messages and event as Docker's, a digest", async () => {
  await push();
  for (const [digest, bytes] of image.blobs) expect(registry.blobs.get(digest)?.equals(bytes)).toBe(true);
  expect(registry.manifests.get("1")?.equals(image.manifest)).toBe(true);
  expect(digestsOf()).toEqual([`${name}@${image.manifestDigest}`]);
  expect(statuses()[0]).toBe(`The push refers to repository [${name}]`);
  // The uppermost layer first, as in Docker.
  const preparing = bench.messages.filter(({ status }) => status === "Preparing").map(({ id }) => id);
  expect(preparing).toEqual(image.layers.toReversed().map(({ diffId }) => diffId.slice(7, 19)));
  expect(statuses().at(-2)).toBe(`1: digest: ${image.manifestDigest} size: ${image.manifest.length}`);
  expect(bench.messages.at(-1)!.aux).toEqual({ Tag: "1", Digest: image.manifestDigest, Size: image.manifest.length });
  expect(bench.events).toEqual([["push", `${name}:1`, { maker: "test", name }]]);
});

test("a blob that two pushes want is sent once", async () => {
  await Promise.all([push(), push()]);
  expect(registry.count("POST")).toBe(image.blobs.size);
  const isEnd = (status = "") => ["Pushed", "Layer already exists"].includes(status);
  expect(statuses().filter(isEnd)).toHaveLength(4);
});

test("no more layers than are allowed are on their way at once", async () => {
  bench.images.settings = { ...bench.images.settings, maxConcurrentUploads: 1 };
  let underWay = 0;
  let most = 0;
  registry.misbehave = (request, response) => {
    if (request.method !== "POST") return false;
    most = Math.max(most, ++underWay);
    response.once("close", () => underWay--);
    return false;
  };
  await push();
  expect(most).toBe(1);
  expect(statuses()).toContain("Waiting");
});

test("a registry that fails gets no more requests, and nothing is remembered", async () => {
  registry.misbehave = (request, response) => {
    if (!request.url!.includes("/manifests/")) return false;
    request.resume();
    response.writeHead(400, { "content-type": "application/json" });
    response.end(JSON.stringify({ errors: [{ code: "MANIFEST_INVALID", message: "manifest invalid" }] }));
    return true;
  };
  await expect(push()).rejects.toThrow("manifest invalid: manifest invalid");
  expect(digestsOf()).toEqual([]);
  expect(bench.events).toEqual([]);
});

test("a client that leaves stops its push at once, and the next one works", async () => {
  const gone = new AbortController();
  registry.misbehave = (request) => {
    if (request.method !== "PUT") return false;
    gone.abort(new Error("context canceled"));
    return true;
  };
  const begin = performance.now();
  await expect(push(gone.signal)).rejects.toThrow("context canceled");
  expect(performance.now() - begin).toBeLessThan(1000);
  registry.misbehave = () => false;
  await push();
  expect(digestsOf()).toHaveLength(1);
});

test("an image that is removed while it is pushed goes with the end of the push", async () => {
  registry.misbehave = (request) => {
    if (request.method === "PUT" && bench.images.find(`${name}:1`))
      void bench.images.remove(`${name}:1`, { force: true, noPrune: false });
    return false;
  };
  await push();
  expect(registry.manifests.has("1")).toBe(true);
  expect(bench.images.find(`${name}:1`)).toBeUndefined();
  expect(bench.leftovers()).toEqual([]);
});
