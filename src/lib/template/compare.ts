import { formatValue } from "./fmt.ts";
import { entriesOf, floatOf, isInteger, isNil, itemsOf, JsonNumber, MISSING, typeName } from "./values.ts";

type Kind = "bool" | "int" | "float" | "string" | "other" | "none";

function kindOf(value: unknown): Kind {
  if (value === MISSING || value === null || value === undefined) return "none";
  if (typeof value === "boolean") return "bool";
  if (typeof value === "string" || value instanceof JsonNumber) return "string";
  if (isInteger(value)) return "int";
  return floatOf(value) === undefined ? "other" : "float";
}

function plain(value: unknown): string | number | bigint | boolean {
  if (value instanceof JsonNumber) return value.text;
  return floatOf(value) ?? (value as string | number | bigint | boolean);
}

/** Go's `eq` of two values. Throws where Go refuses to compare them. */
export function equalValues(a: unknown, b: unknown): boolean {
  const [kindA, kindB] = [kindOf(a), kindOf(b)];
  if (kindA === "none" || kindB === "none") return isNilLike(a) && isNilLike(b);
  if (kindA !== kindB) throw new Error("incompatible types for comparison");
  // Numbers and bigints of the same size are equal in Go, and with JavaScript's loose equality.
  if (kindA === "int") return BigInt(a as number | bigint) === BigInt(b as number | bigint);
  if (kindA !== "other") return plain(a) === plain(b);
  if (isNil(a) || isNil(b)) return isNil(a) === isNil(b);
  if (itemsOf(b) !== undefined || entriesOf(b) !== undefined) {
    throw new Error(`non-comparable type ${formatValue(b)}: ${typeName(b)}`);
  }
  return a === b;
}

/** Go's order of two basic values: negative, 0 or positive. Throws where Go has none. */
export function compareValues(a: unknown, b: unknown): number {
  const [kindA, kindB] = [kindOf(a), kindOf(b)];
  if (kindA === "none" || kindA === "other" || kindB === "none" || kindB === "other") {
    throw new Error("invalid type for comparison");
  }
  if (kindA !== kindB) throw new Error("incompatible types for comparison");
  if (kindA === "bool") throw new Error("invalid type for comparison");
  const [left, right] = [plain(a), plain(b)];
  if (left < right) return -1;
  return left > right ? 1 : 0;
}

function isNilLike(value: unknown): boolean {
  return value === MISSING || isNil(value);
}
