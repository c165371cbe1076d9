/** What is wrong with a text that is not JSON, in the sentences of Go's decoder, which clients know. */

const whitespace = new Set([" ", "\t", "\n", "\r"]);
const escapes = new Set(['"', "\\", "/", "b", "f", "n", "r", "t"]);
/** Nesting at which Go's decoder, too, gives up. */
const maxDepth = 10_000;

class SyntaxFault extends Error {}

/**
 * The fault in `text`, read as one JSON value. Undefined where the value is whole: what follows it, if anything, is
 * then what is wrong.
 */
export function explainJsonFault(text: string): string | undefined {
  try {
    new Scanner(text).value(0);
    return undefined;
  } catch (fault) {
    if (fault instanceof SyntaxFault) return fault.message;
    throw fault;
  }
}

class Scanner {
  #at = 0;
  constructor(readonly text: string) {}

  value(depth: number): void {
    if (depth > maxDepth) throw new SyntaxFault("exceeded max depth");
    this.#space();
    const char = this.#peek();
    if (char === "{") this.#object(depth);
    else if (char === "[") this.#array(depth);
    else if (char === '"') this.#string();
    else if (char === "-" || isDigit(char)) this.#number();
    else if (char === "t") this.#literal("true");
    else if (char === "f") this.#literal("false");
    else if (char === "n") this.#literal("null");
    else this.#fail("looking for beginning of value");
  }

  #object(depth: number): void {
    this.#at++;
    this.#space();
    if (this.#peek() === "}") {
      this.#at++;
      return;
    }
    for (;;) {
      this.#space();
      if (this.#peek() !== '"') this.#fail("looking for beginning of object key string");
      this.#string();
      this.#space();
      if (this.#peek() !== ":") this.#fail("after object key");
      this.#at++;
      this.value(depth + 1);
      this.#space();
      if (this.#peek() === "}") break;
      if (this.#peek() !== ",") this.#fail("after object key:value pair");
      this.#at++;
    }
    this.#at++;
  }

  #array(depth: number): void {
    this.#at++;
    this.#space();
    if (this.#peek() === "]") {
      this.#at++;
      return;
    }
    for (;;) {
      this.value(depth + 1);
      this.#space();
      if (this.#peek() === "]") break;
      if (this.#peek() !== ",") this.#fail("after array element");
      this.#at++;
    }
    this.#at++;
  }

  #string(): void {
    this.#at++;
    for (;;) {
      const char = this.#peek();
      if (char < " ") this.#fail("in string literal");
      this.#at++;
      if (char === '"') return;
      if (char !== "\\") continue;
      if (this.#peek() === "u") {
        this.#at++;
        for (let digit = 0; digit < 4; digit++) {
          if (!/[0-9a-fA-F]/.test(this.#peek())) this.#fail("in \\u hexadecimal character escape");
          this.#at++;
        }
      } else {
        if (!escapes.has(this.#peek())) this.#fail("in string escape code");
        this.#at++;
      }
    }
  }

  #number(): void {
    if (this.#peek() === "-") {
      this.#at++;
      if (!isDigit(this.#peek())) this.#fail("in numeric literal");
    }
    if (this.#peek() === "0") this.#at++;
    else this.#digits();
    if (this.text[this.#at] === ".") {
      this.#at++;
      if (!isDigit(this.#peek())) this.#fail("after decimal point in numeric literal");
      this.#digits();
    }
    if (/[eE]/.test(this.text[this.#at] ?? "")) {
      this.#at++;
      if (/[+-]/.test(this.#peek())) this.#at++;
      if (!isDigit(this.#peek())) this.#fail("in exponent of numeric literal");
      this.#digits();
    }
  }

  #digits(): void {
    while (isDigit(this.text[this.#at] ?? "")) this.#at++;
  }

  #literal(word: string): void {
    for (const expected of word) {
      if (this.#peek() !== expected) this.#fail(`in literal ${word} (expecting '${expected}')`);
      this.#at++;
    }
  }

  #space(): void {
    while (whitespace.has(this.text[this.#at] ?? "")) this.#at++;
  }

  #peek(): string {
    const char = this.text[this.#at];
    if (char === undefined) throw new SyntaxFault("unexpected EOF");
    return char;
  }

  #fail(where: string): never {
    throw new SyntaxFault(`invalid character ${quoteCharacter(this.#peek())} ${where}`);
  }
}

function isDigit(char: string): boolean {
  return char >= "0" && char <= "9";
}

function quoteCharacter(char: string): string {
  if (char === "'") return `'\\''`;
  if (char === '"') return `'"'`;
  if (char === "\\") return `'\\\\'`;
  const named = { "\n": "\\n", "\r": "\\r", "\t": "\\t", "\b": "\\b", "\f": "\\f", "\v": "\\v", "\x07": "\\a" }[char];
  if (named !== undefined) return `'${named}'`;
  if (char < " " || char === "\x7f") return `'\\x${char.charCodeAt(0).toString(16).padStart(2, "0")}'`;
  return `'${char}'`;
}
