/** Manifests and indexes in the content store, and what of all they name is there. */
import { readFileSync } from "node:fs";
import {
  type Descriptor,
  type Index,
  type Manifest,
  manifestLimitBytes,
  parseManifest,
} from "../distribution/documents.ts";
import { systemError } from "../lib/errors.ts";
import type { ContentStore } from "../storage/content.ts";
import type { BlobRecord } from "./record.ts";

/** A manifest or index that is here. */
export interface StoredDocument {
  descriptor: Descriptor;
  blob: BlobRecord;
  document: Manifest | Index;
  /** The indexes it was reached through, outermost first. */
  indexes: BlobRecord[];
}

/** An index may hold an index; nobody nests deeper. */
const INDEX_DEPTH = 4;
/** What is read of one index, all together: the documents of a thousand platforms take a tenth of it. */
const TOTAL_LIMIT_BYTES = 32 << 20;

/** Reads a manifest or index. Throws where it is not here, too long or broken. */
export function readDocument(content: ContentStore, { digest, mediaType }: Descriptor | BlobRecord): Manifest | Index {
  const size = content.sizeOf(digest);
  if (size === undefined) throw systemError(`open blobs/sha256/${digest.slice(7)}: no such file or directory`);
  if (size > manifestLimitBytes) throw systemError(`blobs/sha256/${digest.slice(7)}: ${size} bytes is too long`);
  return parseManifest(readFileSync(content.pathOf(digest)), mediaType, digest);
}

/**
 * The document of a descriptor and, depth first, all those below it that are here, each once. Throws where the first
 * is not here, and for broken ones.
 */
export function* documentsBelow(
  content: ContentStore,
  descriptor: Descriptor,
  indexes: BlobRecord[] = [],
  seen = { digests: new Set<string>(), bytes: 0 },
): Generator<StoredDocument> {
  if (seen.digests.has(descriptor.digest)) return;
  seen.digests.add(descriptor.digest);
  const { digest, mediaType } = descriptor;
  const document = readDocument(content, descriptor);
  const blob = { digest, mediaType, size: content.sizeOf(digest)! };
  seen.bytes += blob.size;
  if (seen.bytes > TOTAL_LIMIT_BYTES)
    throw systemError(`the manifests of one index have more than ${TOTAL_LIMIT_BYTES} bytes`);
  yield { descriptor, blob, document, indexes };
  if (document.kind !== "index") return;
  if (indexes.length >= INDEX_DEPTH) throw systemError(`the indexes of ${digest} are nested too deeply`);
  for (const child of document.manifests)
    if (content.has(child.digest)) yield* documentsBelow(content, child, [...indexes, blob], seen);
}

/** The blobs that a manifest names, its config first. */
export function blobsNamed({ config, layers }: Manifest): BlobRecord[] {
  return [config, ...layers].map(({ digest, mediaType, size }) => ({ digest, mediaType, size }));
}
