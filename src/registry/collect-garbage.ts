/** Garbage collection, while the registry serves. */
import type { BlobStore } from "./blob-store.ts";
import type { Metadata } from "./metadata.ts";
import type { Removals } from "./removals.ts";
import type { Uploads } from "./uploads.ts";

export interface CollectionResult {
  blobs: number;
  /** Of the blobs. */
  bytes: number;
  links: number;
  uploads: number;
}

export interface CollectionOptions {
  metadata: Metadata;
  blobs: BlobStore;
  uploads: Uploads;
  removals: Removals;
  /** What is younger may belong to a push whose manifest is still to come. */
  graceMs: number;
}

/**
 * Removes uploads that nobody goes on with, links that no manifest needs, and then blobs without a link. A crash in
 * between leaves less of the same for the next time.
 */
export async function collectGarbage(options: CollectionOptions): Promise<CollectionResult> {
  const { metadata, blobs, uploads, removals, graceMs } = options;
  const before = Date.now() - graceMs;
  const result: CollectionResult = { blobs: 0, bytes: 0, links: 0, uploads: uploads.discardStale(before) };
  result.links = metadata.unlinkUnneeded(before);
  for await (const { digest, size, storedAt } of blobs.list()) {
    if (storedAt > before) continue;
    const isGone = await removals.remove(
      digest,
      () => metadata.isLinked(digest),
      () => blobs.remove(digest),
    );
    if (!isGone) continue;
    result.blobs++;
    result.bytes += size;
  }
  return result;
}
