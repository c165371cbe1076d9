/** Reading tar archives as they stream by: ustar, pax, and GNU's long names, big numbers and sparse files. */
import {
  blockBytes,
  headerChecksum,
  invalidHeader,
  isZeroBlock,
  numberField,
  parseDecimal,
  parsePaxRecords,
  parsePaxTime,
  TarError,
  textField,
} from "./tar-header.ts";
import { checkRuns, readOldRuns, runsOf, SparseMapReader, type SparseRun } from "./tar-sparse.ts";

export { TarError } from "./tar-header.ts";

export type TarType = "file" | "link" | "symlink" | "char" | "block" | "directory" | "fifo";

/** One member of an archive, everything but its data. */
export interface TarEntry {
  /** As the archive has it: not cleaned, possibly absolute or climbing. */
  name: string;
  type: TarType;
  /** Target of a link or symlink, else empty. */
  linkName: string;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  userName: string;
  groupName: string;
  /** Length of the file in bytes, holes included; 0 for what is not a file. */
  size: number;
  mtimeSeconds: number;
  mtimeNanos: number;
  devMajor: number;
  devMinor: number;
  xattrs: Map<string, Buffer> | undefined;
}

/** Who is told what an archive holds, in its order and synchronously. Chunks are lent: copy what must stay. */
export interface TarSink {
  entry(entry: TarEntry): void;
  /** Bytes of the current file at `offset`. Offsets ascend; what is never written is a hole. */
  data(chunk: Uint8Array, offset: number): void;
  /** The current entry is complete. */
  end(): void;
}

export interface TarReaderOptions {
  /**
   * How names turn into strings: "utf8", or "latin1" with one character per byte, which loses nothing
   * where names are not UTF-8.
   */
  names: "utf8" | "latin1";
}

/** Names and link targets longer than the kernel's PATH_MAX can never be created. */
const nameLimitBytes = 4096;
/** A pax header holds names and extended attributes, of which the kernel allows 64 KiB each. */
const paxLimitBytes = 1024 * 1024;

const types: Record<string, TarType> = {
  "\0": "file",
  "0": "file",
  "1": "link",
  "2": "symlink",
  "3": "char",
  "4": "block",
  "5": "directory",
  "6": "fifo",
  "7": "file",
  S: "file",
};

type State = "header" | "meta" | "oldSparseMap" | "sparseMap" | "data" | "padding" | "done";

/** A push parser: give it chunks of any length, then call finish(). Throws TarError for what is not a tar archive. */
export class TarReader {
  readonly #sink: TarSink;
  readonly #names: "utf8" | "latin1";
  #state: State = "header";
  readonly #carry = Buffer.allocUnsafe(blockBytes);
  #carried = 0;
  #zeroBlocks = 0;
  /** What is left of the current member's stored bytes, and of the padding after them. */
  #remaining = 0;
  #padding = 0;
  #metaType = "";
  #meta: Buffer[] = [];
  #metaBytes = 0;
  #globalPax = new Map<string, Buffer>();
  #pax = new Map<string, Buffer>();
  #paxNumbers: string[] = [];
  #longName: string | undefined;
  #longLink: string | undefined;
  #entry: TarEntry | undefined;
  #runs: SparseRun[] = [];
  #run = 0;
  #runDone = 0;
  #sparseMap: SparseMapReader | undefined;

  constructor(sink: TarSink, options: TarReaderOptions = { names: "utf8" }) {
    this.#sink = sink;
    this.#names = options.names;
  }

  push(chunk: Uint8Array): void {
    const bytes = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.byteLength);
    let at = 0;
    while (at < bytes.length) {
      const available = bytes.length - at;
      switch (this.#state) {
        case "done":
          return;
        case "padding": {
          const taken = Math.min(this.#padding, available);
          this.#padding -= taken;
          at += taken;
          if (this.#padding === 0) this.#state = "header";
          break;
        }
        case "data":
        case "meta": {
          const taken = Math.min(this.#remaining, available);
          const part = bytes.subarray(at, at + taken);
          this.#remaining -= taken;
          at += taken;
          if (this.#state === "data") this.#passData(part);
          else this.#meta.push(Buffer.from(part));
          if (this.#remaining === 0) this.#memberEnds();
          break;
        }
        default: {
          if (this.#carried === 0 && available >= blockBytes) {
            this.#block(bytes.subarray(at, at + blockBytes));
            at += blockBytes;
            break;
          }
          const taken = Math.min(blockBytes - this.#carried, available);
          this.#carry.set(bytes.subarray(at, at + taken), this.#carried);
          this.#carried += taken;
          at += taken;
          if (this.#carried === blockBytes) {
            this.#carried = 0;
            this.#block(this.#carry);
          }
        }
      }
    }
  }

  /** Whether the two blocks of zeros that end an archive have come. Some programs leave them out. */
  get hasEndMarker(): boolean {
    return this.#state === "done";
  }

  /** The archive has ended. Throws `unexpected EOF` where it ended too early. */
  finish(): void {
    const hasPending = this.#pax.size > 0 || this.#longName !== undefined || this.#longLink !== undefined;
    const isAtBoundary =
      (this.#state === "header" && this.#carried === 0 && !hasPending) ||
      this.#state === "padding" ||
      this.#state === "done";
    if (!isAtBoundary) throw new TarError("unexpected EOF");
  }

  #block(block: Buffer): void {
    if (this.#state === "header") this.#header(block);
    else if (this.#state === "oldSparseMap") {
      if (!readOldRuns(block, 0, 21, this.#runs)) this.#fileBegins();
    } else {
      this.#remaining -= blockBytes;
      const runs = this.#sparseMap!.push(block);
      if (runs === undefined && this.#remaining < blockBytes) throw invalidHeader("sparse map is cut off");
      if (runs === undefined) return;
      this.#runs = runs;
      this.#fileBegins();
    }
  }

  #header(block: Buffer): void {
    if (isZeroBlock(block)) {
      if (++this.#zeroBlocks === 2) this.#state = "done";
      return;
    }
    if (this.#zeroBlocks > 0) throw invalidHeader("a lone block of zeros");
    const checksum = numberField(block, 148, 8, "checksum");
    if (checksum !== headerChecksum(block, false) && checksum !== headerChecksum(block, true))
      throw invalidHeader("wrong checksum");
    const type = String.fromCharCode(block[156]!);
    const storedBytes = numberField(block, 124, 12, "size");
    if (storedBytes < 0) throw invalidHeader("negative size");
    if (type === "x" || type === "g" || type === "L" || type === "K") this.#metaBegins(type, storedBytes);
    else this.#memberBegins(block, type, storedBytes);
  }

  #metaBegins(type: string, lengthBytes: number): void {
    const limitBytes = type === "L" || type === "K" ? nameLimitBytes + 1 : paxLimitBytes;
    if (lengthBytes > limitBytes)
      throw invalidHeader(
        type === "L" || type === "K"
          ? `a name of ${lengthBytes} bytes is too long`
          : `a pax header of ${lengthBytes} bytes is too long`,
      );
    // Several headers before one member are allowed; without an end to them they would fill the memory.
    this.#metaBytes += lengthBytes;
    if (this.#metaBytes > 2 * paxLimitBytes) throw invalidHeader("too many pax headers");
    this.#metaType = type;
    this.#meta = [];
    this.#storedBegins(lengthBytes, "meta");
  }

  #storedBegins(lengthBytes: number, state: State): void {
    this.#remaining = lengthBytes;
    this.#padding = (blockBytes - (lengthBytes % blockBytes)) % blockBytes;
    this.#state = state;
    if (lengthBytes === 0) this.#memberEnds();
  }

  #memberEnds(): void {
    const wasMeta = this.#state === "meta";
    this.#state = this.#padding === 0 ? "header" : "padding";
    if (wasMeta) this.#metaEnds(Buffer.concat(this.#meta));
    else {
      this.#entry = undefined;
      this.#sink.end();
    }
  }

  #metaEnds(body: Buffer): void {
    this.#meta = [];
    if (this.#metaType === "L" || this.#metaType === "K") {
      const name = textField(body, 0, body.length, this.#names);
      if (this.#metaType === "L") this.#longName = name;
      else this.#longLink = name;
      return;
    }
    const records = this.#metaType === "g" ? this.#globalPax : this.#pax;
    for (const { key, value } of parsePaxRecords(body)) {
      // Format 0.0 says each run with a pair of records, so that the same key comes many times.
      if (key === "GNU.sparse.offset" || key === "GNU.sparse.numbytes") this.#paxNumbers.push(value.toString("latin1"));
      else if (value.length === 0) records.delete(key);
      else records.set(key, value);
    }
    if (this.#globalPax.size > 1000) throw invalidHeader("too many global pax records");
  }

  #record(key: string): Buffer | undefined {
    return this.#pax.get(key) ?? this.#globalPax.get(key);
  }

  #number(key: string): number | undefined {
    const value = this.#record(key);
    return value === undefined ? undefined : parseDecimal(value.toString("latin1"), key);
  }

  #text(key: string): string | undefined {
    const value = this.#record(key);
    if (value?.includes(0)) throw invalidHeader(`${key} with a NUL in it`);
    return value?.toString(this.#names);
  }

  #memberBegins(block: Buffer, typeFlag: string, headerBytes: number): void {
    const entry = this.#parseEntry(block, typeFlag);
    this.#entry = entry;
    let storedBytes = this.#number("size") ?? headerBytes;
    if (entry.type !== "file") storedBytes = this.#storedBytesOf(entry, storedBytes);
    entry.size = storedBytes;
    this.#runs = [];
    this.#sparseMap = undefined;
    const state = entry.type === "file" ? this.#readSparseFields(block, typeFlag, entry) : "data";
    this.#pax = new Map();
    this.#paxNumbers = [];
    this.#metaBytes = 0;
    this.#longName = undefined;
    this.#longLink = undefined;
    this.#remaining = storedBytes;
    this.#padding = (blockBytes - (storedBytes % blockBytes)) % blockBytes;
    if (state === "sparseMap" && storedBytes < blockBytes) throw invalidHeader("sparse map is cut off");
    if (state === "data") this.#fileBegins();
    else this.#state = state;
  }

  /** Only files have data; some programs say a hard link's size all the same, without storing it. */
  #storedBytesOf(entry: TarEntry, sizeBytes: number): number {
    if (entry.type === "directory" || sizeBytes === 0) return 0;
    if (entry.type === "link" || entry.type === "symlink") return 0;
    throw invalidHeader(`${JSON.stringify(entry.name)} of type ${entry.type} has data`);
  }

  /** Finds out where a sparse file's map is; "data" where the file has no holes or its map is known already. */
  #readSparseFields(block: Buffer, typeFlag: string, entry: TarEntry): State {
    if (typeFlag === "S") {
      entry.size = numberField(block, 483, 12, "size");
      if (entry.size < 0) throw invalidHeader("negative size");
      return readOldRuns(block, 386, 4, this.#runs) ? "oldSparseMap" : this.#withRuns();
    }
    const major = this.#pax.get("GNU.sparse.major")?.toString("latin1");
    if (major === "1") {
      entry.name = this.#text("GNU.sparse.name") ?? entry.name;
      entry.size = this.#number("GNU.sparse.realsize") ?? entry.size;
      this.#sparseMap = new SparseMapReader();
      return "sparseMap";
    }
    const map = this.#pax.get("GNU.sparse.map")?.toString("latin1");
    if (map === undefined && this.#paxNumbers.length === 0) return "data";
    entry.name = this.#text("GNU.sparse.name") ?? entry.name;
    entry.size = this.#number("GNU.sparse.size") ?? this.#number("GNU.sparse.realsize") ?? entry.size;
    this.#runs = runsOf(map === undefined ? this.#paxNumbers : map.split(","));
    return this.#withRuns();
  }

  /** A file that is one hole has no runs, yet must not pass for one without a map. */
  #withRuns(): State {
    if (this.#runs.length === 0) this.#runs.push({ offset: 0, length: 0 });
    return "data";
  }

  #parseEntry(block: Buffer, typeFlag: string): TarEntry {
    const isUstar = block.toString("latin1", 257, 263) === "ustar\0";
    const isGnu = block.toString("latin1", 257, 264) === "ustar  ";
    const prefix = isUstar ? textField(block, 345, 155, this.#names) : "";
    const shortName = textField(block, 0, 100, this.#names);
    const name = this.#text("path") ?? this.#longName ?? (prefix === "" ? shortName : `${prefix}/${shortName}`);
    const linkName = this.#text("linkpath") ?? this.#longLink ?? textField(block, 157, 100, this.#names);
    if (name.length > nameLimitBytes || linkName.length > nameLimitBytes)
      throw invalidHeader(`a name of ${Math.max(name.length, linkName.length)} bytes is too long`);
    let type = types[typeFlag];
    if (type === undefined)
      throw new TarError(`unhandled tar header type ${typeFlag.charCodeAt(0)} of ${JSON.stringify(name)}`);
    if (type === "file" && name.endsWith("/")) type = "directory";
    const paxTime = this.#record("mtime");
    const time =
      paxTime === undefined
        ? { seconds: numberField(block, 136, 12, "mtime"), nanos: 0 }
        : parsePaxTime(paxTime.toString("latin1"));
    const isDevice = type === "char" || type === "block";
    return {
      name,
      type,
      linkName: type === "link" || type === "symlink" ? linkName : "",
      mode: numberField(block, 100, 8, "mode") & 0o7777,
      uid: this.#owner("uid", block, 108),
      gid: this.#owner("gid", block, 116),
      userName: isUstar || isGnu ? (this.#text("uname") ?? textField(block, 265, 32, this.#names)) : "",
      groupName: isUstar || isGnu ? (this.#text("gname") ?? textField(block, 297, 32, this.#names)) : "",
      size: 0,
      mtimeSeconds: time.seconds,
      mtimeNanos: time.nanos,
      devMajor: isDevice ? numberField(block, 329, 8, "device number") : 0,
      devMinor: isDevice ? numberField(block, 337, 8, "device number") : 0,
      xattrs: this.#xattrs(),
    };
  }

  #owner(key: string, block: Buffer, offset: number): number {
    const id = this.#number(key) ?? numberField(block, offset, 8, key);
    if (id < 0 || id > 0xfffffffe) throw invalidHeader(`${key} is out of range`);
    return id;
  }

  #xattrs(): Map<string, Buffer> | undefined {
    let xattrs: Map<string, Buffer> | undefined;
    for (const [key, value] of this.#pax)
      if (key.startsWith("SCHILY.xattr.")) (xattrs ??= new Map()).set(key.slice(13), value);
      else if (key.startsWith("LIBARCHIVE.xattr.") && !this.#pax.has(`SCHILY.xattr.${key.slice(17)}`))
        (xattrs ??= new Map()).set(
          decodeURIComponentSafe(key.slice(17)),
          Buffer.from(value.toString("latin1"), "base64"),
        );
    return xattrs;
  }

  #fileBegins(): void {
    const entry = this.#entry!;
    if (this.#runs.length > 0 || this.#sparseMap !== undefined) {
      checkRuns(this.#runs, entry.size, this.#remaining);
      if (this.#runs.length === 0) this.#runs.push({ offset: 0, length: 0 });
    }
    this.#run = 0;
    this.#runDone = 0;
    this.#state = "data";
    this.#dataOffset = 0;
    this.#sink.entry(entry);
    if (this.#remaining === 0) this.#memberEnds();
  }

  #dataOffset = 0;

  #passData(part: Buffer): void {
    if (this.#runs.length === 0) {
      this.#sink.data(part, this.#dataOffset);
      this.#dataOffset += part.length;
      return;
    }
    for (let at = 0; at < part.length; ) {
      const run = this.#runs[this.#run]!;
      const taken = Math.min(run.length - this.#runDone, part.length - at);
      if (taken > 0) this.#sink.data(part.subarray(at, at + taken), run.offset + this.#runDone);
      at += taken;
      this.#runDone += taken;
      if (this.#runDone === run.length) {
        this.#run++;
        this.#runDone = 0;
      }
    }
  }
}

function decodeURIComponentSafe(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

/** A member of an archive with its data. What is not read of `body` is skipped when the next member is asked for. */
export interface TarMember {
  entry: TarEntry;
  /** The bytes of the file, holes filled with zeros. Can be read once. */
  body: AsyncIterable<Uint8Array>;
}

type TarEvent = { entry: TarEntry } | { chunk: Uint8Array; offset: number } | "end";

/** Reads an archive member by member, pulling from `source` only as fast as its bodies are read. */
export async function* readTar(source: AsyncIterable<Uint8Array>): AsyncGenerator<TarMember> {
  const events: TarEvent[] = [];
  const reader = new TarReader({
    entry: (entry) => events.push({ entry }),
    data: (chunk, offset) => events.push({ chunk, offset }),
    end: () => events.push("end"),
  });
  const input = source[Symbol.asyncIterator]();
  let isOver = false;
  const nextEvent = async (): Promise<TarEvent | undefined> => {
    while (events.length === 0) {
      if (isOver) return undefined;
      const { done, value } = await input.next();
      if (done === true) {
        isOver = true;
        reader.finish();
      } else reader.push(value);
    }
    return events.shift();
  };
  const bodyOf = async function* (entry: TarEntry): AsyncGenerator<Uint8Array> {
    let position = 0;
    for (let event = await nextEvent(); event !== undefined && event !== "end"; event = await nextEvent()) {
      if (!("chunk" in event)) throw new Error("a tar member began before the last one ended");
      yield* zeros(event.offset - position);
      yield event.chunk;
      position = event.offset + event.chunk.length;
    }
    yield* zeros(entry.size - position);
  };
  try {
    for (let event = await nextEvent(); event !== undefined; event = await nextEvent()) {
      // What was left of the last body, where nobody read it to its end.
      if (event === "end" || "chunk" in event) continue;
      yield { entry: event.entry, body: bodyOf(event.entry) };
    }
  } finally {
    await input.return?.();
  }
}

function* zeros(count: number): Generator<Uint8Array> {
  for (let left = count; left > 0; left -= 65536) yield new Uint8Array(Math.min(left, 65536));
}
