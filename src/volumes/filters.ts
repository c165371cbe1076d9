/** The filters of GET /volumes and of prune. */
import { invalidParameter } from "../lib/errors.ts";
import type { VolumeRecord } from "./record.ts";

export type VolumeFilters = Readonly<Record<string, readonly string[]>>;

const booleans: Record<string, boolean> = { true: true, "1": true, false: false, "0": false };

/** Whether labels meet `key`, `key=value` filters: all of them. */
export function hasLabels(labels: Readonly<Record<string, string>>, wanted: readonly string[]): boolean {
  return wanted.every((filter) => {
    const at = filter.indexOf("=");
    return at < 0 ? filter in labels : labels[filter.slice(0, at)] === filter.slice(at + 1);
  });
}

/** Throws invalidParameter with Docker's sentence for a filter that is none of `known`. */
export function checkFilters(filters: VolumeFilters, known: readonly string[]): void {
  for (const name of Object.keys(filters))
    if (!known.includes(name)) throw invalidParameter(`invalid filter '${name}'`);
}

/** The value of a filter that is true or false, or undefined where it was not given. Throws invalidParameter. */
export function booleanFilter(filters: VolumeFilters, name: string): boolean | undefined {
  const values = filters[name];
  if (values === undefined || values.length === 0) return undefined;
  const parsed = new Set(values.map((value) => booleans[value]));
  if (parsed.size !== 1 || parsed.has(undefined))
    throw invalidParameter(`invalid filter '${name}=[${values.join(" ")}]'`);
  return [...parsed][0];
}

/** Whether a volume is one that `volume ls` with these filters shows. `isUsed` is asked only where it matters. */
export function matchesFilters(
  record: VolumeRecord,
  filters: VolumeFilters,
  isUsed: (name: string) => boolean,
): boolean {
  const { name = [], driver = [], label = [] } = filters;
  if (name.length > 0 && !name.some((part) => record.name.includes(part))) return false;
  if (driver.length > 0 && !driver.includes(record.driver)) return false;
  if (!hasLabels(record.labels, label)) return false;
  const dangling = booleanFilter(filters, "dangling");
  return dangling === undefined || dangling !== isUsed(record.name);
}
