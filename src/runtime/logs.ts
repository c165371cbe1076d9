/** `logs`: a container's log from its files, in pieces ready to be sent. Never more than a block of it is in memory. */
import { watch } from "node:fs";
import { type FileHandle, open } from "node:fs/promises";
import { type LogFile, listLogFiles, logFile } from "./log-files.ts";
import { endsLine, isRecord, type LogFormat, LogFormatter, recordTime, streamOf, timeBytes } from "./log-records.ts";

export interface LogQuery extends LogFormat {
  /** Goes on until `ended` or `signal` says stop. */
  follow: boolean;
  /** The last so many lines; undefined for all. */
  tail?: number | undefined;
  sinceNs?: bigint | undefined;
  untilNs?: bigint | undefined;
  /** Aborted when the container has ended (its log is complete): what is there is still sent. */
  ended?: AbortSignal | undefined;
  /** Aborted when nobody reads any more. */
  signal?: AbortSignal | undefined;
}

interface OpenFile {
  handle: FileHandle;
  inode: number;
}

const blockBytes = 256 * 1024;
const busyWaitMs = 20;
const idleCheckMs = 1000;
const noFileWaitMs = 100;
const newline = 10;

/** Yields pieces of whole frames (whole lines with a terminal), in the order of time. Throws where a file cannot be read. */
export async function* readLogs(path: string, query: LogQuery): AsyncGenerator<Buffer, void, void> {
  const reader = new LogReader(path, query);
  try {
    yield* reader.read();
  } finally {
    await reader.close();
  }
}

class LogReader {
  readonly #path: string;
  readonly #query: LogQuery;
  readonly #formatter: LogFormatter;
  readonly #block = Buffer.allocUnsafeSlow(blockBytes);
  readonly #since: Buffer | undefined;
  readonly #until: Buffer | undefined;
  #files: OpenFile[] = [];
  #pastUntil = false;

  constructor(path: string, query: LogQuery) {
    this.#path = path;
    this.#query = query;
    this.#formatter = new LogFormatter(query);
    this.#since = query.sinceNs === undefined ? undefined : recordTime(query.sinceNs);
    this.#until = query.untilNs === undefined ? undefined : recordTime(query.untilNs);
  }

  async *read(): AsyncGenerator<Buffer, void, void> {
    if (!(await this.#openFirst())) return;
    for (let offset = await this.#begin(); ; ) {
      const { output, next } = await this.#readBlock(this.#files[0]!, offset);
      if (output.length > 0) yield output;
      if (this.#pastUntil || this.#query.signal?.aborted) return;
      if (next > offset) offset = next;
      else if (this.#files.length > 1) {
        await this.#leaveFirst();
        offset = 0;
      } else if (!this.#query.follow || !(await this.#waitForMore(offset))) {
        const rest = this.#formatter.flush();
        if (rest.length > 0) yield rest;
        return;
      }
    }
  }

  async close(): Promise<void> {
    for (const file of this.#files) await file.handle.close();
    this.#files = [];
  }

  /** Waits, where it is to follow, for the log's first file. False where there is nothing to read. */
  async #openFirst(): Promise<boolean> {
    const { follow, ended, signal } = this.#query;
    for (;;) {
      const over = !follow || ended?.aborted || signal?.aborted;
      await this.#openNewer();
      if (this.#files.length > 0 || over) return this.#files.length > 0;
      await Bun.sleep(noFileWaitMs);
    }
  }

  /** Opens the files that are newer than the one that is read; all where none is. */
  async #openNewer(): Promise<void> {
    const [last] = this.#files;
    for (;;) {
      const files = listLogFiles(this.#path);
      const known = files.findIndex(({ inode }) => inode === last?.inode);
      let newer = files.slice(known + 1);
      if (last !== undefined && known < 0) {
        // Removed as too old: what was written to later is newer.
        const { mtimeMs } = await last.handle.stat();
        newer = newer.filter((file) => file.mtimeMs > mtimeMs);
      }
      const opened = await openAll(newer);
      if (opened === undefined) continue;
      this.#files.push(...opened);
      return;
    }
  }

  async #leaveFirst(): Promise<void> {
    await this.#files.shift()?.handle.close();
  }

  /** Makes the file in which the answer begins the first one, and returns where in it. */
  async #begin(): Promise<number> {
    const { file, offset } = await this.#findBegin();
    for (let index = 0; index < file; index++) await this.#leaveFirst();
    return offset;
  }

  async #findBegin(): Promise<{ file: number; offset: number }> {
    if (this.#query.tail !== undefined) return this.#findTail(this.#query.tail);
    if (this.#since === undefined) return { file: 0, offset: 0 };
    let file = 0;
    // Where the next file's first record is too old, all of this one is.
    while (file + 1 < this.#files.length && (await this.#isBefore(this.#files[file + 1]!, 0, this.#since))) file++;
    return { file, offset: await this.#findTime(this.#files[file]!, this.#since) };
  }

  /** Where the last `lines` lines begin, counted over all files and both streams. */
  async #findTail(lines: number): Promise<{ file: number; offset: number }> {
    let left = lines;
    // A stream's last line is a line even where it has no end.
    const seen = { 1: false, 2: false };
    for (let file = this.#files.length - 1; file >= 0; file--) {
      const { handle } = this.#files[file]!;
      let end = await this.#endOfRecords(handle);
      if (left === 0) return { file, offset: end };
      while (end > 0) {
        const start = Math.max(0, end - blockBytes);
        const { bytesRead } = await handle.read(this.#block, 0, end - start, start);
        let recordEnd = bytesRead;
        while (recordEnd > 0) {
          const before = recordEnd < 2 ? -1 : this.#block.lastIndexOf(newline, recordEnd - 2);
          if (before < 0 && start > 0) break;
          const record = before + 1;
          if (isRecord(this.#block, record, recordEnd)) {
            const stream = streamOf(this.#block, record);
            if (!seen[stream] || endsLine(this.#block, record)) {
              if (left === 0) return { file, offset: start + recordEnd };
              left--;
            }
            seen[stream] = true;
          }
          recordEnd = record;
        }
        // No record is longer than a block: what comes before is no log.
        if (recordEnd === bytesRead) return { file, offset: end };
        end = start + recordEnd;
      }
    }
    return { file: 0, offset: 0 };
  }

  /** Where the last whole record ends. */
  async #endOfRecords(handle: FileHandle): Promise<number> {
    const { size } = await handle.stat();
    const start = Math.max(0, size - blockBytes);
    const { bytesRead } = await handle.read(this.#block, 0, size - start, start);
    return bytesRead === 0 ? 0 : start + this.#block.lastIndexOf(newline, bytesRead - 1) + 1;
  }

  /** A place in the file, near before the first record of that time: found by halving. */
  async #findTime({ handle, inode }: OpenFile, time: Buffer): Promise<number> {
    let low = 0;
    let high = (await handle.stat()).size;
    while (high - low > blockBytes) {
      const middle = Math.floor((low + high) / 2);
      if (await this.#isBefore({ handle, inode }, middle, time)) low = middle;
      else high = middle;
    }
    return low === 0 ? 0 : this.#nextRecord(handle, low);
  }

  async #nextRecord(handle: FileHandle, offset: number): Promise<number> {
    const { bytesRead } = await handle.read(this.#block, 0, blockBytes, offset);
    return offset + this.#block.subarray(0, bytesRead).indexOf(newline) + 1;
  }

  /** Whether the first record that begins after `offset` is older than `time`. */
  async #isBefore({ handle }: OpenFile, offset: number, time: Buffer): Promise<boolean> {
    const start = offset === 0 ? 0 : await this.#nextRecord(handle, offset);
    const { bytesRead } = await handle.read(this.#block, 0, timeBytes, start);
    return bytesRead === timeBytes && this.#block.compare(time, 0, timeBytes, 0, timeBytes) < 0;
  }

  async #readBlock({ handle }: OpenFile, offset: number): Promise<{ output: Buffer; next: number }> {
    const { bytesRead } = await handle.read(this.#block, 0, blockBytes, offset);
    let end = bytesRead === 0 ? 0 : this.#block.lastIndexOf(newline, bytesRead - 1) + 1;
    // A record is never longer than conmon's buffer: this is no log any more, and must not stop us for ever.
    if (end === 0) return { output: Buffer.alloc(0), next: bytesRead === blockBytes ? offset + bytesRead : offset };
    const next = offset + end;
    let start = 0;
    if (this.#since !== undefined) start = this.#skipOlder(this.#since, end);
    if (this.#until !== undefined) end = this.#cutYounger(this.#until, start, end);
    return { output: this.#formatter.format(this.#block, start, end), next };
  }

  #skipOlder(since: Buffer, end: number): number {
    let start = 0;
    while (start < end && this.#block.compare(since, 0, timeBytes, start, start + timeBytes) < 0) {
      start = this.#block.indexOf(newline, start) + 1;
    }
    return start;
  }

  #cutYounger(until: Buffer, start: number, end: number): number {
    const last = end < 2 ? 0 : this.#block.lastIndexOf(newline, end - 2) + 1;
    if (this.#block.compare(until, 0, timeBytes, last, last + timeBytes) <= 0) return end;
    this.#pastUntil = true;
    let position = start;
    while (position < end && this.#block.compare(until, 0, timeBytes, position, position + timeBytes) <= 0) {
      position = this.#block.indexOf(newline, position) + 1;
    }
    return position;
  }

  /**
   * Waits until the last file has grown or another has taken its place. False when the log is complete.
   * Looks before it believes that the end has come: conmon writes the last line before it reports the exit.
   */
  async #waitForMore(offset: number): Promise<boolean> {
    const { handle, inode } = this.#files[0]!;
    const { ended, signal } = this.#query;
    for (let busy = true; ; busy = false) {
      const over = ended?.aborted === true || this.#isPastUntil();
      const current = logFile(this.#path);
      if ((await handle.stat()).size > offset) return true;
      // conmon closes the old file before the new one gets its name: what it wrote there has been read.
      if (current !== undefined && current.inode !== inode) {
        await this.#openNewer();
        if (this.#files.length > 1) return true;
      }
      if (over || signal?.aborted) return false;
      if (busy) await Bun.sleep(busyWaitMs);
      else await this.#nextChange();
    }
  }

  #isPastUntil(): boolean {
    return this.#query.untilNs !== undefined && BigInt(Date.now()) * 1_000_000n > this.#query.untilNs;
  }

  /** Sleeps until the file changes, the container ends or the reader goes; now and then it wakes by itself. */
  async #nextChange(): Promise<void> {
    const wake = Promise.withResolvers<void>();
    let watcher: ReturnType<typeof watch> | undefined;
    try {
      watcher = watch(this.#path, { persistent: false }, () => wake.resolve());
      watcher.on("error", () => wake.resolve());
    } catch {} // No such file at this moment, or no watches left: the timer does it.
    const stop = () => wake.resolve();
    const timer = setTimeout(stop, watcher === undefined ? noFileWaitMs : idleCheckMs);
    const signals = [this.#query.ended, this.#query.signal];
    for (const signal of signals) signal?.addEventListener("abort", stop);
    // A change or an end between the last look and now would not wake us.
    if (signals.some((signal) => signal?.aborted)) stop();
    await wake.promise;
    clearTimeout(timer);
    watcher?.close();
    for (const signal of signals) signal?.removeEventListener("abort", stop);
  }
}

/** Undefined where a rotation has given their names to others meanwhile. */
async function openAll(files: LogFile[]): Promise<OpenFile[] | undefined> {
  const opened: OpenFile[] = [];
  try {
    for (const { path, inode } of files) {
      const handle = await open(path, "r");
      opened.push({ handle, inode });
      if ((await handle.stat()).ino !== inode) throw new Error(`${path} is another file now`);
    }
    return opened;
  } catch (error) {
    for (const { handle } of opened) await handle.close();
    const { code } = error as NodeJS.ErrnoException;
    if (code !== undefined && code !== "ENOENT") throw error;
    return undefined;
  }
}
