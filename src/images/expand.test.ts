// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of Dockerfiles are meant.
import { expect, test } from "bun:test";
import { expand } from "./expand.ts";

const variables = new Map([
  ["A", "1"],
  ["EMPTY", ""],
  ["long_NAME2", "x y"],
]);

test.each([
  ["plain", "plain"],
  ["$A$A", "11"],
  ["${A}b$Ab", "1b"],
  ["$long_NAME2.", "x y."],
  ["$nosuch|${nosuch}", "|"],
  ["${nosuch:-d} ${EMPTY:-d} ${EMPTY-d} ${A:-d}", "d d  1"],
  ["${nosuch:+d}|${EMPTY:+d}|${EMPTY+d}|${A:+d}", "||d|d"],
  ["${A:?no} ${EMPTY?no}", "1 "],
  ["${nosuch:-$A'$A'}", "1$A"],
  ["'$A' \"$A\" \\$A", "$A 1 $A"],
  ['"a\\"b\\\\c\\d\\$A"', 'a"b\\c\\d$A'],
  ["a\\ b\\'c", "a b'c"],
  ["$ $. cost$", "$ $. cost$"],
  ["end\\", "end"],
])("%s", (word, expanded) => expect(expand(word, variables)).toBe(expanded));

test.each([
  ["'open", "looking for matching single-quote"],
  ['"open', "looking for matching double-quote"],
  ["${A", "looking for matching }"],
  ["${}", "bad substitution"],
  ["${A:x}", "unsupported modifier (x)"],
  ["${nosuch:?must be}", "nosuch: must be"],
])("%s is refused", (word, message) => expect(() => expand(word, variables)).toThrow(message));
