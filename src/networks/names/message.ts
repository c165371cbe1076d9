/** DNS messages (RFC 1035, EDNS: RFC 6891), as far as a server needs them that answers itself or passes on. */

export const type = { A: 1, PTR: 12, MX: 15, AAAA: 28, OPT: 41, SVCB: 64, HTTPS: 65, IXFR: 251, AXFR: 252, ANY: 255 };
export const rcode = {
  ok: 0,
  formatError: 1,
  serverFailure: 2,
  noName: 3,
  notImplemented: 4,
  refused: 5,
  badVersion: 16,
};
export const headerBytes = 12;
/** What every client takes over UDP. */
export const plainLimitBytes = 512;

const classes = { IN: 1, ANY: 255 };
const flag = {
  response: 0x8000,
  opcode: 0x7800,
  truncated: 0x0200,
  wanted: 0x0100,
  available: 0x0080,
  disabled: 0x0010,
};
const nameLimitBytes = 255;
const labelLimitBytes = 63;
const optBytes = 11;
/** A query has one additional record, or two with a signature. */
const recordLimit = 16;
/** A pointer to the name of the question. */
const questionName = 0xc000 | headerBytes;
/** Docker's. */
const ttlSeconds = 600;

/** A query that was read. Its bytes stay where they were. */
export interface Query {
  id: number;
  flags: number;
  /** What it is to be answered with where it cannot be answered otherwise. Then the rest means nothing. */
  failure: number | undefined;
  /** The name asked for, lower case, without the last dot. Undefined where it is none that text could be. */
  name: string | undefined;
  type: number;
  /** Where the question ends, from the message's start. */
  questionEnd: number;
  /** Bytes the client takes over UDP, where it says so. */
  ednsBytes: number | undefined;
}

const scratch = Buffer.alloc(nameLimitBytes + 1);

/** Reads a query, of which nothing is taken for granted. Undefined where no answer is due: to answers, and to noise. */
export function readQuery(bytes: Buffer, start: number, length: number): Query | undefined {
  if (length < headerBytes) return undefined;
  const end = start + length;
  const flags = bytes.readUInt16BE(start + 2);
  if ((flags & flag.response) !== 0) return undefined;
  const query: Query = {
    id: bytes.readUInt16BE(start),
    flags,
    failure: rcode.formatError,
    name: undefined,
    type: 0,
    questionEnd: 0,
    ednsBytes: undefined,
  };
  if ((flags & flag.opcode) !== 0) {
    query.failure = rcode.notImplemented;
    return query;
  }
  if (bytes.readUInt16BE(start + 4) !== 1) return query;
  const nameEnd = readQuestionName(bytes, start + headerBytes, end, query);
  if (nameEnd === undefined || nameEnd + 4 > end) return query;
  query.type = bytes.readUInt16BE(nameEnd);
  const questionClass = bytes.readUInt16BE(nameEnd + 2);
  query.questionEnd = nameEnd + 4 - start;
  if (!readRecords(bytes, start, end, query)) {
    query.questionEnd = 0;
    return query;
  }
  if (query.failure === rcode.badVersion) return query;
  const foreign = questionClass !== classes.IN && questionClass !== classes.ANY;
  // A zone's transfer is more than one message.
  const transfer = query.type === type.AXFR || query.type === type.IXFR;
  query.failure = foreign || transfer ? rcode.refused : undefined;
  return query;
}

/** Returns where the name ends. A question cannot point at another name: nothing comes before it. */
function readQuestionName(bytes: Buffer, start: number, end: number, query: Query): number | undefined {
  let at = start;
  let written = 0;
  let plain = true;
  for (;;) {
    if (at >= end) return undefined;
    const length = bytes[at++]!;
    if (length === 0) break;
    if (length > labelLimitBytes || at + length > end || at + length - start >= nameLimitBytes) return undefined;
    if (written > 0) scratch[written++] = 0x2e;
    for (const labelEnd = at + length; at < labelEnd; at++) {
      const byte = bytes[at]!;
      if (byte === 0x2e || byte === 0) plain = false;
      scratch[written++] = byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
    }
  }
  if (plain) query.name = scratch.toString("latin1", 0, written);
  return at;
}

/** Looks for EDNS behind the question. False where the records are not well-formed. */
function readRecords(bytes: Buffer, start: number, end: number, query: Query): boolean {
  const before = bytes.readUInt16BE(start + 6) + bytes.readUInt16BE(start + 8);
  const count = before + bytes.readUInt16BE(start + 10);
  if (count > recordLimit) return false;
  let at = start + query.questionEnd;
  for (let index = 0; index < count; index++) {
    const nameStart = at;
    const nameEnd = skipName(bytes, at, end);
    if (nameEnd === undefined || nameEnd + 10 > end) return false;
    const dataEnd = nameEnd + 10 + bytes.readUInt16BE(nameEnd + 8);
    if (dataEnd > end) return false;
    if (index >= before && bytes.readUInt16BE(nameEnd) === type.OPT) {
      if (query.ednsBytes !== undefined || nameEnd !== nameStart + 1) return false;
      query.ednsBytes = Math.max(bytes.readUInt16BE(nameEnd + 2), plainLimitBytes);
      if (bytes[nameEnd + 5] !== 0) query.failure = rcode.badVersion;
    }
    at = dataEnd;
  }
  return true;
}

/** Returns where a name ends that may end in a pointer. The pointer is not followed. */
function skipName(bytes: Buffer, start: number, end: number): number | undefined {
  let at = start;
  while (at < end && at - start < nameLimitBytes) {
    const length = bytes[at]!;
    if (length === 0) return at + 1;
    if (length >= 0xc0) return at + 2 <= end ? at + 2 : undefined;
    if (length > labelLimitBytes) return undefined;
    at += 1 + length;
  }
  return undefined;
}

/** What a name stands for: addresses of 4 or 16 bytes, or the name that an address has. */
export type Answers = readonly (Uint8Array | string)[];

/**
 * Writes the answer to a query into `out` from `at`, the question as the client wrote it, and returns its length.
 * `limit`: what does not fit is left out, and the client told so that it asks again over TCP. `recursion`: whether names
 * are looked up elsewhere, too.
 */
export function writeAnswer(
  out: Buffer,
  at: number,
  limit: number,
  query: Query,
  question: { bytes: Buffer; start: number },
  answer: { code: number; answers?: Answers; recursion: boolean },
): number {
  const { questionEnd, ednsBytes } = query;
  const tailBytes = ednsBytes === undefined ? 0 : optBytes;
  let flags = flag.response | (query.flags & (flag.opcode | flag.wanted | flag.disabled)) | (answer.code & 0xf);
  if (answer.recursion) flags |= flag.available;
  let end = at + headerBytes;
  if (questionEnd > 0) {
    question.bytes.copy(out, end, question.start + headerBytes, question.start + questionEnd);
    end = at + questionEnd;
  }
  let count = 0;
  for (const value of answer.answers ?? []) {
    const next = writeRecord(out, end, at + limit - tailBytes, value);
    if (next === undefined) {
      flags |= flag.truncated;
      break;
    }
    if (next > end) count++;
    end = next;
  }
  if (ednsBytes !== undefined) {
    out[end] = 0;
    out.writeUInt16BE(type.OPT, end + 1);
    out.writeUInt16BE(maximumUdpBytes, end + 3);
    out.writeUInt32BE((answer.code >> 4) << 24, end + 5);
    out.writeUInt16BE(0, end + 9);
    end += optBytes;
  }
  out.writeUInt16BE(query.id, at);
  out.writeUInt16BE(flags, at + 2);
  out.writeUInt16BE(questionEnd > 0 ? 1 : 0, at + 4);
  out.writeUInt16BE(count, at + 6);
  out.writeUInt16BE(0, at + 8);
  out.writeUInt16BE(ednsBytes === undefined ? 0 : 1, at + 10);
  return end - at;
}

/** What is ever sent in one datagram of our own, whatever the client would take (loopback never fragments that). */
export const maximumUdpBytes = 4096;

/** Returns where the record ends, `at` for a name that can be in none, undefined where it does not fit. */
function writeRecord(out: Buffer, at: number, limit: number, value: Uint8Array | string): number | undefined {
  const data = typeof value === "string" ? encodeName(value) : value;
  if (data === undefined) return at;
  const end = at + 12 + data.length;
  if (end > limit) return undefined;
  out.writeUInt16BE(questionName, at);
  out.writeUInt16BE(typeof value === "string" ? type.PTR : value.length === 4 ? type.A : type.AAAA, at + 2);
  out.writeUInt16BE(classes.IN, at + 4);
  out.writeUInt32BE(ttlSeconds, at + 6);
  out.writeUInt16BE(data.length, at + 10);
  out.set(data, at + 12);
  return end;
}

/** A name as messages have it; undefined where it cannot be in one. */
export function encodeName(name: string): Buffer | undefined {
  const bytes = Buffer.alloc(name.length * 3 + 2);
  let at = 0;
  for (const label of name.split(".")) {
    const length = bytes.write(label, at + 1, "utf8");
    if (length === 0 || length > labelLimitBytes) return undefined;
    bytes[at] = length;
    at += length + 1;
  }
  return at + 1 > nameLimitBytes ? undefined : bytes.subarray(0, at + 1);
}

/** The address that a name of a reverse zone stands for, 4 or 16 bytes. */
export function reverseAddress(name: string): Uint8Array | undefined {
  if (name.endsWith(".in-addr.arpa")) {
    const parts = name.slice(0, -".in-addr.arpa".length).split(".");
    if (parts.length !== 4 || !parts.every((part) => /^(0|[1-9]\d{0,2})$/.test(part) && Number(part) < 256))
      return undefined;
    return Uint8Array.from(parts.reverse(), Number);
  }
  if (!name.endsWith(".ip6.arpa")) return undefined;
  const digits = name.slice(0, -".ip6.arpa".length).split(".").reverse();
  if (digits.length !== 32 || !digits.every((digit) => /^[0-9a-f]$/.test(digit))) return undefined;
  return Uint8Array.from({ length: 16 }, (_, index) =>
    Number.parseInt(digits[index * 2]! + digits[index * 2 + 1]!, 16),
  );
}

/** Whether `answer` can be the one to `query`: its id is compared by the caller. */
export function isAnswerTo(answer: Buffer, query: Buffer, questionEnd: number): boolean {
  if (answer.length < headerBytes) return false;
  const flags = answer.readUInt16BE(2);
  if ((flags & flag.response) === 0 || (flags & flag.opcode) !== 0) return false;
  // Some servers leave out the question where they fail.
  if (answer.readUInt16BE(4) === 0) return (flags & 0xf) !== rcode.ok;
  if (answer.readUInt16BE(4) !== 1 || answer.length < questionEnd) return false;
  for (let at = headerBytes; at < questionEnd; at++)
    if (answer[at] !== query[at] && lower(answer[at]!) !== lower(query[at]!)) return false;
  return true;
}

function lower(byte: number): number {
  return byte >= 0x41 && byte <= 0x5a ? byte | 0x20 : byte;
}

/** An answer's code; those beyond 15 are not told apart. */
export function answerCode(answer: Buffer): number {
  return answer[3]! & 0xf;
}
