/** `docker save`: an archive that is an OCI layout and has Docker's manifest.json too, its blobs as they came. */
import { open } from "node:fs/promises";
import type { Descriptor } from "../distribution/documents.ts";
import { mediaTypes } from "../distribution/media-types.ts";
import { BrigError, notFound, systemError } from "../lib/errors.ts";
import { canonicalString, familiarString, parseReference, type Reference } from "../lib/reference.ts";
import { tarEnd, tarHeader, tarPadding } from "../lib/tar-writer.ts";
import type { ContentStore } from "../storage/content.ts";
import { type BlobRecord, type ImageRecord, type ManifestRecord, manifestBehind } from "./record.ts";
import { announce, type ImageRooms } from "./rooms.ts";
import { blobsNamed, documentsBelow, readDocument } from "./stored-documents.ts";
import { resolveFor } from "./variants.ts";

/** Large enough that the client's pace is the limit, small enough that many saves take little memory. */
const READ_BYTES = 512 * 1024;

/** One image of the archive. */
interface Saved {
  record: ImageRecord;
  /** Which of the image's manifests manifest.json describes. */
  manifest: ManifestRecord;
  /** The manifest or index that index.json lists. */
  top: BlobRecord;
  tags: Tagged[];
  /** Layers that come from elsewhere than a registry, by diff ID. */
  foreign: Record<string, Descriptor>;
  /** Of an index, the manifests that are wanted; all where it is not given. */
  only?: Set<string>;
}

type Tagged = Reference & { tag: string };

/**
 * The archive of the images that the names, digests and ids stand for, all platforms of each that are here, or only
 * `platforms` (`linux/arm64`). Throws before the first byte where there is no such image; afterwards the images' blobs
 * stay until the archive has been read or given up.
 */
export async function save(
  rooms: ImageRooms,
  names: string[],
  platforms: string[],
): Promise<AsyncGenerator<Uint8Array>> {
  const images = merged(names.flatMap((name) => find(rooms, name, platforms)));
  const blobs = new Map<string, BlobRecord>();
  for (const { top, only } of images)
    for (const { blob, document } of documentsBelow(rooms.content, top)) {
      if (only && document.kind === "manifest" && !only.has(blob.digest)) continue;
      blobs.set(blob.digest, blob);
      if (document.kind === "manifest")
        for (const named of blobsNamed(document)) if (rooms.content.has(named.digest)) blobs.set(named.digest, named);
    }
  const hold = rooms.garbage.hold();
  await hold.add(...blobs.keys());
  const archive = write(rooms.content, documentsFor(images), [...blobs.keys()]);
  return (async function* () {
    try {
      yield* archive;
      for (const { id, labels } of new Set(images.map(({ record }) => record))) announce(rooms, "save", id, id, labels);
    } finally {
      hold.release();
      await rooms.garbage.collect(blobs.keys(), []);
    }
  })();
}

/** What a name given on the command line stands for; a name without a tag stands for all its tags. */
function find(rooms: ImageRooms, text: string, platforms: string[]): Saved[] {
  const { store } = rooms;
  if (/^(?:sha256:[a-f0-9]+|[a-f0-9]{64})$/.test(text)) return [savedAs(rooms, text, undefined, platforms)];
  const given = parseReference(text);
  const isBareName = given.tag === undefined && given.digest === undefined;
  const tagged = isBareName ? store.tagsOf(given) : [];
  if (tagged.length > 0) return tagged.map((tag) => savedAs(rooms, familiarString(tag), tag, platforms));
  const reference = store.idOf(given) === undefined ? undefined : given;
  if (!isBareName && !reference) throw notFound("reference does not exist");
  return [savedAs(rooms, text, reference, platforms)];
}

function savedAs(rooms: ImageRooms, text: string, reference: Reference | undefined, platforms: string[]): Saved {
  const target = reference && rooms.store.targetOf(reference);
  const records =
    platforms.length === 0
      ? [imageFor(rooms, text, undefined)]
      : platforms.map((platform) => imageFor(rooms, text, platform));
  const chosen = records.map((record) => ({ record, manifest: manifestBehind(record, target) }));
  const { record, manifest } = chosen[0]!;
  const index = manifest.indexes.find(({ digest }) => digest === target);
  const isWhole = index !== undefined && rooms.content.has(index.digest) && platforms.length !== 1;
  return {
    record,
    manifest,
    top: isWhole ? index : manifest,
    tags: reference && isTagged(reference) ? [reference] : [],
    foreign: foreignLayers(rooms.content, record, manifest),
    ...(platforms.length === 0 ? {} : { only: new Set(chosen.map(({ manifest: { digest } }) => digest)) }),
  };
}

function foreignLayers(content: ContentStore, { diffIds }: ImageRecord, manifest: ManifestRecord) {
  const document = readDocument(content, manifest);
  const layers = document.kind === "manifest" ? document.layers : [];
  return Object.fromEntries(layers.flatMap((layer, index) => (layer.urls ? [[diffIds[index]!, layer]] : [])));
}

function imageFor(rooms: ImageRooms, text: string, platform: string | undefined): ImageRecord {
  try {
    rooms.store.resolve(text);
  } catch (thrown) {
    throw thrown instanceof BrigError && thrown.kind === "notFound" ? notFound(`No such image: ${text}`) : thrown;
  }
  try {
    return resolveFor(rooms.store, text, platform);
  } catch (thrown) {
    if (!(thrown instanceof BrigError) || thrown.kind !== "notFound") throw thrown;
    throw notFound(`no suitable export target found: ${thrown.message}`);
  }
}

const isTagged = (reference: Reference): reference is Tagged =>
  reference.tag !== undefined && reference.digest === undefined;

/** Each image once, with all the tags it was asked for by. */
function merged(images: Saved[]): Saved[] {
  const byContent = new Map<string, Saved>();
  for (const image of images) {
    const key = `${image.record.id} ${image.top.digest}`;
    const known = byContent.get(key);
    if (!known) byContent.set(key, { ...image, tags: [...image.tags] });
    else
      known.tags.push(
        ...image.tags.filter((tag) => !known.tags.some((other) => canonicalString(other) === canonicalString(tag))),
      );
  }
  return [...byContent.values()];
}

const pathOf = (digest: string) => `blobs/sha256/${digest.slice("sha256:".length)}`;

/** The documents that tell what is in the archive, by name (OCI image-spec, image-layout.md; Docker's image-spec v1.2). */
function documentsFor(images: Saved[]): [name: string, text: string][] {
  const manifests = images.flatMap(({ top, tags }) => {
    const { mediaType, digest, size } = top;
    const descriptor = { mediaType, digest, size };
    if (tags.length === 0) return [descriptor];
    return tags.map((tag) => ({
      ...descriptor,
      annotations: {
        "io.containerd.image.name": canonicalString(tag),
        "org.opencontainers.image.ref.name": tag.tag,
      },
    }));
  });
  const entries = new Map<string, { RepoTags: string[] | null }>();
  // Names come from strangers: `constructor` is one.
  const repositories: Record<string, Record<string, string>> = Object.create(null);
  for (const { record, manifest, tags, foreign } of images) {
    const known = entries.get(record.id);
    const names = [...(known?.RepoTags ?? []), ...tags.map(familiarString)];
    const entry = {
      Config: pathOf(record.id),
      RepoTags: names.length === 0 ? null : names,
      Layers: manifest.layers.map(({ digest }) => pathOf(digest)),
      ...(Object.keys(foreign).length > 0 && { LayerSources: foreign }),
    };
    entries.set(record.id, entry);
    const top = manifest.layers.at(-1);
    for (const { familiarName, tag } of top ? tags : [])
      (repositories[familiarName] ??= {})[tag] = top!.digest.slice("sha256:".length);
  }
  const documents: [name: string, value: unknown][] = [
    ["oci-layout", { imageLayoutVersion: "1.0.0" }],
    ["index.json", { schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }],
    ["manifest.json", [...entries.values()]],
  ];
  if (Object.keys(repositories).length > 0) documents.push(["repositories", repositories]);
  return documents.map(([name, value]) => [name, JSON.stringify(value)]);
}

/** The documents come first, so that whoever reads the archive as it comes knows what each blob is for. */
async function* write(
  content: ContentStore,
  documents: [name: string, text: string][],
  digests: string[],
): AsyncGenerator<Uint8Array> {
  const small: Uint8Array[] = [];
  for (const [name, text] of documents) {
    const bytes = Buffer.from(text);
    small.push(tarHeader({ name, type: "file", size: bytes.length }), bytes, tarPadding(bytes.length));
  }
  for (const name of ["blobs/", "blobs/sha256/"]) small.push(tarHeader({ name, type: "directory" }));
  yield Buffer.concat(small);
  for (const digest of digests) yield* writeBlob(content, digest);
  yield tarEnd();
}

async function* writeBlob(content: ContentStore, digest: string): AsyncGenerator<Uint8Array> {
  const size = content.sizeOf(digest);
  if (size === undefined) throw systemError(`content digest ${digest}: not found`);
  const header = tarHeader({ name: pathOf(digest), type: "file", size });
  const file = await open(content.pathOf(digest));
  try {
    // A small blob leaves with its header and padding as one piece.
    let before: Buffer = header;
    for (let done = 0; done < size; ) {
      const length = Math.min(READ_BYTES, size - done);
      const buffer = Buffer.allocUnsafeSlow(before.length + length + 512);
      before.copy(buffer);
      const { bytesRead } = await file.read(buffer, before.length, length, done);
      if (bytesRead === 0) throw systemError(`content digest ${digest}: unexpected EOF`);
      done += bytesRead;
      let end = before.length + bytesRead;
      if (done === size) {
        const padding = tarPadding(size).length;
        buffer.fill(0, end, end + padding);
        end += padding;
      }
      yield buffer.subarray(0, end);
      before = Buffer.alloc(0);
    }
    if (size === 0) yield header;
  } finally {
    await file.close();
  }
}
