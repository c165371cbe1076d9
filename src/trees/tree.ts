/** Walking about in a tree of a stranger's files, by the fds of its directories. Names have one character per byte. */
import { readdirSync } from "node:fs";
import {
  chmodOf,
  closeFast,
  type FileFacts,
  lookUpInRoot,
  mkdirAt,
  openAt,
  statAt,
  textOf,
  unlinkAt,
  xattrsAt,
  xattrsOf,
} from "../kernel/at.ts";
import { fdPath, O_DIRECTORY, O_PATH, O_RDONLY } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";

const typeMask = 0o170000;

export const isDirectory = (facts: FileFacts) => (facts.mode & typeMask) === 0o040000;
export const isSymlink = (facts: FileFacts) => (facts.mode & typeMask) === 0o120000;
export const isRegular = (facts: FileFacts) => (facts.mode & typeMask) === 0o100000;
/** Overlayfs's mark for "what lies below is gone": a character device with the number 0/0. */
export const isWhiteout = (facts: FileFacts) =>
  (facts.mode & typeMask) === 0o020000 && facts.devMajor === 0 && facts.devMinor === 0;

/**
 * The extended attributes of a name that belong to the file wherever it goes; undefined where there are none. Overlayfs's
 * own marks, and the labels and signatures that one host's security modules give, do not.
 */
export function keptXattrs(dirFd: number, name: string): Map<string, Buffer> | undefined {
  return kept(() => xattrsAt(dirFd, name));
}

/** keptXattrs() of an open file. */
export function keptXattrsOf(fd: number, name: string): Map<string, Buffer> | undefined {
  return kept(() => xattrsOf(fd, name));
}

function kept(read: () => [key: string, value: Buffer][]): Map<string, Buffer> | undefined {
  let found: [key: string, value: Buffer][];
  try {
    found = read();
  } catch (thrown) {
    // Removed between two calls, or an attribute of it was.
    if (["ENOENT", "ENODATA"].includes((thrown as { code?: string }).code ?? "")) return undefined;
    throw thrown;
  }
  if (found.length === 0) return undefined;
  const own = found.filter(([key]) =>
    key.startsWith("security.") ? key === "security.capability" : !/^(trusted|user)\.overlay\./.test(key),
  );
  return own.length === 0 ? undefined : new Map(own);
}

/** Opens a directory that is a direct child of `dirFd`. */
export function openDirectoryAt(dirFd: number, name: string): number {
  return openAt(dirFd, name, O_PATH | O_DIRECTORY);
}

/** Names in a directory, in no order. */
export function namesIn(dirFd: number): string[] {
  return readdirSync(fdPath(dirFd), { encoding: "latin1" });
}

/** Removes a directory with all that is in it, following no link. */
export function removeTree(dirFd: number, name: string): void {
  const fd = openDirectoryAt(dirFd, name);
  try {
    for (const child of namesIn(fd)) {
      const facts = statAt(fd, child);
      if (facts !== undefined && isDirectory(facts)) removeTree(fd, child);
      else unlinkAt(fd, child, "file");
    }
  } finally {
    closeFast(fd);
  }
  unlinkAt(dirFd, name, "directory");
}

const openLimit = 64;

/**
 * Open directories below a root by their paths, so that a layer's many files in one directory cost one look-up.
 * An fd stays good until closeForgotten() is called, even where the directory was forgotten meanwhile.
 */
export class DirectoryCache {
  readonly #root: number;
  readonly #lookUp: (path: string) => number | undefined;
  readonly #open = new Map<string, number>();
  #forgotten: number[] = [];

  /** `lookUp` opens a directory below the root, or answers undefined where it is missing. */
  constructor(root: number, lookUp = (path: string) => lookUpInRoot(root, path, O_PATH | O_DIRECTORY)) {
    this.#root = root;
    this.#lookUp = lookUp;
  }

  /** The directory at `path`, made with mode 0755 where it is missing. Throws SyscallError. */
  get(path: string): number {
    const found = this.find(path);
    if (found !== undefined) return found;
    const slash = path.lastIndexOf("/");
    const parent = slash < 0 ? this.#root : this.get(path.slice(0, slash));
    const base = path.slice(slash + 1);
    // A name that is taken and yet cannot be looked up is a symbolic link to nowhere.
    if (!mkdirAt(parent, base, 0o755)) throw new SyscallError("openat2", 2, textOf(path));
    const fd = openAt(parent, base, O_RDONLY | O_DIRECTORY);
    // Whatever the umask is.
    chmodOf(fd, 0o755, base);
    this.#keep(path, fd);
    return fd;
  }

  /** The directory at `path`, or undefined where it is missing. Throws SyscallError where it is no directory. */
  find(path: string): number | undefined {
    const known = this.#open.get(path);
    if (known !== undefined) return known;
    const fd = this.#lookUp(path);
    if (fd !== undefined) this.#keep(path, fd);
    return fd;
  }

  #keep(path: string, fd: number): void {
    if (this.#open.size >= openLimit) this.forgetAll();
    this.#open.set(path, fd);
  }

  forgetAll(): void {
    this.#forgotten.push(...this.#open.values());
    this.#open.clear();
  }

  closeForgotten(): void {
    if (this.#forgotten.length === 0) return;
    for (const fd of this.#forgotten) closeFast(fd);
    this.#forgotten = [];
  }

  /** Closes everything. */
  clear(): void {
    this.forgetAll();
    this.closeForgotten();
  }
}
