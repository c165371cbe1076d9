/**
 * Lines of conmon's k8s-file format, `2026-11-22T02:40:00.123456789+00:00 stdout F text`, and what clients get of them.
 * conmon runs with TZ=UTC0, so everything before the text has a fixed width. P instead of F: the line goes on in the
 * next record of the same stream.
 */

export interface LogFormat {
  /** A terminal's log is sent raw, anything else in frames of the API's multiplexed stream. */
  tty: boolean;
  stdout: boolean;
  stderr: boolean;
  timestamps: boolean;
  /** What `--details` puts before each line, without the blank that follows even where it is empty. */
  details?: string;
}

const recordHeaderBytes = 45;
const frameHeaderBytes = 8;
/** Of a record's time, what RFC 3339 in UTC begins with: up to the nanoseconds. */
export const timeBytes = 29;
const newline = 10;
const stderrMark = 0x65; // stderr's fourth letter; stdout has an o there
const partialMark = 0x50;
/** Docker's limit of one message: a longer line comes in several frames. */
const maxLineBytes = 16 * 1024;

/** The time as a record begins with it. */
export function recordTime(ns: bigint): Buffer {
  const seconds = ns / 1_000_000_000n;
  const rest = String(ns % 1_000_000_000n).padStart(9, "0");
  return Buffer.from(`${new Date(Number(seconds) * 1000).toISOString().slice(0, 19)}.${rest}`, "latin1");
}

/** Whether a record with a whole header begins at `start`. */
export function isRecord(block: Buffer, start: number, end: number): boolean {
  return end - start >= recordHeaderBytes && block[start + 10] === 0x54 && block[start + 42] === 0x20;
}

/** Whether the record at `start` is of stdout, 1, or stderr, 2. */
export function streamOf(block: Buffer, start: number): 1 | 2 {
  return block[start + 39] === stderrMark ? 2 : 1;
}

/** Whether the record at `start` ends a line. */
export function endsLine(block: Buffer, start: number): boolean {
  return block[start + 43] !== partialMark;
}

interface Pending {
  time: Buffer;
  parts: Buffer[];
  bytes: number;
  /** Whether part of the line was sent already. */
  begun: boolean;
}

/** Turns records into what is sent: one frame for each line. Keeps the beginnings of lines between blocks. */
export class LogFormatter {
  readonly #format: LogFormat;
  readonly #prefix: Buffer;
  readonly #pending: [Pending | undefined, Pending | undefined, Pending | undefined] = [
    undefined,
    undefined,
    undefined,
  ];
  #out = Buffer.alloc(0);
  #length = 0;

  constructor(format: LogFormat) {
    this.#format = format;
    this.#prefix = Buffer.from(format.details === undefined ? "" : `${format.details} `);
  }

  /** Formats whole records. The result is the caller's; it may be empty. */
  format(block: Buffer, start: number, end: number): Buffer {
    const { tty, stdout, stderr, timestamps } = this.#format;
    this.#begin(end - start + (this.#pending[1]?.bytes ?? 0) + (this.#pending[2]?.bytes ?? 0) + 128);
    const simple = this.#prefix.length === 0;
    for (let position = start; position < end; ) {
      const next = block.indexOf(newline, position) + 1;
      const stream = streamOf(block, position);
      if (isRecord(block, position, next) && (stream === 1 ? stdout : stderr)) {
        const text = position + recordHeaderBytes;
        const pending = this.#pending[stream];
        if (pending === undefined && simple && block[position + 43] !== partialMark) {
          // Nearly every line: what is written is never longer than the record it comes from.
          const time = timestamps ? timeBytes + 2 : 0;
          if (!tty) this.#frame(stream, time + next - text);
          if (timestamps) this.#time(block, position);
          block.copy(this.#out, this.#length, text, next);
          this.#length += next - text;
        } else this.#join(stream, block, position, next);
      }
      position = next;
    }
    return this.#finish();
  }

  /** The last line, where it has no end. */
  flush(): Buffer {
    this.#begin(0);
    for (const stream of [1, 2] as const) this.#emit(stream);
    return this.#finish();
  }

  #join(stream: 1 | 2, block: Buffer, start: number, next: number): void {
    const ends = endsLine(block, start);
    const pending = (this.#pending[stream] ??= {
      time: Buffer.from(block.subarray(start, start + timeBytes)),
      parts: [],
      bytes: 0,
      begun: false,
    });
    // The newline of a partial record is the format's, not the container's.
    const part = Buffer.from(block.subarray(start + recordHeaderBytes, ends ? next : next - 1));
    pending.parts.push(part);
    pending.bytes += part.length;
    if (ends) this.#emit(stream);
    else if (pending.bytes >= maxLineBytes) {
      this.#emit(stream);
      this.#pending[stream] = { time: pending.time, parts: [], bytes: 0, begun: true };
    }
  }

  #emit(stream: 1 | 2): void {
    const pending = this.#pending[stream];
    this.#pending[stream] = undefined;
    if (pending === undefined || pending.bytes === 0) return;
    const time = this.#format.timestamps && !pending.begun ? timeBytes + 2 : 0;
    const prefix = pending.begun ? 0 : this.#prefix.length;
    const length = time + prefix + pending.bytes;
    this.#reserve(frameHeaderBytes + length);
    if (!this.#format.tty) this.#frame(stream, length);
    if (time > 0) this.#time(pending.time, 0);
    if (prefix > 0) this.#append(this.#prefix);
    for (const part of pending.parts) this.#append(part);
  }

  #frame(stream: 1 | 2, length: number): void {
    const out = this.#out;
    const at = this.#length;
    out[at] = stream;
    out[at + 1] = 0;
    out[at + 2] = 0;
    out[at + 3] = 0;
    out[at + 4] = length >>> 24;
    out[at + 5] = length >>> 16;
    out[at + 6] = length >>> 8;
    out[at + 7] = length;
    this.#length = at + frameHeaderBytes;
  }

  #time(block: Buffer, start: number): void {
    block.copy(this.#out, this.#length, start, start + timeBytes);
    this.#length += timeBytes;
    this.#out[this.#length++] = 0x5a;
    this.#out[this.#length++] = 0x20;
  }

  #append(bytes: Buffer): void {
    bytes.copy(this.#out, this.#length);
    this.#length += bytes.length;
  }

  #begin(bytes: number): void {
    this.#out = Buffer.allocUnsafeSlow(bytes);
    this.#length = 0;
  }

  #reserve(bytes: number): void {
    if (this.#out.length - this.#length >= bytes) return;
    const larger = Buffer.allocUnsafeSlow(Math.max(this.#out.length * 2, this.#length + bytes));
    this.#out.copy(larger, 0, 0, this.#length);
    this.#out = larger;
  }

  #finish(): Buffer {
    const result = this.#out.subarray(0, this.#length);
    this.#out = Buffer.alloc(0);
    return result;
  }
}
