/**
 * Lays JSON out with one member a line, `indent` for every level, numbers and escapes left as they are written. Blanks
 * between the tokens are dropped; empty objects and arrays stay on one line. The text must be valid JSON.
 */
export function indentJson(json: string, indent: string): string {
  let out = "";
  let depth = 0;
  let at = 0;
  const newline = () => `\n${indent.repeat(depth)}`;
  while (at < json.length) {
    const char = json[at]!;
    if (char === '"') {
      const end = stringEnd(json, at);
      out += json.slice(at, end);
      at = end;
      continue;
    }
    at++;
    if (char === " " || char === "\n" || char === "\t" || char === "\r") continue;
    if (char === "{" || char === "[") {
      const close = nextToken(json, at);
      if (json[close] === (char === "{" ? "}" : "]")) {
        out += char + json[close];
        at = close + 1;
      } else {
        depth++;
        out += char + newline();
      }
    } else if (char === "}" || char === "]") {
      depth--;
      out += newline() + char;
    } else if (char === ",") out += char + newline();
    else out += char === ":" ? ": " : char;
  }
  return out;
}

function nextToken(json: string, from: number): number {
  let at = from;
  while (at < json.length && " \n\t\r".includes(json[at]!)) at++;
  return at;
}

function stringEnd(json: string, start: number): number {
  for (let at = start + 1; at < json.length; at++) {
    if (json[at] === "\\") at++;
    else if (json[at] === '"') return at + 1;
  }
  return json.length;
}
