/** Which blobs and layers are needed, and the removal of those that are not. */
import type { ContentStore } from "../storage/content.ts";
import { blobsOf } from "./record.ts";
import type { ImageStore } from "./store.ts";

/** What of the layer store is needed here. */
export interface RemovableLayers {
  has(diffId: string): boolean;
  remove(diffId: string): Promise<void>;
  ids(): string[];
}

/** Digests and diff IDs that somebody works with, though no row names them yet. */
export interface Hold {
  /** Also waits until a removal of the same layer that is under way has ended. */
  add(...digests: string[]): Promise<void>;
  release(): void;
}

export class Garbage {
  readonly #store: ImageStore;
  readonly #content: ContentStore;
  readonly #layers: RemovableLayers;
  readonly #layersInUse: () => Iterable<string>;
  readonly #holds = new Map<string, number>();
  readonly #removals = new Map<string, Promise<void>>();

  /** `layersInUse` names the layers of containers, whose image may be gone. */
  constructor(store: ImageStore, content: ContentStore, layers: RemovableLayers, layersInUse: () => Iterable<string>) {
    this.#store = store;
    this.#content = content;
    this.#layers = layers;
    this.#layersInUse = layersInUse;
  }

  /** Begins to keep things alive; release() in any case. */
  hold(): Hold {
    const held = new Set<string>();
    let isReleased = false;
    return {
      add: async (...digests) => {
        if (isReleased) throw new Error("a hold that was released cannot hold more");
        for (const digest of digests) {
          if (held.has(digest)) continue;
          held.add(digest);
          this.#holds.set(digest, (this.#holds.get(digest) ?? 0) + 1);
        }
        for (const digest of digests) await this.#removals.get(digest);
      },
      release: () => {
        isReleased = true;
        for (const digest of held) {
          const left = this.#holds.get(digest)! - 1;
          if (left === 0) this.#holds.delete(digest);
          else this.#holds.set(digest, left);
        }
        held.clear();
      },
    };
  }

  /** Removes those of the candidates that nothing needs. Returns the layers that went. */
  async collect(blobs: Iterable<string>, diffIds: Iterable<string>): Promise<string[]> {
    const { neededBlobs, neededLayers } = this.#needed();
    const garbage = [...new Set(blobs)].filter((digest) => !neededBlobs.has(digest) && !this.#holds.has(digest));
    const blobRemovals = garbage.map((digest) => this.#content.remove(digest));
    const removed = [...new Set(diffIds)].filter(
      (diffId) => !neededLayers.has(diffId) && !this.#holds.has(diffId) && this.#layers.has(diffId),
    );
    await Promise.all([...blobRemovals, ...removed.map((diffId) => this.#removeLayer(diffId))]);
    return removed;
  }

  /** Removes everything that nothing needs. */
  async sweep(): Promise<string[]> {
    return this.collect(this.#content.digests(), this.#layers.ids());
  }

  async #removeLayer(diffId: string): Promise<void> {
    const removal = this.#layers.remove(diffId);
    this.#removals.set(
      diffId,
      removal.catch(() => undefined),
    );
    try {
      await removal;
    } finally {
      this.#removals.delete(diffId);
    }
  }

  #needed(): { neededBlobs: Set<string>; neededLayers: Set<string> } {
    const neededBlobs = new Set<string>();
    const neededLayers = new Set<string>(this.#layersInUse());
    for (const record of this.#store.all()) {
      for (const digest of blobsOf(record)) neededBlobs.add(digest);
      for (const diffId of record.diffIds) neededLayers.add(diffId);
    }
    return { neededBlobs, neededLayers };
  }
}
