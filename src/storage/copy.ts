/** Copies layers over each other into one plain directory: what the vfs driver does instead of mounting. */
import { closeSync, openSync } from "node:fs";
import {
  chmodAt,
  chownAt,
  closeFast,
  copyData,
  createAt,
  type FileFacts,
  linkAt,
  mkdirAt,
  mknodAt,
  openAt,
  readlinkAt,
  setTimeAt,
  setXattrAt,
  statAt,
  symlinkAt,
  textOf,
  unlinkAt,
  xattrsAt,
} from "../kernel/at.ts";
import { O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_RDONLY, O_WRONLY } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";
import { isDirectory, isRegular, isSymlink, namesIn, openDirectoryAt, removeTree } from "../trees/tree.ts";

const whiteoutPrefix = ".wh.";
const opaqueMarker = ".wh..wh..opq";

/** Copies `layers`, the lowest first and with whiteouts as files, into the directory `target`. */
export function copyLayers(layers: string[], target: string): void {
  const targetFd = openSync(target, O_PATH | O_DIRECTORY);
  try {
    for (const layer of layers) {
      const layerFd = openSync(layer, O_PATH | O_DIRECTORY);
      try {
        new LayerCopy(targetFd).merge(layerFd, targetFd, "");
      } finally {
        closeSync(layerFd);
      }
    }
  } finally {
    closeSync(targetFd);
  }
}

class LayerCopy {
  readonly #root: number;
  /** Where the first of a layer's hard links to an inode went. */
  readonly #linked = new Map<string, string>();

  constructor(root: number) {
    this.#root = root;
  }

  merge(from: number, to: number, path: string): void {
    const names = namesIn(from);
    // What hides must be done first: it is meant for lower layers only.
    if (names.includes(opaqueMarker)) for (const name of namesIn(to)) remove(to, name);
    for (const name of names)
      if (name.startsWith(whiteoutPrefix) && name !== opaqueMarker) remove(to, name.slice(whiteoutPrefix.length));
    for (const name of names)
      if (!name.startsWith(whiteoutPrefix)) this.#copy(from, to, name, path === "" ? name : `${path}/${name}`);
  }

  #copy(from: number, to: number, name: string, path: string): void {
    const facts = statAt(from, name);
    if (facts === undefined) return;
    const existing = statAt(to, name);
    if (existing !== undefined && !(isDirectory(existing) && isDirectory(facts))) remove(to, name);
    if (facts.links > 1 && !isDirectory(facts)) {
      const first = this.#linked.get(facts.identity);
      if (first !== undefined) {
        linkAt(this.#root, first, to, name);
        return;
      }
      this.#linked.set(facts.identity, path);
    }
    this.#create(from, to, name, path, facts);
    chownAt(to, name, facts.uid, facts.gid);
    if (!isSymlink(facts)) chmodAt(to, name, facts.mode & 0o7777);
    for (const [key, value] of xattrsAt(from, name)) setXattrAt(to, name, key, value);
    setTimeAt(to, name, facts.mtimeSeconds, facts.mtimeNanos);
  }

  #create(from: number, to: number, name: string, path: string, facts: FileFacts): void {
    if (isDirectory(facts)) this.#directory(from, to, name, path);
    else if (isRegular(facts)) copyFile(from, to, name, facts.size);
    else if (isSymlink(facts)) symlinkAt(readlinkAt(from, name), to, name);
    else mknodAt(to, name, facts.mode, facts.devMajor, facts.devMinor);
  }

  #directory(from: number, to: number, name: string, path: string): void {
    mkdirAt(to, name, 0o700);
    const fromFd = openDirectoryAt(from, name);
    try {
      const toFd = openDirectoryAt(to, name);
      try {
        this.merge(fromFd, toFd, path);
      } finally {
        closeFast(toFd);
      }
    } finally {
      closeFast(fromFd);
    }
  }
}

function copyFile(from: number, to: number, name: string, sizeBytes: number): void {
  const fromFd = openAt(from, name, O_RDONLY);
  try {
    const toFd = createAt(to, name, O_WRONLY | O_CREAT | O_EXCL, 0o600);
    if (toFd === undefined) throw new SyscallError("openat", 17, textOf(name));
    try {
      copyData(fromFd, toFd, sizeBytes, name);
    } finally {
      closeFast(toFd);
    }
  } finally {
    closeFast(fromFd);
  }
}

function remove(dirFd: number, name: string): void {
  const facts = statAt(dirFd, name);
  if (facts === undefined) return;
  if (isDirectory(facts)) removeTree(dirFd, name);
  else unlinkAt(dirFd, name, "file");
}
