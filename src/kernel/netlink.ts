/**
 * Netlink sockets: messages and attributes as linux/netlink.h lays them out, sent and answered synchronously.
 * What the messages mean is in rtnetlink.ts.
 */
import { closeSync } from "node:fs";
import { endianness } from "node:os";
import { bindLibc, check, errno, SyscallError } from "./libc.ts";

const AF_NETLINK = 16;
const SOCK_RAW = 3;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SO_RCVTIMEO = 20;
const SOL_NETLINK = 270;
const NETLINK_CAP_ACK = 10;
const NETLINK_EXT_ACK = 11;
const NETLINK_GET_STRICT_CHK = 12;
const MSG_TRUNC = 0x20;

const NLMSG_ERROR = 2;
const NLMSG_DONE = 3;
const NLM_F_REQUEST = 0x1;
const NLM_F_MULTI = 0x2;
const NLM_F_ACK = 0x4;
const NLM_F_DUMP_INTR = 0x10;
const NLM_F_CAPPED = 0x100;
const NLM_F_ACK_TLVS = 0x200;
const NLM_F_DUMP = 0x300;
const NLA_F_NESTED = 0x8000;
const NLA_TYPE_MASK = 0x3fff;
const NLMSGERR_ATTR_MSG = 1;

const headerBytes = 16;
const receiveBytes = 256 * 1024;
/** The kernel answers before sendto returns; this only bounds the wait if it ever does not. */
const answerTimeoutMs = 5000;
const dumpAttempts = 16;

const EINTR = 4;
const EBUSY = 16;
const EBADMSG = 74;

if (endianness() !== "LE") throw new Error("netlink.ts lays out messages for little-endian machines only");

const libc = bindLibc({
  socket: { args: ["i32", "i32", "i32"], returns: "i32" },
  setsockopt: { args: ["i32", "i32", "i32", "ptr", "u32"], returns: "i32" },
  sendto: { args: ["i32", "ptr", "u64", "i32", "ptr", "u32"], returns: "i32" },
  recv: { args: ["i32", "ptr", "u64", "i32"], returns: "i32" },
});

/** One attribute: its type and its bytes, or the attributes nested in it. */
export type Attribute = readonly [type: number, value: Uint8Array | readonly Attribute[]];

/** One message to the kernel. `subject` is what an error of it names. */
export interface Request {
  type: number;
  flags?: number;
  /** The fixed header of the message's family, ifinfomsg say. */
  header: Uint8Array;
  attributes?: readonly Attribute[];
  subject: string;
}

/** One message from the kernel, without its netlink header. The bytes are only valid until the next call. */
export interface Answer {
  type: number;
  body: Buffer;
}

export const u8 = (value: number): Buffer => Buffer.of(value);
export const u16 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(2);
  bytes.writeUInt16LE(value);
  return bytes;
};
export const u32 = (value: number): Buffer => {
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32LE(value);
  return bytes;
};
export const text = (value: string): Buffer => Buffer.from(`${value}\0`);

const align = (length: number): number => (length + 3) & ~3;

function attributesLength(attributes: readonly Attribute[]): number {
  let length = 0;
  for (const [, value] of attributes)
    length += align(4 + (value instanceof Uint8Array ? value.length : attributesLength(value)));
  return length;
}

function writeAttributes(into: Buffer, start: number, attributes: readonly Attribute[]): number {
  let at = start;
  for (const [type, value] of attributes) {
    const nested = !(value instanceof Uint8Array);
    const end = nested ? writeAttributes(into, at + 4, value) : at + 4 + value.length;
    if (!nested) into.set(value, at + 4);
    into.writeUInt16LE(end - at, at);
    into.writeUInt16LE(nested ? type | NLA_F_NESTED : type, at + 2);
    at = align(end);
  }
  return at;
}

/** Calls `visit` for every attribute in `bytes`. Throws EBADMSG where a length does not fit. */
export function readAttributes(bytes: Buffer, visit: (type: number, value: Buffer) => void): void {
  let at = 0;
  while (at + 4 <= bytes.length) {
    const length = bytes.readUInt16LE(at);
    if (length < 4 || at + length > bytes.length) throw new SyscallError("netlink", EBADMSG, "attribute");
    visit(bytes.readUInt16LE(at + 2) & NLA_TYPE_MASK, bytes.subarray(at + 4, at + length));
    at += align(length);
  }
}

/** A string attribute's text, without its NUL. */
export function readText(value: Buffer): string {
  const end = value.indexOf(0);
  return value.toString("utf8", 0, end < 0 ? value.length : end);
}

/** Shared by all sockets: every call here is synchronous, so that no two use it at once. */
let received: Buffer | undefined;

/** A netlink socket. It talks to the network namespace it was opened in, wherever the thread goes later. */
export class NetlinkSocket {
  readonly #fd: number;
  #sequence = 0;

  /** `protocol` is NETLINK_ROUTE (0), NETLINK_NETFILTER (12)… */
  constructor(protocol: number) {
    this.#fd = check(libc.socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, protocol), "socket", "AF_NETLINK");
    const on = u32(1);
    for (const option of [NETLINK_CAP_ACK, NETLINK_EXT_ACK, NETLINK_GET_STRICT_CHK])
      libc.setsockopt(this.#fd, SOL_NETLINK, option, on, on.length);
    const timeout = Buffer.alloc(16);
    timeout.writeBigInt64LE(BigInt(answerTimeoutMs / 1000));
    check(libc.setsockopt(this.#fd, SOL_SOCKET, SO_RCVTIMEO, timeout, timeout.length), "setsockopt", "SO_RCVTIMEO");
  }

  /**
   * Sends all requests in one go and returns the answers in order. The kernel handles them one after another and
   * goes on after one that fails; the first failure is thrown, as a SyscallError about its request's subject.
   * `acknowledged` is the request whose acknowledgement ends the exchange: not the last where the kernel may give none.
   */
  transact(requests: readonly Request[], acknowledged = requests.length - 1): Answer[] {
    const first = this.#sequence + 1;
    this.#send(requests, (index) => (index === acknowledged ? NLM_F_ACK : 0));
    const answers: Answer[] = [];
    let failure: SyscallError | undefined;
    const last = first + acknowledged;
    for (let done = false; !done; )
      this.#receive((type, _flags, sequence, body, error) => {
        if (sequence < first || sequence > last) return;
        if (type !== NLMSG_ERROR) {
          answers.push({ type, body: Buffer.from(body) });
          return;
        }
        if (error !== undefined) failure ??= named(error, requests[sequence - first]!.subject);
        if (sequence === last) done = true;
      });
    if (failure !== undefined) throw failure;
    return answers;
  }

  /** Lists what `request` asks for, calling `visit` for each. Asked again where the list changed meanwhile. */
  dump<T>(request: Request, parse: (answer: Answer) => T | undefined): T[] {
    for (let attempt = 0; attempt < dumpAttempts; attempt++) {
      this.#send([request], () => NLM_F_DUMP);
      const wanted = this.#sequence;
      const found: T[] = [];
      let done = false;
      let interrupted = false;
      while (!done)
        this.#receive((type, flags, sequence, body, error) => {
          if (sequence !== wanted || done) return;
          if ((flags & NLM_F_DUMP_INTR) !== 0) interrupted = true;
          if (error !== undefined) throw named(error, request.subject);
          if (type === NLMSG_DONE || type === NLMSG_ERROR) done = true;
          else {
            const parsed = parse({ type, body });
            if (parsed !== undefined) found.push(parsed);
            if ((flags & NLM_F_MULTI) === 0) done = true;
          }
        });
      if (!interrupted) return found;
    }
    throw new SyscallError("netlink dump", EBUSY, request.subject);
  }

  close(): void {
    closeSync(this.#fd);
  }

  #send(requests: readonly Request[], extraFlags: (index: number) => number): void {
    let total = 0;
    for (const { header, attributes } of requests)
      total += headerBytes + align(header.length) + attributesLength(attributes ?? []);
    const bytes = Buffer.alloc(total);
    let at = 0;
    for (const [index, { type, flags, header, attributes }] of requests.entries()) {
      bytes.set(header, at + headerBytes);
      const end = writeAttributes(bytes, at + headerBytes + align(header.length), attributes ?? []);
      bytes.writeUInt32LE(end - at, at);
      bytes.writeUInt16LE(type, at + 4);
      bytes.writeUInt16LE((flags ?? 0) | NLM_F_REQUEST | extraFlags(index), at + 6);
      bytes.writeUInt32LE(++this.#sequence, at + 8);
      at = end;
    }
    const subject = requests[0]?.subject;
    check(libc.sendto(this.#fd, bytes, total, 0, null, 0), "sendto netlink", subject);
  }

  #receive(
    visit: (type: number, flags: number, sequence: number, body: Buffer, error: NetlinkFailure | undefined) => void,
  ): void {
    received ??= Buffer.allocUnsafe(receiveBytes);
    let length = libc.recv(this.#fd, received, received.length, MSG_TRUNC);
    while (length < 0 && errno() === EINTR) length = libc.recv(this.#fd, received, received.length, MSG_TRUNC);
    check(length, "recv netlink");
    if (length > received.length) throw new SyscallError("recv netlink", EBADMSG, `answer of ${length} bytes`);
    const bytes = received.subarray(0, length);
    let at = 0;
    while (at + headerBytes <= length) {
      const size = bytes.readUInt32LE(at);
      if (size < headerBytes || at + size > length) throw new SyscallError("recv netlink", EBADMSG, "message");
      const type = bytes.readUInt16LE(at + 4);
      const flags = bytes.readUInt16LE(at + 6);
      const body = bytes.subarray(at + headerBytes, at + size);
      visit(type, flags, bytes.readUInt32LE(at + 8), body, readFailure(type, flags, body));
      at += align(size);
    }
  }
}

interface NetlinkFailure {
  errno: number;
  detail: string;
}

function named(failure: NetlinkFailure, subject: string): SyscallError {
  return new SyscallError("netlink", failure.errno, failure.detail === "" ? subject : `${subject} (${failure.detail})`);
}

function readFailure(type: number, flags: number, body: Buffer): NetlinkFailure | undefined {
  if ((type !== NLMSG_ERROR && type !== NLMSG_DONE) || body.length < 4) return undefined;
  const result = body.readInt32LE(0);
  if (result >= 0) return undefined;
  let detail = "";
  if (type === NLMSG_ERROR && (flags & NLM_F_ACK_TLVS) !== 0 && body.length >= 4 + headerBytes) {
    const echoed = (flags & NLM_F_CAPPED) !== 0 ? headerBytes : align(body.readUInt32LE(4));
    readAttributes(body.subarray(Math.min(4 + echoed, body.length)), (attribute, value) => {
      if (attribute === NLMSGERR_ATTR_MSG) detail = readText(value);
    });
  }
  return { errno: -result, detail };
}
