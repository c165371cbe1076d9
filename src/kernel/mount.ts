/** Mounting and reading the mount table: mount(2), umount2(2), proc(5) mountinfo. */
import { readFileSync } from "node:fs";
import { O_CLOEXEC } from "./files.ts";
import { bindLibc, check, cstring, errno, SyscallError } from "./libc.ts";

/** Flags of mount(2), from linux/mount.h. */
export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_BIND = 4096;
export const MS_MOVE = 8192;
export const MS_REC = 16384;
export const MS_SILENT = 32768;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;

const MNT_DETACH = 2;
const UMOUNT_NOFOLLOW = 8;
const EINVAL = 22;
const ENOENT = 2;
// The same number on every architecture: it was added after the tables were joined.
const SYS_open_tree = 428;
const SYS_move_mount = 429;
const SYS_mount_setattr = 442;
const OPEN_TREE_CLONE = 1;
const AT_FDCWD = -100;
const AT_RECURSIVE = 0x8000;
const AT_EMPTY_PATH = 0x1000;
const MOVE_MOUNT_F_EMPTY_PATH = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH = 0x40;
const MOUNT_ATTR_RDONLY = 1n;

const libc = bindLibc({
  mount: { args: ["ptr", "ptr", "ptr", "u64", "ptr"], returns: "i32" },
  umount2: { args: ["ptr", "i32"], returns: "i32" },
  syscall: { args: ["i64", "i64", "ptr", "i64", "ptr", "i64"], returns: "i64" },
  fchdir: { args: ["i32"], returns: "i32" },
});
const empty = cstring("");

/** How a mount passes mounts on to its peers: mount_namespaces(7). */
export type Propagation = "shared" | "slave" | "shared-slave" | "private" | "unbindable";

/** One line of /proc/self/mountinfo. Paths are decoded. */
export interface MountEntry {
  mountId: number;
  parentId: number;
  /** `major:minor` of the file system */
  device: string;
  /** which directory of the file system is mounted */
  root: string;
  mountPoint: string;
  fstype: string;
  source: string;
  /** per-mount options such as `ro` and `nosuid` */
  options: string[];
  /** options of the file system itself, such as `lowerdir=…` */
  superOptions: string[];
  propagation: Propagation;
}

/**
 * mount(2). An empty `source`, `fstype` or `data` is passed as NULL.
 * Throws SyscallError that names the target.
 */
export function mount(source: string, target: string, fstype: string, flags: number, data = ""): void {
  const result = libc.mount(
    source === "" ? null : cstring(source),
    cstring(target),
    fstype === "" ? null : cstring(fstype),
    flags,
    data === "" ? null : cstring(data),
  );
  if (result < 0) throw new SyscallError("mount", errno(), target);
}

/**
 * umount2(2), never through a symbolic link. `detach` takes the mount out of the tree at once, even where it is busy.
 * Returns false where nothing was mounted (or the target is not there); throws SyscallError on anything else.
 */
export function unmount(target: string, detach = false): boolean {
  const result = libc.umount2(cstring(target), (detach ? MNT_DETACH : 0) | UMOUNT_NOFOLLOW);
  if (result === 0) return true;
  const code = errno();
  if (code === EINVAL || code === ENOENT) return false;
  throw new SyscallError("umount2", code, target);
}

/**
 * open_tree(2): a copy of the mount at `path`, with all that is mounted below it unless `recursive` is false, that is
 * mounted nowhere. It goes with the returned fd, an O_PATH one. Throws SyscallError.
 */
export function cloneMounts(path: string, recursive = true): number {
  const flags = OPEN_TREE_CLONE | (recursive ? AT_RECURSIVE : 0) | O_CLOEXEC;
  return check(Number(libc.syscall(SYS_open_tree, AT_FDCWD, cstring(path), flags, null, 0)), "open_tree", path);
}

/** mount_setattr(2) for a copy of cloneMounts(). `propagation` is one of MS_PRIVATE, MS_SLAVE, MS_SHARED. Needs Linux 5.12. */
export function setMountAttributes(
  fd: number,
  { readOnly, recursive, propagation }: { readOnly: boolean; recursive: boolean; propagation: number },
): void {
  const flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
  const attributes = new BigUint64Array([readOnly ? MOUNT_ATTR_RDONLY : 0n, 0n, BigInt(propagation), 0n]);
  const result = libc.syscall(SYS_mount_setattr, fd, empty, flags, attributes, attributes.byteLength);
  check(Number(result), "mount_setattr");
}

/** move_mount(2): mounts a copy of cloneMounts() at an open path. Throws SyscallError. */
export function attachMounts(fd: number, targetFd: number, name: string): void {
  const flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
  check(Number(libc.syscall(SYS_move_mount, fd, empty, targetFd, empty, flags)), "move_mount", name);
}

/** Takes a mount out of the tree that is at `name` in an open directory, which becomes the process' own. */
export function unmountIn(dirFd: number, name: string): void {
  check(libc.fchdir(dirFd), "fchdir", name);
  if (!unmount(name, true)) throw new SyscallError("umount2", EINVAL, name);
}

/** All mounts of a process' mount namespace (default: our own), in the order they were made. */
export function readMounts(pid: number | "self" = "self"): MountEntry[] {
  return parseMountInfo(readFileSync(`/proc/${pid}/mountinfo`, "utf8"));
}

/** Parses the text of a mountinfo file. Lines it cannot read are left out. */
export function parseMountInfo(text: string): MountEntry[] {
  const entries: MountEntry[] = [];
  for (const line of text.split("\n")) {
    const dash = line.indexOf(" - ");
    if (dash < 0) continue;
    const left = line.slice(0, dash).split(" ");
    const right = line.slice(dash + 3).split(" ");
    if (left.length < 6 || right.length < 2) continue;
    entries.push({
      mountId: Number(left[0]),
      parentId: Number(left[1]),
      device: left[2]!,
      root: decode(left[3]!),
      mountPoint: decode(left[4]!),
      options: left[5]!.split(","),
      propagation: propagationOf(left.slice(6)),
      fstype: right[0]!,
      source: decode(right[1]!),
      superOptions: (right[2] ?? "").split(",").map(decode),
    });
  }
  return entries;
}

function propagationOf(fields: string[]): Propagation {
  if (fields.includes("unbindable")) return "unbindable";
  const shared = fields.some((field) => field.startsWith("shared:"));
  const slave = fields.some((field) => field.startsWith("master:"));
  if (shared) return slave ? "shared-slave" : "shared";
  return slave ? "slave" : "private";
}

/** The kernel writes blanks and backslashes as three octal digits, byte by byte. */
function decode(field: string): string {
  return field.includes("\\")
    ? field.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(Number.parseInt(digits, 8)))
    : field;
}
