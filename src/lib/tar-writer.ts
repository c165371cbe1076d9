/** Writing tar archives as they stream by: ustar, with a pax header where ustar's fields are too small. */

import type { TarEntry, TarType } from "./tar.ts";
import { blockBytes, headerChecksum } from "./tar-header.ts";
import type { SparseRun } from "./tar-sparse.ts";

/** What a new member is made of. All that is left out is empty or 0; `mode` is 0644, or 0755 for a directory. */
export type NewTarEntry = Partial<TarEntry> & { name: string; type: TarType };

const flags: Record<TarType, string> = {
  file: "0",
  link: "1",
  symlink: "2",
  char: "3",
  block: "4",
  directory: "5",
  fifo: "6",
};

const octalLimit = (digits: number) => 8 ** digits;

export interface TarHeaderOptions {
  /** How names turn into bytes; "latin1" where they have one character per byte. */
  names?: "utf8" | "latin1";
  /** Where a file with holes has data, in order. Only that is sent then, `storedBytes()` of it. */
  runs?: SparseRun[];
}

/**
 * The blocks before a member's data. The caller then sends exactly `size` bytes, or those of its runs one after the
 * other, and tarPadding() of as many.
 */
export function tarHeader(entry: NewTarEntry, { names = "utf8", runs }: TarHeaderOptions = {}): Buffer {
  const map = runs === undefined ? noBytes : sparseMap(runs);
  const member = runs === undefined ? entry : { ...entry, size: map.length + storedBytes(runs) };
  const records = paxRecords(member, names);
  if (runs !== undefined) {
    const add = (key: string, value: string) => records.push(paxRecord(key, Buffer.from(value, names)));
    // Format 1.0 of GNU tar, which Go's reader, libarchive and Python's tarfile know as well.
    add("GNU.sparse.major", "1");
    add("GNU.sparse.minor", "0");
    add("GNU.sparse.name", entry.name);
    add("GNU.sparse.realsize", String(entry.size ?? 0));
  }
  const header = block(member, flags[entry.type]);
  if (records.length === 0) return header;
  const body = Buffer.concat(records);
  const before = block({ name: `PaxHeaders.0/${entry.name.slice(-50)}`, type: "file", size: body.length }, "x");
  return Buffer.concat([before, body, tarPadding(body.length), header, map]);
}

const noBytes = Buffer.alloc(0);

/** How many bytes of a file with holes are sent. */
export function storedBytes(runs: SparseRun[]): number {
  return runs.reduce((sum, { length }) => sum + length, 0);
}

function sparseMap(runs: SparseRun[]): Buffer {
  const numbers = [runs.length, ...runs.flatMap(({ offset, length }) => [offset, length])];
  const text = Buffer.from(`${numbers.join("\n")}\n`);
  return Buffer.concat([text, tarPadding(text.length)]);
}

/** The zeros after a member's data. */
export function tarPadding(sizeBytes: number): Buffer {
  return Buffer.alloc((blockBytes - (sizeBytes % blockBytes)) % blockBytes);
}

/** What ends an archive. */
export function tarEnd(): Buffer {
  return Buffer.alloc(2 * blockBytes);
}

function paxRecords(entry: NewTarEntry, names: "utf8" | "latin1"): Buffer[] {
  const records: Buffer[] = [];
  const add = (key: string, value: string | Buffer) =>
    records.push(paxRecord(key, typeof value === "string" ? Buffer.from(value, names) : value));
  if (!fits(entry.name, 100)) add("path", entry.name);
  if (!fits(entry.linkName ?? "", 100)) add("linkpath", entry.linkName!);
  if ((entry.size ?? 0) >= octalLimit(11)) add("size", String(entry.size));
  if ((entry.uid ?? 0) >= octalLimit(7)) add("uid", String(entry.uid));
  if ((entry.gid ?? 0) >= octalLimit(7)) add("gid", String(entry.gid));
  if (!fits(entry.userName ?? "", 31)) add("uname", entry.userName!);
  if (!fits(entry.groupName ?? "", 31)) add("gname", entry.groupName!);
  const seconds = entry.mtimeSeconds ?? 0;
  const nanos = entry.mtimeNanos ?? 0;
  if (nanos !== 0 || seconds < 0 || seconds >= octalLimit(11)) add("mtime", paxTime(seconds, nanos));
  for (const [key, value] of entry.xattrs ?? []) add(`SCHILY.xattr.${key}`, value);
  return records;
}

function fits(text: string, lengthBytes: number): boolean {
  return text.length <= lengthBytes && /^[\x20-\x7e]*$/.test(text);
}

function paxTime(seconds: number, nanos: number): string {
  if (seconds >= 0) return `${seconds}.${String(nanos).padStart(9, "0")}`;
  // -0.5 is kept as second -1 and half a second more.
  return nanos === 0 ? String(seconds) : `-${-seconds - 1}.${String(1_000_000_000 - nanos).padStart(9, "0")}`;
}

/** A record's length counts its own digits. */
function paxRecord(key: string, value: Buffer): Buffer {
  const rest = Buffer.byteLength(key) + value.length + 3;
  let length = rest + String(rest).length;
  length = rest + String(length).length;
  return Buffer.concat([Buffer.from(`${length} ${key}=`), value, Buffer.from("\n")]);
}

function block(entry: NewTarEntry, flag: string): Buffer {
  const header = Buffer.alloc(blockBytes);
  const text = (value: string, offset: number, lengthBytes: number) => header.write(value, offset, lengthBytes);
  const octal = (value: number, offset: number, digits: number) =>
    // What does not fit is in the pax header.
    header.write((value < 0 || value >= octalLimit(digits) ? 0 : value).toString(8).padStart(digits, "0"), offset);
  text(entry.name, 0, 100);
  octal(entry.mode ?? (entry.type === "directory" ? 0o755 : 0o644), 100, 7);
  octal(entry.uid ?? 0, 108, 7);
  octal(entry.gid ?? 0, 116, 7);
  octal(entry.type === "file" ? (entry.size ?? 0) : 0, 124, 11);
  octal(entry.mtimeSeconds ?? 0, 136, 11);
  text(flag, 156, 1);
  text(entry.linkName ?? "", 157, 100);
  header.write("ustar\x0000", 257, "latin1");
  text(entry.userName ?? "", 265, 31);
  text(entry.groupName ?? "", 297, 31);
  octal(entry.devMajor ?? 0, 329, 7);
  octal(entry.devMinor ?? 0, 337, 7);
  header.write(`${headerChecksum(header, false).toString(8).padStart(6, "0")}\0 `, 148, "latin1");
  return header;
}
