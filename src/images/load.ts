/** `docker load`: images out of an archive of any of the layouts that have been in use, all their platforms. */
import { manifestFor, mediaTypes } from "../distribution/media-types.ts";
import { systemError } from "../lib/errors.ts";
import { familiarString, sha256Of } from "../lib/reference.ts";
import { type SpooledArchive, spoolArchive } from "./archive.ts";
import {
  type ArchivedGroup,
  type ArchivedImage,
  archivedLayer,
  readConfig,
  readIndexJson,
  readManifestJson,
  withTags,
} from "./archive-images.ts";
import { ArchiveLayers } from "./archive-layers.ts";
import type { Hold } from "./garbage.ts";
import { readLegacyImages } from "./legacy-archive.ts";
import { type Platform, parsePlatform } from "./platform.ts";
import type { Report } from "./progress.ts";
import type { ImageRecord } from "./record.ts";
import { register } from "./register.ts";
import { announce, type ImageRooms } from "./rooms.ts";
import { bestFor, mainOf } from "./variants.ts";

export interface LoadOptions {
  /** Load only the images for these platforms, `linux/arm64`; all that the archive has where none is given. */
  platforms?: string[];
  signal?: AbortSignal;
}

/** Loads all images of an archive and returns them. A failure leaves those that were complete. */
export async function load(
  rooms: ImageRooms,
  archive: AsyncIterable<Uint8Array>,
  report: Report,
  options: LoadOptions = {},
): Promise<ImageRecord[]> {
  const platforms = (options.platforms ?? []).map(parsePlatform);
  const { hold, digests } = recordingHold(rooms);
  const layers = new ArchiveLayers(rooms, hold, report, options.signal);
  try {
    const spooled = await spoolArchive(archive, rooms.content, hold, {
      limitBytes: rooms.layers.limitBytes,
      onLayer: (blob) => layers.begin(blob),
    });
    return await new Load(rooms, spooled, hold, platforms, report, layers).run();
  } finally {
    await layers.end();
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

class Load {
  readonly #rooms: ImageRooms;
  readonly #archive: SpooledArchive;
  readonly #hold: Hold;
  readonly #platforms: Platform[];
  readonly #report: Report;
  readonly #layers: ArchiveLayers;

  constructor(
    rooms: ImageRooms,
    archive: SpooledArchive,
    hold: Hold,
    platforms: Platform[],
    report: Report,
    layers: ArchiveLayers,
  ) {
    this.#rooms = rooms;
    this.#archive = archive;
    this.#hold = hold;
    this.#platforms = platforms;
    this.#report = report;
    this.#layers = layers;
  }

  async run(): Promise<ImageRecord[]> {
    const groups = (await this.#groups()).map((group) => this.#forPlatform(group));
    const wanted = groups.filter(({ images }) => images.length > 0);
    if (wanted.length === 0)
      throw systemError(`the archive has no image${this.#platforms.length > 0 ? " for this platform" : ""}`);
    const records: ImageRecord[] = [];
    for (const group of wanted) records.push(...(await this.#load(group)));
    return records;
  }

  async #groups(): Promise<ArchivedGroup[]> {
    const { content } = this.#rooms;
    const index = this.#archive.document("index.json");
    const manifest = this.#archive.document("manifest.json");
    if (index)
      return withTags(
        readIndexJson(content, index),
        manifest ? readManifestJson(content, this.#archive, manifest) : [],
      );
    if (manifest) return readManifestJson(content, this.#archive, manifest);
    const repositories = this.#archive.document("repositories");
    if (!repositories) throw systemError("open manifest.json: no such file or directory");
    return this.#legacyGroups(repositories);
  }

  async #legacyGroups(repositories: Buffer): Promise<ArchivedGroup[]> {
    const groups: ArchivedGroup[] = [];
    for (const legacy of readLegacyImages(this.#archive, repositories)) {
      const layers = legacy.layers.map((name) => archivedLayer(this.#archive, name));
      const diffIds: string[] = [];
      for (const layer of layers) diffIds.push(await this.#layers.unpack(layer, undefined));
      const document = { ...legacy.config, rootfs: { type: "layers", diff_ids: diffIds } };
      const { digest } = await this.#store(Buffer.from(JSON.stringify(document)));
      const image = { configDigest: digest, config: readConfig(this.#rooms.content, digest), layers };
      groups.push({
        references: legacy.references,
        target: undefined,
        images: [{ ...image, manifest: undefined }],
      });
    }
    return groups;
  }

  #forPlatform(group: ArchivedGroup): ArchivedGroup {
    if (this.#platforms.length === 0) return group;
    const candidates = group.images.map((image) => ({ ...image.config, image }));
    const chosen = new Set(this.#platforms.map((wanted) => bestFor(candidates, wanted)?.image));
    return { ...group, images: group.images.filter((image) => chosen.has(image)) };
  }

  /** Unpacks all images of a group, then writes their rows: first of the one that gets the names. */
  async #load({ references, target, images }: ArchivedGroup): Promise<ImageRecord[]> {
    for (const { config } of images)
      if (config.os !== "linux") throw systemError(`cannot load ${config.os} image on linux`);
    await Promise.all(images.map((image) => this.#unpack(image)));
    this.#layers.throwIfGivenUp();
    const main = mainOf(images.map((image) => ({ ...image.config, image })))!.image;
    for (const reference of references) {
      const before = this.#rooms.store.idOf(reference);
      const isSame = target !== undefined && this.#rooms.store.targetOf(reference) === target;
      if (before !== undefined && before !== main.configDigest && !isSame)
        this.#report({
          stream: `The image ${familiarString(reference)} already exists, renaming the old one with ID ${before} to empty string\n`,
        });
    }
    const records: ImageRecord[] = [];
    for (const image of [main, ...images.filter((other) => other !== main)]) {
      const record = register(this.#rooms, {
        id: image.configDigest,
        config: image.config,
        manifest: { ...(image.manifest ?? (await this.#makeManifest(image))), layers: image.layers },
        references: image === main ? references : [],
        ...(target ? { target } : {}),
        isTagged: image === main,
      });
      announce(this.#rooms, "load", record.id, record.id, record.labels);
      if (references.length === 0) this.#report({ stream: `Loaded image ID: ${record.id}\n` });
      records.push(record);
    }
    for (const reference of references) this.#report({ stream: `Loaded image: ${familiarString(reference)}\n` });
    return records;
  }

  async #unpack({ configDigest, config, layers, manifest }: ArchivedImage): Promise<void> {
    const diffIds = config.rootfs.diff_ids;
    if (diffIds.length !== layers.length)
      throw systemError(`invalid manifest, layers length mismatch: expected ${layers.length}, got ${diffIds.length}`);
    const others = manifest ? [manifest, ...manifest.indexes, ...manifest.companions] : [];
    const needed = [configDigest, ...[...layers, ...others].map(({ digest }) => digest)];
    await this.#hold.add(...needed);
    await Promise.all(layers.map((layer, index) => this.#layers.unpack(layer, diffIds[index]!)));
    // What was here before the archive came may have gone before it was held.
    for (const digest of needed)
      if (!this.#rooms.content.has(digest)) throw systemError(`content digest ${digest}: not found`);
  }

  async #makeManifest({ configDigest, layers }: ArchivedImage) {
    const config = { digest: configDigest, size: this.#rooms.content.sizeOf(configDigest)! };
    return { ...(await this.#store(manifestFor(config, layers))), mediaType: mediaTypes.ociManifest, indexes: [] };
  }

  async #store(bytes: Buffer) {
    await this.#hold.add(sha256Of(bytes));
    return this.#rooms.content.write(bytes);
  }
}
