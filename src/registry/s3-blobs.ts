/** Blobs as objects of an S3-compatible store. */
import { rm } from "node:fs/promises";
import { S3Client } from "bun";
import type { BlobFacts, BlobStore } from "./blob-store.ts";

export interface S3Options {
  bucket: string;
  /** `https://s3.eu-central-1.amazonaws.com`; empty for Amazon's own of the region. */
  endpoint: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken: string;
  /** What stands before each key: `registry/`, or nothing. */
  prefix: string;
  /** Whether clients fetch blobs from the store themselves, by addresses that are good for a while. */
  redirect: boolean;
}

/** A blob longer than this is sent in parts of that size: the least that S3 takes is 5 MiB, and 10,000 parts the most. */
const partBytes = 16 * 1024 * 1024;
const largePartBytes = 128 * 1024 * 1024;
const manyBytes = 9_000 * partBytes;
const partsAtOnce = 4;
const redirectSeconds = 1200;
const attempts = 5;

export class S3Blobs implements BlobStore {
  readonly #client: S3Client;
  readonly #prefix: string;
  readonly #redirects: boolean;

  constructor({ prefix, redirect, endpoint, sessionToken, ...access }: S3Options) {
    this.#prefix = prefix;
    this.#redirects = redirect;
    this.#client = new S3Client({
      ...access,
      ...(endpoint === "" ? {} : { endpoint }),
      ...(sessionToken === "" ? {} : { sessionToken }),
    });
  }

  /** Throws where the store cannot be reached, or refuses our credentials. */
  async check(): Promise<void> {
    await this.#client.list({ prefix: this.#prefix, maxKeys: 1 });
  }

  async stat(digest: string): Promise<BlobFacts | undefined> {
    try {
      const { size, lastModified } = await this.#client.stat(this.#keyOf(digest));
      return { size, storedAt: new Date(lastModified).getTime() };
    } catch (thrown) {
      if (isMissing(thrown)) return undefined;
      throw thrown;
    }
  }

  async body(digest: string, start: number, end: number): Promise<ReadableStream<Uint8Array>> {
    return this.#client.file(this.#keyOf(digest)).slice(start, end).stream();
  }

  redirect(digest: string): string | undefined {
    return this.#redirects ? this.#client.presign(this.#keyOf(digest), { expiresIn: redirectSeconds }) : undefined;
  }

  async adopt(digest: string, path: string): Promise<void> {
    const file = Bun.file(path);
    const partSize = file.size > manyBytes ? largePartBytes : partBytes;
    await this.#client.write(this.#keyOf(digest), file, { partSize, queueSize: partsAtOnce, retry: attempts });
    await rm(path, { force: true });
  }

  async remove(digest: string): Promise<void> {
    try {
      await this.#client.delete(this.#keyOf(digest));
    } catch (thrown) {
      if (!isMissing(thrown)) throw thrown;
    }
  }

  async *list(): AsyncGenerator<BlobFacts & { digest: string }> {
    let continuationToken: string | undefined;
    do {
      const page = await this.#client.list({ prefix: this.#prefix, ...(continuationToken && { continuationToken }) });
      for (const { key, size = 0, lastModified = "" } of page.contents ?? []) {
        const digest = this.#digestOf(key);
        if (digest) yield { digest, size, storedAt: new Date(lastModified).getTime() };
      }
      continuationToken = page.isTruncated ? page.nextContinuationToken : undefined;
    } while (continuationToken !== undefined);
  }

  #keyOf(digest: string): string {
    return `${this.#prefix}blobs/${digest.replace(":", "/")}`;
  }

  /** Undefined for objects that are none of ours. */
  #digestOf(key: string): string | undefined {
    const match = /^blobs\/(sha256|sha512)\/([0-9a-f]{64,128})$/.exec(key.slice(this.#prefix.length));
    return match ? `${match[1]}:${match[2]}` : undefined;
  }
}

function isMissing(thrown: unknown): boolean {
  const { code = "" } = thrown as { code?: string };
  return code === "NoSuchKey" || code === "NotFound";
}
