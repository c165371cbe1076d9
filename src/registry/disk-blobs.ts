/** Blobs as files of the content store. */
import { statSync } from "node:fs";
import { open } from "node:fs/promises";
import { dirname } from "node:path";
import { setImmediate } from "node:timers/promises";
import type { ContentStore } from "../storage/content.ts";
import type { BlobFacts, BlobStore } from "./blob-store.ts";

/** Between so many files others have their turn. */
const listBatch = 256;

export class DiskBlobs implements BlobStore {
  readonly #content: ContentStore;

  /** `content` must know sha256 and sha512. */
  constructor(content: ContentStore) {
    this.#content = content;
  }

  async stat(digest: string): Promise<BlobFacts | undefined> {
    const facts = statSync(this.#content.pathOf(digest), { throwIfNoEntry: false });
    return facts && { size: facts.size, storedAt: facts.mtimeMs };
  }

  async body(digest: string, start: number, end: number): Promise<Blob> {
    return Bun.file(this.#content.pathOf(digest)).slice(start, end);
  }

  redirect(): undefined {
    return undefined;
  }

  async adopt(digest: string, path: string): Promise<void> {
    const now = new Date();
    // A row is about to say that it is here: also after a power failure it has to be.
    const file = await open(path, "r+");
    try {
      await file.utimes(now, now);
      await file.datasync();
    } finally {
      await file.close();
    }
    this.#content.take(path, digest);
    const directory = await open(dirname(this.#content.pathOf(digest)), "r");
    try {
      await directory.sync();
    } finally {
      await directory.close();
    }
  }

  remove(digest: string): Promise<void> {
    return this.#content.remove(digest);
  }

  async *list(): AsyncGenerator<BlobFacts & { digest: string }> {
    for (const [index, digest] of this.#content.digests().entries()) {
      if (index % listBatch === listBatch - 1) await setImmediate();
      const facts = await this.stat(digest);
      if (facts) yield { digest, ...facts };
    }
  }
}
