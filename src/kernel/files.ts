/** File calls that node:fs lacks: openat2(2), device nodes, owners and times of links, holes, locks, statfs. */
import { type BigIntStats, closeSync, lstatSync } from "node:fs";
import { bindLibc, check, cstring, errno, SyscallError } from "./libc.ts";

export const O_RDONLY = 0;
export const O_WRONLY = 1;
export const O_RDWR = 2;
export const O_CREAT = 0o100;
export const O_EXCL = 0o200;
export const O_TRUNC = 0o1000;
export const O_APPEND = 0o2000;
export const O_NONBLOCK = 0o4000;
// These three differ between architectures: asm/fcntl.h.
const arm = process.arch === "arm64";
export const O_DIRECTORY = arm ? 0o40000 : 0o200000;
export const O_NOFOLLOW = arm ? 0o100000 : 0o400000;
export const O_CLOEXEC = 0o2000000;
export const O_PATH = 0o10000000;

export const S_IFIFO = 0o010000;
export const S_IFCHR = 0o020000;
export const S_IFBLK = 0o060000;
export const S_IFREG = 0o100000;
export const S_IFSOCK = 0o140000;

const SYS_openat2 = 437;
const AT_FDCWD = -100;
const AT_SYMLINK_NOFOLLOW = 0x100;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_IN_ROOT = 0x10;
const FALLOC_FL_KEEP_SIZE = 1;
const FALLOC_FL_PUNCH_HOLE = 2;
const LOCK_SH = 1;
const LOCK_EX = 2;
const LOCK_NB = 4;
const LOCK_UN = 8;
const EAGAIN = 11;

const libc = bindLibc({
  open: { args: ["ptr", "i32", "u32"], returns: "i32" },
  syscall: { args: ["i64", "i64", "ptr", "ptr", "i64"], returns: "i64" },
  mknod: { args: ["ptr", "u32", "u64"], returns: "i32" },
  fchmodat: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  lchown: { args: ["ptr", "u32", "u32"], returns: "i32" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  fallocate: { args: ["i32", "i32", "i64", "i64"], returns: "i32" },
  flock: { args: ["i32", "i32"], returns: "i32" },
  statfs: { args: ["ptr", "ptr"], returns: "i32" },
  syncfs: { args: ["i32"], returns: "i32" },
});

/**
 * openat2(2) with RESOLVE_IN_ROOT: `path` is looked up as a process chrooted to `root` would see it, so that neither
 * `..` nor a symbolic link leads out. O_CLOEXEC is always set. Returns an fd; throws SyscallError.
 */
export function openInRoot(root: string | number, path: string, flags: number, mode = 0): number {
  const rootFd = typeof root === "number" ? root : openPath(root, O_PATH | O_DIRECTORY | O_CLOEXEC);
  try {
    const how = new BigUint64Array([
      BigInt(flags | O_CLOEXEC),
      BigInt(mode),
      BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS),
    ]);
    for (let attempt = 0; ; attempt++) {
      const fd = Number(libc.syscall(SYS_openat2, rootFd, cstring(path === "" ? "." : path), how, how.byteLength));
      if (fd >= 0) return fd;
      const code = errno();
      // A rename somewhere on the way makes the kernel give up; it asks to be called again.
      if (code !== EAGAIN || attempt === 32) throw new SyscallError("openat2", code, path);
    }
  } finally {
    if (typeof root === "string") closeSync(rootFd);
  }
}

/** open(2) with any flags, of which node:fs refuses none but reports errors by libuv's names. */
export function openPath(path: string, flags: number, mode = 0): number {
  return check(libc.open(cstring(path), flags, mode), "open", path);
}

/** The path by which an fd, also an O_PATH one, can be given to calls that take paths only. */
export function fdPath(fd: number): string {
  return `/proc/self/fd/${fd}`;
}

/** Closes an fd; one that is already closed is no error. */
export function closeFd(fd: number): void {
  try {
    closeSync(fd);
  } catch {}
}

/** mknod(2). `mode` carries the type (S_IFCHR, …) and the permissions, which the umask does not touch. */
export function mknod(path: string, mode: number, major: number, minor: number): void {
  check(libc.mknod(cstring(path), mode, makeDevice(major, minor)), "mknod", path);
  check(libc.fchmodat(AT_FDCWD, cstring(path), mode & 0o7777, 0), "chmod", path);
}

/** A device number in the kernel's encoding: makedev(3). */
export function makeDevice(major: number, minor: number): bigint {
  const ma = BigInt(major);
  const mi = BigInt(minor);
  return ((ma & 0xfffff000n) << 32n) | ((ma & 0xfffn) << 8n) | ((mi & 0xffffff00n) << 12n) | (mi & 0xffn);
}

/** Major and minor number of a device node's `rdev`. */
export function splitDevice(rdev: bigint): { major: number; minor: number } {
  return {
    major: Number(((rdev >> 32n) & 0xfffff000n) | ((rdev >> 8n) & 0xfffn)),
    minor: Number(((rdev >> 12n) & 0xffffff00n) | (rdev & 0xffn)),
  };
}

/** Owner of the path itself, also of a symbolic link. Clears set-uid bits and file capabilities, as the kernel does. */
export function lchown(path: string, uid: number, gid: number): void {
  check(libc.lchown(cstring(path), uid, gid), "lchown", path);
}

/** Times of the path itself, in nanoseconds since 1970 (may be negative). */
export function utimensNs(path: string, atimeNs: bigint, mtimeNs: bigint): void {
  const times = new BigInt64Array([...timespec(atimeNs), ...timespec(mtimeNs)]);
  check(libc.utimensat(AT_FDCWD, cstring(path), times, AT_SYMLINK_NOFOLLOW), "utimensat", path);
}

/** lstat(2) with nanoseconds, or undefined where there is nothing. */
export function lstatNs(path: string): BigIntStats | undefined {
  return lstatSync(path, { bigint: true, throwIfNoEntry: false });
}

/** Makes `lengthBytes` from `offset` on a hole, or reserves them; the file's size stays. */
export function fallocate(fd: number, kind: "reserve" | "punch", offset: number, lengthBytes: number): void {
  const mode = kind === "punch" ? FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE : FALLOC_FL_KEEP_SIZE;
  check(libc.fallocate(fd, mode, offset, lengthBytes), "fallocate", `fd ${fd}`);
}

/**
 * flock(2). Never waits: it would hold up the event loop. Returns false where somebody else holds the lock.
 * The lock goes with the last copy of the fd.
 */
export function tryLock(fd: number, kind: "exclusive" | "shared"): boolean {
  if (libc.flock(fd, (kind === "exclusive" ? LOCK_EX : LOCK_SH) | LOCK_NB) === 0) return true;
  const code = errno();
  if (code === EAGAIN) return false;
  throw new SyscallError("flock", code, `fd ${fd}`);
}

/** Gives a lock of tryLock back. */
export function unlock(fd: number): void {
  check(libc.flock(fd, LOCK_UN), "flock", `fd ${fd}`);
}

/** Writes everything of the file system that `fd` is on to disk: syncfs(2). Slow; for imports, not for hot paths. */
export function syncFileSystem(fd: number): void {
  check(libc.syncfs(fd), "syncfs", `fd ${fd}`);
}

/** What statfs(2) says of the file system at a path. `type` is its magic number (linux/magic.h). */
export interface FileSystemFacts {
  type: number;
  blockSize: number;
  blocks: number;
  blocksFree: number;
  blocksAvailable: number;
  files: number;
  filesFree: number;
  /** Of the mount: ST_RDONLY and so on, statvfs(3). */
  flags: number;
}

/** Flags of statfs(). */
export const ST_RDONLY = 1;
export const ST_NOSUID = 2;
export const ST_NODEV = 4;
export const ST_NOEXEC = 8;

export function statfs(path: string): FileSystemFacts {
  const words = new BigInt64Array(16);
  check(libc.statfs(cstring(path), words), "statfs", path);
  const word = (index: number) => Number(words[index]!);
  return {
    type: word(0),
    blockSize: word(1),
    blocks: word(2),
    blocksFree: word(3),
    blocksAvailable: word(4),
    files: word(5),
    filesFree: word(6),
    flags: word(10),
  };
}

function timespec(ns: bigint): [bigint, bigint] {
  const billion = 1_000_000_000n;
  const rest = ((ns % billion) + billion) % billion;
  return [(ns - rest) / billion, rest];
}
