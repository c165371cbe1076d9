import { goQuote } from "./quote.ts";

export type TokenKind =
  | "text"
  | "leftDelim"
  | "rightDelim"
  | "space"
  | "field"
  | "variable"
  | "identifier"
  | "keyword"
  | "dot"
  | "nil"
  | "bool"
  | "number"
  | "charConstant"
  | "string"
  | "rawString"
  | "leftParen"
  | "rightParen"
  | "pipe"
  | "assign"
  | "declare"
  | "char"
  | "eof"
  | "error";

/** `at` counts UTF-16 units from the start of the text, `line` from 1. */
export interface Token {
  kind: TokenKind;
  value: string;
  at: number;
  line: number;
}

const KEYWORDS = new Set(["block", "break", "continue", "define", "else", "end", "if", "range", "template", "with"]);
const LEFT = "{{";
const RIGHT = "}}";
const WORD = /[\p{L}\p{Nd}_]/u;
const SPACES = " \t\r\n";

/** Cuts a template into tokens. A lexical error is the last token, so that errors of the parser before it come first. */
export function lex(text: string): Token[] {
  return new Lexer(text).run();
}

class Lexer {
  readonly #text: string;
  readonly #tokens: Token[] = [];
  #at = 0;
  #start = 0;
  #line = 1;
  #startLine = 1;
  #parens = 0;

  constructor(text: string) {
    this.#text = text;
  }

  run(): Token[] {
    while (this.#at < this.#text.length) {
      if (!this.#lexText() || !this.#lexLeftDelim()) break;
    }
    const last = this.#tokens.at(-1);
    if (last?.kind !== "error") this.#push("eof", "");
    return this.#tokens;
  }

  #push(kind: TokenKind, value: string): void {
    this.#tokens.push({ kind, value, at: this.#start, line: this.#startLine });
  }

  #emit(kind: TokenKind): void {
    const value = this.#text.slice(this.#start, this.#at);
    this.#push(kind, value);
    this.#skip();
  }

  /** Drops what was read since the last token. */
  #skip(): void {
    for (let at = this.#start; at < this.#at; at++) if (this.#text[at] === "\n") this.#line++;
    this.#start = this.#at;
    this.#startLine = this.#line;
  }

  #fail(message: string): false {
    for (let at = this.#start; at < this.#at; at++) if (this.#text[at] === "\n") this.#line++;
    this.#tokens.push({ kind: "error", value: message, at: this.#start, line: this.#startLine });
    return false;
  }

  /** Text up to the next action; false when there is none. */
  #lexText(): boolean {
    const delim = this.#text.indexOf(LEFT, this.#at);
    if (delim === -1) {
      this.#at = this.#text.length;
      if (this.#at > this.#start) this.#emit("text");
      return false;
    }
    let end = delim;
    if (this.#hasLeftTrim(delim + LEFT.length)) {
      while (end > this.#start && SPACES.includes(this.#text[end - 1]!)) end--;
    }
    this.#at = end;
    if (end > this.#start) this.#emit("text");
    this.#at = delim;
    this.#skip();
    return true;
  }

  #hasLeftTrim(at: number): boolean {
    return this.#text[at] === "-" && at + 1 < this.#text.length && SPACES.includes(this.#text[at + 1]!);
  }

  /** Whether a right delimiter stands here, and whether it trims. */
  #rightDelim(): { trims: boolean } | undefined {
    const text = this.#text;
    if (SPACES.includes(text[this.#at] ?? "x") && text[this.#at + 1] === "-" && text.startsWith(RIGHT, this.#at + 2)) {
      return { trims: true };
    }
    return text.startsWith(RIGHT, this.#at) ? { trims: false } : undefined;
  }

  #lexLeftDelim(): boolean {
    const trim = this.#hasLeftTrim(this.#at + LEFT.length) ? 2 : 0;
    if (this.#text.startsWith("/*", this.#at + LEFT.length + trim)) return this.#lexComment(trim);
    this.#at += LEFT.length;
    this.#emit("leftDelim");
    this.#at += trim;
    this.#skip();
    this.#parens = 0;
    return this.#lexAction();
  }

  #lexComment(trim: number): boolean {
    this.#at += LEFT.length + trim;
    this.#skip();
    const end = this.#text.indexOf("*/", this.#at);
    if (end === -1) return this.#fail("unclosed comment");
    this.#at = end + 2;
    const delim = this.#rightDelim();
    if (delim === undefined) return this.#fail("comment ends before closing delimiter");
    this.#at += RIGHT.length + (delim.trims ? 2 : 0);
    if (delim.trims) this.#passSpaces();
    this.#skip();
    return true;
  }

  #passSpaces(): void {
    while (this.#at < this.#text.length && SPACES.includes(this.#text[this.#at]!)) this.#at++;
  }

  #lexRightDelim(trims: boolean): void {
    if (trims) {
      this.#at += 2;
      this.#skip();
    }
    this.#at += RIGHT.length;
    this.#emit("rightDelim");
    if (trims) {
      this.#passSpaces();
      this.#skip();
    }
  }

  /** Everything between the delimiters; true once the right one is read. */
  #lexAction(): boolean {
    for (;;) {
      const delim = this.#rightDelim();
      if (delim !== undefined) {
        if (this.#parens > 0) return this.#fail("unclosed left paren");
        this.#lexRightDelim(delim.trims);
        return true;
      }
      if (!this.#lexOne()) return false;
    }
  }

  #lexOne(): boolean {
    const char = this.#text[this.#at];
    if (char === undefined) return this.#fail("unclosed action");
    if (SPACES.includes(char)) return this.#lexSpace();
    if (char === ".") {
      const next = this.#text[this.#at + 1];
      if (next !== undefined && (next < "0" || next > "9")) return this.#lexName("field");
      return this.#lexNumber();
    }
    if (char === "+" || char === "-" || (char >= "0" && char <= "9")) return this.#lexNumber();
    const whole = String.fromCodePoint(this.#text.codePointAt(this.#at)!);
    if (WORD.test(whole)) return this.#lexIdentifier();
    switch (char) {
      case "=":
        return this.#single("assign");
      case ":":
        if (this.#text[this.#at + 1] !== "=") return this.#fail("expected :=");
        this.#at++;
        return this.#single("declare");
      case "|":
        return this.#single("pipe");
      case '"':
        return this.#lexQuoted('"', "string", "unterminated quoted string");
      case "'":
        return this.#lexQuoted("'", "charConstant", "unterminated character constant");
      case "`":
        return this.#lexRawString();
      case "$":
        return this.#lexName("variable");
      case "(":
        this.#parens++;
        return this.#single("leftParen");
      case ")":
        if (--this.#parens < 0) return this.#fail("unexpected right paren");
        return this.#single("rightParen");
      default:
        if (char > " " && char <= "~") return this.#single("char");
        return this.#fail(`unrecognized character in action: ${unicodeName(whole)}`);
    }
  }

  #single(kind: TokenKind): true {
    this.#at++;
    this.#emit(kind);
    return true;
  }

  #lexSpace(): true {
    while (SPACES.includes(this.#text[this.#at] ?? "x")) {
      // The last blank before "-}}" belongs to the trim marker.
      if (this.#rightDelim()?.trims) break;
      this.#at++;
    }
    if (this.#at > this.#start) this.#emit("space");
    return true;
  }

  #readWord(): void {
    for (;;) {
      const point = this.#text.codePointAt(this.#at);
      if (point === undefined) return;
      const char = String.fromCodePoint(point);
      if (!WORD.test(char)) return;
      this.#at += char.length;
    }
  }

  #badCharacter(): false {
    return this.#fail(`bad character ${unicodeName(String.fromCodePoint(this.#text.codePointAt(this.#at)!))}`);
  }

  #atTerminator(): boolean {
    const char = this.#text[this.#at];
    return char === undefined || `${SPACES}.,|:)(`.includes(char) || this.#text.startsWith(RIGHT, this.#at);
  }

  /** A field's or variable's name behind its "." or "$", which alone are tokens too. */
  #lexName(kind: "field" | "variable"): boolean {
    this.#at++;
    if (this.#atTerminator()) {
      this.#emit(kind === "field" ? "dot" : "variable");
      return true;
    }
    this.#readWord();
    if (!this.#atTerminator()) return this.#badCharacter();
    this.#emit(kind);
    return true;
  }

  #lexIdentifier(): boolean {
    this.#readWord();
    if (!this.#atTerminator()) return this.#badCharacter();
    const word = this.#text.slice(this.#start, this.#at);
    if (KEYWORDS.has(word)) this.#emit("keyword");
    else if (word === "nil") this.#emit("nil");
    else this.#emit(word === "true" || word === "false" ? "bool" : "identifier");
    return true;
  }

  #lexQuoted(quote: string, kind: TokenKind, message: string): boolean {
    this.#at++;
    for (;;) {
      let char = this.#text[this.#at++];
      if (char === "\\") {
        char = this.#text[this.#at++];
        if (char !== undefined && char !== "\n") continue;
      }
      if (char === undefined || char === "\n") return this.#fail(message);
      if (char === quote) break;
    }
    this.#emit(kind);
    return true;
  }

  #lexRawString(): boolean {
    const end = this.#text.indexOf("`", this.#at + 1);
    if (end === -1) return this.#fail("unterminated raw quoted string");
    this.#at = end + 1;
    this.#emit("rawString");
    return true;
  }

  #lexNumber(): boolean {
    const match = /^[+-]?(?:0[xX][0-9a-fA-F_]*|0[oO][0-7_]*|0[bB][01_]*|[0-9_]*)(?:\.[0-9a-fA-F_]*)?/.exec(
      this.#text.slice(this.#at, this.#at + 200),
    );
    this.#at += match?.[0].length ?? 1;
    const isHex = /^[+-]?0[xX]/.test(match?.[0] ?? "");
    const exponent = (isHex ? /^[pP][+-]?[0-9_]*/ : /^[eE][+-]?[0-9_]*/).exec(
      this.#text.slice(this.#at, this.#at + 50),
    );
    if (exponent !== null) this.#at += exponent[0].length;
    if (this.#text[this.#at] === "i") this.#at++;
    const next = this.#text.codePointAt(this.#at);
    if (next !== undefined && WORD.test(String.fromCodePoint(next))) {
      this.#at += String.fromCodePoint(next).length;
      return this.#fail(`bad number syntax: ${goQuote(this.#text.slice(this.#start, this.#at))}`);
    }
    this.#emit("number");
    return true;
  }
}

/** A character as Go's `%#U` shows it. */
function unicodeName(char: string): string {
  const point = char.codePointAt(0)!;
  const hex = point.toString(16).toUpperCase().padStart(4, "0");
  return /\p{C}/u.test(char) ? `U+${hex}` : `U+${hex} '${char}'`;
}
