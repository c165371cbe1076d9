/** Sockets that do nothing but hold a port of the host, for traffic that the packet filter takes before it gets here. */

import { ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { bindLibc, check, SyscallError } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_REUSEADDR = 2;
const SO_ATTACH_FILTER = 26;
const IPPROTO_IPV6 = 41;
const IPV6_V6ONLY = 26;
const protocolNumbers = { tcp: 6, udp: 17, sctp: 132 };

const libc = bindLibc({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
});

export type TransportProtocol = keyof typeof protocolNumbers;

/** BPF_RET|BPF_K 0: every packet is dropped. */
const dropAll = Buffer.of(0x06, 0, 0, 0, 0, 0, 0, 0);

/**
 * Takes a port of an address (4 or 16 bytes, all zero for every address of that family) so that nobody else gets it.
 * Returns a socket that never answers: what reaches it is dropped, so that a client whose packets come before the
 * filter's rules are in place tries again instead of being swallowed.
 * Throws SyscallError: EADDRINUSE, EADDRNOTAVAIL, EAFNOSUPPORT, EPROTONOSUPPORT (code "E93")…
 */
export function holdPort(protocol: TransportProtocol, address: Uint8Array, port: number): number {
  const six = address.length === 16;
  const kind = protocol === "udp" ? SOCK_DGRAM : SOCK_STREAM;
  const fd = check(
    libc.socket(six ? AF_INET6 : AF_INET, kind | SOCK_CLOEXEC, protocolNumbers[protocol]),
    "socket",
    protocol,
  );
  try {
    const on = Buffer.of(1, 0, 0, 0);
    if (six) check(libc.setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, on, 4), "setsockopt", "IPV6_V6ONLY");
    if (protocol !== "udp") check(libc.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, on, 4), "setsockopt", "SO_REUSEADDR");
    const program = Buffer.alloc(16);
    program.writeUInt16LE(dropAll.length / 8);
    program.writeBigUInt64LE(BigInt(ptr(dropAll)), 8);
    check(libc.setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, program, 16), "setsockopt", "SO_ATTACH_FILTER");
    const name = Buffer.alloc(six ? 28 : 16);
    name.writeUInt16LE(six ? AF_INET6 : AF_INET);
    name.writeUInt16BE(port, 2);
    name.set(address, six ? 8 : 4);
    check(libc.bind(fd, name, name.length), "bind", `port ${port}`);
    if (protocol !== "udp") check(libc.listen(fd, 1), "listen", `port ${port}`);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** Whether this machine has IPv6 at all. */
export function hasIpv6(): boolean {
  try {
    const address = new Uint8Array(16);
    address[15] = 1;
    closeSync(holdPort("udp", address, 0));
    return true;
  } catch (error) {
    if (error instanceof SyscallError) return false;
    throw error;
  }
}
