/** libc through FFI. Every other file of this room goes through here; no other room does. */
import { dlopen, type FFIFunction, type Pointer, read } from "bun:ffi";

const libcPath = "libc.so.6";

/** Binds functions of libc. `T` keeps the names and types of what was bound. */
export function bindLibc<T extends Record<string, FFIFunction>>(symbols: T) {
  return dlopen(libcPath, symbols).symbols;
}

const base = bindLibc({
  __errno_location: { args: [], returns: "ptr" },
  strerror: { args: ["i32"], returns: "cstring" },
});

const names: Record<number, string> = {
  1: "EPERM",
  2: "ENOENT",
  3: "ESRCH",
  4: "EINTR",
  5: "EIO",
  6: "ENXIO",
  9: "EBADF",
  11: "EAGAIN",
  12: "ENOMEM",
  13: "EACCES",
  14: "EFAULT",
  16: "EBUSY",
  17: "EEXIST",
  18: "EXDEV",
  19: "ENODEV",
  20: "ENOTDIR",
  21: "EISDIR",
  22: "EINVAL",
  23: "ENFILE",
  24: "EMFILE",
  26: "ETXTBSY",
  27: "EFBIG",
  28: "ENOSPC",
  30: "EROFS",
  31: "EMLINK",
  32: "EPIPE",
  34: "ERANGE",
  36: "ENAMETOOLONG",
  38: "ENOSYS",
  39: "ENOTEMPTY",
  40: "ELOOP",
  61: "ENODATA",
  95: "EOPNOTSUPP",
  97: "EAFNOSUPPORT",
  98: "EADDRINUSE",
  99: "EADDRNOTAVAIL",
  101: "ENETUNREACH",
  105: "ENOBUFS",
  107: "ENOTCONN",
  110: "ETIMEDOUT",
  111: "ECONNREFUSED",
  113: "EHOSTUNREACH",
  122: "EDQUOT",
};

/** A failed call of the kernel. `code` is the symbolic name, as on Node's own system errors. */
export class SyscallError extends Error {
  readonly code: string;
  constructor(
    readonly syscall: string,
    readonly errno: number,
    readonly subject = "",
  ) {
    super(`${syscall}${subject === "" ? "" : ` ${subject}`}: ${base.strerror(errno)}`);
    this.name = "SyscallError";
    this.code = names[errno] ?? `E${errno}`;
  }
}

/** errno of this thread, to be read directly after the call that set it. */
export function errno(): number {
  return read.i32(base.__errno_location() as Pointer, 0);
}

/** Returns `result`, or throws a SyscallError where it is negative. `subject` is what the call was about, a path say. */
export function check(result: number, syscall: string, subject = ""): number {
  if (result < 0) throw new SyscallError(syscall, errno(), subject);
  return result;
}

/** A path or other string as libc wants it: UTF-8 with a NUL at the end. Throws on an embedded NUL. */
export function cstring(text: string): Buffer {
  if (text.includes("\0")) throw new SyscallError("cstring", 22, JSON.stringify(text));
  return Buffer.from(`${text}\0`, "utf8");
}
