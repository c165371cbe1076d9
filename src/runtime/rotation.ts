/**
 * Keeps logs within their limits. conmon itself can only begin a new file; what it had written is kept by renaming, so
 * that no line is lost whoever dies in between: see log-files.ts for the names.
 */
import { linkSync, renameSync, unlinkSync } from "node:fs";
import { sendReopenLog } from "./control.ts";
import { type LogFile, logFile, rotatedNumbers } from "./log-files.ts";

export interface RotatedLog {
  path: string;
  /** A file that has grown over this is put aside. */
  maxSizeBytes: number;
  /** How many files there may be, the growing one included. */
  maxFiles: number;
  /** conmon's control fifo. */
  ctlPath: string;
}

interface Watched extends RotatedLog {
  lastSizeBytes: number;
  /** The file in whose place conmon was asked to begin a new one, and when. */
  askedInode: number;
  askedAtMs: number;
}

const idleIntervalMs = 1000;
const busyIntervalMs = 50;
const askAgainMs = 1000;

/** How much conmon may write before it begins a new file by itself: far enough off that a living daemon is first. */
export function logBackstopBytes(maxSizeBytes: number, maxFiles: number): number {
  return maxSizeBytes * Math.max(2, maxFiles);
}

/** Looks at all logs now and then: once a second where nothing happens, more often where one grows fast. */
export class LogRotation {
  readonly #watched = new Map<string, Watched>();
  #timer: Timer | undefined;

  /** Begins to keep a log within its limits; also takes up what a daemon before this one left half done. */
  watch(id: string, log: RotatedLog): void {
    this.#watched.set(id, { ...log, lastSizeBytes: 0, askedInode: 0, askedAtMs: 0 });
    this.#schedule(busyIntervalMs);
  }

  /** The container has ended. */
  unwatch(id: string): void {
    this.#watched.delete(id);
    if (this.#watched.size === 0) this.close();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#watched.clear();
  }

  #schedule(delayMs: number): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#look(), delayMs).unref();
  }

  #look(): void {
    let busy = false;
    for (const [id, log] of this.#watched) {
      try {
        busy = rotateIfNeeded(log) || busy;
      } catch (error) {
        console.error(`log of container ${id} could not be rotated:`, error);
      }
    }
    this.#schedule(busy ? busyIntervalMs : idleIntervalMs);
  }
}

/** Returns whether the log should be looked at again soon. */
function rotateIfNeeded(log: Watched): boolean {
  const current = logFile(log.path);
  if (current === undefined) return false;
  const second = logFile(secondName(log));
  if (second === undefined) {
    if (!isPending(log, current)) return keepSecondName(log);
    if (Date.now() - log.askedAtMs > askAgainMs) ask(log, current);
    return true;
  }
  if (second.inode !== current.inode) {
    // conmon has begun a new file by itself.
    putAside(log);
    return keepSecondName(log);
  }
  if (current.sizeBytes >= log.maxSizeBytes) {
    putAside(log);
    ask(log, current);
    return true;
  }
  const grownBytes = current.sizeBytes - log.lastSizeBytes;
  log.lastSizeBytes = current.sizeBytes;
  return current.sizeBytes + (grownBytes * idleIntervalMs) / busyIntervalMs > log.maxSizeBytes;
}

function secondName(log: RotatedLog): string {
  return `${log.path}.0`;
}

/** Whether conmon still writes to a file that was put aside: it has yet to begin a new one. */
function isPending(log: Watched, current: LogFile): boolean {
  return current.inode === log.askedInode || logFile(`${log.path}.1`)?.inode === current.inode;
}

function ask(log: Watched, current: LogFile): void {
  log.askedInode = current.inode;
  log.askedAtMs = Date.now();
  sendReopenLog(log.ctlPath);
}

function keepSecondName(log: Watched): boolean {
  log.lastSizeBytes = 0;
  log.askedInode = 0;
  linkSync(log.path, secondName(log));
  return true;
}

/** Moves every older file on by one number, those too many out, and the second name to `.1`. */
function putAside(log: RotatedLog): void {
  const kept = log.maxFiles - 1;
  // From the oldest on, so that no name is taken when it is needed; broken off anywhere, it leaves a gap and no loss.
  for (const number of rotatedNumbers(log.path)) {
    const path = `${log.path}.${number}`;
    if (number >= kept) unlinkSync(path);
    else renameSync(path, `${log.path}.${number + 1}`);
  }
}
