import { afterEach, beforeEach, expect, test } from "bun:test";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ContentStore } from "./content.ts";
import { stream } from "./test-layers.ts";

const hello = Buffer.from('{"hello":"world"}');
const digest = `sha256:${new Bun.CryptoHasher("sha256").update(hello).digest("hex")}`;
let root: string;
let store: ContentStore;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "brig-content-"));
  store = new ContentStore(root);
});
afterEach(() => rmSync(root, { recursive: true, force: true }));

test("a blob is found by its digest", async () => {
  expect(await store.write(hello)).toEqual({ digest, size: hello.length });
  expect(await store.ingest(stream(hello, 3), { digest, size: hello.length })).toEqual({ digest, size: hello.length });
  expect(store.has(digest)).toBe(true);
  expect(store.sizeOf(digest)).toBe(hello.length);
  expect(store.digests()).toEqual([digest]);
  expect(readFileSync(store.pathOf(digest))).toEqual(hello);
  expect(store.readJson<{ hello: string }>(digest, 100)).toEqual({ hello: "world" });
  store.remove(digest);
  store.remove(digest);
  expect(store.has(digest)).toBe(false);
});

test("what is not as expected is refused, and nothing is kept", async () => {
  const other = `sha256:${"0".repeat(64)}`;
  await expect(store.ingest(stream(hello), { digest: other })).rejects.toThrow(`unexpected digest ${digest}`);
  await expect(store.ingest(stream(hello), { size: 3 })).rejects.toThrow("unexpected size");
  await expect(store.ingest(stream(hello), { size: 300 })).rejects.toThrow("unexpected size 17, expected 300");
  async function* broken() {
    yield hello;
    throw new Error("the line dropped");
  }
  await expect(store.ingest(broken())).rejects.toThrow("the line dropped");
  expect(store.digests()).toEqual([]);
  expect(readdirSync(join(root, "ingest"))).toEqual([]);
});

test("digests never lead out of the store", () => {
  for (const bad of ["", "sha256:", "sha256:../../etc/passwd", `sha512:${"0".repeat(64)}`, `sha256:${"A".repeat(64)}`])
    expect(() => store.pathOf(bad)).toThrow("invalid digest");
});

test("JSON that is missing, too long or none", async () => {
  expect(() => store.readJson(digest, 100)).toThrow("not found");
  await store.write(hello);
  expect(() => store.readJson(digest, 5)).toThrow("17 bytes long");
  const { digest: text } = await store.write(Buffer.from("<html>"));
  expect(() => store.readJson(text, 100)).toThrow("not valid JSON");
});

test("what a crash left half written goes at the next start", () => {
  writeFileSync(join(root, "ingest", "half"), "x");
  new ContentStore(root);
  expect(existsSync(join(root, "ingest", "half"))).toBe(false);
});
