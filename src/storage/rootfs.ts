/** Containers' root file systems: a writable layer in the data root, seen through a mount in the run root. */
import { mkdirSync, readdirSync, rmdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { statfs } from "../kernel/files.ts";
import { unmount } from "../kernel/mount.ts";
import { invalidParameter } from "../lib/errors.ts";
import type { NewTarEntry } from "../lib/tar-writer.ts";
import type { ChangedTree, FileChange } from "./changes.ts";
import type { SnapshotDriver } from "./driver.ts";
import type { LayerStore, PackedLayer } from "./layers.ts";
import { storageWorkers } from "./worker-pool.ts";

export interface RootfsOptions {
  dataRoot: string;
  runRoot: string;
  layers: LayerStore;
  driver: SnapshotDriver;
}

/** What in a root file system is the engine's and not the container's: see ChangedTree. */
export type OwnPaths = Pick<ChangedTree, "ignored" | "scaffold">;

/** All methods can be called again after a crash. `diffIds` name an image's layers, the lowest first. */
export class RootfsStore {
  readonly #homes: string;
  readonly #targets: string;
  readonly #layers: LayerStore;
  readonly #driver: SnapshotDriver;

  constructor({ dataRoot, runRoot, layers, driver }: RootfsOptions) {
    this.#homes = join(dataRoot, "containers");
    this.#targets = join(runRoot, "containers");
    this.#layers = layers;
    this.#driver = driver;
    mkdirSync(this.#homes, { recursive: true, mode: 0o710 });
    mkdirSync(this.#targets, { recursive: true, mode: 0o711 });
  }

  /**
   * Makes the writable layer. Done on return with overlay2; vfs copies files and answers a promise.
   * Throws notFound where a layer is missing.
   */
  create(id: string, diffIds: string[]): void | Promise<void> {
    const home = this.#home(id);
    mkdirSync(home, { recursive: true, mode: 0o710 });
    return this.#driver.prepare(home, this.#lowers(diffIds));
  }

  /** Mounts the root file system, unless it is, and returns its path. */
  mount(id: string, diffIds: string[]): string {
    return this.#driver.mount(this.#home(id), this.#lowers(diffIds), this.#target(id));
  }

  /**
   * Mounts an image's files alone at the directory `target`, read-only, for a container. `name` tells several of one
   * container apart.
   */
  mountImage(id: string, name: string, diffIds: string[], target: string): void | Promise<void> {
    const lowers = this.#lowers(diffIds);
    if (lowers.length === 0) throw invalidParameter("an image without layers cannot be mounted");
    return this.#driver.mountReadOnly(join(this.#home(id), "images", name), lowers, target);
  }

  /** Unmounts it, if it is mounted. */
  unmount(id: string): void {
    this.#driver.unmount(this.#target(id));
  }

  isMounted(id: string): boolean {
    return this.#driver.isMounted(this.#home(id), this.#target(id));
  }

  /** Unmounts and removes the writable layer. Other files of the container are left alone. */
  async remove(id: string): Promise<void> {
    this.unmount(id);
    await this.#driver.remove(this.#home(id));
    removeIfEmpty(this.#home(id));
  }

  /** What the container has changed of its image, sorted by path. */
  changes(id: string, diffIds: string[], own: OwnPaths, signal?: AbortSignal): Promise<FileChange[]> {
    const tree = { ...this.#changed(id, diffIds, own), style: this.#driver.whiteouts };
    return storageWorkers.run({ kind: "changes", tree }, { signal });
  }

  /** Makes a layer of what the container has changed: LayerStore.pack(). */
  pack(
    id: string,
    diffIds: string[],
    own: OwnPaths,
    options: { copyTo: string; signal?: AbortSignal },
  ): Promise<PackedLayer> {
    return this.#layers.pack(this.#changed(id, diffIds, own), options);
  }

  #changed(id: string, diffIds: string[], own: OwnPaths) {
    return { ...this.#driver.writable(this.#home(id)), ...own, lowers: this.#lowers(diffIds) };
  }

  /**
   * Gives `take` the archive of a whole root file system piece by piece, each when the last one was taken.
   * `rootFd` is the mounted root; `placeholders` stand for what is mounted within: membersOfTree().
   */
  async export(
    rootFd: number,
    placeholders: NewTarEntry[],
    take: (piece: Uint8Array) => Promise<void> | void,
    signal?: AbortSignal,
  ): Promise<void> {
    await storageWorkers.run({ kind: "export", rootFd, placeholders }, { onOutput: take, signal });
  }

  /** Bytes that the container wrote: SizeRw of the API. */
  usage(id: string): Promise<number> {
    return this.#driver.usage(this.#home(id));
  }

  /** Bytes of the files of an image's layers; a container's SizeRootFs is this plus usage(). */
  virtualSize(diffIds: string[]): number {
    return diffIds.reduce((sum, diffId) => sum + this.#layers.size(diffId), 0);
  }

  get driverName(): string {
    return this.#driver.name;
  }

  /** Names and values of /info's DriverStatus. */
  status(): string[][] {
    return [["Backing Filesystem", fileSystemName(this.#homes)]];
  }

  /** The `GraphDriver` of inspect. */
  graphDriver(id: string, diffIds: string[]): { Name: string; Data: Record<string, string> } {
    const lowers = diffIds.map((diffId) => this.#layers.pathOf(diffId));
    return { Name: this.#driver.name, Data: this.#driver.data(this.#home(id), lowers, this.#target(id)) };
  }

  /**
   * At start: unmounts and removes whatever belongs to none of `liveIds`, the containers in the database, running or
   * not. A stopped container's mount goes by unmount().
   */
  async mend(liveIds: Set<string>): Promise<void> {
    for (const id of readdirSync(this.#targets)) {
      if (liveIds.has(id)) continue;
      unmount(join(this.#targets, id, "rootfs"), true);
      removeIfEmpty(join(this.#targets, id, "rootfs"));
      removeIfEmpty(join(this.#targets, id));
    }
    const orphans = readdirSync(this.#homes).filter((id) => !liveIds.has(id));
    await Promise.all(orphans.map((id) => rm(join(this.#homes, id), { recursive: true, force: true })));
  }

  #lowers(diffIds: string[]): string[] {
    return diffIds.map((diffId) => this.#layers.require(diffId));
  }

  #home(id: string): string {
    return join(this.#homes, checkId(id));
  }

  #target(id: string): string {
    return join(this.#targets, checkId(id), "rootfs");
  }
}

/** Ids become parts of paths. */
const magicNames = new Map([
  [0xef53, "extfs"],
  [0x58465342, "xfs"],
  [0x9123683e, "btrfs"],
  [0x01021994, "tmpfs"],
  [0x794c7630, "overlayfs"],
  [0x2fc12fc1, "zfs"],
  [0xf2f52010, "f2fs"],
]);

function fileSystemName(path: string): string {
  return magicNames.get(Number(statfs(path).type)) ?? "<unknown>";
}

function checkId(id: string): string {
  if (!/^[0-9A-Za-z][0-9A-Za-z_.-]{0,127}$/.test(id)) throw invalidParameter(`invalid container id: ${id}`);
  return id;
}

function removeIfEmpty(directory: string): void {
  try {
    rmdirSync(directory);
  } catch {
    // It holds files of somebody else's, or was never there.
  }
}
