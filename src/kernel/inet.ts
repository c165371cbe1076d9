/** Non-blocking internet sockets for a loop of its own (epoll.ts): ip(7), udp(7), tcp(7). */
import { type Pointer, ptr } from "bun:ffi";
import { closeSync } from "node:fs";
import { isIPv4 } from "node:net";
import { bindLibc, check, errno, SyscallError } from "./libc.ts";

const AF_INET = 2;
const AF_INET6 = 10;
const IPPROTO_ICMP = 1;
const IPPROTO_ICMPV6 = 58;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_RAW = 3;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_TYPE = 3;
const SO_ERROR = 4;
const SO_RCVBUFFORCE = 33;
const SO_PEEK_OFF = 42;
const MSG_PEEK = 0x2;
const MSG_TRUNC = 0x20;
const MSG_NOSIGNAL = 0x4000;
const SIOCGSKNS = 0x894c;
const EAGAIN = 11;
const ECONNABORTED = 103;
const EINPROGRESS = 115;
const sockaddrInBytes = 16;
const sockaddrIn6Bytes = 28;

const libc = bindLibc({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  bind: { args: ["i32", "ptr", "u32"], returns: "i32" },
  listen: { args: ["i32", "i32"], returns: "i32" },
  connect: { args: ["i32", "ptr", "u32"], returns: "i32" },
  accept4: { args: ["i32", "ptr", "ptr", "i32"], returns: "i32" },
  getpeername: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getsockname: { args: ["i32", "ptr", "ptr"], returns: "i32" },
  getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "usize", "i32"], returns: "i32" },
  send: { args: ["i32", "ptr", "usize", "i32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "usize", "i32", "ptr", "u32"], returns: "i32" },
  recvmmsg: { args: ["i32", "ptr", "u32", "i32", "ptr"], returns: "i32" },
  sendmmsg: { args: ["i32", "ptr", "u32", "i32"], returns: "i32" },
  ioctl: { args: ["i32", "u64", "u64"], returns: "i32" },
});

export type SocketKind = "udp" | "tcp";

/** A socket's address and port, as the kernel wants them. `scope` is the interface's index, for fe80::/10. */
export function socketAddress(address: string, port: number, scope = 0): Buffer {
  const four = isIPv4(address);
  const name = Buffer.alloc(four ? sockaddrInBytes : sockaddrIn6Bytes);
  name.writeUInt16LE(four ? AF_INET : AF_INET6);
  name.writeUInt16BE(port, 2);
  name.set(addressBytes(address), four ? 4 : 8);
  if (!four) name.writeUInt32LE(scope, 24);
  return name;
}

/** 4 or 16 bytes of an address in text, which must be one (node:net's isIP). */
export function addressBytes(address: string): Buffer {
  if (isIPv4(address)) return Buffer.from(address.split(".").map(Number));
  const bytes = Buffer.alloc(16);
  // An IPv4 address at the end stands for the last two groups.
  const text = address.replace(/(\d+)\.(\d+)\.(\d+)\.(\d+)$/, (_, ...parts: string[]) => {
    const [a, b, c, d] = parts.map(Number);
    return `${((a! << 8) | b!).toString(16)}:${((c! << 8) | d!).toString(16)}`;
  });
  const [head = "", tail] = text.split("::");
  const groups = (part: string) => (part === "" ? [] : part.split(":"));
  for (const [index, group] of groups(head).entries()) bytes.writeUInt16BE(Number.parseInt(group, 16), index * 2);
  const last = groups(tail ?? "");
  for (const [index, group] of last.entries())
    bytes.writeUInt16BE(Number.parseInt(group, 16), 16 - (last.length - index) * 2);
  return bytes;
}

/** A socket in this thread's network namespace, bound to a port of the kernel's choice. TCP listens. */
export function bindLocal(kind: SocketKind, address: string, options: { receiveBytes?: number } = {}): number {
  const fd = open(kind, isIPv4(address));
  try {
    if (options.receiveBytes !== undefined) {
      const size = Buffer.alloc(4);
      size.writeInt32LE(options.receiveBytes);
      check(libc.setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, size, 4), "setsockopt", "SO_RCVBUFFORCE");
    }
    const name = socketAddress(address, 0);
    check(libc.bind(fd, name, name.length), "bind", address);
    if (kind === "tcp") check(libc.listen(fd, 128), "listen", address);
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/** A socket in this thread's network namespace, connected (TCP: connecting) to `address`. Throws SyscallError. */
export function connectTo(kind: SocketKind, address: Buffer): number {
  const fd = open(kind, address.length === sockaddrInBytes);
  if (libc.connect(fd, address, address.length) === 0) return fd;
  const code = errno();
  if (code === EINPROGRESS) return fd;
  closeSync(fd);
  throw new SyscallError("connect", code);
}

/** What an IPv4 socket is bound to, and of which kind it is. Undefined where it is no such socket. */
export function boundTo(fd: number): { kind: SocketKind; address: string; port: number } | undefined {
  const name = Buffer.alloc(sockaddrIn6Bytes);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(name.length);
  if (libc.getsockname(fd, name, length) !== 0 || name.readUInt16LE() !== AF_INET) return undefined;
  const type = option(fd, SO_TYPE);
  if (type !== SOCK_STREAM && type !== SOCK_DGRAM) return undefined;
  return {
    kind: type === SOCK_STREAM ? "tcp" : "udp",
    address: name.subarray(4, 8).join("."),
    port: name.readUInt16BE(2),
  };
}

/** Whether a TCP socket from connectTo() has its connection by now. */
export function isConnected(fd: number): boolean {
  const length = Buffer.alloc(4);
  length.writeUInt32LE(sockaddrIn6Bytes);
  return libc.getpeername(fd, Buffer.alloc(sockaddrIn6Bytes), length) === 0;
}

/** A raw socket for echo requests (icmp(7)) to one address, in this thread's network namespace. Throws SyscallError. */
export function connectEcho(address: string): number {
  const four = isIPv4(address);
  const type = SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC;
  const protocol = four ? IPPROTO_ICMP : IPPROTO_ICMPV6;
  const fd = check(libc.socket(four ? AF_INET : AF_INET6, type, protocol), "socket", "icmp");
  const name = socketAddress(address, 0);
  if (libc.connect(fd, name, name.length) === 0) return fd;
  const code = errno();
  closeSync(fd);
  throw new SyscallError("connect", code);
}

/** The errno of what went wrong on the socket since this was last asked; 0: nothing. */
export function socketError(fd: number): number {
  return option(fd, SO_ERROR);
}

/** The network namespace a socket belongs to, as a descriptor that the caller closes. */
export function namespaceOf(socketFd: number): number {
  return check(libc.ioctl(socketFd, SIOCGSKNS, 0), "ioctl", "SIOCGSKNS");
}

/** Accepts a connection. Undefined where none waits. Throws SyscallError, EMFILE where descriptors have run out. */
export function accept(fd: number): number | undefined {
  const result = libc.accept4(fd, null, null, SOCK_NONBLOCK | SOCK_CLOEXEC);
  if (result >= 0) return result;
  const code = errno();
  if (code === EAGAIN || code === ECONNABORTED) return undefined;
  throw new SyscallError("accept", code);
}

/** Bytes received, 0 at a stream's end, undefined where nothing is there yet. Throws SyscallError. */
export function receive(fd: number, into: Buffer, length = into.length): number | undefined {
  return unlessAgain(libc.recv(fd, into, length, 0), "recv");
}

/** Bytes sent, undefined where the socket takes none now. Throws SyscallError. */
export function send(fd: number, bytes: Buffer): number | undefined {
  return unlessAgain(libc.send(fd, bytes, bytes.length, MSG_NOSIGNAL), "send");
}

/** Sends a datagram, or loses it where the socket takes none now. */
export function sendDatagram(fd: number, bytes: Buffer, length: number, to: Buffer): void {
  libc.sendto(fd, bytes, length, MSG_NOSIGNAL, to, to.length);
}

/** struct mmsghdr and what it points to, on 64-bit machines. */
const mmsghdrBytes = 64;
const iovecBytes = 16;
const at = { name: 0, nameLength: 8, iovec: 16, iovecs: 24, length: 56 };

/**
 * Datagrams of an IPv4 socket that are read, answered, and taken away, in one call each. Slot i's question is `questions`
 * from `i * questionBytes`, its answer belongs into `answers` from `i * answerBytes`. What was read and not taken away
 * is there again for who comes after us, if others hold the socket open: so nothing is lost when this process dies.
 */
export class DatagramBatch {
  readonly questions: Buffer;
  readonly answers: Buffer;
  readonly #received: Buffer;
  readonly #taken: Buffer;
  readonly #sent: Buffer;
  readonly #names: Buffer;
  readonly #iovecs: Buffer;
  readonly #namePointer: number;
  readonly #iovecPointer: number;
  readonly #answerPointer: number;
  #pending = 0;

  constructor(
    readonly slots: number,
    readonly questionBytes: number,
    readonly answerBytes: number,
  ) {
    // ArrayBuffers of their own: what the pool or the collector holds may move.
    const allocate = (bytes: number) => Buffer.from(new ArrayBuffer(Math.max(bytes, 4096)));
    this.questions = allocate(slots * questionBytes);
    this.answers = allocate(slots * answerBytes);
    this.#received = allocate(slots * mmsghdrBytes);
    this.#taken = allocate(slots * mmsghdrBytes);
    this.#sent = allocate(slots * mmsghdrBytes);
    this.#names = allocate(slots * sockaddrInBytes);
    this.#iovecs = allocate(slots * iovecBytes * 2);
    this.#namePointer = ptr(this.#names) as Pointer as number;
    this.#iovecPointer = ptr(this.#iovecs) as Pointer as number;
    this.#answerPointer = ptr(this.answers) as Pointer as number;
    const questionPointer = ptr(this.questions) as Pointer as number;
    for (let slot = 0; slot < slots; slot++) {
      this.#iovecs.writeBigUInt64LE(BigInt(questionPointer + slot * questionBytes), slot * iovecBytes);
      this.#iovecs.writeBigUInt64LE(BigInt(questionBytes), slot * iovecBytes + 8);
      const header = slot * mmsghdrBytes;
      this.#received.writeBigUInt64LE(BigInt(this.#namePointer + slot * sockaddrInBytes), header + at.name);
      this.#received.writeBigUInt64LE(BigInt(this.#iovecPointer + slot * iovecBytes), header + at.iovec);
      this.#received.writeBigUInt64LE(1n, header + at.iovecs);
      this.#sent.writeUInt32LE(sockaddrInBytes, header + at.nameLength);
      this.#sent.writeBigUInt64LE(BigInt(this.#iovecPointer + (slots + slot) * iovecBytes), header + at.iovec);
      this.#sent.writeBigUInt64LE(1n, header + at.iovecs);
    }
  }

  /** To be called for a socket before the first read: reading begins with the first datagram that is there. */
  static rewind(fd: number): void {
    check(libc.setsockopt(fd, SOL_SOCKET, SO_PEEK_OFF, Buffer.alloc(4), 4), "setsockopt", "SO_PEEK_OFF");
  }

  /** Reads what is there, `most` at most, and returns how many. They are to be taken away then. */
  read(fd: number, most: number): number {
    for (let slot = 0; slot < most; slot++)
      this.#received.writeUInt32LE(sockaddrInBytes, slot * mmsghdrBytes + at.nameLength);
    return Math.max(libc.recvmmsg(fd, this.#received, most, MSG_PEEK | MSG_TRUNC, null), 0);
  }

  /** Takes away what was read. */
  take(fd: number, count: number): void {
    // MSG_TRUNC: where to read goes back by all of their bytes, of which none is copied.
    if (count > 0) libc.recvmmsg(fd, this.#taken, count, MSG_TRUNC, null);
  }

  /** Length of a slot's question; undefined where the slot was too small for it. */
  length(slot: number): number | undefined {
    const length = this.#received.readUInt32LE(slot * mmsghdrBytes + at.length);
    return length <= this.questionBytes ? length : undefined;
  }

  /** Who sent a slot's question, for sendDatagram. */
  sender(slot: number): Buffer {
    return Buffer.from(this.#names.subarray(slot * sockaddrInBytes, (slot + 1) * sockaddrInBytes));
  }

  /** Has the answer in the slot sent, by the next flush(). */
  answer(slot: number, length: number): void {
    const index = this.#pending++;
    const header = index * mmsghdrBytes;
    this.#sent.writeBigUInt64LE(BigInt(this.#namePointer + slot * sockaddrInBytes), header + at.name);
    const iovec = (this.slots + index) * iovecBytes;
    this.#iovecs.writeBigUInt64LE(BigInt(this.#answerPointer + slot * this.answerBytes), iovec);
    this.#iovecs.writeBigUInt64LE(BigInt(length), iovec + 8);
  }

  /** Sends the answers. One that cannot be sent is lost, as datagrams may be. */
  flush(fd: number): void {
    for (let from = 0; from < this.#pending; ) {
      const sent = libc.sendmmsg(fd, this.#sent.subarray(from * mmsghdrBytes), this.#pending - from, MSG_NOSIGNAL);
      from += Math.max(sent, 1);
    }
    this.#pending = 0;
  }
}

function open(kind: SocketKind, four: boolean): number {
  const type = (kind === "tcp" ? SOCK_STREAM : SOCK_DGRAM) | SOCK_NONBLOCK | SOCK_CLOEXEC;
  return check(libc.socket(four ? AF_INET : AF_INET6, type, 0), "socket", kind);
}

function option(fd: number, name: number): number {
  const value = Buffer.alloc(4);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(4);
  check(libc.getsockopt(fd, SOL_SOCKET, name, value, length), "getsockopt");
  return value.readInt32LE();
}

function unlessAgain(result: number, call: string): number | undefined {
  if (result >= 0) return result;
  const code = errno();
  if (code === EAGAIN) return undefined;
  throw new SyscallError(call, code);
}
