/** Which images an archive of `docker save`, podman or skopeo holds: its manifest.json or its OCI index, read. */
import { readFileSync } from "node:fs";
import {
  type ConfigDocument,
  configLimitBytes,
  type Descriptor,
  parseConfig,
  parseJson,
  parseManifest,
} from "../distribution/documents.ts";
import { isImageConfigType, layerTypeOf, mediaTypes } from "../distribution/media-types.ts";
import { conflict, systemError } from "../lib/errors.ts";
import { parseReference, type Reference, withDefaultTag } from "../lib/reference.ts";
import type { ContentStore } from "../storage/content.ts";
import type { SpooledArchive } from "./archive.ts";
import type { BlobRecord } from "./record.ts";
import { blobsNamed, documentsBelow, type StoredDocument } from "./stored-documents.ts";

/** One image, for one platform. */
export interface ArchivedImage {
  configDigest: string;
  config: ConfigDocument;
  layers: BlobRecord[];
  /** The manifest as it came; undefined where the layout has none. */
  manifest: (BlobRecord & { indexes: BlobRecord[]; companions: BlobRecord[] }) | undefined;
}

/** What one name stands for: an image, or an index and all of its images that are there. */
export interface ArchivedGroup {
  references: Reference[];
  /** Digest of the manifest or index; undefined where the layout has none. */
  target: string | undefined;
  images: ArchivedImage[];
}

/** manifest.json, as Docker has written it since 1.10. */
export function readManifestJson(content: ContentStore, archive: SpooledArchive, bytes: Buffer): ArchivedGroup[] {
  const entries = parseJson(bytes, "manifest.json");
  if (!Array.isArray(entries)) throw systemError("error unmarshalling content: manifest.json is not a list");
  return entries.map((entry: { Config?: unknown; RepoTags?: unknown; Layers?: unknown } | null) => {
    const { Config: config, RepoTags: tags, Layers: layers } = entry ?? {};
    if (typeof config !== "string" || !isTexts(layers ?? []) || !isTexts(tags ?? []))
      throw systemError("error unmarshalling content: manifest.json has a field of the wrong type");
    const { digest } = archive.blob(config);
    const image: ArchivedImage = {
      configDigest: digest,
      config: readConfig(content, digest),
      layers: ((layers ?? []) as string[]).map((name) => archivedLayer(archive, name)),
      manifest: undefined,
    };
    return { references: ((tags ?? []) as string[]).map(tagReference), target: undefined, images: [image] };
  });
}

/** A layer by its name in the archive; its kind is that of its bytes. */
export function archivedLayer(archive: SpooledArchive, name: string): BlobRecord {
  const { digest, size, head } = archive.blob(name);
  return { digest, size, mediaType: layerTypeOf(head) };
}

/** index.json of an OCI layout (OCI image-spec, image-layout.md). */
export function readIndexJson(content: ContentStore, bytes: Buffer): ArchivedGroup[] {
  const index = parseManifest(bytes, mediaTypes.ociIndex, "index.json");
  if (index.kind !== "index") throw systemError("error unmarshalling content: index.json is not an index");
  // The same manifest is listed once for each of its names.
  const byDigest = new Map<string, ArchivedGroup>();
  for (const descriptor of index.manifests) {
    const references = annotatedReferences(descriptor);
    const known = byDigest.get(descriptor.digest);
    if (known) known.references.push(...references);
    else {
      const images = imagesBelow(content, descriptor);
      if (images.length > 0) byDigest.set(descriptor.digest, { references, target: descriptor.digest, images });
    }
  }
  return [...byDigest.values()];
}

/** All images of a manifest or index that are here. What else there is goes along with each of them. */
function imagesBelow(content: ContentStore, descriptor: Descriptor): ArchivedImage[] {
  const images: ArchivedImage[] = [];
  const companions = new Map<string, BlobRecord>();
  for (const stored of documentsBelow(content, descriptor)) {
    if (stored.document.kind === "index") continue;
    const blobs = blobsNamed(stored.document);
    if (isImage(content, stored, descriptor)) {
      const { config, layers } = stored.document;
      images.push({
        configDigest: config.digest,
        config: readConfig(content, config.digest),
        layers: layers.map(({ digest, mediaType, size }) => ({ digest, mediaType, size })),
        manifest: { ...stored.blob, indexes: stored.indexes, companions: [] },
      });
    } else for (const blob of [stored.blob, ...blobs]) if (content.has(blob.digest)) companions.set(blob.digest, blob);
  }
  for (const { manifest } of images) manifest!.companions = [...companions.values()];
  return images;
}

/**
 * Whether a container can be made of what a manifest describes. Throws where a blob of the one that was named is not
 * here; one among several of an index may be incomplete.
 */
function isImage(content: ContentStore, { descriptor, document }: StoredDocument, named: Descriptor): boolean {
  if (document.kind === "index" || !isImageConfigType(document.config.mediaType)) return false;
  const { platform, annotations = {} } = descriptor;
  if (platform?.os && platform.os !== "linux") return false;
  if (annotations["vnd.docker.reference.type"] !== undefined) return false;
  for (const { digest } of [document.config, ...document.layers])
    if (!content.has(digest)) {
      if (descriptor === named) requireBlob(content, digest);
      return false;
    }
  return true;
}

/** Reads an image's config. Throws where it is not here, too long or broken. */
export function readConfig(content: ContentStore, digest: string): ConfigDocument {
  const size = requireBlob(content, digest);
  if (size > configLimitBytes) throw systemError(`blobs/sha256/${digest.slice(7)}: ${size} bytes is too long`);
  return parseConfig(readFileSync(content.pathOf(digest)));
}

function requireBlob(content: ContentStore, digest: string): number {
  const size = content.sizeOf(digest);
  if (size === undefined) throw systemError(`open blobs/sha256/${digest.slice(7)}: no such file or directory`);
  return size;
}

/** Docker's archives carry both layouts; where the index gives an image no name, manifest.json may. */
export function withTags(groups: ArchivedGroup[], tagged: ArchivedGroup[]): ArchivedGroup[] {
  const named = new Map(tagged.map(({ images, references }) => [images[0]!.configDigest, references]));
  return groups.map((group) => {
    if (group.references.length > 0) return group;
    return { ...group, references: group.images.flatMap(({ configDigest }) => named.get(configDigest) ?? []) };
  });
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string");

function tagReference(text: string): Reference {
  const reference = withDefaultTag(parseReference(text));
  if (reference.digest !== undefined) throw conflict(`invalid tag "${text}"`);
  return reference;
}

/** The name an index gives one of its entries; containerd's annotation is a full name, OCI's may be a mere tag. */
function annotatedReferences({ annotations = {} }: Descriptor): Reference[] {
  const text = annotations["io.containerd.image.name"] ?? annotations["org.opencontainers.image.ref.name"];
  if (text === undefined || (!annotations["io.containerd.image.name"] && !/[:/]/.test(text))) return [];
  try {
    return [tagReference(text)];
  } catch {
    return [];
  }
}
