/** epoll(7) and eventfd(2): waiting for many descriptors in a thread that does nothing else. */
import { closeSync } from "node:fs";
import { bindLibc, check, errno, SyscallError } from "./libc.ts";

export const EPOLLIN = 0x1;
export const EPOLLOUT = 0x4;
export const EPOLLERR = 0x8;
export const EPOLLHUP = 0x10;

const EPOLL_CLOEXEC = 0o2000000;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CTL_MOD = 3;
const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const EINTR = 4;
/** struct epoll_event is packed on x86-64 only. */
const eventBytes = process.arch === "x64" ? 12 : 16;
const dataOffset = process.arch === "x64" ? 4 : 8;

const libc = bindLibc({
  epoll_create1: { args: ["i32"], returns: "i32" },
  epoll_ctl: { args: ["i32", "i32", "i32", "ptr"], returns: "i32" },
  epoll_wait: { args: ["i32", "ptr", "i32", "i32"], returns: "i32" },
  eventfd: { args: ["u32", "i32"], returns: "i32" },
  eventfd_read: { args: ["i32", "ptr"], returns: "i32" },
  eventfd_write: { args: ["i32", "u64"], returns: "i32" },
});

/** A set of descriptors. Each is known by a token of the caller's, an unsigned 32-bit number. */
export class Epoll {
  readonly #fd = check(libc.epoll_create1(EPOLL_CLOEXEC), "epoll_create1");
  readonly #events: Buffer;
  readonly #change = Buffer.alloc(eventBytes);

  /** At most `capacity` are reported at once; the others have their turn next time. */
  constructor(capacity: number) {
    this.#events = Buffer.from(new ArrayBuffer(capacity * eventBytes));
  }

  add(fd: number, events: number, token: number): void {
    this.#control(EPOLL_CTL_ADD, fd, events, token);
  }

  modify(fd: number, events: number, token: number): void {
    this.#control(EPOLL_CTL_MOD, fd, events, token);
  }

  /** To be called before a descriptor is closed whose open file others have too: the kernel would go on reporting it. */
  remove(fd: number): void {
    this.#control(EPOLL_CTL_DEL, fd, 0, 0);
  }

  /** Waits, for ever where `timeoutMs` is -1, and returns how many are ready: see `token` and `events`. */
  wait(timeoutMs: number): number {
    const ready = libc.epoll_wait(this.#fd, this.#events, this.#events.length / eventBytes, timeoutMs);
    if (ready >= 0) return ready;
    const code = errno();
    if (code === EINTR) return 0;
    throw new SyscallError("epoll_wait", code);
  }

  token(index: number): number {
    return this.#events.readUInt32LE(index * eventBytes + dataOffset);
  }

  events(index: number): number {
    return this.#events.readUInt32LE(index * eventBytes);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #control(operation: number, fd: number, events: number, token: number): void {
    this.#change.writeUInt32LE(events, 0);
    this.#change.writeUInt32LE(token, dataOffset);
    check(libc.epoll_ctl(this.#fd, operation, fd, this.#change), "epoll_ctl", `fd ${fd}`);
  }
}

/** A counter that one thread adds to and that wakes another. */
export function createEventFd(): number {
  return check(libc.eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), "eventfd");
}

export function addToEventFd(fd: number, count: number): void {
  check(libc.eventfd_write(fd, BigInt(count)), "eventfd_write");
}

const counter = Buffer.from(new ArrayBuffer(8));

/** What was added since the last time. */
export function takeFromEventFd(fd: number): number {
  return libc.eventfd_read(fd, counter) === 0 ? Number(counter.readBigUInt64LE()) : 0;
}
