/** What is kept of an image. The bytes of its config, manifests and layers are in the content store. */
import type { ImageConfig } from "../wire/engine-api.ts";

/** A blob as a manifest names it. */
export interface BlobRecord {
  digest: string;
  mediaType: string;
  /** Bytes of the blob, compressed as it came. */
  size: number;
}

/** One manifest that an image came with: the same config may come compressed in several ways. */
export interface ManifestRecord extends BlobRecord {
  /** In the order of the image's diff IDs. */
  layers: BlobRecord[];
  /** The lists this manifest was chosen from, outermost first. */
  indexes: BlobRecord[];
  /** What else those lists hold that is here and no image of this machine's kind: attestations, artifacts. */
  companions?: BlobRecord[];
}

/** The record column of the images table. */
export interface ImageRecord {
  /** Digest of the config: the image's id. */
  id: string;
  architecture: string;
  os: string;
  osVersion?: string;
  variant?: string;
  /** RFC 3339; empty where the config does not say. */
  created: string;
  diffIds: string[];
  /** Bytes of file content in all layers. */
  size: number;
  /** The image this one was built or committed upon, if on this machine. */
  parent?: string;
  labels: Record<string, string>;
  /** Newest last. */
  manifests: ManifestRecord[];
  /** RFC 3339; when a person last gave it a tag. */
  lastTagTime?: string;
}

/** An image as other rooms see it. */
export interface Image {
  /** `sha256:…` of its config. */
  id: string;
  /** `alpine:3.20`, `alpine@sha256:…`. */
  references: string[];
  config: ImageConfig;
  architecture: string;
  os: string;
  variant?: string;
  created: string;
  diffIds: string[];
  /** Bytes of file content in all layers. */
  size: number;
}

/** Digests of all blobs an image keeps alive. */
export function blobsOf(record: ImageRecord): string[] {
  return [
    record.id,
    ...record.manifests.flatMap((manifest) => [
      manifest.digest,
      ...manifest.layers.map((layer) => layer.digest),
      ...manifest.indexes.map((index) => index.digest),
      ...(manifest.companions ?? []).map((companion) => companion.digest),
    ]),
  ];
}

/** The manifest that a digest stands for: its own, or that of an index it came with. Else the newest. */
export function manifestBehind({ manifests }: ImageRecord, target: string | undefined): ManifestRecord {
  return (
    manifests.findLast(({ digest, indexes }) =>
      [digest, ...indexes.map((index) => index.digest)].includes(target ?? digest),
    ) ?? manifests.at(-1)!
  );
}

/** The record with one more manifest, without naming the same one twice. */
export function withManifest(record: ImageRecord, manifest: ManifestRecord): ImageRecord {
  const known = record.manifests.find(({ digest }) => digest === manifest.digest);
  const companions = union(known?.companions, manifest.companions);
  return {
    ...record,
    manifests: [
      ...record.manifests.filter(({ digest }) => digest !== manifest.digest),
      {
        ...manifest,
        indexes: union(known?.indexes, manifest.indexes),
        ...(companions.length === 0 ? {} : { companions }),
      },
    ],
  };
}

function union(one: BlobRecord[] = [], other: BlobRecord[] = []): BlobRecord[] {
  return [...new Map([...one, ...other].map((blob) => [blob.digest, blob])).values()];
}
