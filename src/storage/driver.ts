/** How a container's root file system is made of layers: what every driver promises, and which one is used. */
import { existsSync } from "node:fs";
import { invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import { OverlayDriver, whyNotOverlay } from "./overlay.ts";
import { VfsDriver } from "./vfs.ts";

export type DriverName = "overlay2" | "vfs";

/**
 * A driver stacks unpacked layers and gives a container a writable view of them.
 *
 * - `lowers` are directories of layers, the lowest first. They are only read, and shared by many containers.
 * - `home` is a directory that belongs to one container. A driver keeps all it needs inside, in `diff` and `work`.
 * - What a container writes changes its own view alone, and is still there after unmount and mount.
 * - An entry of a higher layer replaces the lower one of the same name; directories are merged; a whiteout hides
 *   what lies below it; an opaque directory hides all that lies in it below.
 * - What writable() names, compared with `lowers`, tells all that the container has changed, and a layer made of that
 *   upon `lowers` shows what the container's view shows.
 * - prepare, mount, unmount and remove can each be called again after a crash at any point, with the same result
 *   as if they had been called once.
 */
export interface SnapshotDriver {
  readonly name: DriverName;
  /** What a layer's whiteouts become on disk: overlayfs' device nodes and attributes, or files as in the archive. */
  readonly whiteouts: "overlay" | "files";
  /** Makes the writable part of a container. Async only where files must be copied. */
  prepare(home: string, lowers: string[]): void | Promise<void>;
  /** Makes the view appear and returns where it is: at `target`, or inside `home` where nothing need be mounted. */
  mount(home: string, lowers: string[], target: string): string;
  /** Mounts `lowers` alone at the directory `target`, read-only. `home` is where a driver may keep what it needs for that. */
  mountReadOnly(home: string, lowers: string[], target: string): void | Promise<void>;
  /** Takes the view away again; what was written stays. */
  unmount(target: string): void;
  isMounted(home: string, target: string): boolean;
  /** Removes all that prepare and mount made, but for `home` itself. */
  remove(home: string): Promise<void>;
  /** Where what the container wrote is, mounted or not. Only to be read. */
  writable(home: string): WritableTree;
  /** Bytes of the files that the container wrote. */
  usage(home: string): Promise<number>;
  /** The `Data` of inspect's GraphDriver. */
  data(home: string, lowers: string[], target: string): Record<string, string>;
}

/** A container's own directory. */
export interface WritableTree {
  directory: string;
  /**
   * Undefined where it holds what was changed alone, with whiteouts as a layer has them. Else it holds everything, a
   * file that is as it came has not changed (ctime) after this moment, and what is not there is gone.
   */
  changedSinceNs?: string;
}

const settingKey = "storage-driver";

/**
 * The driver for a data root: the one that was asked for, else the one the root is in use with, else overlay2 where
 * the kernel and the file system can, else vfs. Remembers the choice in the database.
 * Throws invalidParameter for an unknown name, and where the root holds layers or containers of another driver.
 */
export function selectDriver(name: string | undefined, dataRoot: string, db: StateDatabase): SnapshotDriver {
  const asked = name === undefined || name === "" ? undefined : parseName(name);
  const prior = db.get<{ value: DriverName }>("SELECT value FROM settings WHERE key = ?", settingKey)?.value;
  const isInUse =
    prior !== undefined &&
    db.get("SELECT 1 AS found FROM layers UNION ALL SELECT 1 FROM containers LIMIT 1") !== undefined;
  if (isInUse && asked !== undefined && asked !== prior)
    throw invalidParameter(
      `error initializing graphdriver: ${dataRoot} holds layers of the storage driver "${prior}": start with --storage-driver=${prior}, or choose another --data-root`,
    );
  const driver = makeDriver(asked ?? (isInUse ? prior : undefined), dataRoot);
  db.run("INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)", settingKey, driver.name);
  return driver;
}

function parseName(name: string): DriverName {
  if (name === "overlay2" || name === "vfs") return name;
  // The image store of newer Docker calls the same thing by its containerd name.
  if (name === "overlayfs") return "overlay2";
  throw invalidParameter(`error initializing graphdriver: driver not supported: ${name}`);
}

function makeDriver(name: DriverName | undefined, dataRoot: string): SnapshotDriver {
  if (!existsSync(dataRoot)) throw systemError(`${dataRoot} is not there`);
  if (name === "vfs") return new VfsDriver();
  const obstacle = whyNotOverlay(dataRoot);
  if (obstacle === undefined) return new OverlayDriver();
  if (name === undefined) return new VfsDriver();
  throw systemError(`error initializing graphdriver: driver not supported: overlay2: ${messageOf(obstacle)}`, obstacle);
}
