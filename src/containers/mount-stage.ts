/**
 * Places on the host for what a container mounts and is no path of its own: a part of a volume, an image. The runtime
 * takes them over into the container's namespace; then they are taken down here, so that nothing has to be remembered.
 */
import { closeSync, mkdirSync, openSync, readdirSync, rmdirSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { bytesOf, openIn } from "../kernel/at.ts";
import { fdPath, O_PATH } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";
import { MS_BIND, MS_REC, mount, unmount } from "../kernel/mount.ts";
import { systemError } from "../lib/errors.ts";
import type { Rooms } from "./rooms.ts";

const stagesDir = (rooms: Rooms) => join(rooms.settings.runRoot, "mounts");

export class MountStage {
  readonly #directory: string;
  #count = 0;

  constructor(rooms: Rooms, containerId: string) {
    this.#directory = join(stagesDir(rooms), containerId);
  }

  /** Binds what lies at `subpath` of a volume's directory, and returns where. Throws in Docker's words. */
  bindSubpath(volumePath: string, subpath: string): string {
    const fd = openSubpath(volumePath, subpath);
    try {
      const place = this.#place(statSync(fdPath(fd)).isDirectory());
      mount(fdPath(fd), place, "", MS_BIND | MS_REC);
      return place;
    } finally {
      closeSync(fd);
    }
  }

  /** An empty directory for a mount. */
  directory(): string {
    return this.#place(true);
  }

  #place(isDirectory: boolean): string {
    const place = join(this.#directory, String(this.#count++));
    mkdirSync(isDirectory ? place : this.#directory, { recursive: true, mode: 0o711 });
    if (!isDirectory) closeSync(openSync(place, "w"));
    return place;
  }

  /** Takes everything down. */
  release(): void {
    takeDown(this.#directory);
  }
}

/** At start: takes down what a daemon left that was killed before it could. */
export function removeStages(rooms: Rooms): void {
  mkdirSync(stagesDir(rooms), { recursive: true, mode: 0o711 });
  for (const name of readdirSync(stagesDir(rooms))) takeDown(join(stagesDir(rooms), name));
}

/** What is still mounted refuses to be removed: nothing that is mounted here is ever lost. */
function takeDown(directory: string): void {
  let names: string[];
  try {
    names = readdirSync(directory);
  } catch {
    return; // Nothing was staged.
  }
  for (const name of names) {
    const place = join(directory, name);
    while (unmount(place, true));
    if (statSync(place).isDirectory()) rmdirSync(place);
    else unlinkSync(place);
  }
  rmdirSync(directory);
}

/** Opens a part of a volume; links that stay within the volume are followed. */
export function openSubpath(volumePath: string, subpath: string): number {
  const root = openSync(volumePath, O_PATH);
  try {
    const fd = openIn(root, bytesOf(subpath), O_PATH);
    if (fd !== undefined) return fd;
    const path = join(volumePath, subpath);
    throw systemError(`cannot access path ${path}: lstat ${path}: no such file or directory`);
  } catch (thrown) {
    if (thrown instanceof SyscallError && thrown.code === "EXDEV")
      throw systemError(
        `path concatenation escapes the base directory, base: ${volumePath}, subpath: ${subpath}`,
        thrown,
      );
    throw thrown;
  } finally {
    closeSync(root);
  }
}
