/** The images of a data root: the one door to this room. */
import { readFileSync } from "node:fs";
import { type ConfigDocument, parseConfig } from "../distribution/documents.ts";
import type { ImageSettings } from "../distribution/endpoints.ts";
import type { Credentials } from "../distribution/registry-auth.ts";
import { BrigError } from "../lib/errors.ts";
import { familiarString } from "../lib/reference.ts";
import type { StateDatabase } from "../state/database.ts";
import type { ContentStore } from "../storage/content.ts";
import type { LayerStore } from "../storage/layers.ts";
import type {
  DriverData,
  ImageConfig,
  ImageDeleteResponseItem,
  ImageHistoryResponseItem,
  ImageInspect,
  ImageSummary,
} from "../wire/engine-api.ts";
import type { CommitTarget, PreparedCommit } from "./commit.ts";
import { LayerDownloads } from "./downloads.ts";
import { Garbage } from "./garbage.ts";
import type { ImportRequest } from "./import.ts";
import { history, inspect } from "./inspect.ts";
import { type ImageListQuery, list } from "./list.ts";
import type { LoadOptions } from "./load.ts";
import type { LoginRequest } from "./login.ts";
import { manifestsOf } from "./manifests.ts";
import { newName } from "./new-name.ts";
import type { Report } from "./progress.ts";
import type { PullRequest } from "./pull.ts";
import type { PushRequest } from "./push.ts";
import type { Image, ImageRecord } from "./record.ts";
import type { DistributionInspect } from "./remote-descriptor.ts";
import { type RemoveOptions, remove } from "./remove.ts";
import { announce, type EventSink, type ImageRooms, type ImageUser } from "./rooms.ts";
import type { SearchQuery, SearchResult } from "./search.ts";
import { ImageStore } from "./store.ts";
import { BlobUploads } from "./uploads.ts";
import { resolveFor } from "./variants.ts";

export type { ImageSettings } from "../distribution/endpoints.ts";
export type { ImportRequest } from "./import.ts";
export type { InspectedImage } from "./inspect.ts";
export type { ImageListQuery } from "./list.ts";
export type { LoadOptions } from "./load.ts";
export type { ProgressMessage, Report } from "./progress.ts";
export type { PullRequest } from "./pull.ts";
export type { PushRequest } from "./push.ts";
export type { Image } from "./record.ts";
export type { RemoveOptions } from "./remove.ts";
export type { EventSink, ImageUser } from "./rooms.ts";

export interface ImagesOptions {
  db: StateDatabase;
  content: ContentStore;
  layers: LayerStore;
  events: EventSink;
  settings: ImageSettings;
}

/** How many images' configs stay parsed in memory. */
const CONFIG_CACHE_LIMIT = 128;

export class Images {
  /** May be replaced while pulls are going on; the next one follows it. */
  settings: ImageSettings;
  /** Containers made from an image; set by the daemon. */
  usedBy: (imageId: string) => ImageUser[] = () => [];
  /** Diff IDs of all containers' layers, whose image may have been removed by force; set by the daemon. */
  layersInUse: () => Iterable<string> = () => [];
  /** The `GraphDriver` of inspect, for layers; set by the daemon. */
  graphDriver: (diffIds: string[]) => DriverData = () => ({ Name: "overlay2", Data: {} });

  readonly #store: ImageStore;
  readonly #content: ContentStore;
  readonly #layers: LayerStore;
  readonly #garbage: Garbage;
  readonly #rooms: ImageRooms;
  readonly #configs = new Map<string, ConfigDocument>();

  constructor({ db, content, layers, events, settings }: ImagesOptions) {
    this.settings = settings;
    this.#store = new ImageStore(db);
    this.#content = content;
    this.#layers = layers;
    const removable = {
      has: (diffId: string) => layers.has(diffId),
      remove: (diffId: string) => layers.remove(diffId),
      ids: () => db.all<{ diff_id: string }>("SELECT diff_id FROM layers").map((row) => row.diff_id),
    };
    this.#garbage = new Garbage(this.#store, content, removable, () => this.layersInUse());
    this.#rooms = {
      store: this.#store,
      content,
      layers,
      garbage: this.#garbage,
      downloads: new LayerDownloads(content, layers, () => this.settings),
      uploads: new BlobUploads(content, () => this.settings.maxConcurrentUploads),
      events,
      settings: () => this.settings,
      usedBy: (id) => this.usedBy(id),
      graphDriver: (diffIds) => this.graphDriver(diffIds),
    };
  }

  /**
   * The image that a name, digest or id means; of a name that stands for several platforms the one for `platform`
   * (`linux/arm64`), where that is given. Throws notFound `No such image: …`, or that the platform is not here.
   */
  get(reference: string, platform?: string): Image {
    return this.#image(resolveFor(this.#store, reference, platform));
  }

  /** As get(), but undefined where nothing is found or nothing can be. */
  find(reference: string): Image | undefined {
    try {
      return this.get(reference);
    } catch (thrown) {
      if (thrown instanceof BrigError && (thrown.kind === "notFound" || thrown.kind === "invalidParameter"))
        return undefined;
      throw thrown;
    }
  }

  /** How many images there are. */
  get count(): number {
    return this.#store.all().filter((record) => !this.#store.isHiddenVariant(record)).length;
  }

  /** Bytes of all layers that images need, each counted once. */
  get layersSize(): number {
    const diffIds = new Set(this.#store.all().flatMap((record) => record.diffIds));
    return [...diffIds].reduce((sum, diffId) => sum + this.#layers.size(diffId), 0);
  }

  list(query: ImageListQuery): ImageSummary[] {
    return list(this.#rooms, query);
  }

  /** `platform` as in get(); with `manifests` also what else the name stands for. */
  inspect(reference: string, platform?: string, { manifests = false } = {}): ImageInspect {
    const record = resolveFor(this.#store, reference, platform);
    const image = inspect(this.#rooms, record, this.#config(record));
    return manifests ? { ...image, Manifests: manifestsOf(this.#rooms, this.#store.resolve(reference)) } : image;
  }

  /** `platform` as in get(). */
  history(reference: string, platform?: string): ImageHistoryResponseItem[] {
    const record = resolveFor(this.#store, reference, platform);
    return history(this.#rooms, record, this.#config(record));
  }

  /** Gives an image one more name. Throws where it is not there or the name is none. */
  tag(source: string, repo: string, tag: string): void {
    const reference = newName(repo, tag);
    const record = { ...this.#store.resolve(source), lastTagTime: new Date().toISOString() };
    this.#store.put(record, [reference], this.#store.targetNamedBy(source));
    announce(this.#rooms, "tag", record.id, familiarString(reference), record.labels);
  }

  remove(reference: string, options: RemoveOptions): Promise<ImageDeleteResponseItem[]> {
    return remove(this.#rooms, reference, options);
  }

  /** Removes what no container uses. */
  async prune(filters: Map<string, string[]>): Promise<{ deleted: ImageDeleteResponseItem[]; spaceReclaimed: number }> {
    const { prune } = await import("./prune.ts");
    return prune(this.#rooms, filters);
  }

  /**
   * The archive of images by their names, digests or ids; all platforms of each, or those named as in get(). Throws
   * before the first byte where one is not there.
   */
  async save(names: string[], platforms: string[] = []): Promise<AsyncGenerator<Uint8Array>> {
    const { save } = await import("./save.ts");
    return save(this.#rooms, names, platforms);
  }

  /** Loads an archive of `docker save` or an OCI layout. */
  async load(archive: AsyncIterable<Uint8Array>, report: Report, options: LoadOptions = {}): Promise<Image[]> {
    const { load } = await import("./load.ts");
    return (await load(this.#rooms, archive, report, options)).map((record) => this.#image(record));
  }

  /** Begins to make an image upon another one. Throws where that is not here, or the new one's name is none. */
  async prepareCommit(target: CommitTarget): Promise<PreparedCommit> {
    const { prepareCommit } = await import("./commit.ts");
    return prepareCommit(this.#rooms, target);
  }

  /** Makes an image of a root file system's archive. */
  async importTar(request: ImportRequest, report: Report): Promise<Image> {
    const { importTar } = await import("./import.ts");
    return this.#image(await importTar(this.#rooms, request, report));
  }

  /** Pulls an image; of all tags where the request names none, and then returns the last. */
  async pull(request: PullRequest, report: Report): Promise<Image> {
    const { pull } = await import("./pull.ts");
    return this.#image(await pull(this.#rooms, request, report));
  }

  /** Pushes an image to the registry that its name names; all tags where the request names none. */
  async push(request: PushRequest, report: Report): Promise<void> {
    const { push } = await import("./push.ts");
    await push(this.#rooms, request, report);
  }

  /** Whether a registry takes credentials. Returns the token to be kept in the password's place, or "". */
  async login(request: LoginRequest): Promise<string> {
    const { login } = await import("./login.ts");
    return login(this.settings, request);
  }

  /** Asks Docker Hub, or the registry that the term names. */
  async search(query: SearchQuery): Promise<SearchResult[]> {
    const { search } = await import("./search.ts");
    return search(this.settings, query);
  }

  /** What a name stands for in its registry. */
  async remoteDescriptor(
    name: string,
    request: { auth?: Credentials; signal?: AbortSignal },
  ): Promise<DistributionInspect> {
    const { remoteDescriptor } = await import("./remote-descriptor.ts");
    return remoteDescriptor(this.#rooms, name, request);
  }

  /** Removes blobs and layers that nothing needs, when containers without an image have gone. */
  async sweep(): Promise<void> {
    await this.#garbage.sweep();
  }

  /**
   * At start, when `layersInUse` is set and LayerStore.mend() has run: forgets images that have lost a layer or a
   * blob of theirs on disk, and removes what a crash left without an owner.
   */
  async mend(): Promise<void> {
    for (const record of this.#store.all())
      if (!this.#content.has(record.id) || !record.diffIds.every((diffId) => this.#layers.has(diffId)))
        this.#store.delete(record.id);
    await this.#garbage.sweep();
  }

  #image(record: ImageRecord): Image {
    return {
      id: record.id,
      references: this.#store.referencesOf(record.id).map(familiarString),
      config: this.#config(record).config ?? ({} as ImageConfig),
      architecture: record.architecture,
      os: record.os,
      ...(record.variant ? { variant: record.variant } : {}),
      created: record.created,
      diffIds: record.diffIds,
      size: record.size,
    };
  }

  #config({ id }: ImageRecord): ConfigDocument {
    const known = this.#configs.get(id);
    if (known) return known;
    const config = parseConfig(readFileSync(this.#content.pathOf(id)));
    if (this.#configs.size >= CONFIG_CACHE_LIMIT) this.#configs.delete(this.#configs.keys().next().value!);
    this.#configs.set(id, config);
    return config;
  }
}
