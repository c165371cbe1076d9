const ESCAPES: Record<string, string> = {
  "\u0007": "\\a",
  "\b": "\\b",
  "\f": "\\f",
  "\n": "\\n",
  "\r": "\\r",
  "\t": "\\t",
  "\v": "\\v",
  "\\": "\\\\",
};
const UNESCAPES: Record<string, string> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
};

/** ASCII that needs no escape. */
const plain = /^[ !#-[\]-~]*$/;

/** A string as Go's `%q` shows it (`%+q` with `asciiOnly`); also a rune with `quote` set to "'". */
export function goQuote(text: string, quote = '"', asciiOnly = false): string {
  if (plain.test(text) && !text.includes(quote)) return quote + text + quote;
  let out = quote;
  for (const char of text) out += escapeChar(char, quote, asciiOnly);
  return out + quote;
}

function escapeChar(char: string, quote: string, asciiOnly: boolean): string {
  if (char === quote) return `\\${char}`;
  const simple = ESCAPES[char];
  if (simple !== undefined) return simple;
  const point = char.codePointAt(0)!;
  if (char === " " || (!/[\p{C}\p{Z}]/u.test(char) && (!asciiOnly || point < 0x80))) return char;
  if (point < 0x80) return `\\x${point.toString(16).padStart(2, "0")}`;
  return point > 0xffff ? `\\U${point.toString(16).padStart(8, "0")}` : `\\u${point.toString(16).padStart(4, "0")}`;
}

/** What a quoted Go string, raw string or character constant stands for; undefined where Go calls it invalid syntax. */
export function goUnquote(quoted: string): string | undefined {
  const quote = quoted[0];
  const body = quoted.slice(1, -1);
  if (quote === "`") return body.replaceAll("\r", "");
  let out = "";
  for (let at = 0; at < body.length; at++) {
    const char = body[at]!;
    if (char === quote) return undefined;
    if (char !== "\\") {
      out += char;
      continue;
    }
    const next = body[++at];
    if (next === undefined) return undefined;
    const simple = UNESCAPES[next] ?? (next === quote ? quote : undefined);
    if (simple !== undefined) {
      out += simple;
      continue;
    }
    const digits = { x: 2, u: 4, U: 8 }[next];
    const source = digits === undefined ? body.slice(at, at + 3) : body.slice(at + 1, at + 1 + digits);
    if (digits === undefined ? !/^[0-7]{3}$/.test(source) : !new RegExp(`^[0-9a-fA-F]{${digits}}$`).test(source)) {
      return undefined;
    }
    const point = Number.parseInt(source, digits === undefined ? 8 : 16);
    if (point > 0x10ffff) return undefined;
    out += String.fromCodePoint(point);
    at += digits ?? 2;
  }
  return out;
}
