/**
 * File calls relative to a directory's fd: what unpacking and copying trees of strangers' files is made of.
 * A name holds one character per byte ("latin1"), because names in a file system need not be UTF-8;
 * `bytesOf` makes one of an ordinary string. Nothing here follows a symbolic link in the last component.
 */
import { FFIType } from "bun:ffi";
import { readSync, writeSync } from "node:fs";
import { makeDevice, O_CLOEXEC, O_NOFOLLOW, O_PATH } from "./files.ts";
import { bindLibc, errno, SyscallError } from "./libc.ts";

const SYS_openat2 = 437;
const RESOLVE_NO_MAGICLINKS = 0x02;
const RESOLVE_NO_SYMLINKS = 0x04;
const RESOLVE_BENEATH = 0x08;
const RESOLVE_IN_ROOT = 0x10;
const AT_REMOVEDIR = 0x200;
const AT_SYMLINK_NOFOLLOW = 0x100;
const AT_EMPTY_PATH = 0x1000;
const STATX_BASIC_STATS = 0x7ff;
const STATX_MNT_ID = 0x1000;
const SEEK_DATA = 3;
const SEEK_HOLE = 4;
const EAGAIN = 11;
const EEXIST = 17;
const EXDEV = 18;
const ENOTDIR = 20;
const EINVAL = 22;
const ELOOP = 40;
const ENODATA = 61;
const ENOENT = 2;
const ENXIO = 6;
const EOPNOTSUPP = 95;
const pathLimitBytes = 4096;

/** A number where it fits one exactly, which saves a bigint for every call. */
const i64 = FFIType.i64_fast;

const libc = bindLibc({
  openat: { args: ["i32", "ptr", "i32", "u32"], returns: "i32" },
  syscall: { args: [i64, i64, "ptr", "ptr", i64], returns: i64 },
  close: { args: ["i32"], returns: "i32" },
  mkdirat: { args: ["i32", "ptr", "u32"], returns: "i32" },
  symlinkat: { args: ["ptr", "i32", "ptr"], returns: "i32" },
  linkat: { args: ["i32", "ptr", "i32", "ptr", "i32"], returns: "i32" },
  mknodat: { args: ["i32", "ptr", "u32", "u64"], returns: "i32" },
  unlinkat: { args: ["i32", "ptr", "i32"], returns: "i32" },
  readlinkat: { args: ["i32", "ptr", "ptr", "usize"], returns: i64 },
  fchownat: { args: ["i32", "ptr", "u32", "u32", "i32"], returns: "i32" },
  chmod: { args: ["ptr", "u32"], returns: "i32" },
  utimensat: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  fchown: { args: ["i32", "u32", "u32"], returns: "i32" },
  fchmod: { args: ["i32", "u32"], returns: "i32" },
  futimens: { args: ["i32", "ptr"], returns: "i32" },
  fsetxattr: { args: ["i32", "ptr", "ptr", "usize", "i32"], returns: "i32" },
  flistxattr: { args: ["i32", "ptr", "usize"], returns: i64 },
  fgetxattr: { args: ["i32", "ptr", "ptr", "usize"], returns: i64 },
  llistxattr: { args: ["ptr", "ptr", "usize"], returns: i64 },
  lgetxattr: { args: ["ptr", "ptr", "ptr", "usize"], returns: i64 },
  lsetxattr: { args: ["ptr", "ptr", "ptr", "usize", "i32"], returns: "i32" },
  ftruncate: { args: ["i32", i64], returns: "i32" },
  pwrite: { args: ["i32", "ptr", "usize", i64], returns: i64 },
  lseek: { args: ["i32", i64, "i32"], returns: i64 },
  copy_file_range: { args: ["i32", "ptr", "i32", "ptr", "usize", "u32"], returns: i64 },
  ioctl: { args: ["i32", "u64", i64], returns: "i32" },
  statx: { args: ["i32", "ptr", "i32", "u32", "ptr"], returns: "i32" },
});

const scratch = [Buffer.alloc(pathLimitBytes + 1), Buffer.alloc(pathLimitBytes + 1)] as const;
/** An empty array has no address that FFI could pass. */
const noBytes = Buffer.alloc(1);
/** A list of names and a value are 64 KiB at the most: xattr(7). */
const xattrBuffer = Buffer.alloc(65536);
const timesBuffer = Buffer.alloc(32);
const statBuffer = Buffer.alloc(256);
const openHow = new BigUint64Array(3);

/** An ordinary string as a name with one character per byte. */
export function bytesOf(text: string): string {
  return Buffer.from(text, "utf8").toString("latin1");
}

/** A name with one character per byte as an ordinary string, for messages. */
export function textOf(name: string): string {
  return Buffer.from(name, "latin1").toString("utf8");
}

/** Puts a name into a buffer that lives across calls: no allocation for each of a layer's thousands of files. */
function pass(name: string, slot: 0 | 1 = 0): Buffer {
  const buffer = scratch[slot];
  if (name.length >= pathLimitBytes) throw new SyscallError("open", 36, textOf(name.slice(0, 100)));
  if (name.includes("\0")) throw new SyscallError("open", 22, JSON.stringify(textOf(name)));
  buffer[buffer.write(name, 0, "latin1")] = 0;
  return buffer;
}

function fail(syscall: string, name: string): never {
  throw new SyscallError(syscall, errno(), textOf(name));
}

/** openat(2), with O_NOFOLLOW and O_CLOEXEC. Throws SyscallError. */
export function openAt(dirFd: number, name: string, flags: number, mode = 0): number {
  const fd = libc.openat(dirFd, pass(name), flags | O_NOFOLLOW | O_CLOEXEC, mode);
  return fd < 0 ? fail("openat", name) : fd;
}

/** openAt that answers undefined where `flags` has O_CREAT|O_EXCL and the name is taken. */
export function createAt(dirFd: number, name: string, flags: number, mode: number): number | undefined {
  const fd = libc.openat(dirFd, pass(name), flags | O_NOFOLLOW | O_CLOEXEC, mode);
  if (fd >= 0) return fd;
  if (errno() === EEXIST) return undefined;
  return fail("openat", name);
}

/**
 * openat2(2): looks `path` up as a process whose root is `rootFd`, so that no `..` and no symbolic link leads out.
 * undefined where something on the way is not there; throws SyscallError for all else.
 */
export function lookUpInRoot(rootFd: number, path: string, flags: number): number | undefined {
  openHow[0] = BigInt(flags | O_CLOEXEC);
  openHow[2] = BigInt(RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS);
  for (let attempt = 0; ; attempt++) {
    const fd = Number(libc.syscall(SYS_openat2, rootFd, pass(path), openHow, openHow.byteLength));
    if (fd >= 0) return fd;
    const code = errno();
    if (code === ENOENT) return undefined;
    // A rename somewhere on the way makes the kernel give up; it asks to be called again.
    if (code !== EAGAIN || attempt === 32) throw new SyscallError("openat2", code, textOf(path));
  }
}

/**
 * openat2(2): opens `path` below a directory with no symbolic link on the way. undefined where it is not there, or is
 * reached through a link; throws SyscallError for all else.
 */
export function openBeneath(rootFd: number, path: string, flags: number): number | undefined {
  openHow[0] = BigInt(flags | O_CLOEXEC);
  openHow[2] = BigInt(RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
  for (let attempt = 0; ; attempt++) {
    const fd = Number(libc.syscall(SYS_openat2, rootFd, pass(path), openHow, openHow.byteLength));
    if (fd >= 0) return fd;
    const code = errno();
    if (code === ENOENT || code === ENOTDIR || code === ELOOP) return undefined;
    if (code !== EAGAIN || attempt === 32) throw new SyscallError("openat2", code, textOf(path));
  }
}

/**
 * openat2(2): opens `path` below a directory, following symbolic links that stay below it. undefined where it is not
 * there; throws SyscallError for all else, with EXDEV where a link leads out.
 */
export function openIn(rootFd: number, path: string, flags: number): number | undefined {
  openHow[0] = BigInt(flags | O_CLOEXEC);
  openHow[2] = BigInt(RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS);
  for (let attempt = 0; ; attempt++) {
    const fd = Number(libc.syscall(SYS_openat2, rootFd, pass(path), openHow, openHow.byteLength));
    if (fd >= 0) return fd;
    const code = errno();
    if (code === ENOENT) return undefined;
    if (code !== EAGAIN || attempt === 32) throw new SyscallError("openat2", code, textOf(path));
  }
}

export function closeFast(fd: number): void {
  libc.close(fd);
}

/** mkdirat(2); false where the name is taken. */
export function mkdirAt(dirFd: number, name: string, mode: number): boolean {
  return created(libc.mkdirat(dirFd, pass(name), mode), "mkdirat", name);
}

/** symlinkat(2); false where the name is taken. */
export function symlinkAt(target: string, dirFd: number, name: string): boolean {
  return created(libc.symlinkat(pass(target, 1), dirFd, pass(name)), "symlinkat", name);
}

/** linkat(2); false where the new name is taken. */
export function linkAt(fromDirFd: number, from: string, dirFd: number, name: string): boolean {
  return created(libc.linkat(fromDirFd, pass(from, 1), dirFd, pass(name), 0), "linkat", name);
}

/** mknodat(2); `mode` carries the type. false where the name is taken. */
export function mknodAt(dirFd: number, name: string, mode: number, major: number, minor: number): boolean {
  return created(libc.mknodat(dirFd, pass(name), mode, makeDevice(major, minor)), "mknodat", name);
}

function created(result: number, syscall: string, name: string): boolean {
  if (result === 0) return true;
  if (errno() === EEXIST) return false;
  return fail(syscall, name);
}

/** unlinkat(2); false where there was nothing. */
export function unlinkAt(dirFd: number, name: string, kind: "file" | "directory"): boolean {
  if (libc.unlinkat(dirFd, pass(name), kind === "directory" ? AT_REMOVEDIR : 0) === 0) return true;
  if (errno() === ENOENT) return false;
  return fail("unlinkat", name);
}

export function readlinkAt(dirFd: number, name: string): string {
  const target = scratch[1];
  const length = Number(libc.readlinkat(dirFd, pass(name), target, pathLimitBytes));
  return length < 0 ? fail("readlinkat", name) : target.toString("latin1", 0, length);
}

export function chownAt(dirFd: number, name: string, uid: number, gid: number): void {
  if (libc.fchownat(dirFd, pass(name), uid, gid, AT_SYMLINK_NOFOLLOW) < 0) fail("fchownat", name);
}

/** Permissions of the name itself: the kernel's own call would follow what may have become a symbolic link meanwhile. */
export function chmodAt(dirFd: number, name: string, mode: number): void {
  const fd = openAt(dirFd, name, O_PATH);
  try {
    if (libc.chmod(pass(`/proc/self/fd/${fd}`), mode) < 0) fail("chmod", name);
  } finally {
    closeFast(fd);
  }
}

/** Permissions of an open file (not an O_PATH one). */
export function chmodOf(fd: number, mode: number, name: string): void {
  if (libc.fchmod(fd, mode) < 0) fail("fchmod", name);
}

/** Sets access and modification time of the name itself to the same moment. */
export function setTimeAt(dirFd: number, name: string, seconds: number, nanos: number): void {
  if (libc.utimensat(dirFd, pass(name), timespecs(seconds, nanos), AT_SYMLINK_NOFOLLOW) < 0) fail("utimensat", name);
}

/** Owner, permissions and time of an open file, in the order in which none undoes another. */
export function setAttributes(
  fd: number,
  to: { uid: number; gid: number; mode: number; mtimeSeconds: number; mtimeNanos: number },
  name: string,
): void {
  if (libc.fchown(fd, to.uid, to.gid) < 0) fail("fchown", name);
  if (libc.fchmod(fd, to.mode) < 0) fail("fchmod", name);
  if (libc.futimens(fd, timespecs(to.mtimeSeconds, to.mtimeNanos)) < 0) fail("futimens", name);
}

/** Sets an extended attribute of an open file (not an O_PATH one). */
export function setXattr(fd: number, key: string, value: Uint8Array, name: string): void {
  const bytes = value.length === 0 ? noBytes : value;
  if (libc.fsetxattr(fd, pass(key, 1), bytes, value.length, 0) < 0) fail(`setxattr ${key}`, name);
}

/** Sets an extended attribute of a name itself, whatever it is. */
export function setXattrAt(dirFd: number, name: string, key: string, value: Uint8Array): void {
  const bytes = value.length === 0 ? noBytes : value;
  const path = pass(`/proc/self/fd/${dirFd}/${name}`);
  if (libc.lsetxattr(path, pass(key, 1), bytes, value.length, 0) < 0) fail(`setxattr ${key}`, name);
}

/** All extended attributes of a name itself; none where the file system keeps none. */
export function xattrsAt(dirFd: number, name: string): [key: string, value: Buffer][] {
  const path = `/proc/self/fd/${dirFd}/${name}`;
  const listLength = Number(libc.llistxattr(pass(path), xattrBuffer, xattrBuffer.length));
  if (listLength < 0 && errno() !== EOPNOTSUPP) fail("llistxattr", name);
  if (listLength <= 0) return [];
  const keys = xattrBuffer.toString("latin1", 0, listLength - 1).split("\0");
  return keys.map((key) => {
    const length = Number(libc.lgetxattr(pass(path), pass(key, 1), xattrBuffer, xattrBuffer.length));
    if (length < 0) fail(`lgetxattr ${key}`, name);
    return [key, Buffer.from(xattrBuffer.subarray(0, length))];
  });
}

/** All extended attributes of an open file (not an O_PATH one); none where the file system keeps none. */
export function xattrsOf(fd: number, name: string): [key: string, value: Buffer][] {
  const listLength = Number(libc.flistxattr(fd, xattrBuffer, xattrBuffer.length));
  if (listLength < 0 && errno() !== EOPNOTSUPP) fail("flistxattr", name);
  if (listLength <= 0) return [];
  const keys = xattrBuffer.toString("latin1", 0, listLength - 1).split("\0");
  return keys.map((key) => {
    const length = Number(libc.fgetxattr(fd, pass(key, 1), xattrBuffer, xattrBuffer.length));
    if (length < 0) fail(`fgetxattr ${key}`, name);
    return [key, Buffer.from(xattrBuffer.subarray(0, length))];
  });
}

/** One extended attribute of a name itself; undefined where it has none of that key. */
export function xattrAt(dirFd: number, name: string, key: string): Buffer | undefined {
  const path = pass(`/proc/self/fd/${dirFd}/${name}`);
  const length = Number(libc.lgetxattr(path, pass(key, 1), xattrBuffer, xattrBuffer.length));
  if (length >= 0) return Buffer.from(xattrBuffer.subarray(0, length));
  if ([ENODATA, EOPNOTSUPP, ENOENT, ENOTDIR].includes(errno())) return undefined;
  return fail(`lgetxattr ${key}`, name);
}

function timespecs(seconds: number, nanos: number): Buffer {
  for (const at of [0, 16]) {
    timesBuffer.writeUInt32LE(seconds >>> 0, at);
    timesBuffer.writeInt32LE(Math.floor(seconds / 0x1_0000_0000), at + 4);
    timesBuffer.writeUInt32LE(nanos, at + 8);
  }
  return timesBuffer;
}

/** Writes all of `bytes` at `offset`. Throws SyscallError (ENOSPC on a full disk). */
export function writeAt(fd: number, bytes: Uint8Array, offset: number, name: string): void {
  for (let done = 0; done < bytes.length; ) {
    const part = done === 0 ? bytes : bytes.subarray(done);
    const written = Number(libc.pwrite(fd, part, part.length, offset + done));
    if (written < 0) fail("write", name);
    done += written;
  }
}

export function truncate(fd: number, sizeBytes: number, name: string): void {
  if (libc.ftruncate(fd, sizeBytes) < 0) fail("ftruncate", name);
}

/** What statx(2) says of a name itself. `mode` holds type and permissions; `identity` is the inode within its device. */
export interface FileFacts {
  mode: number;
  uid: number;
  gid: number;
  links: number;
  identity: string;
  /** The device, for comparing. */
  device: string;
  size: number;
  blocks: number;
  mtimeSeconds: number;
  mtimeNanos: number;
  ctimeSeconds: number;
  ctimeNanos: number;
  devMajor: number;
  devMinor: number;
}

/** Facts of `name` in a directory, or of the open file itself where `name` is empty; undefined where there is nothing. */
export function statAt(dirFd: number, name: string): FileFacts | undefined {
  const flags = AT_SYMLINK_NOFOLLOW | (name === "" ? AT_EMPTY_PATH : 0);
  if (libc.statx(dirFd, name === "" ? noBytes : pass(name), flags, STATX_BASIC_STATS, statBuffer) < 0) {
    if (errno() === ENOENT) return undefined;
    fail("statx", name);
  }
  const b = statBuffer;
  // struct statx, the same on every architecture: linux/stat.h.
  return {
    links: b.readUInt32LE(16),
    uid: b.readUInt32LE(20),
    gid: b.readUInt32LE(24),
    mode: b.readUInt16LE(28),
    identity: b.toString("latin1", 32, 40) + b.toString("latin1", 136, 144),
    device: b.toString("latin1", 136, 144),
    size: Number(b.readBigUInt64LE(40)),
    blocks: Number(b.readBigUInt64LE(48)),
    ctimeSeconds: Number(b.readBigInt64LE(96)),
    ctimeNanos: b.readUInt32LE(104),
    mtimeSeconds: Number(b.readBigInt64LE(112)),
    mtimeNanos: b.readUInt32LE(120),
    devMajor: b.readUInt32LE(128),
    devMinor: b.readUInt32LE(132),
  };
}

/** Which mount an open path is on: the number that mountinfo has. Needs Linux 5.8. */
export function mountIdOf(fd: number): number {
  const result = libc.statx(fd, noBytes, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH, STATX_MNT_ID, statBuffer);
  if (result < 0) fail("statx", "");
  return Number(statBuffer.readBigUInt64LE(144));
}

/** Where an open file has data: runs in bytes, in order. What lies between them is holes. */
export function* dataRuns(fd: number, sizeBytes: number, name: string): Generator<{ offset: number; length: number }> {
  for (let at = 0; at < sizeBytes; ) {
    const start = Number(libc.lseek(fd, at, SEEK_DATA));
    if (start < 0 && errno() === ENXIO) return;
    if (start < 0) fail("lseek", name);
    const end = Number(libc.lseek(fd, start, SEEK_HOLE));
    if (end < 0) fail("lseek", name);
    const offset = Math.min(start, sizeBytes);
    if (offset < sizeBytes) yield { offset, length: Math.min(end, sizeBytes) - offset };
    at = end;
  }
}

const FICLONE = 0x40049409n;

/** Copies a file's bytes: shared blocks where the file system can, else run by run, so that holes stay holes. */
export function copyData(fromFd: number, toFd: number, sizeBytes: number, name: string): void {
  if (sizeBytes === 0 || libc.ioctl(toFd, FICLONE, fromFd) === 0) return;
  let hasHoleAtEnd = true;
  for (let offset = 0; offset < sizeBytes; ) {
    const start = Number(libc.lseek(fromFd, offset, SEEK_DATA));
    if (start < 0 && errno() === ENXIO) break;
    if (start < 0) fail("lseek", name);
    const end = Number(libc.lseek(fromFd, start, SEEK_HOLE));
    if (end < 0) fail("lseek", name);
    copyRun(fromFd, toFd, start, end - start, name);
    hasHoleAtEnd = end < sizeBytes;
    offset = end;
  }
  if (hasHoleAtEnd) truncate(toFd, sizeBytes, name);
}

function copyRun(fromFd: number, toFd: number, offset: number, lengthBytes: number, name: string): void {
  const inOffset = new BigInt64Array([BigInt(offset)]);
  const outOffset = new BigInt64Array([BigInt(offset)]);
  for (let left = lengthBytes; left > 0; ) {
    let copied = Number(libc.copy_file_range(fromFd, inOffset, toFd, outOffset, left, 0));
    if (copied < 0) {
      // The kernel copies only within one file system, and not everywhere there.
      if (![EXDEV, EINVAL, EOPNOTSUPP].includes(errno())) fail("copy_file_range", name);
      copied = copyThroughMemory(fromFd, toFd, offset + lengthBytes - left, left);
      inOffset[0]! += BigInt(copied);
      outOffset[0]! += BigInt(copied);
    }
    if (copied === 0) break;
    left -= copied;
  }
}

/** Copies at most a buffer full, and returns how many bytes that were. */
function copyThroughMemory(fromFd: number, toFd: number, offset: number, lengthBytes: number): number {
  const buffer = Buffer.allocUnsafe(Math.min(lengthBytes, 1 << 20));
  const length = readSync(fromFd, buffer, 0, buffer.length, offset);
  for (let done = 0; done < length; ) done += writeSync(toFd, buffer, done, length - done, offset + done);
  return length;
}
