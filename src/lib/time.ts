/** Points in time with nanoseconds: reading what people and clients write, and writing RFC 3339. */
import { invalidParameter } from "./errors.ts";
import { parseGoDuration } from "./units.ts";

const nsPerMs = 1_000_000n;
const nsPerSecond = 1_000_000_000n;
/** How far the monotonic clock's account may be ahead of the wall clock before the latter is believed again. */
const maxDriftNs = 20_000_000n;

let offsetNs = BigInt(Date.now()) * nsPerMs - BigInt(Bun.nanoseconds());

/** Nanoseconds since 1970, finer than `Date.now()`, and following it when the clock is set. */
export function nowNs(): bigint {
  const fine = offsetNs + BigInt(Bun.nanoseconds());
  const coarse = BigInt(Date.now()) * nsPerMs;
  const drift = fine - coarse;
  // Never behind the wall clock, whose milliseconds are cut off: the account comes closer to it with each that it was.
  if (drift >= 0n && drift < maxDriftNs) return fine;
  offsetNs += coarse - fine;
  return coarse;
}

/** The present as Docker writes times: `2026-11-22T02:47:33.123456789Z`, without trailing zeros. */
export function nowRfc3339Nano(): string {
  return formatRfc3339Nano(nowNs());
}

/** `ns` since 1970 as RFC 3339 in UTC, with as many digits after the second as it takes. */
export function formatRfc3339Nano(ns: bigint): string {
  let seconds = ns / nsPerSecond;
  let rest = ns % nsPerSecond;
  if (rest < 0n) {
    rest += nsPerSecond;
    seconds -= 1n;
  }
  const date = new Date(Number(seconds) * 1000).toISOString().slice(0, 19);
  if (rest === 0n) return `${date}Z`;
  return `${date}.${String(rest).padStart(9, "0").replace(/0+$/, "")}Z`;
}

const dateForm = /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d)(?::(\d\d)(?::(\d\d)(?:[.,](\d{1,9})\d*)?)?)?)?(Z|[+-]\d\d:\d\d)?$/;

/**
 * Nanoseconds since 1970 from what `since` and `until` take: seconds since 1970 with or without a fraction, a date
 * (RFC 3339, down to the day only, in local time where it names no zone), or a Go duration that reaches back from
 * `nowMs`. Throws invalidParameter.
 */
export function parseTimestamp(value: string, nowMs: number): bigint {
  const unix = /^(-?)(\d{1,12})(?:\.(\d*))?$/.exec(value);
  if (unix) {
    const ns = BigInt(unix[2]!) * nsPerSecond + fractionNs(unix[3]);
    return unix[1] === "-" ? -ns : ns;
  }
  const date = dateForm.exec(value);
  if (date) return parseDate(value, date);
  if (/^[+-]?[\d.]+[a-zµμ]/.test(value) || value === "+0") {
    return BigInt(nowMs) * nsPerMs - BigInt(Math.round(parseGoDuration(value)));
  }
  throw invalidParameter(`failed to parse value as time or duration: ${JSON.stringify(value)}`);
}

function parseDate(value: string, parts: RegExpExecArray): bigint {
  const [, year, month, day, hour = "00", minute = "00", second = "00", fraction, zone = ""] = parts;
  // A date alone would be read as UTC by Date.parse: with a time and no zone it is local.
  const ms = Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${zone}`);
  const daysOfMonth = new Date(Date.UTC(Number(year), Number(month), 0)).getUTCDate();
  if (Number.isNaN(ms) || Number(day) > daysOfMonth) {
    throw invalidParameter(`parsing time ${JSON.stringify(value)}: out of range`);
  }
  return BigInt(ms) * nsPerMs + fractionNs(fraction);
}

function fractionNs(digits: string | undefined): bigint {
  return BigInt((digits ?? "").slice(0, 9).padEnd(9, "0"));
}
