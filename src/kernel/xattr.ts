/** Extended attributes of a path itself, never of what a symbolic link points to: xattr(7). */
import { bindLibc, cstring, errno, SyscallError } from "./libc.ts";

const ERANGE = 34;
const ENODATA = 61;
const EOPNOTSUPP = 95;

const libc = bindLibc({
  lgetxattr: { args: ["ptr", "ptr", "ptr", "usize"], returns: "i64" },
  lsetxattr: { args: ["ptr", "ptr", "ptr", "usize", "i32"], returns: "i32" },
  lremovexattr: { args: ["ptr", "ptr"], returns: "i32" },
  llistxattr: { args: ["ptr", "ptr", "usize"], returns: "i64" },
});

/** The value of one attribute, or undefined where the file has none of that name or the file system knows none. */
export function lgetxattr(path: string, name: string): Buffer | undefined {
  return readGrowing(
    (buffer) => libc.lgetxattr(cstring(path), cstring(name), buffer, buffer.length),
    path,
    "lgetxattr",
  );
}

/** Sets or replaces one attribute. Throws SyscallError (EOPNOTSUPP where the file system keeps no such attribute). */
export function lsetxattr(path: string, name: string, value: Uint8Array): void {
  // An empty array has no address that FFI could pass.
  const bytes = value.length === 0 ? new Uint8Array(1) : value;
  if (libc.lsetxattr(cstring(path), cstring(name), bytes, value.length, 0) < 0) {
    throw new SyscallError("lsetxattr", errno(), `${path} ${name}`);
  }
}

/** Removes one attribute; false where there was none. */
export function lremovexattr(path: string, name: string): boolean {
  if (libc.lremovexattr(cstring(path), cstring(name)) === 0) return true;
  const code = errno();
  if (code === ENODATA) return false;
  throw new SyscallError("lremovexattr", code, `${path} ${name}`);
}

/** Names of all attributes; none where the file system knows none. */
export function llistxattr(path: string): string[] {
  const names = readGrowing((buffer) => libc.llistxattr(cstring(path), buffer, buffer.length), path, "llistxattr");
  if (names === undefined || names.length === 0) return [];
  return names.toString("utf8", 0, names.length - 1).split("\0");
}

function readGrowing(call: (buffer: Buffer) => number | bigint, path: string, syscall: string): Buffer | undefined {
  for (let size = 256; ; size *= 16) {
    const buffer = Buffer.allocUnsafe(size);
    const length = Number(call(buffer));
    if (length >= 0) return buffer.subarray(0, length);
    const code = errno();
    if (code === ENODATA || code === EOPNOTSUPP) return undefined;
    // An attribute and a list of names are 64 KiB at the most.
    if (code !== ERANGE || size > 65536) throw new SyscallError(syscall, code, path);
  }
}
