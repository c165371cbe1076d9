/**
 * Command-line flags with the grammar and the sentences that docker's users know (those of Go's pflag):
 * `--name value`, `--name=value`, `-n value`, `-nvalue`, `-n=value`, `-it`, `--switch`, `--switch=false`, `--`.
 */

/** One flag of a command. */
export interface FlagSpec {
  /** Long name, without dashes. */
  name: string;
  /** One letter, without dash. */
  short?: string;
  /** `list` may be given several times; `optionalString` needs no value, and is then `implied`. */
  type: "bool" | "string" | "int" | "uint" | "uint16" | "float" | "list" | "optionalString";
  /** What the flag is when it was not given; in the words of the command line. */
  default?: string;
  /** Default shown by help where it is not `default` itself: `[]`, `0s`, `map[]`. */
  shownDefault?: string;
  /** `optionalString`: what the flag is when it was given without a value. */
  implied?: string;
  /** Word that stands for the value in help; by default that of the type. */
  value?: string;
  /** What the flag does; may contain line breaks. */
  usage: string;
  hidden?: boolean;
  /** Brig has it and Docker has not: help shows it, but not where the program is called docker. */
  own?: boolean;
  /** What to use instead; the flag is hidden, still works, and `warnings` says so. */
  deprecated?: string;
  /** Long name of the flag that this one is another spelling of. */
  sameAs?: string;
  /** Turns the text into the value that `value()` and `values()` give. What it throws is why the flag is refused. */
  parse?: (text: string) => unknown;
}

/** A command line that breaks the grammar, or a value that its flag refuses. */
export class FlagError extends Error {
  override readonly name = "FlagError";
}

/** `--help` was asked for; not a mistake, but nothing is left to be run either. */
export class HelpRequested extends Error {
  override readonly name = "HelpRequested";
}

interface Setting {
  texts: string[];
  values: unknown[];
}

/** What a command line said. Asking for a flag that has no spec is a mistake of the program and throws. */
export class ParsedFlags {
  /** What is no flag and no flag's value, in order. */
  readonly args: string[] = [];
  /** Lines that say which of the given flags are deprecated. */
  readonly warnings: string[] = [];
  /** How many of `args` stood before a `--`, or -1 where there was none. */
  argsBeforeDash = -1;
  readonly #specs: Map<string, FlagSpec>;
  readonly #given = new Map<string, Setting>();

  constructor(specs: Map<string, FlagSpec>) {
    this.#specs = specs;
  }

  /** Whether the flag was given, whatever its value. */
  has(name: string): boolean {
    this.#spec(name);
    return this.#given.has(name);
  }

  bool(name: string): boolean {
    return parseBool(this.string(name) || "false");
  }

  string(name: string): string {
    return this.#given.get(name)?.texts.at(-1) ?? this.#spec(name).default ?? "";
  }

  int(name: string): number {
    const text = this.string(name);
    return text === "" ? 0 : Number(parseInteger(text, "ParseInt", 64));
  }

  float(name: string): number {
    const text = this.string(name);
    return text === "" ? 0 : Number(text);
  }

  /** Every value in order as it was written; empty where the flag was not given. */
  list(name: string): string[] {
    this.#spec(name);
    return this.#given.get(name)?.texts ?? [];
  }

  /** The last value as the spec's `parse` made it, or undefined where the flag was not given. */
  value<T>(name: string): T | undefined {
    this.#spec(name);
    return this.#given.get(name)?.values.at(-1) as T | undefined;
  }

  /** Every value as the spec's `parse` made it, in order. */
  values<T>(name: string): T[] {
    this.#spec(name);
    return (this.#given.get(name)?.values ?? []) as T[];
  }

  /** Takes one value of one flag; throws FlagError where the flag refuses it. */
  set(spec: FlagSpec, text: string): void {
    const target = spec.sameAs === undefined ? spec : this.#spec(spec.sameAs);
    let value: unknown = text;
    try {
      value = checkValue(target, text);
    } catch (error) {
      const shown = spec.short === undefined ? `--${spec.name}` : `-${spec.short}, --${spec.name}`;
      const reason = error instanceof Error ? error.message : String(error);
      throw new FlagError(`invalid argument ${quote(text)} for "${shown}" flag: ${reason}`);
    }
    if (spec.deprecated !== undefined) {
      this.warnings.push(`Flag --${spec.name} has been deprecated, ${spec.deprecated}`);
    }
    const setting = this.#given.get(target.name);
    if (setting === undefined) {
      this.#given.set(target.name, { texts: [text], values: [value] });
    } else {
      setting.texts.push(text);
      setting.values.push(value);
    }
  }

  #spec(name: string): FlagSpec {
    const spec = this.#specs.get(name);
    if (spec === undefined) throw new Error(`no flag is called ${name}`);
    return spec;
  }
}

/**
 * Reads `argv` (without the program's and the command's name). With `interspersed` flags may follow arguments;
 * without it the first argument ends the flags, as in `run IMAGE COMMAND --flag-of-the-command`.
 * Throws FlagError, or HelpRequested for `--help` (and for `-h` where no flag has that letter).
 */
export function parseFlags(specs: FlagSpec[], argv: string[], options: { interspersed: boolean }): ParsedFlags {
  const byName = new Map(specs.map((spec) => [spec.name, spec]));
  const byShort = new Map(specs.filter((spec) => spec.short !== undefined).map((spec) => [spec.short, spec]));
  const parsed = new ParsedFlags(byName);

  let index = 0;
  while (index < argv.length) {
    const word = argv[index++]!;
    if (word === "--") {
      parsed.argsBeforeDash = parsed.args.length;
      break;
    }
    if (word.startsWith("--")) index += parseLong(word, argv[index]);
    else if (word.startsWith("-") && word !== "-") index += parseShorts(word, argv[index]);
    else {
      parsed.args.push(word);
      if (!options.interspersed) break;
    }
  }
  parsed.args.push(...argv.slice(index));
  return parsed;

  /** Returns how many of the following words it used. */
  function parseLong(word: string, next: string | undefined): number {
    const text = word.slice(2);
    if (text[0] === "-" || text[0] === "=") throw new FlagError(`bad flag syntax: ${word}`);
    const equals = text.indexOf("=");
    const name = equals < 0 ? text : text.slice(0, equals);
    const spec = byName.get(name);
    if (name === "help") throw new HelpRequested();
    if (spec === undefined) {
      throw new FlagError(`unknown flag: --${name}`);
    }
    if (equals >= 0) {
      parsed.set(spec, text.slice(equals + 1));
      return 0;
    }
    const implied = impliedValue(spec);
    if (implied !== undefined) {
      parsed.set(spec, implied);
      return 0;
    }
    if (next === undefined) throw new FlagError(`flag needs an argument: --${name}`);
    parsed.set(spec, next);
    return 1;
  }

  function parseShorts(word: string, next: string | undefined): number {
    let rest = word.slice(1);
    while (rest !== "") {
      const letter = rest[0]!;
      const spec = byShort.get(letter);
      if (spec === undefined) {
        if (letter === "h") throw new HelpRequested();
        throw new FlagError(`unknown shorthand flag: '${letter}' in -${rest}`);
      }
      const implied = impliedValue(spec);
      if (rest.length > 2 && rest[1] === "=") {
        parsed.set(spec, rest.slice(2));
        return 0;
      }
      if (implied !== undefined) {
        parsed.set(spec, implied);
        rest = rest.slice(1);
        continue;
      }
      if (rest.length > 1) {
        parsed.set(spec, rest.slice(1));
        return 0;
      }
      if (next === undefined) throw new FlagError(`flag needs an argument: '${letter}' in -${rest}`);
      parsed.set(spec, next);
      return 1;
    }
    return 0;
  }
}

function impliedValue(spec: FlagSpec): string | undefined {
  return spec.type === "bool" ? "true" : spec.implied;
}

function checkValue(spec: FlagSpec, text: string): unknown {
  switch (spec.type) {
    case "bool":
      return parseBool(text);
    case "int":
      return Number(parseInteger(text, "ParseInt", 64));
    case "uint":
      return Number(parseInteger(text, "ParseUint", 64));
    case "uint16":
      return Number(parseInteger(text, "ParseUint", 16));
    case "float":
      if (text.trim() !== text || text === "" || Number.isNaN(Number(text))) {
        throw new Error(`strconv.ParseFloat: parsing ${quote(text)}: invalid syntax`);
      }
      return Number(text);
    default:
      return spec.parse === undefined ? text : spec.parse(text);
  }
}

/** The words Go takes for true and false. Throws with Go's sentence. */
export function parseBool(text: string): boolean {
  if (["1", "t", "T", "TRUE", "true", "True"].includes(text)) return true;
  if (["0", "f", "F", "FALSE", "false", "False"].includes(text)) return false;
  throw new Error(`strconv.ParseBool: parsing ${quote(text)}: invalid syntax`);
}

/**
 * An integer as Go's strconv reads it: by default with 0x, 0o, 0b and 0 prefixes, or in the given base.
 * Throws with Go's sentence, which names `func`.
 */
export function parseInteger(
  text: string,
  func: "ParseInt" | "ParseUint" | "Atoi",
  bits: 8 | 16 | 32 | 64,
  base: 0 | 10 = 0,
): bigint {
  const syntax = /^([+-]?)(?:0[xX](_?[\da-fA-F])+|0[bB](_?[01])+|0[oO]?(_?[0-7])+|0|[1-9](_?\d)*)$/;
  const match = base === 10 ? /^([+-]?)\d+$/.exec(text) : syntax.exec(text);
  const sign = match?.[1] ?? "";
  if (match === null || (func === "ParseUint" && sign !== "")) {
    throw new Error(`strconv.${func}: parsing ${quote(text)}: invalid syntax`);
  }
  let digits = text.slice(sign.length);
  if (base === 10) digits = digits.replace(/^0+(?=\d)/, "");
  else digits = digits.replaceAll("_", "").replace(/^0(?=[0-7])/, "0o");
  const size = BigInt(digits);
  const value = sign === "-" ? -size : size;
  const [low, high] =
    func === "ParseUint" ? [0n, 2n ** BigInt(bits) - 1n] : [-(2n ** BigInt(bits - 1)), 2n ** BigInt(bits - 1) - 1n];
  if (value < low || value > high) {
    throw new Error(`strconv.${func}: parsing ${quote(text)}: value out of range`);
  }
  return value;
}

/** A string in double quotes, as Go's `%q` writes it. */
export function quote(text: string): string {
  return JSON.stringify(text)
    .replaceAll(/\\u00([0-9a-f]{2})/g, "\\x$1")
    .replaceAll("\u007f", "\\x7f");
}
