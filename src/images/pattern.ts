/** Shell patterns as Go's path.Match has them: `*` and `?` do not cross slashes. */
import { invalidParameter } from "../lib/errors.ts";

/** A test for a pattern. Throws invalidParameter where it is malformed. */
export function compilePattern(pattern: string): (name: string) => boolean {
  const bad = () => invalidParameter("syntax error in pattern");
  let source = "";
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    if (char === "*") {
      // Several stars mean what one means, and would make matching slow.
      if (pattern[at - 1] !== "*") source += "[^/]*";
    } else if (char === "?") source += "[^/]";
    else if (char === "[") {
      const [, negated, body] = /^\[(\^?)((?:\\.|[^\]\\])+)\]/.exec(pattern.slice(at)) ?? [];
      if (body === undefined) throw bad();
      source += `(?!/)[${negated}${body.replace(/\\(.)|[[\]^]/g, (match, escaped) => `\\${escaped ?? match}`)}]`;
      at += body.length + negated!.length + 1;
    } else if (char === "\\") {
      const next = pattern[++at];
      if (next === undefined) throw bad();
      source += escapeRegExp(next);
    } else source += escapeRegExp(char);
  }
  try {
    const expression = new RegExp(`^${source}$`);
    return (name) => expression.test(name);
  } catch {
    throw bad();
  }
}

const escapeRegExp = (text: string) => text.replace(/[\\^$.*+?()[\]{}|/]/g, "\\$&");
