/** What BlobStore promises, checked on an implementation. */
import { describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { BlobStore } from "./blob-store.ts";

const digestOf = (bytes: Uint8Array, algorithm: "sha256" | "sha512" = "sha256") =>
  `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`;

/** `open` makes a store without blobs, and what ends it. */
export function blobStoreSuite(
  name: string,
  open: (directory: string) => Promise<{ store: BlobStore; close: () => Promise<unknown> }>,
): void {
  const withStore = async (work: (store: BlobStore, directory: string) => Promise<void>) => {
    const directory = mkdtempSync(join(tmpdir(), "brig-blobs-"));
    const { store, close } = await open(directory);
    try {
      await work(store, directory);
    } finally {
      await close();
      rmSync(directory, { recursive: true, force: true });
    }
  };
  const put = async (store: BlobStore, directory: string, bytes: Uint8Array, digest = digestOf(bytes)) => {
    const path = join(directory, crypto.randomUUID());
    writeFileSync(path, bytes);
    await store.adopt(digest, path);
    expect(existsSync(path)).toBe(false);
    return digest;
  };
  const read = async (store: BlobStore, digest: string, start: number, end: number) =>
    Buffer.from(await new Response(await store.body(digest, start, end)).arrayBuffer());

  describe(name, () => {
    test("keeps what it is given, of any length and algorithm, and gives any part of it", () =>
      withStore(async (store, directory) => {
        for (const length of [0, 1, 1000, 40 << 20]) {
          const bytes = randomBytes(length);
          const digest = await put(store, directory, bytes);
          expect((await store.stat(digest))?.size).toBe(length);
          expect((await read(store, digest, 0, length)).equals(bytes)).toBe(true);
          if (length < 1000) continue;
          expect((await read(store, digest, 17, 900)).equals(bytes.subarray(17, 900))).toBe(true);
          expect((await read(store, digest, length - 5, length)).equals(bytes.subarray(length - 5))).toBe(true);
        }
        const long = Buffer.from("by sha512");
        expect(await read(store, await put(store, directory, long, digestOf(long, "sha512")), 0, 9)).toEqual(long);
      }));

    test("takes the same again, and renews its time", () =>
      withStore(async (store, directory) => {
        const bytes = randomBytes(100);
        const digest = await put(store, directory, bytes);
        const before = (await store.stat(digest))!.storedAt;
        await Bun.sleep(1100);
        await put(store, directory, bytes);
        expect((await store.stat(digest))!.storedAt).toBeGreaterThan(before);
        expect((await read(store, digest, 0, 100)).equals(bytes)).toBe(true);
      }));

    test("lists all, and removes", () =>
      withStore(async (store, directory) => {
        const digests: string[] = [];
        for (let index = 0; index < 1005; index++)
          digests.push(await put(store, directory, Buffer.from(`blob ${index}`)));
        const listed = await Array.fromAsync(store.list());
        expect(listed.map(({ digest }) => digest).sort()).toEqual(digests.sort());
        expect(listed.every(({ size, storedAt }) => size > 5 && Math.abs(Date.now() - storedAt) < 60_000)).toBe(true);
        const [first] = digests as [string];
        await store.remove(first);
        await store.remove(first);
        expect(await store.stat(first)).toBeUndefined();
        expect((await Array.fromAsync(store.list())).length).toBe(1004);
      }));

    test("what is read can be read to its end, though it is removed meanwhile", () =>
      withStore(async (store, directory) => {
        const bytes = randomBytes(8 << 20);
        const digest = await put(store, directory, bytes);
        const body = await store.body(digest, 0, bytes.length);
        const reader = (body instanceof Blob ? body.stream() : body).getReader();
        const chunks = [(await reader.read()).value!];
        await store.remove(digest);
        for (let next = await reader.read(); !next.done; next = await reader.read()) chunks.push(next.value);
        expect(Buffer.concat(chunks).equals(bytes)).toBe(true);
      }));
  });
}
