/** Volumes: directories that outlive containers. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readdirSync, renameSync, rmdirSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { readMounts, unmount } from "../kernel/mount.ts";
import { BrigError, conflict, messageOf, notFound } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import { sumFiles } from "../storage/disk-usage.ts";
import type { Volume, VolumeCreateRequest } from "../wire/engine-api.ts";
import { copyUp } from "./copy-up.ts";
import { booleanFilter, checkFilters, hasLabels, matchesFilters, type VolumeFilters } from "./filters.ts";
import { checkVolumeOptions, mountVolume, needsMount } from "./local-mount.ts";
import { anonymousLabel, checkVolumeName, type VolumeRecord } from "./record.ts";

const localDriver = "local";
const dataDirectory = "_data";
/** A removed volume's directory is renamed to this plus a random suffix first: a dot begins no volume's name. */
const removedPrefix = ".removed-";

const listFilters = ["dangling", "driver", "label", "name"];
const pruneFilters = ["label", "label!", "all"];

/** The context that Docker puts before a volume's error: `create x: …`. */
function inContext<T>(verb: string, name: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (thrown instanceof BrigError)
      throw new BrigError(thrown.kind, `${verb} ${name}: ${thrown.message}`, { cause: thrown });
    throw thrown;
  }
}

const sorted = (record: Record<string, string>) =>
  Object.fromEntries(Object.entries(record).sort(([one], [other]) => (one < other ? -1 : 1)));

const isMounted = (path: string) => readMounts().some(({ mountPoint }) => mountPoint === path);

/** Where Volumes tells what happened. */
export interface VolumeEvents {
  publish(type: "volume", action: string, id: string, attributes: Record<string, string>): void;
}

/** What Volumes is put together from. */
export interface VolumesParts {
  db: StateDatabase;
  /** <data-root>/volumes. */
  root: string;
  events: VolumeEvents;
}

/** All volumes of a data root. */
export class Volumes {
  /** Ids of the containers that mount a volume, running or not; set by whoever knows them. */
  usedBy: (name: string) => string[] = () => [];

  readonly #db: StateDatabase;
  readonly #root: string;
  readonly #events: VolumeEvents;
  /** Who uses volumes that are mounted, by name. */
  readonly #holders = new Map<string, Set<string>>();
  readonly #mounting = new Map<string, Promise<void>>();

  constructor({ db, root, events }: VolumesParts) {
    this.#db = db;
    this.#root = root;
    this.#events = events;
    mkdirSync(root, { recursive: true, mode: 0o701 });
  }

  /** At start: what was being removed when the daemon died goes, and a directory that is lost is made again. */
  async mend(): Promise<void> {
    for (const { name, isRemoved } of this.#records())
      if (isRemoved) await this.#erase(name);
      else mkdirSync(this.pathOf(name), { recursive: true });
    for (const entry of readdirSync(this.#root))
      if (entry.startsWith(removedPrefix)) await rm(join(this.#root, entry), { recursive: true, force: true });
    this.removeStrays();
  }

  /** Removes the empty directories of volumes whose creation was taken back. One with content is never removed. */
  removeStrays(): void {
    const known = new Set(this.#records().map(({ name }) => name));
    for (const entry of readdirSync(this.#root))
      if (!known.has(entry) && !entry.startsWith(removedPrefix))
        for (const directory of [join(this.#root, entry, dataDirectory), join(this.#root, entry)])
          try {
            rmdirSync(directory);
          } catch {} // It has content, or is nothing of ours.
  }

  /** The directory of a volume's content. The name is checked, so that it cannot lead elsewhere. */
  pathOf(name: string): string {
    checkVolumeName(name);
    return join(this.#root, name, dataDirectory);
  }

  /**
   * Makes a volume, or returns the one of that name, whatever its options and labels are.
   * Without a name it gets a random one, and is anonymous. Throws invalidParameter or notFound (driver).
   */
  create(request: VolumeCreateRequest): Volume {
    const anonymous = !request.Name;
    const name = request.Name || randomBytes(32).toString("hex");
    return inContext("create", name, () => {
      const driver = request.Driver || localDriver;
      if (driver !== localDriver)
        throw notFound(`error looking up volume plugin ${driver}: plugin "${driver}" not found`);
      checkVolumeName(name);
      const existing = this.#find(name);
      if (existing !== undefined) {
        mkdirSync(this.pathOf(existing.name), { recursive: true });
        return this.#toApi(existing);
      }
      checkVolumeOptions(request.DriverOpts ?? {});
      const record: VolumeRecord = {
        name,
        driver,
        labels: { ...request.Labels, ...(anonymous && { [anonymousLabel]: "" }) },
        options: request.DriverOpts ?? null,
        createdAt: new Date().toISOString().replace(/\.\d+Z$/, "Z"),
      };
      // Before the directory: a directory without a row is nobody's, a row without one gets it from mend().
      this.#db.run("INSERT INTO volumes (name, record) VALUES (?, ?)", name, JSON.stringify(record));
      mkdirSync(join(this.#root, name, dataDirectory), { recursive: true, mode: 0o755 });
      this.#events.publish("volume", "create", name, { driver });
      return this.#toApi(record);
    });
  }

  /** Throws notFound. */
  get(name: string): Volume {
    const record = this.#find(name);
    if (record === undefined) throw notFound(`get ${name}: no such volume`);
    return this.#toApi(record);
  }

  /** Volumes that the filters (dangling, driver, label, name) let through. Throws invalidParameter for other filters. */
  list(filters: VolumeFilters = {}): Volume[] {
    checkFilters(filters, listFilters);
    booleanFilter(filters, "dangling");
    return this.#records()
      .filter((record) => matchesFilters(record, filters, (name) => this.usedBy(name).length > 0))
      .map((record) => this.#toApi(record));
  }

  /** All volumes with their `UsageData`: bytes of their files, and how many containers mount them. */
  async listWithUsage(): Promise<Volume[]> {
    const volumes: Volume[] = [];
    // One after the other: each walks a tree, and gives way to others while it does.
    for (const volume of this.list()) {
      const size = await sumFiles(this.pathOf(volume.Name));
      volumes.push({ ...volume, UsageData: { Size: size, RefCount: this.usedBy(volume.Name).length } });
    }
    return volumes;
  }

  /** Removes a volume. Throws notFound, unless `force`, and conflict where a container has it. */
  async remove(name: string, force = false): Promise<void> {
    const record = this.#find(name);
    if (record === undefined) {
      if (force) return;
      throw notFound(`get ${name}: no such volume`);
    }
    const users = this.usedBy(name);
    if (users.length > 0) throw conflict(`remove ${name}: volume is in use - [${users.join(", ")}]`);
    this.#save({ ...record, isRemoved: true });
    try {
      await this.#erase(name);
    } catch (error) {
      if (this.#find(name)?.isRemoved) this.#save(record);
      throw error;
    }
    this.#events.publish("volume", "destroy", name, { driver: localDriver });
  }

  /**
   * Removes the volumes no container has: the anonymous ones, or with filter all=true every one.
   * Returns their names and the bytes that were freed.
   */
  async prune(filters: VolumeFilters = {}): Promise<{ VolumesDeleted: string[]; SpaceReclaimed: number }> {
    checkFilters(filters, pruneFilters);
    const all = booleanFilter(filters, "all") ?? false;
    const report = { VolumesDeleted: [] as string[], SpaceReclaimed: 0 };
    for (const { name, labels } of this.#records()) {
      if (!all && !(anonymousLabel in labels)) continue;
      if (!hasLabels(labels, filters.label ?? [])) continue;
      if ((filters["label!"] ?? []).some((label) => hasLabels(labels, [label]))) continue;
      if (this.usedBy(name).length > 0) continue;
      const size = await sumFiles(this.pathOf(name));
      try {
        await this.remove(name);
      } catch (thrown) {
        // Somebody took it meanwhile: that is what prune leaves alone.
        if (thrown instanceof BrigError && (thrown.kind === "conflict" || thrown.kind === "notFound")) continue;
        throw new Error(`prune ${name}: ${messageOf(thrown)}`, { cause: thrown });
      }
      report.VolumesDeleted.push(name);
      report.SpaceReclaimed += size;
    }
    this.#events.publish("volume", "prune", "", { reclaimed: String(report.SpaceReclaimed) });
    return report;
  }

  /**
   * Fills an empty volume with what the image has at `path` of the mounted root file system: content, owners, modes,
   * times, xattrs. A volume that has content is left as it is. `path` is resolved inside `rootfs`.
   */
  async copyUp(name: string, rootfs: string, path: string): Promise<void> {
    await copyUp(rootfs, path, this.pathOf(name));
  }

  /**
   * Mounts what a volume's options say, for `holder`, until all its holders have been released. Throws in Docker's words
   * where it cannot be mounted.
   */
  async mount(name: string, holder: string): Promise<void> {
    const { options = null } = this.#find(name) ?? {};
    if (options === null || !needsMount(options)) return;
    this.hold(name, holder);
    const path = this.pathOf(name);
    const before = this.#mounting.get(name) ?? Promise.resolve();
    const work = before
      .catch(() => {})
      .then(async () => {
        if (!isMounted(path)) await mountVolume(options, path);
      });
    this.#mounting.set(name, work);
    try {
      await work;
    } catch (thrown) {
      this.#holders.get(name)?.delete(holder);
      throw thrown;
    } finally {
      if (this.#mounting.get(name) === work) this.#mounting.delete(name);
    }
  }

  /** Says that `holder` uses a volume that is mounted already. */
  hold(name: string, holder: string): void {
    const holders = this.#holders.get(name) ?? new Set();
    this.#holders.set(name, holders.add(holder));
  }

  /** Unmounts what `holder` alone has had: all of it, or one volume. */
  release(holder: string, only?: string): void {
    for (const [name, holders] of this.#holders)
      if ((only ?? name) === name && holders.delete(holder) && holders.size === 0) this.#unmount(name);
  }

  /** At start, when the holders of volumes are known again: unmounts all others. */
  unmountUnheld(): void {
    for (const { name, options } of this.#records())
      if (needsMount(options) && !this.#holders.get(name)?.size) this.#unmount(name);
  }

  /** Throws where something stays mounted. */
  #unmount(name: string): void {
    this.#holders.delete(name);
    while (unmount(this.pathOf(name), true));
  }

  /** Out of the way, out of the database, and then off the disk: from the second on the name is free again. */
  async #erase(name: string): Promise<void> {
    // What is mounted there is not the volume's to be removed.
    this.#unmount(name);
    const doomed = join(this.#root, `${removedPrefix}${randomBytes(8).toString("hex")}`);
    try {
      renameSync(join(this.#root, name), doomed);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    }
    this.#db.run("DELETE FROM volumes WHERE name = ?", name);
    await rm(doomed, { recursive: true, force: true });
  }

  #save(record: VolumeRecord): void {
    this.#db.run("UPDATE volumes SET record = ? WHERE name = ?", JSON.stringify(record), record.name);
  }

  #find(name: string): VolumeRecord | undefined {
    const row = this.#db.get<{ record: string }>("SELECT record FROM volumes WHERE name = ?", name);
    return row && (JSON.parse(row.record) as VolumeRecord);
  }

  #records(): VolumeRecord[] {
    return this.#db
      .all<{ record: string }>("SELECT record FROM volumes ORDER BY name")
      .map(({ record }) => JSON.parse(record) as VolumeRecord);
  }

  #toApi({ name, driver, labels, options, createdAt }: VolumeRecord): Volume {
    return {
      CreatedAt: createdAt,
      Driver: driver,
      Labels: (Object.keys(labels).length === 0 ? null : sorted(labels)) as Record<string, string>,
      Mountpoint: join(this.#root, name, dataDirectory),
      Name: name,
      Options: (options && sorted(options)) as Record<string, string>,
      Scope: "local",
    };
  }
}
