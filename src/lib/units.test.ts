import { describe, expect, test } from "bun:test";
import {
  bytesSize,
  formatGoDuration,
  humanDuration,
  humanSize,
  parseDecimalBytes,
  parseGoDuration,
  parseMemoryBytes,
} from "./units.ts";

test.each([
  [0, "0B"],
  [1000, "1kB"],
  [1024, "1.024kB"],
  [1_000_000, "1MB"],
  [1_048_576, "1.049MB"],
  [1_985_690, "1.986MB"],
  [2.5e9, "2.5GB"],
  [999_999, "1000kB"],
])("humanSize(%d) is %s", (bytes, text) => {
  expect(humanSize(bytes)).toBe(text);
});

test("other precisions and units", () => {
  expect(humanSize(1_985_690, 3)).toBe("1.99MB");
  expect(humanSize(999_900, 3)).toBe("1e+03kB");
  expect(humanSize(117_000_000, 3)).toBe("117MB");
  expect(bytesSize(25_276_514_304)).toBe("23.54GiB");
  expect(bytesSize(104_857_600)).toBe("100MiB");
  expect(bytesSize(0)).toBe("0B");
});

describe("sizes", () => {
  test.each([
    ["32", 32],
    ["32b", 32],
    ["32B", 32],
    ["32k", 32 * 1024],
    ["32KiB", 32 * 1024],
    ["32 mb", 32 * 1024 ** 2],
    ["1.5g", 1.5 * 1024 ** 3],
    ["2P", 2 * 1024 ** 5],
    [".5k", 512],
  ])("%s", (text, bytes) => {
    expect(parseMemoryBytes(text)).toBe(bytes);
  });

  test("decimal", () => {
    expect(parseDecimalBytes("10kB")).toBe(10_000);
  });

  test.each([
    ["", "invalid size: ''"],
    ["hello", "invalid size: 'hello'"],
    ["-32", "invalid size: '-32'"],
    [" 32 ", 'strconv.ParseFloat: parsing " 32": invalid syntax'],
    ["32m b", 'strconv.ParseFloat: parsing "32m": invalid syntax'],
    ["32bm", "invalid suffix: 'bm'"],
    ["32xyzz", "invalid suffix: 'xyzz'"],
    ["5.5.5k", 'strconv.ParseFloat: parsing "5.5.5": invalid syntax'],
  ])("%p is refused", (text, message) => {
    expect(() => parseMemoryBytes(text)).toThrow(message);
  });
});

test.each([
  [450, "Less than a second"],
  [1_000, "1 second"],
  [59_000, "59 seconds"],
  [60_000, "About a minute"],
  [119_000, "About a minute"],
  [120_000, "2 minutes"],
  [3_540_000, "59 minutes"],
  [3_600_000, "About an hour"],
  [5_400_000, "2 hours"],
  [47 * 3_600_000, "47 hours"],
  [48 * 3_600_000, "2 days"],
  [13 * 86_400_000, "13 days"],
  [14 * 86_400_000, "2 weeks"],
  [59 * 86_400_000, "8 weeks"],
  [60 * 86_400_000, "2 months"],
  [729 * 86_400_000, "24 months"],
  [730 * 86_400_000, "2 years"],
])("%d ms is %s", (ms, text) => {
  expect(humanDuration(ms)).toBe(text);
});

describe("Go durations", () => {
  test.each([
    ["1m30s", 90e9],
    ["-1.5h", -5400e9],
    ["300ms", 3e8],
    ["1us2ns", 1002],
    ["0", 0],
    [".5s", 5e8],
  ])("%s", (text, ns) => {
    expect(parseGoDuration(text)).toBe(ns);
  });

  test.each([
    ["", 'time: invalid duration ""'],
    ["5", 'time: missing unit in duration "5"'],
    ["5x", 'time: unknown unit "x" in duration "5x"'],
    ["x", 'time: invalid duration "x"'],
    ["5constructor", 'time: unknown unit "constructor" in duration "5constructor"'],
  ])("%p is refused", (text, message) => {
    expect(() => parseGoDuration(text)).toThrow(message);
  });

  test.each([
    [0, "0s"],
    [1, "1ns"],
    [1_500, "1.5µs"],
    [3e8, "300ms"],
    [1.5e9, "1.5s"],
    [90e9, "1m30s"],
    [3_600e9, "1h0m0s"],
    [-90e9, "-1m30s"],
  ])("%d is %s", (ns, text) => {
    expect(formatGoDuration(ns)).toBe(text);
  });
});
