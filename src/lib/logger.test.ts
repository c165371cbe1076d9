import { expect, test } from "bun:test";
import { isLogLevel, Logger } from "./logger.ts";

test("writes dockerd's lines, from its level up", () => {
  const lines: string[] = [];
  const logger = new Logger({ level: "info", format: "text", write: (line) => lines.push(line) });
  logger.debug("hidden");
  logger.warn('a "quoted"\nmessage', { container: "abc", error: "two words", none: undefined });
  logger.level = "debug";
  logger.debug("shown");
  expect(lines.length).toBe(2);
  expect(lines[0]).toMatch(
    /^time="[-0-9T:.]+Z" level=warning msg="a \\"quoted\\"\\nmessage" container=abc error="two words"\n$/,
  );
});

test("writes JSON", () => {
  const lines: string[] = [];
  new Logger({ level: "error", format: "json", write: (line) => lines.push(line) }).error("bad", {
    code: 3,
    msg: "no",
  });
  expect(JSON.parse(lines[0]!)).toMatchObject({ level: "error", msg: "bad", code: 3 });
});

test("knows the names of levels", () => {
  expect(["debug", "info", "warn", "error", "fatal"].every(isLogLevel)).toBe(true);
  expect(isLogLevel("trace")).toBe(false);
});
