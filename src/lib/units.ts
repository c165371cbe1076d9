import { invalidParameter } from "./errors.ts";
import { formatGeneral } from "./gofloat.ts";

/**
 * Sizes and durations as Docker reads and prints them. The sentences of the errors are Docker's.
 */

const DECIMAL_UNITS = ["B", "kB", "MB", "GB", "TB", "PB", "EB", "ZB", "YB"];
const BINARY_UNITS = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB", "ZiB", "YiB"];
const SIZE_LETTERS = "kmgtp";

const NS_PER_MS = 1_000_000;
const NS_PER_SECOND = 1_000_000_000;
const DURATION_UNITS_NS: Record<string, number> = {
  ns: 1,
  us: 1_000,
  µs: 1_000,
  μs: 1_000,
  ms: NS_PER_MS,
  s: NS_PER_SECOND,
  m: 60 * NS_PER_SECOND,
  h: 3_600 * NS_PER_SECOND,
};

/** A size in powers of 1000 with so many significant digits: 1.23MB, `0B`. */
export function humanSize(bytes: number, significantDigits = 4): string {
  return scaled(bytes, 1000, DECIMAL_UNITS, significantDigits);
}

/** A size in powers of 1024 with four significant digits: 23.54GiB. */
export function bytesSize(bytes: number): string {
  return scaled(bytes, 1024, BINARY_UNITS, 4);
}

function scaled(bytes: number, base: number, units: string[], significantDigits: number): string {
  let size = bytes;
  let unit = 0;
  while (size >= base && unit < units.length - 1) {
    size /= base;
    unit++;
  }
  return formatGeneral(size, significantDigits) + units[unit];
}

/** Bytes from "512m", "1.5 GiB", "100" with units of 1024 (`-m`, `--shm-size`). Throws invalidParameter. */
export function parseMemoryBytes(text: string): number {
  return parseSize(text, 1024);
}

/** Bytes from "10kB", "1 GB" with units of 1000 (sizes of log files and the like). Throws invalidParameter. */
export function parseDecimalBytes(text: string): number {
  return parseSize(text, 1000);
}

function parseSize(text: string, base: number): number {
  const end = text.search(/[0-9. ][^0-9. ]*$/);
  if (end === -1) throw invalidParameter(`invalid size: '${text}'`);
  const digits = text[end] === " " ? text.slice(0, end) : text.slice(0, end + 1);
  const suffix = text.slice(end + 1).toLowerCase();
  if (!/^[+-]?([0-9]+(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]+)?$/i.test(digits)) {
    throw invalidParameter(`strconv.ParseFloat: parsing ${JSON.stringify(digits)}: invalid syntax`);
  }
  const size = Number(digits);
  if (size < 0) throw invalidParameter(`invalid size: '${text}'`);
  if (suffix === "" || suffix === "b") return Math.trunc(size);
  const power = SIZE_LETTERS.indexOf(suffix[0] ?? "") + 1;
  const rest = suffix.slice(1);
  if (power === 0 || (rest !== "" && rest !== "b" && rest !== "ib")) {
    // Docker shows a suffix that is too long as it was written, a short one in lower case.
    throw invalidParameter(`invalid suffix: '${suffix.length > 3 ? text.slice(end + 1) : suffix}'`);
  }
  return Math.trunc(size * base ** power);
}

/** A length of time as `docker ps` words it: "Less than a second", "2 minutes", "About an hour", "3 weeks". */
export function humanDuration(ms: number): string {
  const seconds = Math.trunc(ms / 1000);
  if (seconds < 1) return "Less than a second";
  if (seconds === 1) return "1 second";
  if (seconds < 60) return `${seconds} seconds`;
  const minutes = Math.trunc(seconds / 60);
  if (minutes === 1) return "About a minute";
  if (minutes < 60) return `${minutes} minutes`;
  const hours = Math.trunc(ms / 3_600_000 + 0.5);
  if (hours === 1) return "About an hour";
  if (hours < 48) return `${hours} hours`;
  if (hours < 24 * 7 * 2) return `${Math.trunc(hours / 24)} days`;
  if (hours < 24 * 30 * 2) return `${Math.trunc(hours / 24 / 7)} weeks`;
  if (hours < 24 * 365 * 2) return `${Math.trunc(hours / 24 / 30)} months`;
  return `${Math.trunc(Math.trunc(ms / 3_600_000) / 24 / 365)} years`;
}

/** Nanoseconds from a Go duration ("1m30s", "-1.5h", "300ms", "0"). Throws invalidParameter with Go's sentences. */
export function parseGoDuration(text: string): number {
  const invalid = () => invalidParameter(`time: invalid duration ${JSON.stringify(text)}`);
  let rest = text;
  let sign = 1;
  if (rest.startsWith("-") || rest.startsWith("+")) {
    if (rest.startsWith("-")) sign = -1;
    rest = rest.slice(1);
  }
  if (rest === "0") return 0;
  if (rest === "") throw invalid();
  let totalNs = 0;
  while (rest !== "") {
    const number = /^(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)/.exec(rest)?.[0];
    if (number === undefined) throw invalid();
    rest = rest.slice(number.length);
    const unit = /^[^0-9.]*/.exec(rest)?.[0] ?? "";
    if (unit === "") throw invalidParameter(`time: missing unit in duration ${JSON.stringify(text)}`);
    const unitNs = DURATION_UNITS_NS[unit];
    if (unitNs === undefined || !Object.hasOwn(DURATION_UNITS_NS, unit)) {
      throw invalidParameter(`time: unknown unit ${JSON.stringify(unit)} in duration ${JSON.stringify(text)}`);
    }
    rest = rest.slice(unit.length);
    const [whole = "0", fraction = ""] = number.split(".");
    totalNs += Number(whole) * unitNs + Math.trunc(Number(`0.${fraction || "0"}`) * unitNs);
    if (totalNs > 2 ** 63) throw invalid();
  }
  return totalNs === 0 ? 0 : sign * totalNs;
}

/** A duration in nanoseconds as Go prints it: "1h0m0s", "1.5s", "300ms", "0s". */
export function formatGoDuration(ns: number): string {
  if (ns === 0) return "0s";
  const sign = ns < 0 ? "-" : "";
  const size = Math.abs(ns);
  if (size < 1_000) return `${sign}${size}ns`;
  if (size < NS_PER_MS) return `${sign}${decimal(size, 1_000)}µs`;
  if (size < NS_PER_SECOND) return `${sign}${decimal(size, NS_PER_MS)}ms`;
  const hours = Math.floor(size / DURATION_UNITS_NS.h!);
  const minutes = Math.floor((size % DURATION_UNITS_NS.h!) / DURATION_UNITS_NS.m!);
  const seconds = decimal(size % DURATION_UNITS_NS.m!, NS_PER_SECOND);
  if (hours > 0) return `${sign}${hours}h${minutes}m${seconds}s`;
  return minutes > 0 ? `${sign}${minutes}m${seconds}s` : `${sign}${seconds}s`;
}

function decimal(ns: number, unitNs: number): string {
  const fraction = String(ns % unitNs)
    .padStart(String(unitNs).length - 1, "0")
    .replace(/0+$/, "");
  return `${Math.floor(ns / unitNs)}${fraction === "" ? "" : `.${fraction}`}`;
}
