/**
 * Shapes of JSON values that clients send, and reading by them: what comes out has only known fields, of the types
 * said, whatever went in. Field names match without regard to case, null counts as absent, unknown fields are
 * ignored, and a mismatch is told in the sentence of Go's decoder, all as Docker does.
 */
import { invalidParameter } from "../lib/errors.ts";

/** Where a value stands: the Go struct that holds it, and the path of fields from the top. */
interface Place {
  struct: string;
  path: string;
}

export interface Shape<T> {
  /** The type's name in errors, as Go calls it. */
  readonly goType: string;
  /** What null stands for inside of lists and maps; the Go type's zero value. */
  zero(): T;
  /** Structs that are part of another one's fields show in the paths of errors; with a dot at the end. */
  readonly via?: string;
  read(value: unknown, place: Place): T;
}

/** The value read as `shape`. Throws invalidParameter where it is not one; null gives the shape's zero value. */
export function readShape<T>(shape: Shape<T>, value: unknown): T {
  return value === null ? shape.zero() : shape.read(value, { struct: "", path: "" });
}

/** A string, or one of the words of `T`: which of them are possible is for the rooms to say. */
export function string<T extends string = string>(goType = "string"): Shape<T> {
  return {
    goType,
    zero: () => "" as T,
    read(value, place) {
      if (typeof value !== "string") throw mismatch(value, goType, place);
      return value as T;
    },
  };
}

export const boolean: Shape<boolean> = {
  goType: "bool",
  zero: () => false,
  read(value, place) {
    if (typeof value !== "boolean") throw mismatch(value, "bool", place);
    return value;
  },
};

/** A whole number within `lowest` and `highest`, 64 bits with a sign unless said otherwise. */
export function integer(goType = "int64", lowest = -(2 ** 63), highest = 2 ** 63): Shape<number> {
  return {
    goType,
    zero: () => 0,
    read(value, place) {
      if (typeof value !== "number") throw mismatch(value, goType, place);
      if (!Number.isInteger(value) || value < lowest || value > highest) throw mismatch(value, goType, place, true);
      return value;
    },
  };
}

/** `{}`, the values of Go's sets. */
export const empty: Shape<Record<string, never>> = {
  goType: "struct {}",
  zero: () => ({}),
  read(value, place) {
    if (!isObject(value)) throw mismatch(value, "struct {}", place);
    return {};
  },
};

export function list<T>(element: Shape<T>): Shape<T[]> {
  const goType = `[]${element.goType}`;
  return {
    goType,
    zero: () => [],
    read(value, place) {
      if (!Array.isArray(value)) throw mismatch(value, goType, place);
      return value.map((each) => (each === null ? element.zero() : element.read(each, place)));
    },
  };
}

/** A list, or one string that stands for a list of it; Docker's `Cmd`, `Entrypoint` and `Shell`. */
export const stringOrList: Shape<string[]> = {
  goType: "string",
  zero: () => [],
  read(value, place) {
    if (typeof value === "string") return [value];
    return list(string()).read(value, place);
  },
};

/** Values by keys that the client chooses. */
export function map<T>(value: Shape<T>, keyType = "string"): Shape<Record<string, T>> {
  const goType = `map[${keyType}]${value.goType}`;
  return {
    goType,
    zero: () => ({}),
    read(given, place) {
      if (!isObject(given)) throw mismatch(given, goType, place);
      const read: Record<string, T> = {};
      for (const [key, each] of Object.entries(given)) {
        // Assigned by whoever copies it, this one key would change the copy's prototype.
        if (key !== "__proto__") read[key] = each === null ? value.zero() : value.read(each, place);
      }
      return read;
    },
  };
}

/** A shape where null inside of a map is kept as null. */
export function nullable<T>(shape: Shape<T>): Shape<T | null> {
  return { ...shape, zero: () => null };
}

type Fields<T> = { [K in keyof T]-?: Shape<NonNullable<T[K]>> };
type AnyFields = Record<string, Shape<unknown>>;

/** A Go struct. `fields` names every field of `T`; none is required. */
export function struct<T extends object>(name: string, fields: Fields<T>, goType = name): Shape<T> {
  const byLowerCase = new Map<string, [key: string, shape: Shape<unknown>]>();
  for (const [key, shape] of Object.entries(fields as AnyFields)) byLowerCase.set(key.toLowerCase(), [key, shape]);
  return {
    goType,
    zero: () => ({}) as T,
    read(value, place) {
      if (!isObject(value)) throw mismatch(value, goType, place);
      const { path } = place;
      const read: Record<string, unknown> = {};
      for (const [key, each] of Object.entries(value)) {
        const field = byLowerCase.get(key.toLowerCase());
        if (field === undefined || each === null) continue;
        const [known, shape] = field;
        const prefix = path === "" ? "" : `${path}.`;
        read[known] = shape.read(each, { struct: name, path: `${prefix}${shape.via ?? ""}${known}` });
      }
      return read as T;
    },
  };
}

/** `fields` as those of a struct called `name` that is embedded in another one. */
export function embedded<T extends object>(name: string, fields: Fields<T>): Fields<T> {
  const result: AnyFields = {};
  for (const [key, shape] of Object.entries(fields as AnyFields)) {
    result[key] = { ...shape, via: `${name}.${shape.via ?? ""}` };
  }
  return result as Fields<T>;
}

function mismatch(value: unknown, goType: string, { struct, path }: Place, showNumber = false): Error {
  const kind = Array.isArray(value) ? "array" : value === null ? "null" : typeof value;
  const what = `${kind === "boolean" ? "bool" : kind}${showNumber ? ` ${value}` : ""}`;
  const where = path === "" ? "Go value" : `Go struct field ${struct}.${path}`;
  return invalidParameter(`invalid JSON: json: cannot unmarshal ${what} into ${where} of type ${goType}`);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
