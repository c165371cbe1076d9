import { expect, test } from "bun:test";
import { DetachKeys, parseKeys } from "./detach-keys.ts";

function type(keys: DetachKeys, text: string) {
  const { pass, detach } = keys.filter(Buffer.from(text, "latin1"));
  return { pass: Buffer.from(pass).toString("latin1"), detach };
}

test("the usual keys, in one read or in two", () => {
  expect(type(new DetachKeys(""), "ab\x10\x11cd")).toEqual({ pass: "ab", detach: true });
  const keys = new DetachKeys("");
  expect(type(keys, "a\x10")).toEqual({ pass: "a", detach: false });
  expect(type(keys, "\x11")).toEqual({ pass: "", detach: true });
});

test("a beginning that goes on otherwise is handed over", () => {
  const keys = new DetachKeys("");
  expect(type(keys, "\x10")).toEqual({ pass: "", detach: false });
  expect(type(keys, "x")).toEqual({ pass: "\x10x", detach: false });
  expect(type(keys, "\x10\x10")).toEqual({ pass: "\x10", detach: false });
  expect(type(keys, "\x11").detach).toBe(true);
});

test("keys by name", () => {
  expect(parseKeys("ctrl-a,b,ctrl-[,ctrl-@,DEL")).toEqual([1, 98, 27, 0, 127]);
  expect(parseKeys("ctrl-é")).toBeUndefined();
  expect(parseKeys("foo")).toBeUndefined();
  expect(type(new DetachKeys("foo"), "\x10\x11").detach).toBe(true);
});
