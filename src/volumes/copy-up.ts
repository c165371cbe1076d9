/** Fills an empty volume with what the image has where the volume is mounted. */
import { closeSync, existsSync, openSync, readdirSync } from "node:fs";
import { rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { chmodAt, chownAt, setTimeAt, setXattrAt, statAt, xattrsAt } from "../kernel/at.ts";
import { fdPath, O_DIRECTORY, O_PATH, openInRoot } from "../kernel/files.ts";
import { storageWorkers } from "../storage/worker-pool.ts";

/** Beside a volume's content while it is being filled: found later, the daemon died over it, and it is filled again. */
const marker = ".filling";

/** What is being filled, by path: two containers that begin at once with one volume fill it once. */
const underWay = new Map<string, Promise<void>>();

/**
 * Copies the directory at `path` of the root file system at `rootfs` into `directory`, if that is empty: content,
 * owners, modes, times, xattrs, and the directory's own. `path` is looked up inside `rootfs`; where there is no
 * directory nothing is done.
 */
export async function copyUp(rootfs: string, path: string, directory: string): Promise<void> {
  // Who comes second finds it filled, or, where the first failed, tries for itself.
  const before = underWay.get(directory) ?? Promise.resolve();
  const work = before.catch(() => {}).then(() => fill(rootfs, path, directory));
  underWay.set(directory, work);
  try {
    await work;
  } finally {
    if (underWay.get(directory) === work) underWay.delete(directory);
  }
}

async function fill(rootfs: string, path: string, directory: string): Promise<void> {
  const markerPath = join(dirname(directory), marker);
  if (readdirSync(directory).length > 0 && !existsSync(markerPath)) return;
  const source = openDirectory(rootfs, path);
  if (source === undefined) return;
  try {
    if (readdirSync(fdPath(source)).length > 0) {
      await writeFile(markerPath, "");
      await storageWorkers.run({ kind: "copy", layers: [fdPath(source)], target: directory });
    }
    copyAttributes(source, directory);
    await rm(markerPath, { force: true });
  } finally {
    closeSync(source);
  }
}

function openDirectory(rootfs: string, path: string): number | undefined {
  try {
    return openInRoot(rootfs, path, O_PATH | O_DIRECTORY);
  } catch (thrown) {
    const { code } = thrown as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "ELOOP") return undefined;
    throw thrown;
  }
}

function copyAttributes(source: number, directory: string): void {
  const facts = statAt(source, "");
  if (facts === undefined) return;
  const parent = openSync(dirname(directory), O_PATH | O_DIRECTORY);
  const name = basename(directory);
  try {
    chownAt(parent, name, facts.uid, facts.gid);
    chmodAt(parent, name, facts.mode & 0o7777);
    for (const [key, value] of xattrsAt(source, ".")) setXattrAt(parent, name, key, value);
    setTimeAt(parent, name, facts.mtimeSeconds, facts.mtimeNanos);
  } finally {
    closeSync(parent);
  }
}
