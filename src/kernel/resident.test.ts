import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { releaseExecutablePages } from "./resident.ts";

const fileKb = () => Number(/RssFile:\s+(\d+)/.exec(readFileSync("/proc/self/status", "utf8"))?.[1]);

test("the executable's pages are let go, and come back", () => {
  const before = fileKb();
  releaseExecutablePages();
  expect(fileKb()).toBeLessThan(before);
  expect(JSON.parse('{"a":[1,2]}')).toEqual({ a: [1, 2] });
});
