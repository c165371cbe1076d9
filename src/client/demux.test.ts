import { expect, test } from "bun:test";
import { demultiplex } from "./demux.ts";

function frame(stream: number, text: string): Buffer {
  const head = Buffer.alloc(8);
  head[0] = stream;
  head.writeUInt32BE(Buffer.byteLength(text), 4);
  return Buffer.concat([head, Buffer.from(text)]);
}

async function* pieces(bytes: Buffer, size: number): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield Uint8Array.from(bytes.subarray(at, at + size));
}

async function collect(bytes: Buffer, size: number) {
  const streams = { 1: "", 2: "" };
  let parts = 0;
  for await (const { stream, bytes: part } of demultiplex(pieces(bytes, size))) {
    streams[stream] += Buffer.from(part).toString();
    parts++;
  }
  return { streams, parts };
}

const stream = Buffer.concat([
  frame(1, "one\n"),
  frame(1, "two\n"),
  frame(2, "error\n"),
  frame(1, ""),
  frame(2, "again\n"),
  frame(1, "three\n"),
]);

test("comes out the same however it is cut", async () => {
  for (let size = 1; size <= stream.length; size++) {
    const { streams } = await collect(stream, size);
    expect(streams).toEqual({ 1: "one\ntwo\nthree\n", 2: "error\nagain\n" });
  }
});

test("frames of one stream that arrive together leave together", async () => {
  const many = Buffer.concat(Array.from({ length: 1000 }, () => frame(1, "line\n")));
  expect((await collect(many, many.length)).parts).toBe(1);
});

test("stdin's frames count as output, others are refused", async () => {
  expect((await collect(frame(0, "x"), 100)).streams[1]).toBe("x");
  expect(collect(frame(3, "it broke"), 100)).rejects.toThrow("error from daemon in stream: it broke");
  expect(collect(frame(9, "x"), 100)).rejects.toThrow("Unrecognized input header: 9");
  expect(collect(stream.subarray(0, stream.length - 10), 7)).rejects.toThrow("unexpected EOF");
});
