/** `docker load`: images out of an archive of any of the layouts that have been in use. */
import { closeSync, openSync, readSync } from "node:fs";
import {
  configLimitBytes,
  type Descriptor,
  manifestLimitBytes,
  parseConfig,
  parseJson,
  parseManifest,
} from "../distribution/documents.ts";
import { isImageConfigType, layerTypeOf, manifestFor, mediaTypes } from "../distribution/media-types.ts";
import { conflict, messageOf, systemError } from "../lib/errors.ts";
import {
  familiarString,
  isSha256,
  parseReference,
  type Reference,
  sha256Of,
  shortId,
  withDefaultTag,
} from "../lib/reference.ts";
import { type SpooledArchive, spoolArchive } from "./archive.ts";
import type { Hold } from "./garbage.ts";
import { readLegacyImages } from "./legacy-archive.ts";
import { hostPlatform, type Platform, parsePlatform, platformFit } from "./platform.ts";
import { layerProgress, type Report, throttle } from "./progress.ts";
import type { BlobRecord, ImageRecord } from "./record.ts";
import { register } from "./register.ts";
import { announce, type ImageRooms } from "./rooms.ts";

export interface LoadOptions {
  /** Which image of a multi-platform archive is meant; this machine's where it is not given. */
  platform?: string;
  signal?: AbortSignal;
}

const INDEX_DEPTH = 4;

/** Loads all images of an archive and returns them. A failure leaves those that were complete. */
export async function load(
  rooms: ImageRooms,
  archive: AsyncIterable<Uint8Array>,
  report: Report,
  options: LoadOptions = {},
): Promise<ImageRecord[]> {
  const platform = options.platform ? parsePlatform(options.platform) : undefined;
  const { hold, digests } = recordingHold(rooms);
  try {
    const spooled = await spoolArchive(archive, rooms.content, hold);
    return await new Load(rooms, spooled, hold, platform, report, options.signal).run();
  } finally {
    hold.release();
    await rooms.garbage.collect(digests, digests);
  }
}

/** A hold that knows what it held, for what comes of an archive without being needed goes away again. */
function recordingHold(rooms: ImageRooms): { hold: Hold; digests: Set<string> } {
  const hold = rooms.garbage.hold();
  const digests = new Set<string>();
  const add = (...added: string[]) => {
    for (const digest of added) digests.add(digest);
    return hold.add(...added);
  };
  return { hold: { add, release: hold.release }, digests };
}

/** An image found in an archive, before its layers are unpacked. */
interface FoundImage {
  configDigest: string;
  layers: BlobRecord[];
  /** The manifest as it came; made up where the layout has none. */
  manifest: (BlobRecord & { indexes: BlobRecord[] }) | undefined;
  references: Reference[];
}

class Load {
  readonly #rooms: ImageRooms;
  readonly #archive: SpooledArchive;
  readonly #hold: Hold;
  readonly #platform: Platform | undefined;
  readonly #report: Report;
  readonly #signal: AbortSignal | undefined;

  constructor(
    rooms: ImageRooms,
    archive: SpooledArchive,
    hold: Hold,
    platform: Platform | undefined,
    report: Report,
    signal: AbortSignal | undefined,
  ) {
    this.#rooms = rooms;
    this.#archive = archive;
    this.#hold = hold;
    this.#platform = platform;
    this.#report = report;
    this.#signal = signal;
  }

  async run(): Promise<ImageRecord[]> {
    const index = this.#archive.document("index.json");
    const manifest = this.#archive.document("manifest.json");
    if (index) return this.#all(withTags(this.#fromIndex(index), manifest ? this.#fromManifest(manifest) : []));
    if (manifest) return this.#all(this.#fromManifest(manifest));
    const repositories = this.#archive.document("repositories");
    if (!repositories) throw systemError("open manifest.json: no such file or directory");
    const found: FoundImage[] = [];
    for (const legacy of readLegacyImages(this.#archive, repositories)) {
      const layers = legacy.layers.map((name) => this.#layerBlob(name));
      const diffIds: string[] = [];
      for (const layer of layers) diffIds.push(await this.#unpack(layer, undefined));
      const config = Buffer.from(JSON.stringify({ ...legacy.config, rootfs: { type: "layers", diff_ids: diffIds } }));
      const { digest } = await this.#store(config);
      found.push({ configDigest: digest, layers, manifest: undefined, references: legacy.references });
    }
    return this.#all(found);
  }

  async #all(found: FoundImage[]): Promise<ImageRecord[]> {
    const records: ImageRecord[] = [];
    for (const image of found) records.push(await this.#one(image));
    return records;
  }

  async #one({ configDigest, layers, manifest, references }: FoundImage): Promise<ImageRecord> {
    const { store } = this.#rooms;
    await this.#hold.add(configDigest, ...layers.map(({ digest }) => digest));
    const config = parseConfig(this.#read(configDigest, configLimitBytes));
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== layers.length)
      throw systemError(`invalid manifest, layers length mismatch: expected ${layers.length}, got ${diffIds.length}`);
    await Promise.all(layers.map((layer, index) => this.#unpack(layer, diffIds[index]!)));
    for (const reference of references) {
      const before = store.idOf(reference);
      if (before !== undefined && before !== configDigest)
        this.#report({
          stream: `The image ${familiarString(reference)} already exists, renaming the old one with ID ${before} to empty string\n`,
        });
    }
    const record = register(this.#rooms, {
      id: configDigest,
      config,
      manifest: { ...(manifest ?? (await this.#makeManifest(configDigest, layers))), layers },
      references,
      ...(manifest ? { target: manifest.indexes[0]?.digest ?? manifest.digest } : {}),
      isTagged: true,
    });
    announce(this.#rooms, "load", record.id, record.id, record.labels);
    if (references.length === 0) this.#report({ stream: `Loaded image ID: ${record.id}\n` });
    for (const reference of references) this.#report({ stream: `Loaded image: ${familiarString(reference)}\n` });
    return record;
  }

  /** Two layers may be the same blob; the layer store unpacks it once. Returns the diff ID. */
  async #unpack(layer: BlobRecord, diffId: string | undefined): Promise<string> {
    const { layers, content } = this.#rooms;
    if (diffId !== undefined) {
      await this.#hold.add(diffId);
      if (layers.has(diffId)) return diffId;
    }
    const id = shortId(diffId ?? layer.digest);
    const isDue = throttle();
    try {
      const unpacked = await layers.unpack(
        { path: content.pathOf(layer.digest) },
        {
          ...(diffId === undefined ? {} : { diffId }),
          ...(this.#signal ? { signal: this.#signal } : {}),
          onProgress: (read) => {
            if (isDue(read, layer.size)) this.#report(layerProgress(id, "Loading layer", read, layer.size));
          },
        },
      );
      await this.#hold.add(unpacked.diffId);
      return unpacked.diffId;
    } catch (thrown) {
      this.#signal?.throwIfAborted();
      throw systemError(messageOf(thrown), thrown);
    }
  }

  /** manifest.json, as Docker has written it since 1.10. */
  #fromManifest(bytes: Buffer): FoundImage[] {
    const entries = parseJson(bytes, "manifest.json");
    if (!Array.isArray(entries)) throw systemError("error unmarshalling content: manifest.json is not a list");
    return entries.map((entry: { Config?: unknown; RepoTags?: unknown; Layers?: unknown } | null) => {
      const { Config: config, RepoTags: tags, Layers: layers } = entry ?? {};
      if (typeof config !== "string" || !isTexts(layers ?? []) || !isTexts(tags ?? []))
        throw systemError("error unmarshalling content: manifest.json has a field of the wrong type");
      return {
        configDigest: this.#archive.blob(config).digest,
        layers: ((layers ?? []) as string[]).map((name) => this.#layerBlob(name)),
        manifest: undefined,
        references: ((tags ?? []) as string[]).map(tagReference),
      };
    });
  }

  #layerBlob(name: string): BlobRecord {
    const { digest, size } = this.#archive.blob(name);
    return { digest, size, mediaType: this.#layerType(digest) };
  }

  /** index.json of an OCI layout (OCI image-spec, image-layout.md). */
  #fromIndex(bytes: Buffer): FoundImage[] {
    const index = parseManifest(bytes, mediaTypes.ociIndex, "index.json");
    if (index.kind !== "index") throw systemError("error unmarshalling content: index.json is not an index");
    // The same manifest is listed once for each of its names.
    const byDigest = new Map<string, FoundImage>();
    for (const descriptor of index.manifests) {
      const reference = annotatedReference(descriptor);
      const known = byDigest.get(descriptor.digest);
      if (known) known.references.push(...reference);
      else {
        const image = this.#fromDescriptor(descriptor, []);
        if (image) byDigest.set(descriptor.digest, { ...image, references: reference });
      }
    }
    if (byDigest.size === 0) throw systemError("the archive has no image for this platform");
    return [...byDigest.values()];
  }

  /** The image that a descriptor stands for, or undefined where it is something else than an image. */
  #fromDescriptor(descriptor: Descriptor, indexes: BlobRecord[]): FoundImage | undefined {
    const bytes = this.#read(descriptor.digest, manifestLimitBytes);
    const document = parseManifest(bytes, descriptor.mediaType, descriptor.digest);
    const blob = { digest: descriptor.digest, mediaType: descriptor.mediaType, size: bytes.length };
    if (document.kind === "index") {
      if (indexes.length >= INDEX_DEPTH) throw systemError("the archive's indexes are nested too deeply");
      for (const candidate of this.#byFit(document.manifests)) {
        const image = this.#fromDescriptor(candidate, [...indexes, blob]);
        if (image) return image;
      }
      return undefined;
    }
    if (!isImageConfigType(document.config.mediaType)) return undefined;
    for (const { digest } of [document.config, ...document.layers]) this.#require(digest);
    return {
      configDigest: document.config.digest,
      layers: document.layers.map(({ digest, mediaType, size }) => ({ digest, mediaType, size })),
      manifest: { ...blob, indexes },
      references: [],
    };
  }

  /** Entries that are in the archive, the best for the wanted platform first; without a wish any will do. */
  #byFit(manifests: Descriptor[]): Descriptor[] {
    const wanted = this.#platform ?? hostPlatform();
    const fit = ({ platform }: Descriptor) => (platform ? platformFit(wanted, platform) : 1);
    return manifests
      .filter((entry) => this.#rooms.content.has(entry.digest) && entry.platform?.os !== "unknown")
      .filter((entry) => this.#platform === undefined || fit(entry) > 0)
      .sort((one, other) => fit(other) - fit(one));
  }

  #require(digest: string): void {
    if (!isSha256(digest) || !this.#rooms.content.has(digest))
      throw systemError(`open blobs/sha256/${digest.slice(7)}: no such file or directory`);
  }

  #read(digest: string, limitBytes: number): Uint8Array {
    this.#require(digest);
    const size = this.#rooms.content.sizeOf(digest)!;
    if (size > limitBytes) throw systemError(`blobs/sha256/${digest.slice(7)}: ${size} bytes is too long`);
    return readStart(this.#rooms.content.pathOf(digest), size);
  }

  #layerType(digest: string): string {
    return layerTypeOf(readStart(this.#rooms.content.pathOf(digest), 4));
  }

  async #makeManifest(configDigest: string, layers: BlobRecord[]) {
    const config = { digest: configDigest, size: this.#rooms.content.sizeOf(configDigest)! };
    return { ...(await this.#store(manifestFor(config, layers))), mediaType: mediaTypes.ociManifest, indexes: [] };
  }

  async #store(bytes: Buffer) {
    await this.#hold.add(sha256Of(bytes));
    return this.#rooms.content.write(bytes);
  }
}

/** Docker's archives carry both layouts; where the index gives an image no name, manifest.json may. */
function withTags(found: FoundImage[], tagged: FoundImage[]): FoundImage[] {
  const named = new Map(tagged.map((image) => [image.configDigest, image.references]));
  return found.map((image) =>
    image.references.length > 0 ? image : { ...image, references: named.get(image.configDigest) ?? [] },
  );
}

const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string");

function tagReference(text: string): Reference {
  const reference = withDefaultTag(parseReference(text));
  if (reference.digest !== undefined) throw conflict(`invalid tag "${text}"`);
  return reference;
}

/** The name an index gives one of its entries; containerd's annotation is a full name, OCI's may be a mere tag. */
function annotatedReference({ annotations = {} }: Descriptor): Reference[] {
  const text = annotations["io.containerd.image.name"] ?? annotations["org.opencontainers.image.ref.name"];
  if (text === undefined || (!annotations["io.containerd.image.name"] && !/[:/]/.test(text))) return [];
  try {
    return [tagReference(text)];
  } catch {
    return [];
  }
}

function readStart(path: string, length: number): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(length);
    let done = 0;
    while (done < length) {
      const read = readSync(file, bytes, done, length - done, done);
      if (read === 0) break;
      done += read;
    }
    return bytes.subarray(0, done);
  } finally {
    closeSync(file);
  }
}
