/** The `Manifests` of GET /images/json and /images/{name}/json: what an index holds, and what of it is here. */
import type { Descriptor } from "../distribution/documents.ts";
import { isImageConfigType } from "../distribution/media-types.ts";
import type { Reference } from "../lib/reference.ts";
import type { ImageManifestSummary, OCIPlatform } from "../wire/engine-api.ts";
import type { BlobRecord, ImageRecord } from "./record.ts";
import type { ImageRooms } from "./rooms.ts";
import { blobsNamed, readDocument } from "./stored-documents.ts";

/** All manifests that an image's names stand for, those that are not here too; the image's own where it has no name. */
export function manifestsOf(rooms: ImageRooms, record: ImageRecord): ImageManifestSummary[] {
  const top = topOf(rooms, record);
  if (!rooms.content.has(top.digest)) return [];
  const document = readDocument(rooms.content, top);
  const descriptors = document.kind === "index" ? document.manifests : [top];
  return descriptors.map((descriptor) => summaryOf(rooms, descriptor, record));
}

/** The manifest or index that an image's first name was resolved to. */
export function topOf(rooms: ImageRooms, record: ImageRecord): BlobRecord {
  const targets = rooms.store.referencesOf(record.id).map((reference: Reference) => rooms.store.targetOf(reference));
  const known = record.manifests.flatMap((manifest) => [manifest, ...manifest.indexes]);
  return known.find(({ digest }) => digest === targets[0]) ?? record.manifests.at(-1)!;
}

function summaryOf(rooms: ImageRooms, descriptor: Descriptor, named: ImageRecord): ImageManifestSummary {
  const { content } = rooms;
  const document = content.has(descriptor.digest) ? readDocument(content, descriptor) : undefined;
  const blobs = document?.kind === "manifest" ? blobsNamed(document) : [];
  const here = document ? [descriptor, ...blobs].filter(({ digest }) => content.has(digest)) : [];
  const contentBytes = here.reduce((sum, { digest }) => sum + content.sizeOf(digest)!, 0);
  const { digest, mediaType, size, annotations, platform } = descriptor;
  const summary: ImageManifestSummary = {
    ID: digest,
    Descriptor: { mediaType, digest, size, ...(annotations ? { annotations } : {}), ...(platform ? { platform } : {}) },
    Available: document !== undefined && here.length === blobs.length + 1,
    Size: { Total: contentBytes, Content: contentBytes },
    Kind: "unknown",
  };
  const subject = annotations?.["vnd.docker.reference.digest"];
  if (annotations?.["vnd.docker.reference.type"] === "attestation-manifest" && subject !== undefined)
    return { ...summary, Kind: "attestation", AttestationData: { For: subject } };
  const isImage =
    document === undefined || (document.kind === "manifest" && isImageConfigType(document.config.mediaType));
  if (!isImage || platform?.os === "unknown") return summary;
  const image = document?.kind === "manifest" ? rooms.store.byId(document.config.digest) : undefined;
  const unpackedBytes = image?.size ?? 0;
  return {
    ...summary,
    Kind: "image",
    Size: { Content: contentBytes, Total: contentBytes + unpackedBytes },
    ImageData: {
      Platform: platform ?? platformOf(image ?? named),
      Containers: image ? rooms.usedBy(image.id).map(({ id }) => id) : [],
      Size: { Unpacked: unpackedBytes },
    },
  };
}

function platformOf({ os, architecture, variant }: ImageRecord): OCIPlatform {
  return { os, architecture, ...(variant ? { variant } : {}) };
}
