import { expect, test } from "bun:test";
import { DetachFilter, parseDetachKeys } from "./detach-keys.ts";

test("keys become bytes", () => {
  expect([...parseDetachKeys("")]).toEqual([16, 17]);
  expect([...parseDetachKeys("ctrl-@,a,ctrl-[,ctrl-_,DEL")]).toEqual([0, 97, 27, 31, 127]);
  for (const wrong of ["ctrl-", "ctrl-A", "ab", ",", "ctrl-p,", "ctrl-é"]) {
    expect(() => parseDetachKeys(wrong)).toThrow(`Invalid detach keys (${wrong}) provided`);
  }
});

const text = (bytes: Uint8Array) => Buffer.from(bytes).toString();

test("the sequence is found across pieces, and everything else goes on", () => {
  const filter = new DetachFilter(parseDetachKeys("a,b,c"));
  const feed = (input: string) => {
    const { pass, detached } = filter.feed(Buffer.from(input));
    return [text(pass), detached];
  };
  expect(feed("hello")).toEqual(["hello", false]);
  expect(feed("xa")).toEqual(["x", false]);
  expect(feed("b")).toEqual(["", false]);
  expect(feed("d")).toEqual(["abd", false]);
  expect(feed("aab")).toEqual(["a", false]);
  expect(text(filter.flush())).toBe("ab");
  expect(feed("1ab")).toEqual(["1", false]);
  expect(feed("c rest")).toEqual(["", true]);
});
