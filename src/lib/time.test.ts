import { expect, test } from "bun:test";
import { formatRfc3339Nano, nowNs, nowRfc3339Nano, parseTimestamp } from "./time.ts";

const nowMs = Date.UTC(2026, 10, 22, 12, 0, 0);
const second = 1_000_000_000n;

test("reads seconds since 1970, with a fraction of any length", () => {
  expect(parseTimestamp("0", nowMs)).toBe(0n);
  expect(parseTimestamp("1136073600", nowMs)).toBe(1_136_073_600n * second);
  expect(parseTimestamp("1136073600.5", nowMs)).toBe(1_136_073_600n * second + 500_000_000n);
  expect(parseTimestamp("1136073600.000000001", nowMs)).toBe(1_136_073_600n * second + 1n);
  expect(parseTimestamp("1136073600.0000000019", nowMs)).toBe(1_136_073_600n * second + 1n);
});

test("reads dates with and without zone, time and fraction", () => {
  expect(parseTimestamp("2006-01-02T15:04:05.999999999Z", nowMs)).toBe(1_136_214_245_999_999_999n);
  expect(parseTimestamp("2006-01-02T15:04:05+07:00", nowMs)).toBe((1_136_214_245n - 7n * 3600n) * second);
  const local = BigInt(new Date(2006, 0, 2).getTime()) * 1_000_000n;
  expect(parseTimestamp("2006-01-02", nowMs)).toBe(local);
  expect(parseTimestamp("2006-01-02T15", nowMs)).toBe(local + 15n * 3600n * second);
  expect(parseTimestamp("2006-01-02T15:04", nowMs)).toBe(local + (15n * 3600n + 240n) * second);
  expect(parseTimestamp("2006-01-02Z", nowMs)).toBe(1_136_160_000n * second);
});

test("reads durations as reaching back from now", () => {
  const now = BigInt(nowMs) * 1_000_000n;
  expect(parseTimestamp("10m", nowMs)).toBe(now - 600n * second);
  expect(parseTimestamp("1h30m", nowMs)).toBe(now - 5400n * second);
  expect(parseTimestamp("-10s", nowMs)).toBe(now + 10n * second);
});

test.each(["", "x", "2006-02-30", "2006-13-01", "10q", "1136073600.x", "1e9", "0x10", "9999999999999999"])(
  "refuses %p",
  (value) => expect(() => parseTimestamp(value, nowMs)).toThrow(),
);

test("writes RFC 3339 as Go does", () => {
  expect(formatRfc3339Nano(0n)).toBe("1970-01-01T00:00:00Z");
  expect(formatRfc3339Nano(1_136_214_245_999_999_999n)).toBe("2006-01-02T15:04:05.999999999Z");
  expect(formatRfc3339Nano(1_136_214_245_120_000_000n)).toBe("2006-01-02T15:04:05.12Z");
  expect(formatRfc3339Nano(-1n)).toBe("1969-12-31T23:59:59.999999999Z");
});

test("now is now, and finer than a millisecond", () => {
  expect(Math.abs(Number(nowNs() / 1_000_000n) - Date.now())).toBeLessThan(25);
  expect(Math.abs(Date.parse(nowRfc3339Nano()) - Date.now())).toBeLessThan(1000);
  const seen = new Set(Array.from({ length: 50 }, () => nowNs() % 1_000_000n));
  expect(seen.size).toBeGreaterThan(1);
});
