/** Unix sockets of type SOCK_SEQPACKET, which node:net does not know: unix(7). */
import { closeSync, openSync } from "node:fs";
import { basename, dirname } from "node:path";
import { bindLibc, check, cstring, errno, SyscallError } from "./libc.ts";

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_DONTWAIT = 0x40;
const SHUT_WR = 1;
const F_DUPFD_CLOEXEC = 1030;
const EAGAIN = 11;
const sunPathBytes = 108;

const libc = bindLibc({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  fcntl: { args: ["i32", "i32", "i32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: "i64" },
  shutdown: { args: ["i32", "i32"], returns: "i32" },
});

/**
 * Connects to a seqpacket socket and returns a non-blocking fd. A path longer than a socket's address can hold is
 * reached through its directory's fd. Throws SyscallError: ENOENT or ECONNREFUSED where nobody listens.
 */
export function connectSeqpacket(path: string): number {
  const fd = check(libc.socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK | SOCK_CLOEXEC, 0), "socket");
  let directory: number | undefined;
  try {
    let reachable = path;
    if (Buffer.byteLength(path) >= sunPathBytes) {
      directory = openSync(dirname(path), "r");
      reachable = `/proc/self/fd/${directory}/${basename(path)}`;
    }
    const address = Buffer.alloc(2 + sunPathBytes);
    address.writeUInt16LE(AF_UNIX, 0);
    cstring(reachable).copy(address, 2);
    if (libc.connect(fd, address, address.length) < 0) throw new SyscallError("connect", errno(), path);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  } finally {
    if (directory !== undefined) closeSync(directory);
  }
}

/** Another fd for the same socket. Throws SyscallError. */
export function duplicate(fd: number): number {
  return check(libc.fcntl(fd, F_DUPFD_CLOEXEC, 0), "fcntl");
}

/** Receives one packet into `into`. Returns its length, 0 at the end, undefined where nothing is there yet. */
export function receivePacket(fd: number, into: Uint8Array): number | undefined {
  const length = Number(libc.recv(fd, into, into.length, MSG_DONTWAIT));
  if (length >= 0) return length;
  const code = errno();
  if (code === EAGAIN) return undefined;
  throw new SyscallError("recv", code);
}

/** Says that nothing more will be sent; the other direction stays open. */
export function shutdownWrite(fd: number): void {
  libc.shutdown(fd, SHUT_WR);
}
