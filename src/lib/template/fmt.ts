import { formatExponent, formatFixed, formatGeneral } from "../gofloat.ts";
import { goQuote } from "./quote.ts";
import {
  entriesOf,
  floatOf,
  GoTime,
  indirect,
  isInteger,
  isNil,
  itemsOf,
  JsonNumber,
  MISSING,
  Row,
  sortedKeys,
  Typed,
  typeName,
} from "./values.ts";

/** Widths beyond this are an error in Go's fmt as well; nobody should be able to ask for a gigabyte of blanks. */
const MAX_WIDTH = 1_000_000;

interface Flags {
  minus: boolean;
  plus: boolean;
  sharp: boolean;
  space: boolean;
  zero: boolean;
  width: number | undefined;
  precision: number | undefined;
}

const NO_FLAGS: Flags = {
  minus: false,
  plus: false,
  sharp: false,
  space: false,
  zero: false,
  width: undefined,
  precision: undefined,
};

/** A value as `%v` prints it. */
export function formatValue(value: unknown): string {
  return formatVerb("v", value, NO_FLAGS, 0);
}

/** Go's Sprint: a blank between two values that are both no strings. */
export function sprint(values: readonly unknown[]): string {
  let out = "";
  values.forEach((value, index) => {
    if (index > 0 && typeof value !== "string" && typeof values[index - 1] !== "string") out += " ";
    out += formatValue(value);
  });
  return out;
}

/** Go's Sprintln. */
export function sprintln(values: readonly unknown[]): string {
  return `${values.map(formatValue).join(" ")}\n`;
}

/** Go's Sprintf, with its marks for what does not fit: `%!d(string=x)`, `%!d(MISSING)`, `%!(EXTRA int=1)`. */
export function sprintf(format: string, args: readonly unknown[]): string {
  return new Printer(format, args).run();
}

class Printer {
  readonly #format: string;
  readonly #args: readonly unknown[];
  #at = 0;
  #next = 0;
  #reordered = false;
  #goodIndex = true;

  constructor(format: string, args: readonly unknown[]) {
    this.#format = format;
    this.#args = args;
  }

  run(): string {
    let out = "";
    for (;;) {
      const percent = this.#format.indexOf("%", this.#at);
      if (percent === -1) break;
      out += this.#format.slice(this.#at, percent);
      this.#at = percent + 1;
      out += this.#verb();
    }
    out += this.#format.slice(this.#at);
    if (!this.#reordered && this.#next < this.#args.length) {
      const extra = this.#args
        .slice(this.#next)
        .map((arg) => (arg === null || arg === undefined ? "<nil>" : `${typeName(arg)}=${formatValue(arg)}`));
      out += `%!(EXTRA ${extra.join(", ")})`;
    }
    return out;
  }

  #verb(): string {
    const flags: Flags = { ...NO_FLAGS };
    this.#goodIndex = true;
    this.#readFlags(flags);
    let notes = "";
    this.#index();
    if (this.#format[this.#at] === "*") {
      this.#at++;
      const width = this.#starArg();
      if (width === undefined) notes += "%!(BADWIDTH)";
      else {
        flags.width = Math.abs(width);
        if (width < 0) [flags.minus, flags.zero] = [true, false];
      }
    } else flags.width = this.#number() ?? flags.width;
    if (this.#format[this.#at] === ".") {
      this.#at++;
      this.#index();
      if (this.#format[this.#at] === "*") {
        this.#at++;
        const precision = this.#starArg();
        if (precision === undefined || precision < 0) notes += precision === undefined ? "%!(BADPREC)" : "";
        else flags.precision = precision;
      } else flags.precision = this.#number() ?? 0;
    }
    this.#index();
    const point = this.#format.codePointAt(this.#at);
    if (point === undefined) return `${notes}%!(NOVERB)`;
    const verb = String.fromCodePoint(point);
    this.#at += verb.length;
    if (verb === "%") return `${notes}%`;
    if (!this.#goodIndex) return `${notes}%!${verb}(BADINDEX)`;
    if (this.#next >= this.#args.length) return `${notes}%!${verb}(MISSING)`;
    return notes + formatVerb(verb, this.#args[this.#next++], flags, 0);
  }

  #readFlags(flags: Flags): void {
    for (; ; this.#at++) {
      switch (this.#format[this.#at]) {
        case "#":
          flags.sharp = true;
          break;
        case "0":
          flags.zero = true;
          break;
        case "+":
          flags.plus = true;
          break;
        case "-":
          flags.minus = true;
          break;
        case " ":
          flags.space = true;
          break;
        default:
          if (flags.minus) flags.zero = false;
          return;
      }
    }
  }

  #number(): number | undefined {
    const digits = /^[0-9]+/.exec(this.#format.slice(this.#at, this.#at + 20))?.[0];
    if (digits === undefined) return undefined;
    this.#at += digits.length;
    return Math.min(Number(digits), MAX_WIDTH);
  }

  #starArg(): number | undefined {
    const arg = this.#args[this.#next];
    if (this.#next < this.#args.length) this.#next++;
    return typeof arg === "number" && isInteger(arg) && Math.abs(arg) <= MAX_WIDTH ? arg : undefined;
  }

  /** `[n]`: which argument comes next. */
  #index(): void {
    if (this.#format[this.#at] !== "[") return;
    this.#reordered = true;
    const match = /^\[([0-9]+)\]/.exec(this.#format.slice(this.#at, this.#at + 20));
    const number = Number(match?.[1] ?? 0);
    this.#at += match?.[0].length ?? 1;
    if (number < 1 || number > this.#args.length) this.#goodIndex = false;
    else this.#next = number - 1;
  }
}

function bad(verb: string, value: unknown): string {
  if (value === null || value === undefined || value === MISSING) return `%!${verb}(<nil>)`;
  return `%!${verb}(${typeName(value)}=${formatValue(value)})`;
}

function formatVerb(verb: string, value: unknown, flags: Flags, depth: number): string {
  if (verb === "T") return pad(typeName(value), flags);
  if (value === null || value === undefined || value === MISSING) {
    return verb === "v" ? pad("<nil>", flags) : bad(verb, value);
  }
  if (typeof value === "string") return formatString(verb, value, flags);
  if (value instanceof JsonNumber) return formatString(verb, value.text, flags);
  if (value instanceof GoTime) return formatString(verb, timeText(value.rfc3339), flags);
  if (typeof value === "boolean") {
    return verb === "t" || verb === "v" ? pad(String(value), { ...flags, zero: false }) : bad(verb, value);
  }
  // Inside a struct the plus of %+v asks for names, not for signs.
  const scalarFlags = depth > 0 && verb === "v" ? { ...flags, plus: false } : flags;
  if (isInteger(value)) return formatInteger(verb, value, scalarFlags);
  const float = floatOf(value);
  if (float !== undefined) return formatFloat(verb, float, value, scalarFlags);
  return formatComposite(verb, value, flags, depth);
}

function formatComposite(verb: string, value: unknown, flags: Flags, depth: number): string {
  if (value instanceof Typed && value.type.kind === "pointer") {
    if (value.value === null) return verb === "v" ? pad("<nil>", flags) : bad(verb, value);
    // Only the outermost pointer is followed; Go prints an address for the others, which says nothing to anybody.
    const target = indirect(value);
    if (depth === 0 && target instanceof Typed) return `&${formatVerb(verb, target, flags, depth + 1)}`;
    return pad(`0x${ADDRESS}`, flags);
  }
  if (verb === "v" && flags.sharp) return sharpValue(value);
  const items = itemsOf(value);
  if (items !== undefined) {
    if ((verb === "s" || verb === "q" || verb === "x") && items.length === 0) return "[]";
    return `[${items.map((item) => formatVerb(verb, item, flags, depth + 1)).join(" ")}]`;
  }
  const entries = entriesOf(value);
  if (entries !== undefined) {
    const keys = sortedKeys(entries);
    const parts = keys.map(
      (key) => `${formatVerb(verb, key, flags, depth + 1)}:${formatVerb(verb, entries[key], flags, depth + 1)}`,
    );
    return `map[${parts.join(" ")}]`;
  }
  if (value instanceof Typed && value.type.kind === "struct") {
    const values = value.value as Record<string, unknown>;
    const parts = value.type.fields.map(
      (field) =>
        (flags.plus && verb === "v" ? `${field.name}:` : "") + formatVerb(verb, values[field.name], flags, depth + 1),
    );
    return `{${parts.join(" ")}}`;
  }
  return value instanceof Row ? `{${value.typeName.replace("*", "")}}` : String(value);
}

const ADDRESS = "c000000000";

function sharpValue(value: unknown): string {
  const items = itemsOf(value);
  const name = typeName(value);
  if (items !== undefined) {
    if (isNil(value)) return `${name}(nil)`;
    return `${name}{${items.map((item) => formatVerb("v", item, { ...NO_FLAGS, sharp: true }, 1)).join(", ")}}`;
  }
  const entries = entriesOf(value);
  if (entries !== undefined) {
    if (isNil(value)) return `${name}(nil)`;
    const parts = sortedKeys(entries).map(
      (key) => `${goQuote(key)}:${formatVerb("v", entries[key], { ...NO_FLAGS, sharp: true }, 1)}`,
    );
    return `${name}{${parts.join(", ")}}`;
  }
  if (value instanceof Typed && value.type.kind === "struct") {
    const values = value.value as Record<string, unknown>;
    const parts = value.type.fields.map(
      (field) => `${field.name}:${formatVerb("v", values[field.name], { ...NO_FLAGS, sharp: true }, 1)}`,
    );
    return `${name}{${parts.join(", ")}}`;
  }
  return name;
}

function formatString(verb: string, text: string, flags: Flags): string {
  const cut = flags.precision === undefined ? text : [...text].slice(0, flags.precision).join("");
  switch (verb) {
    case "v":
      if (flags.sharp) return pad(goQuote(cut), flags);
      return pad(cut, flags);
    case "s":
      return pad(cut, flags);
    case "q":
      if (flags.sharp && !cut.includes("`")) return pad(`\`${cut}\``, flags);
      return pad(goQuote(cut, '"', flags.plus), flags);
    case "x":
    case "X": {
      const bytes = Buffer.from(text).subarray(0, flags.precision);
      const digits = [...bytes].map((byte) => byte.toString(16).padStart(2, "0"));
      let hex = flags.space ? digits.map((pair) => (flags.sharp ? `0x${pair}` : pair)).join(" ") : digits.join("");
      if (flags.sharp && !flags.space && hex !== "") hex = `0x${hex}`;
      return pad(verb === "X" ? hex.toUpperCase() : hex, flags);
    }
    default:
      return bad(verb, text);
  }
}

const BASES: Record<string, number> = { d: 10, v: 10, b: 2, o: 8, O: 8, x: 16, X: 16 };
const PREFIXES: Record<string, string> = { b: "0b", o: "0", x: "0x", X: "0X" };

function formatInteger(verb: string, value: number | bigint, flags: Flags): string {
  const big = BigInt(value);
  if (verb === "c" || verb === "q") {
    const char = String.fromCodePoint(big >= 0n && big <= 0x10ffffn ? Number(big) : 0xfffd);
    return pad(verb === "c" ? char : goQuote(char, "'", flags.plus), flags);
  }
  if (verb === "U") return pad(`U+${big.toString(16).toUpperCase().padStart(4, "0")}`, flags);
  const base = BASES[verb];
  if (base === undefined) return bad(verb, value);
  let digits = (big < 0n ? -big : big).toString(base);
  if (verb === "X") digits = digits.toUpperCase();
  if (flags.precision !== undefined) digits = digits.padStart(flags.precision, "0");
  let prefix = verb === "O" ? "0o" : "";
  if (flags.sharp) prefix += PREFIXES[verb] ?? "";
  if (verb === "o" && flags.sharp && digits.startsWith("0")) prefix = "";
  const sign = big < 0n ? "-" : flags.plus ? "+" : flags.space ? " " : "";
  if (flags.zero && flags.precision === undefined && flags.width !== undefined) {
    digits = digits.padStart(flags.width - sign.length, "0");
  }
  return pad(sign + prefix + digits, { ...flags, zero: false });
}

function formatFloat(verb: string, number: number, value: unknown, flags: Flags): string {
  let text: string;
  switch (verb) {
    case "v":
      text = formatGeneral(number, flags.precision);
      break;
    case "g":
    case "G":
      text = formatGeneral(number, flags.precision);
      break;
    case "f":
    case "F":
      text = formatFixed(number, flags.precision ?? 6);
      break;
    case "e":
    case "E":
      text = formatExponent(number, flags.precision ?? 6);
      break;
    default:
      return bad(verb, value);
  }
  if (verb === "E" || verb === "G") text = text.toUpperCase();
  if (!/^[+-]/.test(text) && (flags.plus || flags.space)) text = (flags.plus ? "+" : " ") + text;
  if (flags.zero && flags.width !== undefined && /[0-9]$/.test(text)) {
    const sign = /^[+ -]/.exec(text)?.[0] ?? "";
    text = sign + text.slice(sign.length).padStart(flags.width - sign.length, "0");
  }
  return pad(text, { ...flags, zero: false });
}

function pad(text: string, flags: Flags): string {
  if (flags.width === undefined) return text;
  const missing = flags.width - [...text].length;
  if (missing <= 0) return text;
  if (flags.minus) return text + " ".repeat(missing);
  return (flags.zero ? "0" : " ").repeat(missing) + text;
}

/** Go's default form of a time: `2024-05-01 10:00:00.5 +0000 UTC`. */
function timeText(rfc3339: string): string {
  const match = /^(\d+-\d+-\d+)T(\d+:\d+:\d+)(?:\.(\d+?)0*)?(Z|[+-]\d+:\d+)$/.exec(rfc3339);
  if (match === null) return rfc3339;
  const [, date, time, fraction = "", zone = "Z"] = match;
  const offset = zone === "Z" ? "+0000" : zone.replace(":", "");
  const dot = fraction === "" || fraction === "0" ? "" : `.${fraction}`;
  return `${date} ${time}${dot} ${offset} ${offset === "+0000" ? "UTC" : offset}`;
}
