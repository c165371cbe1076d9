import { compareValues, equalValues } from "./compare.ts";
import { sprint, sprintf, sprintln } from "./fmt.ts";
import { marshalJson } from "./json.ts";
import {
  entriesOf,
  type GoType,
  indirect,
  isInteger,
  isNil,
  isTrue,
  itemsOf,
  MISSING,
  Typed,
  typeName,
  zeroOf,
} from "./values.ts";

/** The types of parameters that arguments are checked against. */
export type Parameter = "any" | "string" | "int" | "[]string";

/** A function of templates. What it throws becomes `error calling NAME: …`. */
export interface TemplateFunction {
  parameters: readonly Parameter[];
  /** Type of any number of further arguments. */
  variadic?: Parameter;
  call(...args: never[]): unknown;
}

const STRINGS: GoType = { kind: "slice", name: "[]string", elem: { kind: "string", name: "string" } };

/** A []string. */
export function stringSlice(items: readonly string[]): Typed {
  return new Typed(STRINGS, items);
}

function fn(parameters: readonly Parameter[], call: TemplateFunction["call"], variadic?: Parameter): TemplateFunction {
  return variadic === undefined ? { parameters, call } : { parameters, call, variadic };
}

/** Go's builtins, but for `and` and `or`, which the executor evaluates itself because they stop early. */
export const BUILTINS: Readonly<Record<string, TemplateFunction>> = {
  and: fn(["any"], () => undefined, "any"),
  or: fn(["any"], () => undefined, "any"),
  not: fn(["any"], (value: unknown) => !isTrue(value)),
  eq: fn(["any"], (first: unknown, ...others: unknown[]) => equal(first, others), "any"),
  ne: fn(["any", "any"], (a: unknown, b: unknown) => !equal(a, [b])),
  lt: fn(["any", "any"], (a: unknown, b: unknown) => compareValues(a, b) < 0),
  le: fn(["any", "any"], (a: unknown, b: unknown) => compareValues(a, b) <= 0),
  gt: fn(["any", "any"], (a: unknown, b: unknown) => compareValues(a, b) > 0),
  ge: fn(["any", "any"], (a: unknown, b: unknown) => compareValues(a, b) >= 0),
  len: fn(["any"], length),
  index: fn(["any"], index, "any"),
  slice: fn(["any"], slice, "any"),
  print: fn([], (...values: unknown[]) => sprint(values), "any"),
  printf: fn(["string"], (format: string, ...values: unknown[]) => sprintf(format, values), "any"),
  println: fn([], (...values: unknown[]) => sprintln(values), "any"),
  html: fn([], (...values: unknown[]) => escapeHtml(textOf(values)), "any"),
  js: fn([], (...values: unknown[]) => escapeJs(textOf(values)), "any"),
  urlquery: fn([], (...values: unknown[]) => escapeQuery(textOf(values)), "any"),
  // Nothing that can be called is ever handed to a template; the executor words the refusal.
  call: fn(["any"], () => undefined, "any"),
};

/** What Docker adds. */
export const DOCKER_FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  json: fn(["any"], (value: unknown) => marshalJson(value, false)),
  split: fn(["string", "string"], (text: string, by: string) => stringSlice(by === "" ? [...text] : text.split(by))),
  join: fn(["[]string", "string"], (list: unknown, by: string) => (itemsOf(list) ?? []).join(by)),
  title: fn(["string"], (text: string) => text.replace(/(?<![\p{L}\p{N}_'])\p{L}/gu, (letter) => letter.toUpperCase())),
  lower: fn(["string"], (text: string) => text.toLowerCase()),
  upper: fn(["string"], (text: string) => text.toUpperCase()),
  pad: fn(["string", "int", "int"], (text: string, before: number, after: number) => {
    if (text === "") return "";
    if (before < 0 || after < 0) throw new Error("strings: negative Repeat count");
    return " ".repeat(before) + text + " ".repeat(after);
  }),
  truncate: fn(["string", "int"], (text: string, size: number) => {
    const bytes = Buffer.from(text);
    if (size < 0) throw new Error(`runtime error: slice bounds out of range [:${size}]`);
    return bytes.length < size ? text : bytes.subarray(0, size).toString();
  }),
};

const sameText = (text: string) => text;

/** What Docker's functions do to the headings of a table: they leave them alone. */
export const HEADER_FUNCTIONS: Readonly<Record<string, TemplateFunction>> = {
  json: fn(["string"], sameText),
  split: fn(["string", "string"], sameText),
  join: fn(["string", "string"], sameText),
  title: fn(["string"], sameText),
  lower: fn(["string"], sameText),
  upper: fn(["string"], sameText),
  pad: fn(["string", "int", "int"], sameText),
  truncate: fn(["string", "int"], sameText),
};

function equal(first: unknown, others: unknown[]): boolean {
  if (others.length === 0) throw new Error("missing argument for comparison");
  return others.some((other) => equalValues(first, other));
}

function length(value: unknown): number {
  if (value === MISSING || isNil(value)) {
    if (value instanceof Typed && value.type.kind !== "pointer") return 0;
    if (value instanceof Typed) throw new Error("len of nil pointer");
    throw new Error("reflect: call of reflect.Value.Type on zero Value");
  }
  const target = indirect(value);
  if (typeof target === "string") return Buffer.byteLength(target);
  const items = itemsOf(target);
  if (items !== undefined) return items.length;
  const entries = entriesOf(target);
  if (entries !== undefined) return Object.keys(entries).length;
  throw new Error(`len of type ${typeName(target)}`);
}

function index(item: unknown, ...keys: unknown[]): unknown {
  if (item === MISSING || item === null || item === undefined) throw new Error("index of untyped nil");
  let at: unknown = item;
  for (const key of keys) {
    at = indirect(at);
    if (at === null || at === undefined || (at instanceof Typed && at.type.kind === "pointer")) {
      throw new Error("index of nil pointer");
    }
    at = indexOnce(at, key);
  }
  return at;
}

function indexOnce(item: unknown, key: unknown): unknown {
  const items = typeof item === "string" ? Buffer.from(item) : itemsOf(item);
  if (items !== undefined) {
    const position = indexNumber(key);
    if (position >= items.length) {
      if (position > items.length) throw new Error(`index out of range: ${position}`);
      throw new Error(`reflect: ${typeof item === "string" ? "string" : "slice"} index out of range`);
    }
    return items[position];
  }
  const entries = entriesOf(item);
  if (entries === undefined) throw new Error(`can't index item of type ${typeName(item)}`);
  if (key === MISSING || isNil(key)) throw new Error("value is nil; should be of type string");
  if (typeof key !== "string") throw new Error(`value has type ${typeName(key)}; should be string`);
  if (Object.hasOwn(entries, key)) return entries[key];
  return item instanceof Typed && item.type.kind === "map" ? zeroOf(item.type.elem) : MISSING;
}

function indexNumber(key: unknown): number {
  if (key === MISSING || isNil(key)) throw new Error("cannot index slice/array with nil");
  if (!isInteger(key)) throw new Error(`cannot index slice/array with type ${typeName(key)}`);
  if (key < 0) throw new Error(`index out of range: ${key}`);
  return Number(key);
}

function slice(item: unknown, ...bounds: unknown[]): unknown {
  if (item === MISSING || item === null || item === undefined) throw new Error("slice of untyped nil");
  if (bounds.length > 3) throw new Error(`too many slice indexes: ${bounds.length}`);
  const target = indirect(item);
  const bytes = typeof target === "string" ? Buffer.from(target) : undefined;
  if (bytes !== undefined && bounds.length === 3) throw new Error("cannot 3-index slice a string");
  const items = itemsOf(target);
  if (bytes === undefined && items === undefined) throw new Error(`can't slice item of type ${typeName(target)}`);
  const size = bytes?.length ?? items?.length ?? 0;
  const [from = 0, to = size, limit = size] = bounds.map((bound) => {
    const position = indexNumber(bound);
    if (position > size) throw new Error(`index out of range: ${position}`);
    return position;
  });
  if (from > to) throw new Error(`invalid slice index: ${from} > ${to}`);
  if (to > limit) throw new Error(`invalid slice index: ${to} > ${limit}`);
  if (bytes !== undefined) return bytes.subarray(from, to).toString();
  const part = items!.slice(from, to);
  return target instanceof Typed ? new Typed(target.type, part) : part;
}

function textOf(values: unknown[]): string {
  const [first] = values;
  return values.length === 1 && typeof first === "string" ? first : sprint(values.map(indirect));
}

const HTML: Record<string, string> = {
  '"': "&#34;",
  "'": "&#39;",
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  "\0": "\uFFFD",
};

function escapeHtml(text: string): string {
  return text.replace(/["'&<>\0]/g, (char) => HTML[char]!);
}

function escapeJs(text: string): string {
  return text.replace(/[\\'"<>&=\p{C}\u2028\u2029]/gu, (char) => {
    if (char === "\\" || char === "'" || char === '"') return `\\${char}`;
    const point = char.codePointAt(0)!;
    return point > 0xffff ? char : `\\u${point.toString(16).toUpperCase().padStart(4, "0")}`;
  });
}

function escapeQuery(text: string): string {
  return encodeURIComponent(text)
    .replace(/[!'()*]/g, (char) => `%${char.charCodeAt(0).toString(16).toUpperCase()}`)
    .replaceAll("%20", "+");
}
