/** Query parameters as Docker reads them. */
import { invalidParameter } from "../lib/errors.ts";

/** Values by name of filter, as the rooms take them. */
export type Filters = Map<string, string[]>;

const noWords = new Set(["", "0", "no", "false", "none"]);

/** False for what says no, true for everything else. */
export function booleanOf(query: URLSearchParams, name: string, otherwise = false): boolean {
  const value = query.get(name);
  return value === null ? otherwise : !noWords.has(value.trim().toLowerCase());
}

/** A parameter that is there and not empty. */
export function stringOf(query: URLSearchParams, name: string): string | undefined {
  return query.get(name) || undefined;
}

/** A whole number, undefined where the parameter is missing or empty. Throws Go's sentence for anything else. */
export function integerOf(query: URLSearchParams, name: string): number | undefined {
  const value = query.get(name);
  return value ? parseInteger(value) : undefined;
}

/** A whole number that has to be there. */
export function requiredIntegerOf(query: URLSearchParams, name: string): number {
  return parseInteger(query.get(name) ?? "");
}

function parseInteger(value: string): number {
  if (!/^[+-]?\d+$/.test(value))
    throw invalidParameter(`strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`);
  const number = Number(value);
  if (!Number.isSafeInteger(number))
    throw invalidParameter(`strconv.Atoi: parsing ${JSON.stringify(value)}: value out of range`);
  return number;
}

/**
 * `filters`, in both forms there are: `{"label": ["a", "b"]}` and the older `{"label": {"a": true}}`.
 * Throws invalidParameter where it is neither.
 */
export function filtersOf(query: URLSearchParams, name = "filters"): Filters {
  const text = query.get(name);
  const filters: Filters = new Map();
  if (!text || text === "null") return filters;
  for (const [key, values] of entriesOf(parse(text))) {
    if (Array.isArray(values) && values.every((value) => typeof value === "string")) filters.set(key, values);
    else
      filters.set(
        key,
        entriesOf(values)
          .map(chosen)
          .filter((value) => value !== undefined),
      );
  }
  return filters;
}

function chosen([value, wanted]: [string, unknown]): string | undefined {
  if (typeof wanted !== "boolean") throw invalidParameter("invalid filter");
  return wanted ? value : undefined;
}

function entriesOf(value: unknown): [string, unknown][] {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw invalidParameter("invalid filter");
  return Object.entries(value);
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    throw invalidParameter("invalid filter");
  }
}
