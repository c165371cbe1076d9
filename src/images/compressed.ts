/** What is pushed of images whose layers came uncompressed, as from import, commit and archives. */
import { isUncompressedLayerType, manifestFor, mediaTypes } from "../distribution/media-types.ts";
import { notFound } from "../lib/errors.ts";
import { type Reference, sha256Of, shortId } from "../lib/reference.ts";
import type { Hold } from "./garbage.ts";
import { layerProgress, type Report, throttle } from "./progress.ts";
import { type BlobRecord, type ImageRecord, type ManifestRecord, withManifest } from "./record.ts";
import type { ImageRooms } from "./rooms.ts";

interface Work {
  rooms: ImageRooms;
  record: ImageRecord;
  manifest: ManifestRecord;
  hold: Hold;
  report: Report;
  signal: AbortSignal;
}

/**
 * The manifest to push in place of one with uncompressed layers that no registry has seen yet; any other comes back as
 * it is. Its blobs are stored, and the image's tags stand for it from then on: the next push compresses nothing.
 */
export async function compressedManifest(work: Work): Promise<ManifestRecord> {
  const { rooms, record, manifest, hold } = work;
  if (manifest.layers.every(isCompressed) || isPublished(rooms, record, manifest)) return manifest;
  const earlier = record.manifests.findLast((other) => other.indexes.length === 0 && other.layers.every(isCompressed));
  if (earlier) {
    await hold.add(earlier.digest, ...earlier.layers.map(({ digest }) => digest));
    return earlier;
  }
  const byDigest = new Map<string, Promise<BlobRecord>>();
  const layers = await Promise.all(
    manifest.layers.map((layer, index) => {
      const known = byDigest.get(layer.digest);
      if (known) return known;
      const compressing = isCompressed(layer)
        ? Promise.resolve(layer)
        : compressedLayer(work, layer, record.diffIds[index]!);
      byDigest.set(layer.digest, compressing);
      return compressing;
    }),
  );
  const bytes = manifestFor({ digest: record.id, size: rooms.content.sizeOf(record.id)! }, layers);
  await hold.add(sha256Of(bytes));
  const blob = { ...(await rooms.content.write(bytes)), mediaType: mediaTypes.ociManifest };
  const compressed = { ...blob, layers, indexes: [] };
  const current = rooms.store.byId(record.id);
  if (!current) throw notFound(`No such image: ${record.id}`);
  const tags = rooms.store
    .referencesOf(record.id)
    .filter((reference) => reference.digest === undefined && rooms.store.targetOf(reference) === manifest.digest);
  rooms.store.put(withManifest(current, compressed), tags, compressed.digest);
  return compressed;
}

async function compressedLayer(work: Work, layer: BlobRecord, diffId: string): Promise<BlobRecord> {
  const { rooms, hold, report, signal } = work;
  const known = compressedElsewhere(rooms, diffId);
  if (known) {
    await hold.add(known.digest);
    if (rooms.content.has(known.digest)) return known;
  }
  const id = shortId(diffId);
  const isDue = throttle();
  const { digest, size } = await rooms.content.compress(layer.digest, {
    onProgress: (read) => {
      if (isDue(read, layer.size)) report(layerProgress(id, "Compressing", read, layer.size));
    },
    signal,
  });
  await hold.add(digest);
  return { digest, size, mediaType: `${mediaTypes.ociLayer}+gzip` };
}

/** The same layer, as another image has it compressed. */
function compressedElsewhere({ store, content }: ImageRooms, diffId: string): BlobRecord | undefined {
  for (const { diffIds, manifests } of store.all()) {
    const index = diffIds.indexOf(diffId);
    if (index < 0) continue;
    for (const { layers } of manifests) {
      const layer = layers[index];
      if (layer && layers.length === diffIds.length && isCompressed(layer) && content.has(layer.digest)) return layer;
    }
  }
  return undefined;
}

/** Whether the manifest's digest means something to others: it came in an index, or from a registry, or went to one. */
function isPublished({ store }: ImageRooms, { id }: ImageRecord, { digest, indexes }: ManifestRecord): boolean {
  const isItsDigest = (reference: Reference) => reference.digest === digest;
  return indexes.length > 0 || store.referencesOf(id).some(isItsDigest);
}

const isCompressed = ({ mediaType }: BlobRecord) => !isUncompressedLayerType(mediaType);
