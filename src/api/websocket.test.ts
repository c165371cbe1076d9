import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { FakeAttachment, fakeRooms, RawClient, until } from "./fixture.ts";
import { listen } from "./listen.ts";
import { Api } from "./server.ts";
import { encodeFrame, FrameReader } from "./websocket.ts";

const dir = mkdtempSync(join(tmpdir(), "brig-ws-"));
const path = join(dir, "api.sock");
let attachment = new FakeAttachment();
const rooms = fakeRooms({ containers: { attach: async () => attachment } });
const listening = await listen(new Api(rooms), [`unix://${path}`, "tcp://127.0.0.1:0"], {
  group: "0",
  runRoot: "/run/brig-test",
  log: { info: () => {}, warn: () => {} },
});
afterAll(async () => {
  await listening.close();
  rmSync(dir, { recursive: true });
});

/** A frame as a client sends it, with a mask. */
function masked(opcode: number, payload: string | Uint8Array, final = true): Buffer {
  const plain = encodeFrame(opcode, Buffer.from(payload as string));
  const headerBytes = plain[1]! < 126 ? 2 : plain[1] === 126 ? 4 : 10;
  const mask = Buffer.from([1, 2, 3, 4]);
  const body = Buffer.from(plain.subarray(headerBytes).map((byte, i) => byte ^ mask[i & 3]!));
  const header = Buffer.from(plain.subarray(0, headerBytes));
  header[1]! |= 0x80;
  if (!final) header[0]! &= 0x7f;
  return Buffer.concat([header, mask, body]);
}

const request =
  "GET /containers/c/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

test("bytes are taken apart the same however they arrive", () => {
  const bytes = Buffer.concat([
    masked(2, "hello "),
    masked(1, "wor", false),
    masked(9, "ping"),
    masked(0, "ld"),
    masked(2, Buffer.alloc(70_000, 65)),
    masked(2, Buffer.alloc(300, 66)),
  ]);
  for (const step of [1, 7, 1000, bytes.length]) {
    let data = "";
    const control: string[] = [];
    const reader = new FrameReader(
      (part) => {
        data += part.toString();
      },
      (opcode, payload) => control.push(`${opcode}:${payload}`),
    );
    for (let at = 0; at < bytes.length; at += step) reader.push(bytes.subarray(at, at + step));
    expect(data).toBe(`hello world${"A".repeat(70_000)}${"B".repeat(300)}`);
    expect(control).toEqual(["9:ping"]);
  }
});

test.each<[string, Buffer]>([
  ["no mask", encodeFrame(2, Buffer.from("x"))],
  ["reserved bits", Buffer.from([0xc2, 0x80, 0, 0, 0, 0])],
  ["a continuation of nothing", masked(0, "x")],
  ["an unknown opcode", masked(3, "x")],
  ["a fragmented ping", masked(9, "x", false)],
  ["a huge frame", Buffer.from([0x82, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4])],
])("%s is refused", (_what, bytes) => {
  const reader = new FrameReader(
    () => {},
    () => {},
  );
  expect(() => reader.push(bytes)).toThrow();
});

test("attach: handshake, raw output in binary messages, input, ping, close", async () => {
  attachment = new FakeAttachment();
  const client = await RawClient.open(path, request);
  await until(() => client.text.includes("\r\n\r\n"), "the handshake");
  expect(client.text).toStartWith("HTTP/1.1 101 Switching Protocols\r\n");
  expect(client.text).toContain("Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n");
  client.socket.write(masked(2, "typed"));
  await until(() => attachment.received.join("") === "typed", "stdin");
  attachment.say("out");
  attachment.say("err", 2);
  await until(() => client.text.endsWith("\x82\x03out\x82\x03err"), "the output");
  client.socket.write(masked(9, "hi"));
  await until(() => client.text.endsWith("\x8a\x02hi"), "the pong");
  client.socket.write(masked(8, Buffer.from([3, 232])));
  await until(() => client.text.endsWith("\x88\x02\x03\xe8"), "the close");
  await until(() => attachment.detached, "detaching");
});

test("the end of the output closes the WebSocket", async () => {
  attachment = new FakeAttachment();
  const client = await RawClient.open(path, request);
  attachment.say("bye");
  attachment.exit();
  await until(() => client.text.endsWith("\x82\x03bye\x88\x02\x03\xe8"), "the close");
  await until(() => client.ended);
  client.socket.destroy();
});

test("a client that breaks the rules is told and dropped", async () => {
  attachment = new FakeAttachment();
  const client = await RawClient.open(path, request);
  await until(() => client.text.includes("\r\n\r\n"));
  client.socket.write(encodeFrame(2, Buffer.from("no mask")));
  await until(() => attachment.detached, "detaching");
  await until(() => client.ended);
  expect(client.text).toEndWith("\x88\x02\x03\xea");
});

test("a client of another make: the one that is built in", async () => {
  attachment = new FakeAttachment();
  const socket = new WebSocket(`${listening.hosts[1]!.replace("tcp", "ws")}/v1.40/containers/c/attach/ws?stream=1`);
  socket.binaryType = "arraybuffer";
  const messages: string[] = [];
  let closed = false;
  socket.onmessage = ({ data }) => messages.push(Buffer.from(data as ArrayBuffer).toString());
  socket.onclose = () => {
    closed = true;
  };
  await new Promise((resolve) => {
    socket.onopen = resolve;
  });
  socket.send("text");
  await until(() => attachment.received.join("") === "text");
  attachment.say("a".repeat(200_000));
  await until(() => messages.join("").length === 200_000);
  attachment.exit();
  await until(() => closed, "the close");
});

test("no WebSocket without the proper request", async () => {
  const answer = await fetch("http://x/containers/c/attach/ws", { unix: path } as RequestInit);
  expect(answer.status).toBe(400);
  const old = await RawClient.open(path, request.replace("Version: 13", "Version: 8"));
  await until(() => old.ended);
  expect(old.text).toStartWith("HTTP/1.1 400 Bad Request");
});
