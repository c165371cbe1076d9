/**
 * Go's values, as far as templates can tell them apart. JavaScript's own stand for the common ones: string, boolean,
 * integral number or bigint (int), Array ([]interface {}), plain object (map[string]interface {}), null and undefined
 * (nil). The classes below stand for the rest.
 */

/** A type that JSON was decoded into, so that a template sees zero values, nil pointers and the order of fields. */
export type GoType =
  | { kind: "string" | "bool" | "int" | "float64" | "any" | "time"; name: string }
  | { kind: "struct"; name: string; fields: GoField[] }
  | { kind: "pointer" | "slice" | "map"; name: string; elem: GoType };

export interface GoField {
  name: string;
  /** Name in JSON; undefined: never in JSON. */
  json: string | undefined;
  omitEmpty: boolean;
  /** Its fields are reached, and written to JSON, as if they were the outer struct's. */
  embedded: boolean;
  type: GoType;
}

/** A float64. */
export class Float {
  constructor(readonly value: number) {}
}

/** A number of JSON that was kept as it was written (Go's json.Number, a kind of string). */
export class JsonNumber {
  constructor(readonly text: string) {}
}

/**
 * A value of a declared type. `value`: a struct's fields by Go name; an array or a record of a slice or map, null where
 * it is nil; what a pointer points to, or null.
 */
export class Typed {
  constructor(
    readonly type: GoType,
    readonly value: unknown,
  ) {}
}

/** A point in time, kept as RFC 3339 text. */
export class GoTime {
  constructor(readonly rfc3339: string) {}
}

/** A row of a listing: what its template can name are functions, or values. */
export class Row {
  constructor(
    readonly typeName: string,
    readonly members: Readonly<Record<string, unknown>>,
  ) {}
}

/** The result of a lookup that found nothing: printed as `<no value>`. */
export const MISSING = Symbol("missing");

/** An int of any size up to int64 in its canonical form: a number where that is exact, else a bigint. */
export function integer(value: bigint): number | bigint {
  return value >= BigInt(Number.MIN_SAFE_INTEGER) && value <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;
}

export function isInteger(value: unknown): value is number | bigint {
  return typeof value === "bigint" || (typeof value === "number" && Number.isInteger(value));
}

/** The number a float64 holds, or undefined for any other value. */
export function floatOf(value: unknown): number | undefined {
  if (value instanceof Float) return value.value;
  return typeof value === "number" && !Number.isInteger(value) ? value : undefined;
}

/** The items of a slice (none for a nil one), or undefined for any other value. */
export function itemsOf(value: unknown): readonly unknown[] | undefined {
  if (Array.isArray(value)) return value;
  if (value instanceof Typed && value.type.kind === "slice") return (value.value as unknown[] | null) ?? [];
  return undefined;
}

/** The entries of a map (none for a nil one), or undefined for any other value. */
export function entriesOf(value: unknown): Readonly<Record<string, unknown>> | undefined {
  if (value instanceof Typed) {
    return value.type.kind === "map" ? ((value.value as Record<string, unknown> | null) ?? {}) : undefined;
  }
  if (isPlainObject(value)) return value;
  return undefined;
}

/** A map's keys in the order Go prints and ranges over them. */
export function sortedKeys(entries: Readonly<Record<string, unknown>>): string[] {
  return Object.keys(entries).sort();
}

export function isPlainObject(value: unknown): value is Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return false;
  const prototype: unknown = Object.getPrototypeOf(value);
  return prototype === Object.prototype || prototype === null;
}

export function isNil(value: unknown): boolean {
  if (value === null || value === undefined) return true;
  return value instanceof Typed && value.type.kind !== "struct" && value.value === null;
}

/** What a pointer points to; nil pointers and other values as they are. */
export function indirect(value: unknown): unknown {
  let at = value;
  while (at instanceof Typed && at.type.kind === "pointer" && at.value !== null) at = at.value;
  return at;
}

/** A type's name as Go's `%T` shows it. */
export function typeName(value: unknown): string {
  if (value === null || value === undefined || value === MISSING) return "<nil>";
  if (typeof value === "string") return "string";
  if (typeof value === "boolean") return "bool";
  if (isInteger(value)) return "int";
  if (floatOf(value) !== undefined) return "float64";
  if (value instanceof JsonNumber) return "json.Number";
  if (value instanceof Typed) return value.type.name;
  if (value instanceof GoTime) return "time.Time";
  if (value instanceof Row) return value.typeName;
  return Array.isArray(value) ? "[]interface {}" : "map[string]interface {}";
}

/** Whether `if` and `and` take the value for true. */
export function isTrue(value: unknown): boolean {
  if (value === null || value === undefined || value === MISSING) return false;
  if (typeof value === "string") return value !== "";
  if (typeof value === "boolean") return value;
  if (isInteger(value)) return Number(value) !== 0;
  const float = floatOf(value);
  if (float !== undefined) return float !== 0;
  if (value instanceof JsonNumber) return value.text !== "";
  const items = itemsOf(value);
  if (items !== undefined) return items.length > 0;
  const entries = entriesOf(value);
  if (entries !== undefined) return Object.keys(entries).length > 0;
  return !(value instanceof Typed && value.type.kind === "pointer" && value.value === null);
}

/** What a variable of a type is before anything is assigned to it. */
export function zeroOf(type: GoType): unknown {
  switch (type.kind) {
    case "string":
      return "";
    case "bool":
      return false;
    case "int":
      return 0;
    case "float64":
      return new Float(0);
    case "any":
      return null;
    case "time":
      return new GoTime("0001-01-01T00:00:00Z");
    case "struct":
      return new Typed(type, Object.fromEntries(type.fields.map((field) => [field.name, zeroOf(field.type)])));
    default:
      return new Typed(type, null);
  }
}

/** A struct's field, its own or an embedded struct's; undefined where there is none, null-pointers embed nothing. */
export function fieldOf(struct: Typed, name: string): { value: unknown } | undefined {
  if (struct.type.kind !== "struct") return undefined;
  const values = struct.value as Record<string, unknown>;
  if (Object.hasOwn(values, name)) return { value: values[name] };
  for (const field of struct.type.fields) {
    if (!field.embedded) continue;
    const inner = indirect(values[field.name]);
    const found = inner instanceof Typed ? fieldOf(inner, name) : undefined;
    if (found !== undefined) return found;
  }
  return undefined;
}

/** Whether a struct type has such a field, embedded ones included. */
export function typeHasField(type: GoType, name: string): boolean {
  if (type.kind === "pointer") return typeHasField(type.elem, name);
  if (type.kind !== "struct") return false;
  return type.fields.some((field) => field.name === name || (field.embedded && typeHasField(field.type, name)));
}
