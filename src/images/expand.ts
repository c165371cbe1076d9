/** Variables, quotes and escapes in a Dockerfile's words (Dockerfile reference, "Environment replacement"). */
import { invalidParameter } from "../lib/errors.ts";

const nameStart = /[A-Za-z_]/;
const nameSign = /[A-Za-z0-9_]/;

/**
 * A word as its instruction means it: `$NAME`, `${NAME}`, `${NAME:-word}`, `${NAME:+word}` and `${NAME:?word}` (and the
 * same without the colon) stand for variables, quotes group, single ones keep everything, and a backslash takes its
 * meaning from the next sign. Throws invalidParameter where something is left open, or a variable that must be set is not.
 */
export function expand(word: string, variables: ReadonlyMap<string, string>): string {
  return new Expansion(word, variables).upTo(undefined);
}

class Expansion {
  readonly #text: string;
  readonly #variables: ReadonlyMap<string, string>;
  #at = 0;

  constructor(text: string, variables: ReadonlyMap<string, string>) {
    this.#text = text;
    this.#variables = variables;
  }

  /** Reads up to an unquoted `stop`, which is taken, or to the end. */
  upTo(stop: string | undefined): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const sign = this.#text[this.#at++]!;
      if (sign === stop) return result;
      if (sign === "'") result += this.#singleQuoted();
      else if (sign === '"') result += this.#doubleQuoted();
      else if (sign === "$") result += this.#variable();
      else if (sign !== "\\") result += sign;
      // A backslash at the very end stands for nothing.
      else result += this.#text[this.#at++] ?? "";
    }
    if (stop !== undefined) throw this.#open(`matching ${stop}`);
    return result;
  }

  #singleQuoted(): string {
    const end = this.#text.indexOf("'", this.#at);
    if (end < 0) throw this.#open("matching single-quote");
    const inner = this.#text.slice(this.#at, end);
    this.#at = end + 1;
    return inner;
  }

  #doubleQuoted(): string {
    let result = "";
    while (this.#at < this.#text.length) {
      const sign = this.#text[this.#at++]!;
      if (sign === '"') return result;
      if (sign === "$") result += this.#variable();
      else if (sign !== "\\") result += sign;
      else {
        const next = this.#text[this.#at] ?? "";
        if (next !== '"' && next !== "$" && next !== "\\") result += sign;
        else {
          result += next;
          this.#at++;
        }
      }
    }
    throw this.#open("matching double-quote");
  }

  /** What stands behind a `$`. One that names nothing is itself. */
  #variable(): string {
    if (this.#text[this.#at] !== "{") {
      const name = this.#name();
      return name === "" ? "$" : (this.#variables.get(name) ?? "");
    }
    this.#at++;
    const name = this.#name();
    if (name === "") throw invalidParameter(`failed to process "${this.#text}": bad substitution`);
    const value = this.#variables.get(name);
    let sign = this.#text[this.#at++];
    if (sign === "}") return value ?? "";
    const emptyIsUnset = sign === ":";
    if (emptyIsUnset) sign = this.#text[this.#at++];
    const isSet = value !== undefined && !(emptyIsUnset && value === "");
    if (sign === undefined) throw this.#open("matching }");
    if (!"-+?".includes(sign))
      throw invalidParameter(`failed to process "${this.#text}": unsupported modifier (${sign}) in substitution`);
    const word = this.upTo("}");
    if (sign === "+") return isSet ? word : "";
    if (isSet) return value;
    if (sign === "-") return word;
    throw invalidParameter(`failed to process "${this.#text}": ${name}: ${word || "is not allowed to be unset"}`);
  }

  /** A name, or one digit. */
  #name(): string {
    const start = this.#at;
    const first = this.#text[this.#at] ?? "";
    if (/[0-9@*#]/.test(first)) return this.#text[this.#at++]!;
    if (!nameStart.test(first)) return "";
    while (nameSign.test(this.#text[this.#at] ?? "")) this.#at++;
    return this.#text.slice(start, this.#at);
  }

  #open(what: string) {
    return invalidParameter(`failed to process "${this.#text}": unexpected end of statement while looking for ${what}`);
  }
}
