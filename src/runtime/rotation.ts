/**
 * Keeps logs within their limits. conmon itself can only begin a new file; what it had written is kept by a second name,
 * so that no line is lost whoever dies in between: see log-files.ts for the names.
 */
import { closeSync, linkSync, openSync, renameSync, unlinkSync } from "node:fs";
import { sendReopenLog } from "./control.ts";
import { type LogFile, logFile, rotatedNumbers, takenNext } from "./log-files.ts";

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
  if (giveNumbers(log, current)) log.lastSizeBytes = 0;
  prepareNext(log);
  if (current.sizeBytes >= log.maxSizeBytes) {
    if (current.inode !== log.askedInode || Date.now() - log.askedAtMs > askAgainMs) ask(log, current);
    return true;
  }
  const grownBytes = current.sizeBytes - log.lastSizeBytes;
  log.lastSizeBytes = current.sizeBytes;
  return current.sizeBytes + (grownBytes * idleIntervalMs) / busyIntervalMs > log.maxSizeBytes;
}

/** Makes 0 the number of the file that conmon writes to now. Returns whether it was another's. */
function giveNumbers(log: Watched, current: LogFile): boolean {
  const latest = `${log.path}.0`;
  const next = takenNext(log.path);
  if (next !== undefined) {
    if (logFile(latest)?.inode === next.inode) unlinkSync(next.path);
    else {
      putAside(log);
      renameSync(next.path, latest);
    }
  }
  // conmon begins new files by itself, too: that one may already be gone from its place.
  const numbered = logFile(latest);
  if (numbered?.inode === current.inode) return next !== undefined;
  if (numbered !== undefined) putAside(log);
  linkSync(log.path, latest);
  return true;
}

/** Makes the file that conmon takes next, with its second name first. */
function prepareNext({ path }: Watched): void {
  if (logFile(`${path}.tmp`) !== undefined) return;
  try {
    closeSync(openSync(`${path}.next`, "wx", 0o600));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
    // Of a daemon that ended here; or conmon has just taken it.
    if (takenNext(path) !== undefined) return;
  }
  linkSync(`${path}.next`, `${path}.tmp`);
}

function ask(log: Watched, current: LogFile): void {
  log.askedInode = current.inode;
  log.askedAtMs = Date.now();
  sendReopenLog(log.ctlPath);
}

/** Moves every file on by one number, and those too many out. */
function putAside(log: RotatedLog): void {
  const kept = log.maxFiles - 1;
  // From the oldest on, so that no name is taken when it is needed; broken off anywhere, it leaves a gap and no loss.
  for (const number of rotatedNumbers(log.path)) {
    const path = `${log.path}.${number}`;
    if (number >= kept) unlinkSync(path);
    else renameSync(path, `${log.path}.${number + 1}`);
  }
}
