/** `docker push`: the bytes of an image as they came, to the registry that its name names. */
import { readFileSync } from "node:fs";
import { originsOf } from "../distribution/endpoints.ts";
import { isForeignLayerType, isIndexType, isManifestType, mediaTypes } from "../distribution/media-types.ts";
import type { Credentials } from "../distribution/registry-auth.ts";
import { ConnectionError } from "../distribution/registry-errors.ts";
import { Repository } from "../distribution/repository.ts";
import { invalidParameter, systemError } from "../lib/errors.ts";
import { familiarString, parseReference, type Reference, shortId, withDigest, withTag } from "../lib/reference.ts";
import { compressedManifest } from "./compressed.ts";
import type { Hold } from "./garbage.ts";
import { mountSources } from "./mount-sources.ts";
import { layerStatus, type Report } from "./progress.ts";
import { type BlobRecord, type ImageRecord, type ManifestRecord, manifestBehind } from "./record.ts";
import { announce, type ImageRooms } from "./rooms.ts";
import { blobsNamed, documentsBelow, type StoredDocument } from "./stored-documents.ts";
import { resolveFor } from "./variants.ts";

export interface PushRequest {
  /** A name, with a tag where `tag` is not given. Without either all tags are pushed. */
  reference: string;
  tag?: string;
  /** Only this platform's manifest of an index: `linux/arm64`. */
  platform?: string;
  auth?: Credentials;
  signal?: AbortSignal;
}

/** Pushes one tag, or all that a name has. Throws in Docker's words. */
export async function push(rooms: ImageRooms, request: PushRequest, report: Report): Promise<void> {
  const given = requestedReference(request);
  request.signal?.throwIfAborted();
  report({ status: `The push refers to repository [${given.name}]` });
  const tags = tagsToPush(rooms, given);
  const destination = await reach(rooms, given, request);
  for (const tag of tags) await new Push(rooms, tag, destination, request, report).run();
  announce(rooms, "push", familiarString(given), given.familiarName, labelsOf(rooms, tags[0]!));
}

function requestedReference({ reference: text, tag }: PushRequest): Reference {
  const reference = parseReference(text);
  if (!tag) return reference;
  if (reference.digest !== undefined) throw invalidParameter("cannot import digest reference");
  return withTag(reference, tag);
}

function tagsToPush({ store }: ImageRooms, given: Reference): Reference[] {
  if (given.digest !== undefined) throw systemError("cannot push a digest reference");
  const tags = store.tagsOf(given);
  if (tags.length === 0) throw systemError(`An image does not exist locally with the tag: ${given.familiarName}`);
  if (given.tag === undefined) return tags;
  if (store.idOf(given) === undefined) throw systemError(`tag does not exist: ${familiarString(given)}`);
  return [given];
}

const labelsOf = ({ store }: ImageRooms, tag: Reference) => store.byId(store.idOf(tag) ?? "")?.labels ?? {};

interface Destination {
  repository: Repository;
  /** With its server. */
  name: string;
}

/** The first of the servers for a name that answers. Throws where none does, or where we may not enter. */
async function reach(rooms: ImageRooms, { domain, path }: Reference, request: PushRequest): Promise<Destination> {
  let last: unknown;
  for (const endpoint of originsOf(domain, rooms.settings())) {
    const repository = new Repository(endpoint, path, request.auth ?? {}, "pull,push");
    try {
      await repository.ping(request.signal);
      return { repository, name: `${endpoint.base}/${path}` };
    } catch (thrown) {
      request.signal?.throwIfAborted();
      if (!(thrown instanceof ConnectionError)) throw thrown;
      last = thrown;
    }
  }
  throw last;
}

/** One tag on its way. */
class Push {
  readonly #rooms: ImageRooms;
  readonly #reference: Reference;
  readonly #destination: Destination;
  readonly #request: PushRequest;
  readonly #report: Report;
  readonly #failed = new AbortController();
  readonly #signal: AbortSignal;

  constructor(rooms: ImageRooms, reference: Reference, destination: Destination, request: PushRequest, report: Report) {
    this.#rooms = rooms;
    this.#reference = reference;
    this.#destination = destination;
    this.#request = request;
    this.#report = report;
    this.#signal = request.signal ? AbortSignal.any([request.signal, this.#failed.signal]) : this.#failed.signal;
  }

  async run(): Promise<void> {
    const { garbage } = this.#rooms;
    const hold = garbage.hold();
    const held: string[] = [];
    const keeping: Hold = {
      add: (...digests) => {
        held.push(...digests);
        return hold.add(...digests);
      },
      release: () => hold.release(),
    };
    try {
      await this.#push(keeping);
    } finally {
      keeping.release();
      // Of an image that was removed meanwhile.
      await garbage.collect(held, []);
    }
  }

  async #push(hold: Hold): Promise<void> {
    const { content } = this.#rooms;
    const tag = this.#reference.tag!;
    const { record, manifest: found, index } = this.#choose();
    await hold.add(record.id, found.digest, ...found.layers.map(({ digest }) => digest));
    const whole = index && wholeIndex(this.#rooms, index);
    const work = { rooms: this.#rooms, record, hold, report: this.#report, signal: this.#signal };
    const manifest = whole ? found : await compressedManifest({ ...work, manifest: found });
    const documents = whole ?? [...documentsBelow(content, manifest)];
    const needed = documents.flatMap(({ blob, document }) =>
      document.kind === "manifest" ? [blob, ...blobsNamed(document)] : [blob],
    );
    await hold.add(...needed.map(({ digest }) => digest));

    await this.#uploadBlobs(documents);
    // What a document names has to be there first.
    for (const { blob } of documents.toReversed()) {
      const bytes = readFileSync(content.pathOf(blob.digest));
      const isTop = blob === documents[0]!.blob;
      await this.#destination.repository.putManifest(
        isTop ? tag : blob.digest,
        { bytes, mediaType: typeOf(bytes, blob), digest: blob.digest },
        this.#signal,
      );
    }
    const top = documents[0]!.blob;
    this.#report({ status: `${tag}: digest: ${top.digest} size: ${top.size}` });
    const current = this.#rooms.store.byId(record.id);
    if (current) this.#rooms.store.put(current, [withDigest(this.#reference, top.digest)], top.digest);
    this.#report({ progressDetail: {}, aux: { Tag: tag, Digest: top.digest, Size: top.size } });
    if (index && !whole && !this.#request.platform)
      this.#report({
        progressDetail: {},
        aux: {
          manifestPushedInsteadOfIndex: true,
          originalIndex: descriptorOf(index),
          selectedManifest: descriptorOf(top),
        },
      });
  }

  /** The image, which of its manifests the name stands for, and the index where it stands for that. */
  #choose(): { record: ImageRecord; manifest: ManifestRecord; index: BlobRecord | undefined } {
    const { store } = this.#rooms;
    const record = resolveFor(store, familiarString(this.#reference), this.#request.platform);
    const target = store.targetOf(this.#reference);
    const manifest = manifestBehind(record, target);
    const index = manifest.indexes.find(({ digest }) => digest === target);
    return { record, manifest, index: this.#request.platform ? undefined : index };
  }

  /** Layers and configs, all at once. The first failure stops the others. */
  async #uploadBlobs(documents: StoredDocument[]): Promise<void> {
    const { uploads } = this.#rooms;
    const { repository, name: destination } = this.#destination;
    const sources = mountSources(this.#rooms.store, this.#reference);
    const names = this.#layerNames(documents);
    const manifests = documents.flatMap(({ document }) => (document.kind === "manifest" ? [document] : []));
    const configs = unique(manifests.map((manifest) => blobsNamed(manifest)[0]!));
    const layers = unique(manifests.flatMap((manifest) => blobsNamed(manifest).slice(1)));
    const send = async (blob: BlobRecord, report: Report) => {
      const mountFrom = [...(sources.get(blob.digest) ?? [])];
      const id = names.get(blob.digest) ?? shortId(blob.digest);
      await uploads.push({ blob, repository, destination, mountFrom, id, report, signal: this.#signal });
    };
    const tasks: (() => Promise<void>)[] = [];
    // The uppermost first, as in Docker.
    for (const layer of layers.reverse()) {
      const id = names.get(layer.digest) ?? shortId(layer.digest);
      this.#report(layerStatus(id, "Preparing"));
      if (!isForeign(layer)) tasks.push(() => send(layer, this.#report));
      else this.#report(layerStatus(id, "Skipped foreign layer"));
    }
    for (const config of configs) tasks.push(() => send(config, () => undefined));
    const outcomes = tasks.map(async (task) => {
      try {
        await task();
      } catch (thrown) {
        if (!this.#failed.signal.aborted) this.#failed.abort(thrown);
        throw thrown;
      }
    });
    await Promise.allSettled(outcomes);
    this.#request.signal?.throwIfAborted();
    if (this.#failed.signal.aborted) throw this.#failed.signal.reason;
  }

  /** How layers are called in messages: by their diff IDs, as in Docker, where those are known. */
  #layerNames(documents: StoredDocument[]): Map<string, string> {
    const names = new Map<string, string>();
    for (const { document } of documents) {
      if (document.kind === "index") continue;
      const diffIds = this.#rooms.store.byId(document.config.digest)?.diffIds;
      if (diffIds?.length !== document.layers.length) continue;
      for (const [index, { digest }] of document.layers.entries()) names.set(digest, shortId(diffIds[index]!));
    }
    return names;
  }
}

/** An index and all below it, or undefined where not all of that is here. */
function wholeIndex({ content }: ImageRooms, index: BlobRecord): StoredDocument[] | undefined {
  if (!content.has(index.digest)) return undefined;
  const documents: StoredDocument[] = [];
  for (const each of documentsBelow(content, index)) {
    const { document } = each;
    const named = document.kind === "index" ? document.manifests : blobsNamed(document).filter((b) => !isForeign(b));
    if (!named.every(({ digest }) => content.has(digest))) return undefined;
    documents.push(each);
  }
  return documents;
}

/** Each blob once. */
const unique = (blobs: BlobRecord[]) => [...new Map(blobs.map((blob) => [blob.digest, blob])).values()];

const isForeign = ({ mediaType }: BlobRecord) => isForeignLayerType(mediaType);

const descriptorOf = ({ mediaType, digest, size }: BlobRecord) => ({ mediaType, digest, size });

/** What a document says it is, else what it came as. */
function typeOf(bytes: Buffer, { mediaType }: BlobRecord): string {
  const { mediaType: own, manifests } = JSON.parse(bytes.toString("utf8")) as {
    mediaType?: string;
    manifests?: unknown;
  };
  if (typeof own === "string" && own !== "") return own;
  if (isIndexType(mediaType) || isManifestType(mediaType)) return mediaType;
  return manifests === undefined ? mediaTypes.ociManifest : mediaTypes.ociIndex;
}
