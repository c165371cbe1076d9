/** `docker pull`: from a reference to an image, over whichever server has it. */

import {
  type ConfigDocument,
  configLimitBytes,
  type Descriptor,
  type Manifest,
  parseConfig,
  parseManifest,
} from "../distribution/documents.ts";
import { isImageConfigType } from "../distribution/media-types.ts";
import type { Credentials } from "../distribution/registry-auth.ts";
import { ConnectionError, RegistryError } from "../distribution/registry-errors.ts";
import type { Repository } from "../distribution/repository.ts";
import { messageOf, notFound, systemError } from "../lib/errors.ts";
import {
  canonicalString,
  familiarString,
  parseReference,
  type Reference,
  shortId,
  withDigest,
  withTag,
} from "../lib/reference.ts";
import { isEmbedded, registerEmbedded } from "./embedded.ts";
import { fromAny } from "./from-any.ts";
import type { Hold } from "./garbage.ts";
import { choosePlatform, formatPlatform, hostPlatform, type Platform, parsePlatform, platformFit } from "./platform.ts";
import { layerStatus, type Report } from "./progress.ts";
import type { BlobRecord, ImageRecord } from "./record.ts";
import { register } from "./register.ts";
import { announce, type ImageRooms } from "./rooms.ts";

export interface PullRequest {
  /** A name, with or without tag or digest. */
  reference: string;
  /** A tag or a digest, which counts for more than the reference's own. Without either all tags are pulled. */
  tag?: string;
  /** `linux/arm64`; this machine's where it is not given. */
  platform?: string;
  auth?: Credentials;
  signal?: AbortSignal;
}

interface Pulled {
  record: ImageRecord;
  /** Whether the name points at another image than before. */
  isNew: boolean;
  /** Whether it is the one that is part of the program. */
  isEmbedded: boolean;
}

/** An index may hold an index; nobody nests deeper. */
const INDEX_DEPTH = 4;

/** Not an image: Dockerfiles start from it where they start from nothing. */
const RESERVED_NAME = "scratch";

/** Pulls an image and returns it; of all tags the last. Throws in Docker's words. */
export async function pull(rooms: ImageRooms, request: PullRequest, report: Report): Promise<ImageRecord> {
  const reference = requestedReference(request);
  if (reference.familiarName === RESERVED_NAME) throw systemError(`'${RESERVED_NAME}' is a reserved name`);
  const platform = request.platform ? parsePlatform(request.platform) : undefined;
  request.signal?.throwIfAborted();
  const references =
    reference.tag === undefined && reference.digest === undefined
      ? await allTags(rooms, reference, request)
      : [reference];
  let last: Pulled | undefined;
  let isNew = false;
  for (const each of references) {
    last = await new Pull(rooms, each, platform, request, report).run();
    isNew ||= last.isNew;
  }
  if (!last) throw notFound(`no tags found for repository ${reference.familiarName}`);
  const name = familiarString(reference);
  if (last.isEmbedded) report({ status: `Status: Using the ${name} image that is built into Brig` });
  else report({ status: `Status: ${isNew ? "Downloaded newer image" : "Image is up to date"} for ${name}` });
  announce(rooms, "pull", name, reference.familiarName, last.record.labels);
  return last.record;
}

function requestedReference({ reference: text, tag }: PullRequest): Reference {
  const reference = parseReference(text);
  if (!tag) return reference;
  return tag.includes(":") ? withDigest(reference, tag) : withTag(reference, tag);
}

async function allTags(rooms: ImageRooms, reference: Reference, request: PullRequest): Promise<Reference[]> {
  try {
    const tags = await fromAny(rooms, reference, request, (repository) => repository.tags(request.signal));
    return tags.map((tag) => withTag(reference, tag));
  } catch (thrown) {
    request.signal?.throwIfAborted();
    throw explain(reference, thrown);
  }
}

class Pull {
  readonly #rooms: ImageRooms;
  readonly #reference: Reference;
  readonly #platform: Platform | undefined;
  readonly #request: PullRequest;
  readonly #report: Report;

  constructor(
    rooms: ImageRooms,
    reference: Reference,
    platform: Platform | undefined,
    request: PullRequest,
    report: Report,
  ) {
    this.#rooms = rooms;
    this.#reference = reference;
    this.#platform = platform;
    this.#request = request;
    this.#report = report;
  }

  async run(): Promise<Pulled> {
    const hold = this.#rooms.garbage.hold();
    try {
      return await fromAny(this.#rooms, this.#reference, this.#request, (repository) => this.#from(repository, hold));
    } catch (thrown) {
      this.#request.signal?.throwIfAborted();
      if (thrown instanceof ConnectionError && isEmbedded(this.#reference)) return this.#useEmbedded(thrown);
      throw explain(this.#reference, thrown);
    } finally {
      hold.release();
    }
  }

  async #from(repository: Repository, hold: Hold): Promise<Pulled> {
    const { store, content } = this.#rooms;
    const { signal } = this.#request;
    const reference = this.#reference;
    const top = await repository.manifest(reference.digest ?? reference.tag!, signal);
    let document = parseManifest(top.bytes, top.mediaType, familiarString(reference));
    this.#report({
      status: `Pulling from ${reference.path}`,
      id: reference.digest ? canonicalString(reference) : reference.tag!,
    });

    const documents: { bytes: Uint8Array; blob: BlobRecord }[] = [
      { bytes: top.bytes, blob: { digest: top.digest, mediaType: top.mediaType, size: top.bytes.length } },
    ];
    for (let depth = 0; document.kind === "index"; depth++) {
      const chosen = depth < INDEX_DEPTH ? this.#choose(document.manifests) : undefined;
      if (!chosen) throw this.#noMatch();
      const fetched = await repository.manifest(chosen.digest, signal);
      const mediaType = chosen.mediaType || fetched.mediaType;
      document = parseManifest(fetched.bytes, mediaType, familiarString(reference));
      documents.push({
        bytes: fetched.bytes,
        blob: { digest: fetched.digest, mediaType, size: fetched.bytes.length },
      });
    }

    const manifest = document;
    const [before, known] = [store.idOf(reference), store.byId(manifest.config.digest)];
    await hold.add(manifest.config.digest, ...documents.map(({ blob }) => blob.digest));
    await hold.add(...manifest.layers.map(({ digest }) => digest));
    const config = await this.#config(repository, manifest);
    this.#checkPlatform(config);
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== manifest.layers.length)
      throw systemError("layers from manifest don't match image configuration");
    await hold.add(...diffIds);
    await this.#layers(repository, manifest, diffIds, known !== undefined);

    for (const { bytes, blob } of documents) if (!content.has(blob.digest)) await content.write(bytes);
    const blobs = documents.map(({ blob }) => blob);
    const record = register(this.#rooms, {
      id: manifest.config.digest,
      config,
      manifest: {
        ...blobs.at(-1)!,
        layers: manifest.layers.map(({ digest, mediaType, size }) => ({ digest, mediaType, size })),
        indexes: blobs.slice(0, -1),
      },
      references: [...(reference.digest === undefined ? [reference] : []), withDigest(reference, top.digest)],
      target: top.digest,
      isTagged: false,
    });
    this.#report({ status: `Digest: ${top.digest}` });
    return { record, isNew: before !== record.id, isEmbedded: false };
  }

  async #config(repository: Repository, manifest: Manifest): Promise<ConfigDocument> {
    const { content } = this.#rooms;
    const { digest, size, mediaType } = manifest.config;
    if (!isImageConfigType(mediaType)) {
      if (mediaType === "application/vnd.docker.plugin.v1+json")
        throw systemError(`Encountered remote "${mediaType}"(plugin) when fetching`);
      throw systemError(`unsupported media type ${mediaType}`);
    }
    if (size > configLimitBytes) throw systemError(`error pulling image configuration: ${size} bytes is too long`);
    if (!content.has(digest)) {
      let bytes: Uint8Array;
      try {
        bytes = await repository.smallBlob(digest, size, this.#request.signal);
      } catch (thrown) {
        this.#request.signal?.throwIfAborted();
        throw systemError(`error pulling image configuration: ${messageOf(thrown)}`);
      }
      parseConfig(bytes);
      await content.write(bytes);
    }
    return parseConfig(new Uint8Array(await Bun.file(content.pathOf(digest)).arrayBuffer()));
  }

  /** All layers at once. The first failure stops the others. */
  async #layers(repository: Repository, manifest: Manifest, diffIds: string[], isKnown: boolean): Promise<void> {
    const { downloads } = this.#rooms;
    const failed = new AbortController();
    const { signal } = this.#request;
    const either = signal ? AbortSignal.any([signal, failed.signal]) : failed.signal;
    const missing: (() => Promise<void>)[] = [];
    const seen = new Set<string>();
    manifest.layers.forEach((blob, index) => {
      const diffId = diffIds[index]!;
      const key = `${blob.digest} ${diffId}`;
      if (seen.has(key)) return;
      seen.add(key);
      const isHere = downloads.has(blob, diffId);
      if (!isHere || !isKnown)
        this.#report(layerStatus(shortId(blob.digest), isHere ? "Already exists" : "Pulling fs layer"));
      if (isHere) return;
      const open = (offset: number, signal: AbortSignal) => repository.blob(blob.digest, offset, signal);
      missing.push(() => downloads.fetch({ blob, diffId, open, report: this.#report, signal: either }));
    });
    const outcomes = missing.map(async (fetch) => {
      try {
        await fetch();
      } catch (thrown) {
        if (!failed.signal.aborted) failed.abort(thrown);
        throw thrown;
      }
    });
    await Promise.allSettled(outcomes);
    signal?.throwIfAborted();
    if (failed.signal.aborted) throw failed.signal.reason;
  }

  #choose(manifests: Descriptor[]): Descriptor | undefined {
    return choosePlatform(manifests, this.#platform ?? hostPlatform());
  }

  #noMatch(): Error {
    const platform = formatPlatform(this.#platform ?? hostPlatform());
    return notFound(`no matching manifest for ${platform} in the manifest list entries`);
  }

  #checkPlatform({ os, architecture, variant }: ConfigDocument): void {
    const wanted = this.#platform;
    if (!wanted || platformFit(wanted, { os, architecture, variant }) > 0) return;
    const actual = formatPlatform({ os, architecture, variant: variant ?? "" });
    throw notFound(
      `image with reference ${canonicalString(this.#reference)} was found but does not match the specified platform: wanted ${formatPlatform(wanted)}, actual: ${actual}`,
    );
  }

  async #useEmbedded(cause: ConnectionError): Promise<Pulled> {
    const reference = this.#reference;
    this.#report({ status: `No registry can be reached (${cause.message})` });
    const record = await registerEmbedded(this.#rooms, reference, this.#platform ?? hostPlatform());
    return { record, isNew: true, isEmbedded: true };
  }
}

/** A registry's refusal in the words that Docker's clients look for. */
function explain(reference: Reference, thrown: unknown): unknown {
  if (!(thrown instanceof RegistryError)) return thrown;
  const { familiarName } = reference;
  switch (thrown.code) {
    case "DENIED":
      return notFound(
        `pull access denied for ${familiarName}, repository does not exist or may require 'docker login': ${thrown.message}`,
      );
    case "MANIFEST_UNKNOWN":
      return notFound(`manifest for ${familiarString(reference)} not found: ${thrown.message}`);
    case "NAME_UNKNOWN":
      return notFound(`repository ${familiarName} not found: ${thrown.message}`);
    default:
      return thrown;
  }
}
