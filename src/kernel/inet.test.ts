import { afterAll, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import {
  accept,
  addressBytes,
  bindLocal,
  boundTo,
  connectTo,
  DatagramBatch,
  receive,
  send,
  socketAddress,
} from "./inet.ts";

const opened: number[] = [];
const keep = (fd: number) => {
  opened.push(fd);
  return fd;
};
afterAll(() => {
  for (const fd of opened) closeSync(fd);
});

test("addresses", () => {
  expect(addressBytes("10.1.2.255")).toEqual(Buffer.of(10, 1, 2, 255));
  expect(addressBytes("::")).toEqual(Buffer.alloc(16));
  expect(addressBytes("fd00::1:2").toString("hex")).toBe("fd000000000000000000000000010002");
  expect(addressBytes("1:2:3:4:5:6:7:8").toString("hex")).toBe("00010002000300040005000600070008");
  expect(addressBytes("::ffff:10.0.0.1").toString("hex")).toBe("00000000000000000000ffff0a000001");
  expect(socketAddress("fe80::1", 53, 7).readUInt32LE(24)).toBe(7);
});

test("datagrams of all lengths are read in order, stay until they are taken away, and are answered", () => {
  const server = keep(bindLocal("udp", "127.0.0.1", { receiveBytes: 300_000 }));
  DatagramBatch.rewind(server);
  const { port } = boundTo(server)!;
  const client = keep(connectTo("udp", socketAddress("127.0.0.1", port)));
  const batch = new DatagramBatch(4, 64, 64);
  const lengths = [1, 64, 30, 65, 2, 200, 0, 17, 50, 3];
  let next = 0;
  const sendSome = (count: number) => {
    for (const end = next + count; next < end; next++) send(client, Buffer.alloc(lengths[next % 10]!, next));
  };
  let expected = 0;
  const readSome = (from: DatagramBatch, most: number) => {
    const count = from.read(server, most);
    for (let slot = 0; slot < count; slot++) {
      const wanted = lengths[(expected + slot) % 10]!;
      expect(from.length(slot)).toBe(wanted > 64 ? undefined : wanted);
      if (wanted > 0) expect(from.questions[slot * 64]).toBe(expected + slot);
    }
    return count;
  };
  for (const count of [3, 7, 1, 10, 4, 6]) {
    sendSome(count);
    for (let left = count; left > 0; ) {
      const read = readSome(batch, (left % 4) + 1);
      expect(read).toBeGreaterThan(0);
      batch.take(server, read);
      expected += read;
      left -= read;
    }
    expect(batch.read(server, 4)).toBe(0);
  }
  // Who read and died has taken nothing.
  sendSome(3);
  expect(readSome(batch, 3)).toBe(3);
  DatagramBatch.rewind(server);
  const other = new DatagramBatch(4, 64, 64);
  expect(readSome(other, 4)).toBe(3);
  for (const slot of [2, 0]) {
    other.answers.write(`to ${slot}`, slot * 64);
    other.answer(slot, 4);
  }
  other.flush(server);
  other.take(server, 3);
  const into = Buffer.alloc(10);
  for (const slot of [2, 0]) {
    expect(receive(client, into)).toBe(4);
    expect(into.toString("latin1", 0, 4)).toBe(`to ${slot}`);
  }
  expect(receive(client, into)).toBeUndefined();
});

test("streams", async () => {
  const server = keep(bindLocal("tcp", "127.0.0.1"));
  expect(boundTo(server)).toMatchObject({ kind: "tcp", address: "127.0.0.1" });
  expect(accept(server)).toBeUndefined();
  const client = keep(connectTo("tcp", socketAddress("127.0.0.1", boundTo(server)!.port)));
  const connection = keep(accept(server)!);
  const into = Buffer.alloc(10);
  expect(receive(connection, into)).toBeUndefined();
  expect(send(client, Buffer.from("hello"))).toBe(5);
  expect(receive(connection, into)).toBe(5);
});
