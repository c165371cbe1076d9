/** Makes a tree of files of a tar archive. The archive is a stranger's: nothing of it is trusted. */
import {
  chmodAt,
  chownAt,
  closeFast,
  createAt,
  type FileFacts,
  linkAt,
  mkdirAt,
  mknodAt,
  setAttributes,
  setTimeAt,
  setXattr,
  setXattrAt,
  statAt,
  symlinkAt,
  textOf,
  truncate,
  unlinkAt,
  writeAt,
} from "../kernel/at.ts";
import { O_CREAT, O_EXCL, O_WRONLY, S_IFBLK, S_IFCHR, S_IFIFO } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";
import type { TarEntry, TarSink } from "../lib/tar.ts";
import { type DirectoryCache, isDirectory, isSymlink, removeTree } from "./tree.ts";

/** A member that would land outside the tree, or is not what the tree can hold. The words are Docker's. */
export class BreakoutError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "BreakoutError";
  }
}

interface OpenFile {
  fd: number;
  name: string;
  entry: TarEntry;
  written: number;
}

/**
 * Receives an archive from a TarReader with `names: "latin1"`. Every path is looked up by the kernel so that no `..` and
 * no symbolic link leads out; a member's own name is never followed. Call finish() after the last member, and dispose()
 * in any case.
 */
export abstract class TreeUnpacker implements TarSink {
  protected readonly root: number;
  protected readonly parents: DirectoryCache;
  /** Times of directories: set last, because each file that is made in one changes them. */
  readonly #directories = new Map<string, TarEntry>();
  #file: OpenFile | undefined;
  /** Bytes of all files so far, holes included, and of all links' texts, as Docker counts. */
  size = 0;

  /** `root` is an open directory, `parents` looks up what lies below it. */
  constructor(root: number, parents: DirectoryCache) {
    this.root = root;
    this.parents = parents;
  }

  /** The member as it is to be made; undefined for one that is nothing to be made. May throw. */
  protected abstract admit(path: string, entry: TarEntry): TarEntry | undefined;

  /** Called before what is there gives way to a member of another kind, or to a file. May throw. */
  protected beforeReplace(_existing: FileFacts, _path: string, _entry: TarEntry): void {}

  /** Called when a directory was made in the place of something else. */
  protected afterReplace(_existing: FileFacts, _parent: number, _base: string): void {}

  entry(member: TarEntry): void {
    this.parents.closeForgotten();
    const path = cleanPath(member.name);
    const entry = this.admit(path, member);
    if (entry === undefined) return;
    const base = path.slice(path.lastIndexOf("/") + 1);
    if (path === "") {
      this.#rootEntry(entry);
      return;
    }
    const parent = this.parentOf(path);
    switch (entry.type) {
      case "file":
        this.#openFile(parent, base, path, entry);
        return;
      case "directory":
        this.#makeDirectory(parent, base, path, entry);
        break;
      case "link":
        this.#makeLink(parent, base, path, entry);
        return;
      case "symlink":
        this.#make(parent, base, path, entry, () => symlinkAt(entry.linkName, parent, base));
        this.size += Buffer.byteLength(entry.linkName);
        break;
      case "char":
        this.#make(parent, base, path, entry, () => mknodAt(parent, base, S_IFCHR, entry.devMajor, entry.devMinor));
        break;
      case "block":
        this.#make(parent, base, path, entry, () => mknodAt(parent, base, S_IFBLK, entry.devMajor, entry.devMinor));
        break;
      case "fifo":
        this.#make(parent, base, path, entry, () => mknodAt(parent, base, S_IFIFO, 0, 0));
        break;
    }
    this.#applyTo(parent, base, entry);
  }

  data(chunk: Uint8Array, offset: number): void {
    const file = this.#file;
    // A whiteout with content, say: there is nothing to write it to.
    if (file === undefined) return;
    writeAt(file.fd, chunk, offset, file.name);
    file.written = offset + chunk.length;
  }

  end(): void {
    const file = this.#file;
    if (file === undefined) return;
    const { fd, name, entry } = file;
    if (file.written < entry.size) truncate(fd, entry.size, name);
    setAttributes(fd, entry, name);
    if (entry.xattrs !== undefined) {
      // chown clears file capabilities, so attributes come after it.
      setXattrs(entry, (key, value) => setXattr(fd, key, value, name));
    }
    this.#file = undefined;
    closeFast(fd);
    this.size += entry.size;
  }

  /** Sets the times of directories. */
  finish(): void {
    for (const [path, entry] of this.#directories) {
      this.parents.closeForgotten();
      if (path === "") setTimeAt(this.root, ".", entry.mtimeSeconds, entry.mtimeNanos);
      else setTimeAt(this.parentOf(path), path.slice(path.lastIndexOf("/") + 1), entry.mtimeSeconds, entry.mtimeNanos);
    }
  }

  /** Closes everything but the root. */
  dispose(): void {
    if (this.#file !== undefined) closeFast(this.#file.fd);
    this.#file = undefined;
    this.parents.clear();
  }

  protected parentOf(path: string): number {
    const slash = path.lastIndexOf("/");
    return slash < 0 ? this.root : this.parents.get(path.slice(0, slash));
  }

  #openFile(parent: number, base: string, path: string, entry: TarEntry): void {
    const flags = O_WRONLY | O_CREAT | O_EXCL;
    let fd = createAt(parent, base, flags, 0o600);
    if (fd === undefined) {
      this.#clear(parent, base, path, entry);
      fd = createAt(parent, base, flags, 0o600);
    }
    if (fd === undefined) throw new SyscallError("openat", 17, textOf(path));
    this.#file = { fd, name: path, entry, written: 0 };
  }

  #makeDirectory(parent: number, base: string, path: string, entry: TarEntry): void {
    if (!mkdirAt(parent, base, 0o755)) {
      const existing = statAt(parent, base);
      if (existing === undefined || !isDirectory(existing)) {
        this.#make(parent, base, path, entry, () => mkdirAt(parent, base, 0o755));
        if (existing !== undefined) this.afterReplace(existing, parent, base);
      }
    }
    this.#directories.set(path, entry);
  }

  #makeLink(parent: number, base: string, path: string, entry: TarEntry): void {
    const target = cleanPath(
      entry.linkName,
      () => new BreakoutError(`invalid hardlink ${quote(entry.name)} -> ${quote(entry.linkName)}`),
    );
    if (target === path) return;
    const slash = target.lastIndexOf("/");
    const name = target.slice(slash + 1);
    const from = slash < 0 ? this.root : this.parents.find(target.slice(0, slash));
    if (from === undefined || name === "") throw new SyscallError("link", 2, textOf(entry.linkName));
    this.#make(parent, base, path, entry, () => linkAt(from, name, parent, base));
  }

  /** Makes something of a name that may be taken by an earlier member: the later one replaces it. */
  #make(parent: number, base: string, path: string, entry: TarEntry, make: () => boolean): void {
    if (make()) return;
    this.#clear(parent, base, path, entry);
    if (!make()) throw new SyscallError("create", 17, textOf(path));
  }

  #clear(parent: number, base: string, path: string, entry: TarEntry): void {
    const existing = statAt(parent, base);
    if (existing === undefined) return;
    this.beforeReplace(existing, path, entry);
    // Other paths must not go on leading into what is removed or, through a link, elsewhere now.
    if (isDirectory(existing) || isSymlink(existing)) this.parents.forgetAll();
    if (!isDirectory(existing)) {
      unlinkAt(parent, base, "file");
      return;
    }
    removeTree(parent, base);
    for (const known of this.#directories.keys())
      if (known === path || known.startsWith(`${path}/`)) this.#directories.delete(known);
  }

  #rootEntry(entry: TarEntry): void {
    if (entry.type !== "directory") throw new BreakoutError(`${quote(entry.name)} is not a directory`);
    this.#directories.set("", entry);
    this.#applyTo(this.root, ".", entry);
  }

  /** Attributes of what is not a file: a file's go through its fd. */
  #applyTo(parent: number, base: string, entry: TarEntry): void {
    chownAt(parent, base, entry.uid, entry.gid);
    if (entry.type !== "symlink") chmodAt(parent, base, entry.mode);
    setXattrs(entry, (key, value) => setXattrAt(parent, base, key, value));
    if (entry.type !== "directory") setTimeAt(parent, base, entry.mtimeSeconds, entry.mtimeNanos);
  }
}

/** Sets what a member brings along, through `set`. */
function setXattrs(entry: TarEntry, set: (key: string, value: Buffer) => void): void {
  for (const [key, value] of entry.xattrs ?? []) {
    // Overlayfs's own marks, set by a stranger, would redirect it into other directories.
    if (/^(trusted|user)\.overlay\./.test(key) || key.includes("\0")) continue;
    try {
      set(key, value);
    } catch (thrown) {
      const { code } = thrown as { code?: string };
      // The file system keeps no such attribute, or none on a file of this type.
      if (code !== "EOPNOTSUPP" && !(code === "EPERM" && entry.type !== "file")) throw thrown;
    }
  }
}

/** `text` in Go's quotes, for messages. */
export function quote(name: string): string {
  return JSON.stringify(textOf(name));
}

/**
 * A member's name without its leading slashes, dots and `..`; empty for the root.
 * Throws BreakoutError where `..` climbs above the root.
 */
function cleanPath(name: string, refusal = () => new BreakoutError(`${quote(name)} is outside of "/"`)): string {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "" || part === ".") continue;
    if (part !== "..") parts.push(part);
    else if (parts.pop() === undefined && !name.startsWith("/")) throw refusal();
  }
  return parts.join("/");
}
