/** Blobs on their way in: files that grow, until they are complete and verified. They survive a restart. */
import { randomUUID } from "node:crypto";
import { closeSync, mkdirSync, openSync, readdirSync, rmSync, statSync } from "node:fs";
import { join } from "node:path";
import { storageWorkers } from "../storage/worker-pool.ts";
import type { CopiedBytes } from "../storage/worker-protocol.ts";
import type { BlobStore } from "./blob-store.ts";
import { RegistryFailure } from "./errors.ts";
import type { Metadata } from "./metadata.ts";
import type { Removals } from "./removals.ts";

/** Bytes that a request brings. */
export interface UploadBody {
  chunks: AsyncIterable<Uint8Array>;
  /** As the client announced it; undefined where it sends in chunks. */
  length: number | undefined;
}

export interface UploadsOptions {
  directory: string;
  metadata: Metadata;
  blobs: BlobStore;
  removals: Removals;
}

/** Ids are those this class gave out: they become file names. */
export class Uploads {
  readonly #directory: string;
  readonly #metadata: Metadata;
  readonly #blobs: BlobStore;
  readonly #removals: Removals;
  /** Digests of uploads that came in one piece, so that they need not be read again. */
  readonly #hashed = new Map<string, CopiedBytes>();
  readonly #busy = new Set<string>();

  constructor({ directory, metadata, blobs, removals }: UploadsOptions) {
    this.#directory = directory;
    this.#metadata = metadata;
    this.#blobs = blobs;
    this.#removals = removals;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
    const known = metadata.uploadIds();
    for (const name of readdirSync(directory)) if (!known.has(name)) rmSync(this.#pathOf(name), { force: true });
  }

  /** How many requests bring bytes just now. */
  get running(): number {
    return this.#busy.size;
  }

  /** Begins an upload and returns its id. */
  begin(repositoryId: number): string {
    const id = randomUUID();
    // The row first: a file without one is removed at the next start.
    this.#metadata.beginUpload(id, repositoryId);
    closeSync(openSync(this.#pathOf(id), "wx", 0o600));
    return id;
  }

  /** Bytes that have come. Throws BLOB_UPLOAD_UNKNOWN where there is no such upload in the repository. */
  size(id: string, repositoryId: number): number {
    const facts =
      /^[0-9a-f-]{36}$/.test(id) && this.#metadata.hasUpload(id, repositoryId)
        ? statSync(this.#pathOf(id), { throwIfNoEntry: false })
        : undefined;
    if (facts === undefined) throw new RegistryFailure("BLOB_UPLOAD_UNKNOWN", { detail: { id: id.slice(0, 100) } });
    return facts.size;
  }

  /**
   * Appends what a request brings. Returns how many bytes there are then. Throws SIZE_INVALID where fewer or more come
   * than were announced; what came stays, to be gone on from. One request at a time.
   */
  async append(id: string, repositoryId: number, body: UploadBody, signal: AbortSignal): Promise<number> {
    return this.#exclusively(id, async () => {
      const offset = this.size(id, repositoryId);
      const counted = new Counted(body);
      const path = this.#pathOf(id);
      const options = { source: counted.chunks(), signal };
      try {
        if (offset === 0)
          this.#hashed.set(id, await storageWorkers.run({ kind: "receive", copyTo: { path, resumeFrom: 0 } }, options));
        else {
          this.#hashed.delete(id);
          await storageWorkers.run({ kind: "append", path, offset }, options);
        }
      } catch (thrown) {
        this.#hashed.delete(id);
        throw thrown;
      }
      this.#metadata.touchUpload(id);
      counted.check();
      return offset + counted.length;
    });
  }

  /**
   * Makes a blob of what has come, and links it. Returns its length. Throws DIGEST_INVALID where it is not `digest`:
   * then the upload is over too. `admit` is told the length, and may refuse; it is asked
   * before and right before the link.
   */
  async commit(id: string, repositoryId: number, digest: string, admit: (size: number) => void): Promise<number> {
    return this.#exclusively(id, async () => {
      const size = this.size(id, repositoryId);
      const path = this.#pathOf(id);
      try {
        admit(size);
        const actual = await this.#digestOf(id, path, size, digest.startsWith("sha512:") ? "sha512" : "sha256");
        if (actual !== digest) throw new RegistryFailure("DIGEST_INVALID", { detail: { digest, computed: actual } });
      } catch (thrown) {
        this.#discard(id);
        throw thrown;
      }
      const release = await this.#removals.hold(digest);
      try {
        await this.#blobs.adopt(digest, path);
        // Others came meanwhile. What has no link is garbage.
        admit(size);
        this.#metadata.db.transaction(() => {
          this.#metadata.link(repositoryId, digest, size);
          this.#metadata.endUpload(id);
        });
      } catch (thrown) {
        if (thrown instanceof RegistryFailure) this.#discard(id);
        throw thrown;
      } finally {
        release();
        this.#hashed.delete(id);
      }
      return size;
    });
  }

  async #digestOf(id: string, path: string, size: number, algorithm: "sha256" | "sha512"): Promise<string> {
    const known = this.#hashed.get(id);
    if (known?.size === size && algorithm === "sha256") return known.digest;
    return (await storageWorkers.run({ kind: "hash", path, algorithm })).digest;
  }

  /** Ends an upload without a blob. Throws BLOB_UPLOAD_UNKNOWN where there is none. */
  async cancel(id: string, repositoryId: number): Promise<void> {
    await this.#exclusively(id, async () => {
      this.size(id, repositoryId);
      this.#discard(id);
    });
  }

  /** Ends uploads that nobody went on with since `before` (ms since 1970). Returns how many. */
  discardStale(before: number): number {
    const stale = this.#metadata.staleUploads(before).filter((id) => !this.#busy.has(id));
    for (const id of stale) this.#discard(id);
    return stale.length;
  }

  #discard(id: string): void {
    this.#hashed.delete(id);
    this.#metadata.endUpload(id);
    rmSync(this.#pathOf(id), { force: true });
  }

  async #exclusively<T>(id: string, work: () => Promise<T>): Promise<T> {
    if (this.#busy.has(id))
      throw new RegistryFailure("BLOB_UPLOAD_INVALID", {
        status: 409,
        message: "another request is writing to this upload",
      });
    this.#busy.add(id);
    try {
      return await work();
    } finally {
      this.#busy.delete(id);
    }
  }

  #pathOf(id: string): string {
    return join(this.#directory, id);
  }
}

/** A body that is held to what was announced. */
class Counted {
  length = 0;
  readonly #body: UploadBody;

  constructor(body: UploadBody) {
    this.#body = body;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#body.chunks) {
      this.length += chunk.length;
      yield chunk;
    }
  }

  check(): void {
    const announced = this.#body.length;
    if (announced !== undefined && announced !== this.length)
      throw new RegistryFailure("SIZE_INVALID", { detail: { announced, received: this.length } });
  }
}
