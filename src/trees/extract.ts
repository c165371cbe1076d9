/** Extracts a client's archive into a directory that exists: what `cp` does, on either side. */
import { type FileFacts, lookUpInRoot, openBeneath, textOf } from "../kernel/at.ts";
import { O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import type { TarEntry } from "../lib/tar.ts";
import { DirectoryCache, isDirectory } from "./tree.ts";
import { TreeUnpacker } from "./unpack-tree.ts";

/** The kernel's word for "as it is" in chown(2). */
const unchanged = 0xffffffff;

/** Where an archive goes, and how. */
export interface ExtractTarget {
  /** The open directory. */
  dirFd: number;
  /** Its path, for messages and, within `rootFd`, for members that lie behind a symbolic link. UTF-8. */
  path: string;
  /** What symbolic links in the directory may lead to. Without it none is followed. */
  rootFd?: number;
  /** Whether a directory may be replaced by something else, and something else by a directory. */
  replacesDirectories: boolean;
  /** Who owns what is made: who the archive says, one for all, or whoever runs this. */
  owner: "archive" | "self" | { uid: number; gid: number };
}

/** A TreeUnpacker for any directory; what is there is merged with what comes. */
export class Extractor extends TreeUnpacker {
  readonly #target: ExtractTarget;

  constructor(target: ExtractTarget) {
    super(target.dirFd, new DirectoryCache(target.dirFd, (path) => lookUp(target, path)));
    this.#target = target;
  }

  protected override admit(path: string, entry: TarEntry): TarEntry | undefined {
    // The directory itself keeps its attributes.
    if (path === "" && entry.type === "directory") return undefined;
    const { owner } = this.#target;
    if (owner === "archive") return entry;
    return { ...entry, ...(owner === "self" ? { uid: unchanged, gid: unchanged } : owner) };
  }

  protected override beforeReplace(existing: FileFacts, path: string, entry: TarEntry): void {
    const { replacesDirectories, path: target } = this.#target;
    if (replacesDirectories || isDirectory(existing) === (entry.type === "directory")) return;
    const [kept, other] = isDirectory(existing) ? ["directory", "non-directory"] : ["non-directory", "directory"];
    const place = `${target === "/" ? "" : target}/${textOf(path)}`;
    throw new Error(`cannot overwrite ${kept} ${JSON.stringify(place)} with ${other} ${JSON.stringify(target)}`);
  }
}

function lookUp({ dirFd, rootFd, path }: ExtractTarget, below: string): number | undefined {
  const fd = openBeneath(dirFd, below, O_PATH | O_DIRECTORY);
  if (fd !== undefined || rootFd === undefined) return fd;
  return lookUpInRoot(rootFd, `${Buffer.from(path).toString("latin1")}/${below}`, O_PATH | O_DIRECTORY);
}
