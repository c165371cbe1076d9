import { expect, test } from "bun:test";
import { encodeName, isAnswerTo, type Query, rcode, readQuery, reverseAddress, type, writeAnswer } from "./message.ts";

interface Written {
  id?: number;
  flags?: number;
  name?: string;
  type?: number;
  class?: number;
  counts?: number[];
  tail?: Buffer;
}

function write({ id = 0x1234, flags = 0x0100, counts = [1, 0, 0, 0], ...question }: Written): Buffer {
  const head = Buffer.alloc(12);
  for (const [index, value] of [id, flags, ...counts].entries()) head.writeUInt16BE(value, index * 2);
  const end = Buffer.alloc(4);
  end.writeUInt16BE(question.type ?? type.A);
  end.writeUInt16BE(question.class ?? 1, 2);
  const name = encodeName(question.name ?? "web")!;
  return Buffer.concat([head, name, end, question.tail ?? Buffer.alloc(0)]);
}

const read = (bytes: Buffer) => readQuery(bytes, 0, bytes.length);
const failureOf = (bytes: Buffer) => read(bytes)?.failure;
const opt = (bytes: number, version = 0) => Buffer.of(0, 0, 41, bytes >> 8, bytes & 255, 0, version, 0, 0, 0, 0);

test("a query is read in lower case, its bytes stay as they are", () => {
  const bytes = write({ name: "WeB.MyNet", type: type.AAAA });
  expect(read(bytes)).toEqual({
    id: 0x1234,
    flags: 0x0100,
    failure: undefined,
    name: "web.mynet",
    type: type.AAAA,
    questionEnd: bytes.length,
    ednsBytes: undefined,
  });
  const out = Buffer.alloc(512);
  const length = writeAnswer(out, 0, 512, read(bytes)!, { bytes, start: 0 }, { code: 0, answers: [], recursion: true });
  expect(out.subarray(0, length).toString("latin1")).toContain("WeB");
  expect(out.readUInt16BE(2)).toBe(0x8180);
});

test("what is wrong with a query", () => {
  expect(read(write({}).subarray(0, 11))).toBeUndefined();
  expect(read(write({ flags: 0x8100 }))).toBeUndefined();
  expect(failureOf(write({ flags: 0x2900 }))).toBe(rcode.notImplemented);
  expect(failureOf(write({ counts: [0, 0, 0, 0] }))).toBe(rcode.formatError);
  expect(failureOf(write({ counts: [2, 0, 0, 0] }))).toBe(rcode.formatError);
  expect(failureOf(write({ counts: [1, 0, 0, 1] }))).toBe(rcode.formatError);
  expect(failureOf(write({ counts: [1, 0, 0, 9999] }))).toBe(rcode.formatError);
  expect(failureOf(write({ class: 3 }))).toBe(rcode.refused);
  expect(failureOf(write({ class: 255 }))).toBeUndefined();
  expect(failureOf(write({ type: type.AXFR }))).toBe(rcode.refused);
  expect(failureOf(write({}).subarray(0, 18))).toBe(rcode.formatError);
  const raw = (...name: number[]) => Buffer.concat([write({}).subarray(0, 12), Buffer.from([...name, 0, 1, 0, 1])]);
  // A pointer to itself, one forward, a label's reserved types, one of 64.
  for (const name of [
    [0xc0, 12],
    [0xc0, 40],
    [0x40, 0],
    [0x80, 0],
    [64, ...Array<number>(64).fill(97), 0],
  ])
    expect(failureOf(raw(...name))).toBe(rcode.formatError);
  const label = [63, ...Array<number>(63).fill(97)];
  expect(failureOf(raw(...label, ...label, ...label, 61, ...Array<number>(61).fill(97), 0))).toBeUndefined();
  expect(failureOf(raw(...label, ...label, ...label, 62, ...Array<number>(62).fill(97), 0))).toBe(rcode.formatError);
  // A dot in a label is no end of it.
  expect(read(raw(3, 97, 46, 98, 0))).toMatchObject({ failure: undefined, name: undefined });
  expect(read(raw(0))).toMatchObject({ failure: undefined, name: "" });
});

test("EDNS: the size is the client's, another version is refused", () => {
  const edns = (tail: Buffer) => read(write({ counts: [1, 0, 0, 1], tail }));
  expect(edns(opt(1232))).toMatchObject({ failure: undefined, ednsBytes: 1232 });
  expect(edns(opt(100))).toMatchObject({ failure: undefined, ednsBytes: 512 });
  expect(edns(opt(1232, 1))).toMatchObject({ failure: rcode.badVersion });
  const twice = read(write({ counts: [1, 0, 0, 2], tail: Buffer.concat([opt(1232), opt(1232)]) }));
  expect(twice?.failure).toBe(rcode.formatError);
  const out = Buffer.alloc(600);
  const bytes = write({ counts: [1, 0, 0, 1], tail: opt(1232, 1) });
  const answer = { code: rcode.badVersion, recursion: false };
  const length = writeAnswer(out, 0, 512, read(bytes)!, { bytes, start: 0 }, answer);
  expect(out.readUInt16BE(10)).toBe(1);
  expect(out[length - 6]).toBe(1);
});

test("what does not fit is left out, and the client told", () => {
  const bytes = write({ name: "many" });
  const out = Buffer.alloc(4096);
  const answers = Array.from({ length: 100 }, (_, index) => Uint8Array.of(10, 0, 0, index));
  const question = { bytes, start: 0 };
  const short = writeAnswer(out, 0, 512, read(bytes)!, question, { code: 0, answers, recursion: true });
  expect(short).toBeLessThanOrEqual(512);
  expect(out.readUInt16BE(2)).toBe(0x8380);
  expect(out.readUInt16BE(6)).toBe(30);
  const long = writeAnswer(out, 0, 4096, read(bytes)!, question, { code: 0, answers, recursion: true });
  expect(out.readUInt16BE(6)).toBe(100);
  expect(out.readUInt16BE(2)).toBe(0x8180);
  expect(long).toBe(bytes.length + 1600);
});

test("reverse zones", () => {
  expect(reverseAddress("2.0.19.172.in-addr.arpa")).toEqual(Uint8Array.of(172, 19, 0, 2));
  for (const name of ["256.0.0.1.in-addr.arpa", "0.0.1.in-addr.arpa", "01.0.0.1.in-addr.arpa", "a.0.0.1.in-addr.arpa"])
    expect(reverseAddress(name)).toBeUndefined();
  const six = `1.${"0.".repeat(30)}f.ip6.arpa`;
  expect(reverseAddress(six)).toEqual(Uint8Array.of(0xf0, ...Array<number>(14).fill(0), 1));
  expect(reverseAddress(six.slice(2))).toBeUndefined();
  expect(reverseAddress("web")).toBeUndefined();
});

test("names that no message could hold", () => {
  expect(encodeName("a".repeat(64))).toBeUndefined();
  expect(encodeName("a..b")).toBeUndefined();
  expect(encodeName(Array(100).fill("abc").join("."))).toBeUndefined();
  expect(encodeName("web.net")).toEqual(Buffer.from("\x03web\x03net\0"));
});

test("an answer is to the same question", () => {
  const query = write({ name: "web" });
  const answer = (change: Written) => write({ flags: 0x8180, ...change });
  expect(isAnswerTo(answer({ name: "WEB" }), query, query.length)).toBe(true);
  expect(isAnswerTo(answer({ name: "wab" }), query, query.length)).toBe(false);
  expect(isAnswerTo(answer({ type: type.AAAA }), query, query.length)).toBe(false);
  expect(isAnswerTo(write({}), query, query.length)).toBe(false);
  expect(isAnswerTo(answer({}).subarray(0, 14), query, query.length)).toBe(false);
  expect(isAnswerTo(answer({ flags: 0x8181, counts: [0, 0, 0, 0] }), query, query.length)).toBe(true);
  expect(isAnswerTo(answer({ counts: [0, 0, 0, 0] }), query, query.length)).toBe(false);
});

test("30000 damaged queries neither throw nor make an answer that is none", () => {
  let seed = 20260101;
  const random = (below: number) => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return Math.floor((seed / 2 ** 32) * below);
  };
  const originals = [
    write({}),
    write({ name: "a.very.long.name.with.many.labels.example.com", type: type.AAAA }),
    write({ counts: [1, 0, 0, 1], tail: opt(1232) }),
    write({ name: "2.0.19.172.in-addr.arpa", type: type.PTR }),
    write({ counts: [1, 1, 1, 1], tail: Buffer.concat([opt(512), opt(512), opt(4096)]) }),
  ];
  const out = Buffer.alloc(4096);
  const answers = [Uint8Array.of(10, 0, 0, 1), "web.mynet", new Uint8Array(16)];
  const began = performance.now();
  let answered = 0;
  for (let round = 0; round < 30_000; round++) {
    const original = originals[random(originals.length)]!;
    const bytes = Buffer.concat([original, Buffer.alloc(random(24), random(256))]);
    for (let change = random(6); change >= 0; change--) bytes[random(bytes.length)] = random(256);
    const start = random(2);
    const length = random(4) === 0 ? random(bytes.length) : bytes.length - start;
    const query = readQuery(bytes, start, length);
    if (query === undefined) continue;
    answered++;
    const answer = {
      code: query.failure ?? rcode.ok,
      answers: query.failure === undefined ? answers : [],
      recursion: true,
    };
    const written = writeAnswer(out, 0, 512, query, { bytes, start }, answer);
    expect(written).toBeLessThanOrEqual(512);
    expect(out.readUInt16BE(0)).toBe(query.id);
    expect(out[2]! & 0x80).toBe(0x80);
    checkQuery(query, length);
    if (query.name !== undefined && query.failure === undefined) reverseAddress(query.name);
    isAnswerTo(bytes, original, original.length);
  }
  expect(answered).toBeGreaterThan(5000);
  expect(performance.now() - began).toBeLessThan(5000);
});

test("a name that no message can have is counted in none", () => {
  const bytes = write({ name: "2.0.19.172.in-addr.arpa", type: type.PTR });
  const out = Buffer.alloc(512);
  const answers = [`web.${"n".repeat(64)}`, "web.mynet"];
  const answer = { code: rcode.ok, answers, recursion: true };
  writeAnswer(out, 0, 512, readQuery(bytes, 0, bytes.length)!, { bytes, start: 0 }, answer);
  expect(out.readUInt16BE(6)).toBe(1);
});

function checkQuery(query: Query, length: number): void {
  expect(query.questionEnd).toBeLessThanOrEqual(length);
  if (query.name !== undefined) expect(query.name.length).toBeLessThan(255);
}
