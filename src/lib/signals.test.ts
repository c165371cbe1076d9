import { expect, test } from "bun:test";
import { isSignal, parseSignal, signalName } from "./signals.ts";

test("names, numbers and real-time signals", () => {
  for (const text of ["SIGTERM", "TERM", "term", "15"]) expect(parseSignal(text)).toBe(15);
  expect(parseSignal("SIGRTMIN+3")).toBe(37);
  expect(parseSignal("RTMAX-14")).toBe(50);
  expect(parseSignal("99")).toBe(99);
  for (let number = 1; number <= 64; number++)
    if (isSignal(number)) expect(parseSignal(signalName(number))).toBe(number);
  expect([0, 32, 33, 65].filter(isSignal)).toEqual([]);
});

test("what is none", () => {
  for (const text of ["", "0", "FOO", "-1", "RTMIN+16", "RTMAX-15", "15x"])
    expect(() => parseSignal(text)).toThrow(`invalid signal: ${text}`);
});
