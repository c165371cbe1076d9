/** Blobs by digest, byte for byte as they came. */
import { randomUUID } from "node:crypto";
import {
  closeSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeSync,
} from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { invalidParameter, notFound, systemError } from "../lib/errors.ts";
import { storageWorkers } from "./worker-pool.ts";

/** A blob that is in the store. `size` in bytes. */
export interface StoredBlob {
  digest: string;
  size: number;
}

/** What a blob must turn out to be. */
export interface ExpectedBlob {
  digest?: string;
  size?: number;
}

const digestPattern = /^sha256:[0-9a-f]{64}$/;
const anyDigestPattern = /^(?:sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128})$/;
/** Blobs up to this long are written and hashed at once: that takes less than a millisecond, and no thread. */
const inlineLimitBytes = 256 * 1024;
/** How long the beginning of a blob waits for the rest. */
const partialPatienceMs = 24 * 3_600_000;

/** The 64 hex digits of a digest. Throws invalidParameter for anything that is not `sha256:` and those. */
export function hexOf(digest: string): string {
  if (!digestPattern.test(digest)) throw invalidParameter(`invalid digest: ${JSON.stringify(digest.slice(0, 100))}`);
  return digest.slice(7);
}

/**
 * Files `<root>/sha256/<hex>`. A blob is written beside them in `<root>/ingest` and renamed when its digest is known,
 * so one that has its name is whole. A download that was broken off stays in `<root>/partial/<hex>`, to be gone on with.
 */
export class ContentStore {
  readonly #root: string;
  readonly #algorithms: readonly string[];
  readonly #blobs: string;
  readonly #ingest: string;
  readonly #partial: string;

  /**
   * Opens or creates the store and drops what a crash left half written, but for downloads of the last day.
   * `algorithms` are those whose digests can name a blob: `sha256`, `sha512`.
   */
  constructor(root: string, algorithms: readonly string[] = ["sha256"]) {
    this.#root = root;
    this.#algorithms = algorithms;
    this.#blobs = join(root, "sha256");
    this.#ingest = join(root, "ingest");
    this.#partial = join(root, "partial");
    rmSync(this.#ingest, { recursive: true, force: true });
    for (const directory of [...algorithms.map((name) => join(root, name)), this.#ingest, this.#partial])
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    for (const hex of readdirSync(this.#partial)) {
      const path = join(this.#partial, hex);
      if (Date.now() - statSync(path).mtimeMs > partialPatienceMs) rmSync(path, { force: true });
    }
  }

  /** Where a blob is or would be. */
  pathOf(digest: string): string {
    const [algorithm = "", hex = ""] = digest.split(":", 2);
    if (algorithm === "sha256" || !this.#algorithms.includes(algorithm) || !anyDigestPattern.test(digest))
      return join(this.#blobs, hexOf(digest));
    return join(this.#root, algorithm, hex);
  }

  has(digest: string): boolean {
    return this.sizeOf(digest) !== undefined;
  }

  /** Length in bytes, or undefined where the blob is not here. */
  sizeOf(digest: string): number | undefined {
    return statSync(this.pathOf(digest), { throwIfNoEntry: false })?.size;
  }

  /** Parses a blob of at most `limitBytes`. Throws notFound, and invalidParameter where it is too long or no JSON. */
  readJson<T>(digest: string, limitBytes: number): T {
    const size = this.sizeOf(digest);
    if (size === undefined) throw notFound(`content digest ${digest}: not found`);
    if (size > limitBytes) throw invalidParameter(`${digest} is ${size} bytes long, more than ${limitBytes}`);
    try {
      return JSON.parse(readFileSync(this.pathOf(digest), "utf8")) as T;
    } catch (thrown) {
      if (thrown instanceof SyntaxError) throw invalidParameter(`${digest} is not valid JSON: ${thrown.message}`);
      throw thrown;
    }
  }

  /** Stores bytes that are at hand. */
  async write(bytes: Uint8Array): Promise<StoredBlob> {
    const blob = this.open();
    try {
      blob.write(bytes);
      return blob.commit();
    } finally {
      blob.discard();
    }
  }

  /**
   * Stores a stream, with a worker's help where it is long. Throws where it turns out to be anything but `expected`, or
   * fails: then nothing is kept.
   */
  async ingest(source: AsyncIterable<Uint8Array>, expected: ExpectedBlob = {}): Promise<StoredBlob> {
    if (expected.size === undefined || expected.size > inlineLimitBytes) return this.#ingestByWorker(source, expected);
    const blob = this.open(expected);
    try {
      for await (const chunk of source) blob.write(chunk);
      return blob.commit();
    } finally {
      blob.discard();
    }
  }

  async #ingestByWorker(source: AsyncIterable<Uint8Array>, { digest, size }: ExpectedBlob): Promise<StoredBlob> {
    if (digest !== undefined) hexOf(digest);
    return this.adopt(async (path) => {
      const blob = await storageWorkers.run({ kind: "receive", copyTo: { path, resumeFrom: 0 } }, { source });
      if (size !== undefined && blob.size !== size) throw wrongSize(blob.size, size);
      if (digest !== undefined && blob.digest !== digest) throw wrongDigest(blob.digest, digest);
      return blob;
    });
  }

  /** Makes a blob of the new file that `write` makes and has verified. Nothing is kept where it throws. */
  async adopt(write: (path: string) => Promise<StoredBlob>): Promise<StoredBlob> {
    const path = join(this.#ingest, randomUUID());
    try {
      const blob = await write(path);
      renameSync(path, this.pathOf(blob.digest));
      return blob;
    } finally {
      rmSync(path, { force: true });
    }
  }

  /** Stores what a blob becomes by gzip. Nothing is kept where `signal` aborts. `onProgress` is told of bytes read. */
  async compress(
    digest: string,
    options: { onProgress?: (bytesRead: number) => void; signal?: AbortSignal },
  ): Promise<StoredBlob> {
    const path = join(this.#ingest, randomUUID());
    try {
      const task = { kind: "compress", path: this.pathOf(digest), copyTo: { path, resumeFrom: 0 } } as const;
      const blob = await storageWorkers.run(task, options);
      renameSync(path, this.pathOf(blob.digest));
      return blob;
    } finally {
      rmSync(path, { force: true });
    }
  }

  /** Begins a blob that the caller writes by itself. */
  open(expected: ExpectedBlob = {}): OpenBlob {
    if (expected.digest !== undefined) hexOf(expected.digest);
    return new OpenBlob(join(this.#ingest, randomUUID()), (digest) => this.pathOf(digest), expected);
  }

  /** Where the beginning of a blob is, or would be. */
  partialPath(digest: string): string {
    return join(this.#partial, hexOf(digest));
  }

  /** Bytes of a blob that an earlier attempt left; 0 where there was none. */
  partialSize(digest: string): number {
    return statSync(this.partialPath(digest), { throwIfNoEntry: false })?.size ?? 0;
  }

  /** Makes a blob of what is at its partial path. The caller has verified it. */
  completePartial(digest: string): void {
    renameSync(this.partialPath(digest), this.pathOf(digest));
  }

  discardPartial(digest: string): void {
    rmSync(this.partialPath(digest), { force: true });
  }

  /** Removes the beginnings of all blobs that `isUnderWay` does not claim. Returns how many bytes that freed. */
  discardPartials(isUnderWay: (digest: string) => boolean): number {
    let freed = 0;
    for (const digest of readdirSync(this.#partial).map((hex) => `sha256:${hex}`)) {
      if (isUnderWay(digest)) continue;
      freed += this.partialSize(digest);
      this.discardPartial(digest);
    }
    return freed;
  }

  /** Removes a blob; one that is not here is no error. It is gone at once; resolves when its room on disk is free. */
  async remove(digest: string): Promise<void> {
    // The kernel takes its time to free a large file: that is not for the event loop.
    const doomed = join(this.#ingest, randomUUID());
    try {
      renameSync(this.pathOf(digest), doomed);
    } catch (thrown) {
      if ((thrown as { code?: string }).code === "ENOENT") return;
      throw thrown;
    }
    await rm(doomed, { force: true });
  }

  /** Makes a blob of a file on the same file system, which is gone then. The caller has verified it. */
  take(path: string, digest: string): void {
    renameSync(path, this.pathOf(digest));
  }

  /** All digests in the store. */
  digests(): string[] {
    return this.#algorithms.flatMap((name) => readdirSync(join(this.#root, name)).map((hex) => `${name}:${hex}`));
  }
}

const wrongSize = (size: number, expected: number) => systemError(`unexpected size ${size}, expected ${expected}`);
const wrongDigest = (digest: string, expected: string) =>
  systemError(`unexpected digest ${digest}, expected ${expected}`);

/** A blob on its way into the store: write() until all is there, then commit(); discard() in any case. */
export class OpenBlob {
  readonly #path: string;
  readonly #pathOf: (digest: string) => string;
  readonly #expected: ExpectedBlob;
  readonly #hash = new Bun.CryptoHasher("sha256");
  #fd: number | undefined;
  #size = 0;

  constructor(path: string, pathOf: (digest: string) => string, expected: ExpectedBlob) {
    this.#path = path;
    this.#pathOf = pathOf;
    this.#expected = expected;
    this.#fd = openSync(path, "wx", 0o600);
  }

  /** Appends. Throws as soon as there is more than was expected. */
  write(chunk: Uint8Array): void {
    this.#size += chunk.length;
    if (this.#expected.size !== undefined && this.#size > this.#expected.size) this.#refuseSize();
    this.#hash.update(chunk);
    for (let done = 0; done < chunk.length; ) done += writeSync(this.#fd!, chunk, done, chunk.length - done);
  }

  /** Checks the blob against what was expected and gives it its name. */
  commit(): StoredBlob {
    const { digest: expectedDigest, size: expectedSize } = this.#expected;
    if (expectedSize !== undefined && this.#size !== expectedSize) this.#refuseSize();
    const digest = `sha256:${this.#hash.digest("hex")}`;
    if (expectedDigest !== undefined && digest !== expectedDigest) throw wrongDigest(digest, expectedDigest);
    this.#close();
    renameSync(this.#path, this.#pathOf(digest));
    return { digest, size: this.#size };
  }

  /** Drops what has been written, unless it was committed. */
  discard(): void {
    this.#close();
    rmSync(this.#path, { force: true });
  }

  #close(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
  }

  #refuseSize(): never {
    throw wrongSize(this.#size, this.#expected.size!);
  }
}
