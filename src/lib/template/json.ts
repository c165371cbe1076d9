import {
  entriesOf,
  Float,
  floatOf,
  GoTime,
  type GoType,
  indirect,
  isInteger,
  itemsOf,
  JsonNumber,
  MISSING,
  Row,
  sortedKeys,
  Typed,
  zeroOf,
} from "./values.ts";

/** JSON as Go writes it: maps by sorted key, structs in their order; with `escapeHtml` `<`, `>` and `&` as escapes. */
export function marshalJson(value: unknown, escapeHtml: boolean): string {
  if (value === null || value === undefined || value === MISSING) return "null";
  if (typeof value === "string") return quoteJson(value, escapeHtml);
  if (typeof value === "boolean") return String(value);
  if (isInteger(value)) return String(value);
  const float = floatOf(value);
  if (float !== undefined) return floatJson(float);
  if (value instanceof JsonNumber) return value.text;
  if (value instanceof GoTime) return quoteJson(value.rfc3339, escapeHtml);
  // A row writes its own JSON, and Go's encoder leaves the escapes in it alone.
  if (value instanceof Row) return marshalJson(niladicMembers(value), true);
  if (value instanceof Typed) {
    if (value.type.kind === "pointer") return marshalJson(value.value, escapeHtml);
    if (value.type.kind === "struct") {
      const parts: string[] = [];
      addFields(value, escapeHtml, parts);
      return `{${parts.join(",")}}`;
    }
    if (value.value === null) return "null";
  }
  const items = itemsOf(value);
  if (items !== undefined) return `[${items.map((item) => marshalJson(item, escapeHtml)).join(",")}]`;
  const entries = entriesOf(value) ?? {};
  const members = sortedKeys(entries).map(
    (key) => `${quoteJson(key, escapeHtml)}:${marshalJson(entries[key], escapeHtml)}`,
  );
  return `{${members.join(",")}}`;
}

function addFields(struct: Typed, escapeHtml: boolean, parts: string[]): void {
  if (struct.type.kind !== "struct") return;
  const values = struct.value as Record<string, unknown>;
  for (const field of struct.type.fields) {
    const value = values[field.name];
    if (field.embedded) {
      const inner = indirect(value);
      if (inner instanceof Typed) addFields(inner, escapeHtml, parts);
    } else if (field.json !== undefined && !(field.omitEmpty && isEmpty(value))) {
      parts.push(`${quoteJson(field.json, escapeHtml)}:${marshalJson(value, escapeHtml)}`);
    }
  }
}

/** What `omitempty` leaves out. */
function isEmpty(value: unknown): boolean {
  if (value === null || value === undefined || value === "" || value === false || value === 0) return true;
  if (value instanceof Float) return value.value === 0;
  if (value instanceof Typed && value.type.kind === "pointer") return value.value === null;
  const items = itemsOf(value);
  if (items !== undefined) return items.length === 0;
  const entries = entriesOf(value);
  return entries !== undefined && Object.keys(entries).length === 0;
}

function niladicMembers(row: Row): Record<string, unknown> {
  const members: Record<string, unknown> = {};
  for (const [name, member] of Object.entries(row.members)) {
    if (typeof member !== "function") members[name] = member;
    else if (member.length === 0) members[name] = member();
  }
  return members;
}

function floatJson(value: number): string {
  return Object.is(value, -0) ? "-0" : JSON.stringify(value);
}

function quoteJson(text: string, escapeHtml: boolean): string {
  const quoted = JSON.stringify(text).replace(/[\u2028\u2029]/g, unicodeEscape);
  return escapeHtml ? quoted.replace(/[<>&]/g, unicodeEscape) : quoted;
}

function unicodeEscape(char: string): string {
  return `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`;
}

type Reviver = (key: string, value: unknown, context: { source?: string }) => unknown;

/** Parses JSON with every number kept as it is written (JsonNumber), for templates over what has no type. */
export function parseRawJson(text: string): unknown {
  const keep: Reviver = (_key, value, context) =>
    typeof value === "number" ? new JsonNumber(context.source ?? String(value)) : value;
  return JSON.parse(text, keep as (key: string, value: unknown) => unknown);
}

/** Parses JSON with integers exact and floats as floats, for templates over what is known by its shape alone. */
export function parseExactJson(text: string): unknown {
  const exact: Reviver = (_key, value, context) => {
    if (typeof value !== "number") return value;
    const source = context.source ?? String(value);
    if (!/^-?[0-9]+$/.test(source)) return new Float(value);
    return Number.isSafeInteger(value) ? value : BigInt(source);
  };
  return JSON.parse(text, exact as (key: string, value: unknown) => unknown);
}

/** A value of parseExactJson as the type has it. What the type does not name is dropped. Throws where they differ. */
export function decodeAs(type: GoType, value: unknown): unknown {
  if (type.kind === "pointer") {
    return new Typed(type, value === null || value === undefined ? null : decodeAs(type.elem, value));
  }
  if (value === null || value === undefined) return zeroOf(type);
  switch (type.kind) {
    case "any":
      return anyOf(value);
    case "string":
      if (typeof value === "string") return value;
      break;
    case "bool":
      if (typeof value === "boolean") return value;
      break;
    case "int":
      if (isInteger(value)) return value;
      break;
    case "float64":
      if (value instanceof Float) return value;
      if (isInteger(value)) return new Float(Number(value));
      break;
    case "time":
      if (typeof value === "string") return new GoTime(value);
      break;
    case "slice":
      if (Array.isArray(value))
        return new Typed(
          type,
          value.map((item) => decodeAs(type.elem, item)),
        );
      // A command may be a single string.
      if (typeof value === "string" && type.name === "strslice.StrSlice") return new Typed(type, [value]);
      break;
    case "map": {
      const entries = entriesOf(value);
      if (entries === undefined) break;
      const decoded = Object.entries(entries).map(([key, item]) => [key, decodeAs(type.elem, item)]);
      return new Typed(type, Object.fromEntries(decoded));
    }
    case "struct": {
      const entries = entriesOf(value);
      if (entries === undefined) break;
      const fields = type.fields.map((field) => [
        field.name,
        decodeAs(
          field.type,
          field.embedded ? entries : field.json === undefined ? undefined : own(entries, field.json),
        ),
      ]);
      return new Typed(type, Object.fromEntries(fields));
    }
  }
  throw new TypeError(`json: cannot unmarshal into Go value of type ${type.name}`);
}

function own(entries: Readonly<Record<string, unknown>>, key: string): unknown {
  return Object.hasOwn(entries, key) ? entries[key] : undefined;
}

/** In an interface every number of JSON is a float64. */
function anyOf(value: unknown): unknown {
  if (isInteger(value)) return new Float(Number(value));
  if (Array.isArray(value)) return value.map(anyOf);
  const entries = entriesOf(value);
  if (entries === undefined) return value;
  return Object.fromEntries(Object.entries(entries).map(([key, item]) => [key, anyOf(item)]));
}
