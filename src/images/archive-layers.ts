/** The layers of an archive that is being loaded. */
import { mediaTypes } from "../distribution/media-types.ts";
import { messageOf, systemError } from "../lib/errors.ts";
import { shortId } from "../lib/reference.ts";
import type { Hold } from "./garbage.ts";
import { layerProgress, type Report, throttle } from "./progress.ts";
import type { BlobRecord } from "./record.ts";
import type { ImageRooms } from "./rooms.ts";

/** Layers are unpacked as soon as they are here, before it is known what images they belong to. */
export class ArchiveLayers {
  readonly #rooms: ImageRooms;
  readonly #hold: Hold;
  readonly #report: Report;
  readonly #signal: AbortSignal;
  readonly #over = new AbortController();
  readonly #running = new Set<Promise<unknown>>();
  /** By the blob's digest; what went wrong is of interest only if the blob turns out to be a layer. */
  readonly #early = new Map<string, Promise<{ diffId: string } | { failure: unknown }>>();

  constructor(rooms: ImageRooms, hold: Hold, report: Report, signal: AbortSignal | undefined) {
    this.#rooms = rooms;
    this.#hold = hold;
    this.#report = report;
    this.#signal = signal ? AbortSignal.any([signal, this.#over.signal]) : this.#over.signal;
  }

  /** Begins to unpack a blob that has come and looks like a layer. */
  begin(blob: BlobRecord): void {
    if (this.#early.has(blob.digest)) return;
    // A plain layer's digest is its diff ID.
    const diffId = blob.mediaType === mediaTypes.ociLayer ? blob.digest : undefined;
    const outcome = this.#unpackNow(blob, diffId).then(
      (diffId) => ({ diffId }),
      (failure) => ({ failure }),
    );
    this.#early.set(blob.digest, outcome);
  }

  /** Returns the diff ID of a layer when it is unpacked. Throws where it cannot be, or is not `diffId`. */
  async unpack(layer: BlobRecord, diffId: string | undefined): Promise<string> {
    if (diffId !== undefined) await this.#hold.add(diffId);
    const early = await this.#early.get(layer.digest);
    if (early && "failure" in early) {
      this.#signal.throwIfAborted();
      throw systemError(messageOf(early.failure), early.failure);
    }
    if (early && (diffId === undefined || early.diffId === diffId) && this.#rooms.layers.has(early.diffId))
      return early.diffId;
    return this.#unpackNow(layer, diffId);
  }

  #unpackNow(layer: BlobRecord, diffId: string | undefined): Promise<string> {
    const work = this.#unpackUncounted(layer, diffId);
    const end = () => this.#running.delete(work);
    this.#running.add(work);
    work.then(end, end);
    return work;
  }

  async #unpackUncounted(layer: BlobRecord, diffId: string | undefined): Promise<string> {
    const { layers, content } = this.#rooms;
    if (diffId !== undefined) {
      await this.#hold.add(diffId);
      if (layers.has(diffId)) return diffId;
    }
    const id = shortId(layer.digest);
    const isDue = throttle();
    try {
      const unpacked = await layers.unpack(
        { path: content.pathOf(layer.digest) },
        {
          ...(diffId === undefined ? {} : { diffId }),
          signal: this.#signal,
          onProgress: (read) => {
            if (isDue(read, layer.size)) this.#report(layerProgress(id, "Loading layer", read, layer.size));
          },
        },
      );
      await this.#hold.add(unpacked.diffId);
      return unpacked.diffId;
    } catch (thrown) {
      this.#signal.throwIfAborted();
      throw systemError(messageOf(thrown), thrown);
    }
  }

  /** Throws where the client has left. */
  throwIfGivenUp(): void {
    this.#signal.throwIfAborted();
  }

  /** Stops what is still under way; resolves when nothing is. */
  async end(): Promise<void> {
    this.#over.abort(new Error("context canceled"));
    while (this.#running.size > 0) await Promise.allSettled(this.#running);
  }
}
