/** Terminals, and writing to them, through libc: node:tty and node:fs would double the time a command needs to start. */

import { ptr } from "bun:ffi";
import { bindLibc, check, errno } from "./libc.ts";

/** A terminal's size in characters. */
export interface WindowSize {
  rows: number;
  columns: number;
}

const termiosBytes = 60;
const TCSADRAIN = 1;
const TIOCGWINSZ = 0x5413;
const POLLOUT = 4;
const EINTR = 4;
const EAGAIN = 11;

function bind() {
  return bindLibc({
    isatty: { args: ["i32"], returns: "i32" },
    tcgetattr: { args: ["i32", "ptr"], returns: "i32" },
    tcsetattr: { args: ["i32", "i32", "ptr"], returns: "i32" },
    cfmakeraw: { args: ["ptr"], returns: "void" },
    write: { args: ["i32", "ptr", "u64"], returns: "i64" },
    poll: { args: ["ptr", "u64", "i32"], returns: "i32" },
    ioctl: { args: ["i32", "u64", "ptr"], returns: "i32" },
  });
}
let bound: ReturnType<typeof bind> | undefined;
function libc(): ReturnType<typeof bind> {
  bound ??= bind();
  return bound;
}

/** Whether the descriptor is a terminal; false for one that is closed. */
export function isTerminal(fd: number): boolean {
  return libc().isatty(fd) === 1;
}

/** The size of the terminal, or undefined where the descriptor is none. */
export function windowSize(fd: number): WindowSize | undefined {
  if (!isTerminal(fd)) return undefined;
  const size = new Uint16Array(4);
  if (libc().ioctl(fd, TIOCGWINSZ, ptr(size)) !== 0) return undefined;
  return { rows: size[0]!, columns: size[1]! };
}

/**
 * Sets the terminal to hand over every key as it is struck and to change nothing that is written to it.
 * Returns what puts it back as it was; that may be called several times. Throws SyscallError where it is no terminal.
 */
export function makeRaw(fd: number): () => void {
  const before = new Uint8Array(termiosBytes);
  check(libc().tcgetattr(fd, ptr(before)), "tcgetattr");
  const raw = before.slice();
  libc().cfmakeraw(ptr(raw));
  check(libc().tcsetattr(fd, TCSADRAIN, ptr(raw)), "tcsetattr");
  return () => {
    libc().tcsetattr(fd, TCSADRAIN, ptr(before));
  };
}

/** ECHO of termios' local modes, which are the fourth word. */
const ECHO = 0o10;
const localModes = 3;

/** Shows nothing of what is typed. Returns what shows it again; where it is no terminal, both do nothing. */
export function withoutEcho(fd: number): () => void {
  if (!isTerminal(fd)) return () => undefined;
  const before = new Uint8Array(termiosBytes);
  check(libc().tcgetattr(fd, ptr(before)), "tcgetattr");
  const silent = before.slice();
  new Uint32Array(silent.buffer, 0, localModes + 1)[localModes]! &= ~ECHO;
  check(libc().tcsetattr(fd, TCSADRAIN, ptr(silent)), "tcsetattr");
  return () => {
    libc().tcsetattr(fd, TCSADRAIN, ptr(before));
  };
}

/** Writes all of it before it returns, however slow the reader. Throws SyscallError, of code EPIPE where it is gone. */
export function writeAll(fd: number, bytes: Uint8Array): void {
  let rest = bytes;
  while (rest.length > 0) {
    const written = Number(libc().write(fd, ptr(rest), rest.length));
    if (written >= 0) {
      rest = rest.subarray(written);
      continue;
    }
    const code = errno();
    if (code === EAGAIN) waitUntilWritable(fd);
    else if (code !== EINTR) check(written, "write");
  }
}

/** A descriptor may be non-blocking because another program that shares it made it so. */
function waitUntilWritable(fd: number): void {
  const request = new Int32Array([fd, POLLOUT]);
  libc().poll(ptr(request), 1, -1);
}
