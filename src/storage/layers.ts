/** Unpacked layers, each a directory named by its diff ID, whatever images they belong to. */
import { randomUUID } from "node:crypto";
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { messageOf, notFound, systemError } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import type { ChangedTree } from "./changes.ts";
import { hexOf, type StoredBlob } from "./content.ts";
import type { SnapshotDriver } from "./driver.ts";
import { MismatchError, storageWorkers } from "./worker-pool.ts";
import type { CopyTarget } from "./worker-protocol.ts";

/** A layer's archive: a file, or a stream; plain, gzip or zstd. A stream may be left unread. */
export type LayerSource = { path: string } | AsyncIterable<Uint8Array>;

export interface UnpackOptions {
  /** What the archive must be, decompressed. Found out where it is not given. */
  diffId?: string;
  /** A file to which the bytes are written as they come. What becomes of it is the caller's to say, also on failure. */
  copyTo?: CopyTarget;
  onProgress?: (bytesRead: number) => void;
  signal?: AbortSignal;
}

export interface UnpackedLayer {
  diffId: string;
  /** Bytes of the layer's files. */
  size: number;
  /** What was written to `copyTo`; undefined without it, and where the layer was here already. */
  copy: StoredBlob | undefined;
}

/** A layer that was packed, with its archive. */
export interface PackedLayer extends UnpackedLayer {
  copy: StoredBlob;
}

export interface LayerStoreOptions {
  root: string;
  db: StateDatabase;
  driver: SnapshotDriver;
}

/**
 * `<root>/<hex>` is a layer as soon as the database has its row. It is unpacked in `<root>/tmp`, renamed, then entered;
 * on removal the row goes first. So a directory without a row is rubbish, and mend() takes it away.
 */
export class LayerStore {
  readonly #root: string;
  readonly #temporary: string;
  readonly #db: StateDatabase;
  readonly #driver: SnapshotDriver;
  readonly #sizes = new Map<string, number>();
  /** How long a layer's archive may be, decompressed; 0 is a limit by the length of the compressed one. */
  limitBytes = 0;
  readonly #underWay = new Map<string, Promise<UnpackedLayer>>();

  constructor({ root, db, driver }: LayerStoreOptions) {
    this.#root = root;
    this.#temporary = join(root, "tmp");
    this.#db = db;
    this.#driver = driver;
    mkdirSync(this.#temporary, { recursive: true, mode: 0o700 });
    const rows = db.all<{ diff_id: string; size: number }>(
      "SELECT diff_id, size FROM layers WHERE driver = ?",
      driver.name,
    );
    for (const row of rows) this.#sizes.set(row.diff_id, row.size);
  }

  has(diffId: string): boolean {
    return this.#sizes.has(diffId);
  }

  /** Bytes of a layer's files; 0 where it is not here. */
  size(diffId: string): number {
    return this.#sizes.get(diffId) ?? 0;
  }

  /** Where a layer is or would be. */
  pathOf(diffId: string): string {
    return join(this.#root, hexOf(diffId));
  }

  /** Where a layer is. Throws notFound where it is not here. */
  require(diffId: string): string {
    if (!this.has(diffId)) throw notFound(`layer ${diffId} does not exist`);
    return this.pathOf(diffId);
  }

  /**
   * Unpacks a layer, unless it is here or on its way for somebody else. Throws, and keeps nothing, where the archive
   * is broken, hostile, or not `diffId`, and when `signal` aborts.
   */
  async unpack(source: LayerSource, options: UnpackOptions = {}): Promise<UnpackedLayer> {
    const { diffId } = options;
    if (diffId === undefined) return this.#unpackNow(source, options);
    hexOf(diffId);
    for (let other = this.#underWay.get(diffId); other !== undefined; other = this.#underWay.get(diffId)) {
      // Where the other one fails, be it that its user gave up, this one takes over.
      const layer = await other.catch(() => undefined);
      options.signal?.throwIfAborted();
      if (layer !== undefined) return { ...layer, copy: undefined };
    }
    if (this.has(diffId)) return { diffId, size: this.size(diffId), copy: undefined };
    const work = this.#unpackNow(source, options).finally(() => this.#underWay.delete(diffId));
    this.#underWay.set(diffId, work);
    return work;
  }

  async #unpackNow(source: LayerSource, options: UnpackOptions): Promise<UnpackedLayer> {
    return this.#make(options.signal, async (directory) => {
      const { path, stream } =
        "path" in source ? { path: source.path, stream: undefined } : { path: undefined, stream: source };
      const layer = await storageWorkers.run(
        {
          kind: "unpack",
          directory,
          style: this.#driver.whiteouts,
          path,
          copyTo: options.copyTo,
          limitBytes: this.limitBytes,
        },
        { source: stream, onProgress: options.onProgress, signal: options.signal },
      );
      if (options.diffId !== undefined && layer.diffId !== options.diffId)
        throw systemError(`its diff ID is ${layer.diffId}, not ${options.diffId}`);
      return { diffId: layer.diffId, size: layer.size, copy: layer.source };
    });
  }

  /**
   * Makes a layer of what a container has changed, in one pass, and its archive, uncompressed, in the new file
   * `copyTo`: its digest is the layer's diff ID. The caller removes the file where this throws, and sees to it that
   * nobody writes meanwhile; where somebody does, the layer is the archive all the same.
   */
  async pack(
    tree: Omit<ChangedTree, "style">,
    { copyTo, signal }: { copyTo: string; signal?: AbortSignal },
  ): Promise<PackedLayer> {
    return this.#make(signal, async (directory) => {
      const task = { kind: "pack", tree: { ...tree, style: this.#driver.whiteouts }, directory, copyTo } as const;
      const { diffId, size, source } = await storageWorkers.run(task, { signal });
      return { diffId, size, copy: source };
    });
  }

  /** Has `make` fill a directory with a layer, and enters it. */
  async #make<T extends UnpackedLayer>(
    signal: AbortSignal | undefined,
    make: (directory: string) => Promise<T>,
  ): Promise<T> {
    const directory = join(this.#temporary, randomUUID());
    mkdirSync(directory, { mode: 0o755 });
    try {
      const layer = await make(directory);
      await this.#enter(directory, layer.diffId, layer.size);
      return layer;
    } catch (thrown) {
      signal?.throwIfAborted();
      if (thrown instanceof MismatchError) throw thrown;
      throw systemError(`failed to register layer: ${messageOf(thrown)}`, thrown);
    } finally {
      await rm(directory, { recursive: true, force: true });
    }
  }

  async #enter(directory: string, diffId: string, size: number): Promise<void> {
    if (this.has(diffId)) return;
    // A crash between rename and row may have left one.
    await this.#discard(diffId);
    if (this.has(diffId)) return;
    renameSync(directory, this.pathOf(diffId));
    this.#db.run(
      "INSERT OR REPLACE INTO layers (diff_id, driver, size) VALUES (?, ?, ?)",
      diffId,
      this.#driver.name,
      size,
    );
    this.#sizes.set(diffId, size);
  }

  /** Removes a layer; one that is not here is no error. The caller knows that nothing needs it any more. */
  async remove(diffId: string): Promise<void> {
    hexOf(diffId);
    this.#db.run("DELETE FROM layers WHERE diff_id = ? AND driver = ?", diffId, this.#driver.name);
    this.#sizes.delete(diffId);
    await this.#discard(diffId);
  }

  /** Moves a layer's directory out of the way, so that the same layer can come again while this one is removed. */
  async #discard(diffId: string): Promise<void> {
    const doomed = join(this.#temporary, randomUUID());
    try {
      renameSync(this.pathOf(diffId), doomed);
    } catch (thrown) {
      if ((thrown as { code?: string }).code === "ENOENT") return;
      throw thrown;
    }
    await rm(doomed, { recursive: true, force: true });
  }

  /** At start: removes directories without a row, rows without a directory, and what was half unpacked. */
  async mend(): Promise<void> {
    const names = new Set(readdirSync(this.#root));
    for (const diffId of this.#sizes.keys()) {
      if (names.has(hexOf(diffId))) continue;
      this.#db.run("DELETE FROM layers WHERE diff_id = ? AND driver = ?", diffId, this.#driver.name);
      this.#sizes.delete(diffId);
    }
    names.delete("tmp");
    const orphans = [...names].filter((name) => !this.has(`sha256:${name}`)).map((name) => join(this.#root, name));
    const leftovers = readdirSync(this.#temporary).map((name) => join(this.#temporary, name));
    await Promise.all([...orphans, ...leftovers].map((path) => rm(path, { recursive: true, force: true })));
  }
}
