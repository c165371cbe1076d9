/** The 512 bytes before each member of a tar archive, and pax records: how numbers and names are written in them. */

/** Length of every block of a tar archive, in bytes. */
export const blockBytes = 512;

/** An archive that breaks the format's rules. The message starts with Go's `archive/tar: `, which clients know. */
export class TarError extends Error {
  constructor(message: string) {
    super(message);
    this.name = "TarError";
  }
}

export const invalidHeader = (why: string) => new TarError(`archive/tar: invalid tar header: ${why}`);

/** Reads a text field of a header: up to its first NUL. */
export function textField(block: Buffer, offset: number, length: number, encoding: "utf8" | "latin1"): string {
  let end = offset;
  while (end < offset + length && block[end] !== 0) end++;
  return block.toString(encoding, offset, end);
}

/**
 * Reads a number of a header: octal digits, or GNU's base-256 where the first byte's top bit is set.
 * Throws a TarError for anything else and for what no JavaScript number holds exactly.
 */
export function numberField(block: Buffer, offset: number, length: number, field: string): number {
  return (block[offset]! & 0x80) !== 0
    ? base256(block, offset, length, field)
    : octal(block.toString("latin1", offset, offset + length), field);
}

function octal(text: string, field: string): number {
  const digits = /^[ \0]*([0-7]*)[ \0]*/.exec(text)!;
  const rest = text.slice(digits[0].length);
  if (rest !== "" && !digits[0].endsWith("\0")) throw invalidHeader(`${field} is not a number`);
  return digits[1] === "" ? 0 : Number.parseInt(digits[1]!, 8);
}

function base256(block: Buffer, offset: number, length: number, field: string): number {
  const first = block[offset]!;
  const negative = (first & 0x40) !== 0;
  let value = BigInt(negative ? first | ~0xff : first & 0x7f);
  for (let index = offset + 1; index < offset + length; index++) value = value * 256n + BigInt(block[index]!);
  const result = Number(value);
  if (!Number.isSafeInteger(result)) throw invalidHeader(`${field} is too large`);
  return result;
}

/** Whether a block holds nothing but NULs: two of them end an archive. */
export function isZeroBlock(block: Buffer): boolean {
  if (block[0] !== 0) return false;
  for (let index = 1; index < blockBytes; index++) if (block[index] !== 0) return false;
  return true;
}

/** The sum of a header's bytes, its checksum field counted as blanks; `signed` as some old programs computed it. */
export function headerChecksum(block: Buffer, signed: boolean): number {
  let sum = 8 * 32;
  for (let index = 0; index < blockBytes; index++) {
    if (index === 148) index = 156;
    const byte = block[index]!;
    sum += signed && byte > 127 ? byte - 256 : byte;
  }
  return sum;
}

/** One `length key=value` record of a pax header. The value is bytes: extended attributes are not text. */
export interface PaxRecord {
  key: string;
  value: Buffer;
}

/** Takes a pax header's body apart. Throws a TarError where a record's length is wrong. */
export function parsePaxRecords(body: Buffer): PaxRecord[] {
  const records: PaxRecord[] = [];
  for (let at = 0; at < body.length; ) {
    const blank = body.indexOf(32, at);
    const digits = blank < 0 || blank - at > 10 ? "" : body.toString("latin1", at, blank);
    const end = at + Number(digits);
    const equals = body.indexOf(61, blank);
    if (!/^[0-9]+$/.test(digits) || end > body.length || equals < 0 || equals >= end - 1 || body[end - 1] !== 10)
      throw invalidHeader("malformed pax record");
    records.push({ key: body.toString("utf8", blank + 1, equals), value: body.subarray(equals + 1, end - 1) });
    at = end;
  }
  return records;
}

/** A pax time such as `1700000000.5` as whole seconds and nanoseconds (0 to 999999999). */
export function parsePaxTime(text: string): { seconds: number; nanos: number } {
  const match = /^(-?)([0-9]{1,15})(?:\.([0-9]*))?$/.exec(text);
  if (match === null) throw invalidHeader("malformed pax time");
  const seconds = Number(match[2]);
  const nanos = Number((match[3] ?? "").slice(0, 9).padEnd(9, "0"));
  if (match[1] === "") return { seconds, nanos };
  return nanos === 0 ? { seconds: -seconds, nanos } : { seconds: -seconds - 1, nanos: 1_000_000_000 - nanos };
}

/** A pax or sparse map's decimal number. Throws a TarError where it is not one, is negative, or is too large. */
export function parseDecimal(text: string, field: string): number {
  const value = /^[0-9]{1,16}$/.test(text) ? Number(text) : Number.NaN;
  if (!Number.isSafeInteger(value)) throw invalidHeader(`${field} is not a valid number`);
  return value;
}
