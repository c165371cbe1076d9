/** The server's side of a WebSocket (RFC 6455), as little of it as attach needs: binary messages both ways. */
import { createHash } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { Duplex } from "node:stream";
import { invalidParameter } from "../lib/errors.ts";

const acceptGuid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/** Nothing is put together from fragments, so this bounds only what one read of a frame's header may promise. */
const maxFrameBytes = 64 * 1024 * 1024;
const maxControlBytes = 125;

const opcodes = { continuation: 0, text: 1, binary: 2, close: 8, ping: 9, pong: 10 } as const;
const closeNormal = 1000;
const closeProtocolError = 1002;
const closeTooBig = 1009;

/** The answer that opens the WebSocket `request` asks for. Throws invalidParameter where it does not ask properly. */
export function handshake(request: IncomingMessage): string {
  const { upgrade, "sec-websocket-key": key, "sec-websocket-version": version } = request.headers;
  if (upgrade?.toLowerCase() !== "websocket" || typeof key !== "string")
    throw invalidParameter("not websocket protocol");
  if (version !== "13") throw invalidParameter("missing or bad WebSocket Version");
  const accept = createHash("sha1")
    .update(key + acceptGuid)
    .digest("base64");
  return `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`;
}

/** A whole frame as a server sends it: final, without a mask. */
export function encodeFrame(opcode: number, payload: Uint8Array): Buffer {
  const { length } = payload;
  const extended = length < 126 ? 0 : length < 65_536 ? 2 : 8;
  const frame = Buffer.allocUnsafe(2 + extended + length);
  frame[0] = 0x80 | opcode;
  frame[1] = extended === 0 ? length : extended === 2 ? 126 : 127;
  if (extended === 2) frame.writeUInt16BE(length, 2);
  if (extended === 8) frame.writeBigUInt64BE(BigInt(length), 2);
  frame.set(payload, 2 + extended);
  return frame;
}

class ProtocolFault extends Error {
  constructor(
    readonly code: number,
    message: string,
  ) {
    super(message);
  }
}

interface Frame {
  opcode: number;
  mask: Buffer;
  /** Payload bytes that have not come yet. */
  remaining: number;
  /** Payload bytes that have come; where in the mask the next one stands. */
  offset: number;
}

/**
 * What a client sends, taken apart. Payload of data is handed on as it comes, so that a large frame takes no memory;
 * control frames when they are complete.
 */
export class FrameReader {
  #buffered: Buffer = Buffer.alloc(0);
  #frame: Frame | undefined;
  #control: Buffer[] = [];
  /** A message has begun that further frames continue. */
  #fragmented = false;

  constructor(
    readonly onData: (data: Buffer) => void,
    readonly onControl: (opcode: number, payload: Buffer) => void,
  ) {}

  /** Throws ProtocolFault. */
  push(chunk: Buffer): void {
    this.#buffered = this.#buffered.length === 0 ? chunk : Buffer.concat([this.#buffered, chunk]);
    for (;;) {
      if (!this.#frame && !this.#readHeader()) return;
      if (!this.#readPayload(this.#frame!)) return;
    }
  }

  #readHeader(): boolean {
    const buffer = this.#buffered;
    if (buffer.length < 2) return false;
    const [first = 0, second = 0] = buffer;
    const opcode = first & 0x0f;
    const final = (first & 0x80) !== 0;
    const isControl = opcode >= opcodes.close;
    if ((first & 0x70) !== 0) throw new ProtocolFault(closeProtocolError, "reserved bits are set");
    if ((second & 0x80) === 0) throw new ProtocolFault(closeProtocolError, "frame is not masked");
    let length = second & 0x7f;
    if (isControl && (!final || length > maxControlBytes || opcode > opcodes.pong))
      throw new ProtocolFault(closeProtocolError, "bad control frame");
    if (!isControl && (opcode > opcodes.binary || (opcode === opcodes.continuation) !== this.#fragmented))
      throw new ProtocolFault(closeProtocolError, "bad data frame");
    const extended = length === 126 ? 2 : length === 127 ? 8 : 0;
    const headerBytes = 2 + extended + 4;
    if (buffer.length < headerBytes) return false;
    if (extended === 2) length = buffer.readUInt16BE(2);
    if (extended === 8) length = Number(buffer.readBigUInt64BE(2));
    if (length > maxFrameBytes) throw new ProtocolFault(closeTooBig, "frame is too large");
    if (!isControl) this.#fragmented = !final;
    this.#frame = { opcode, mask: buffer.subarray(headerBytes - 4, headerBytes), remaining: length, offset: 0 };
    this.#buffered = buffer.subarray(headerBytes);
    return true;
  }

  /** True where the frame is complete. */
  #readPayload(frame: Frame): boolean {
    const payload = Buffer.from(this.#buffered.subarray(0, frame.remaining));
    this.#buffered = this.#buffered.subarray(payload.length);
    for (let i = 0; i < payload.length; i++) payload[i]! ^= frame.mask[(frame.offset + i) & 3]!;
    frame.offset += payload.length;
    frame.remaining -= payload.length;
    const isControl = frame.opcode >= opcodes.close;
    if (isControl) this.#control.push(payload);
    else if (payload.length > 0) this.onData(payload);
    if (frame.remaining > 0) return false;
    this.#frame = undefined;
    if (isControl) {
      const whole = Buffer.concat(this.#control);
      this.#control = [];
      this.onControl(frame.opcode, whole);
    }
    return true;
  }
}

/**
 * The connection as a plain stream of bytes: each write leaves as one binary message, the payloads of the client's
 * messages are read. Pings are answered; the client's close ends the reading.
 */
export function webSocketStream(socket: Duplex, head: Uint8Array): Duplex {
  let closeSent = false;
  const sendClose = (code: number) => {
    if (closeSent || socket.destroyed) return;
    closeSent = true;
    const payload = Buffer.alloc(2);
    payload.writeUInt16BE(code);
    socket.end(encodeFrame(opcodes.close, payload));
  };
  const stream = new Duplex({
    read: () => socket.resume(),
    write(data: Buffer, _encoding, done) {
      if (closeSent || socket.destroyed) return done();
      if (socket.write(encodeFrame(opcodes.binary, data))) done();
      else onceEither(socket, "drain", "close", done);
    },
    final(done) {
      sendClose(closeNormal);
      done();
    },
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  const reader = new FrameReader(
    (data) => {
      if (!stream.push(data)) socket.pause();
    },
    (opcode, payload) => {
      if (opcode === opcodes.ping && !closeSent) socket.write(encodeFrame(opcodes.pong, payload));
      if (opcode === opcodes.close) {
        sendClose(closeNormal);
        stream.destroy();
      }
    },
  );
  const take = (chunk: Buffer) => {
    try {
      reader.push(chunk);
    } catch (fault) {
      sendClose(fault instanceof ProtocolFault ? fault.code : closeProtocolError);
      stream.destroy();
    }
  };
  socket.on("data", take);
  socket.on("end", () => stream.push(null));
  socket.on("close", () => stream.destroy());
  socket.on("error", () => {});
  if (head.length > 0) take(Buffer.from(head));
  return stream;
}

function onceEither(socket: Duplex, one: string, other: string, done: () => void): void {
  const settle = () => {
    socket.off(one, settle);
    socket.off(other, settle);
    done();
  };
  socket.on(one, settle);
  socket.on(other, settle);
}
