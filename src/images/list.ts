/** GET /images/json. */
import { invalidParameter } from "../lib/errors.ts";
import { familiarString, type Reference } from "../lib/reference.ts";
import { parseGoDuration } from "../lib/units.ts";
import type { ImageSummary } from "../wire/engine-api.ts";
import { manifestsOf, topOf } from "./manifests.ts";
import { compilePattern } from "./pattern.ts";
import type { ImageRecord } from "./record.ts";
import type { ImageRooms } from "./rooms.ts";

export interface ImageListQuery {
  /** Also images without a name that others are built upon. */
  all: boolean;
  /** Whether to compute how much of each image others have too. */
  sharedSize: boolean;
  /** Whether to count the containers of each image. */
  containers?: boolean;
  /** Whether to say what platforms there are of each image. */
  manifests?: boolean;
  /** Values by filter, as the API has them. */
  filters: Map<string, string[]>;
}

const known = new Set("dangling label label! before since reference until".split(" "));
const NOT_COMPUTED = -1;

/** All images that the filters let through, newest first. Throws invalidParameter for wrong filters. */
export function list(rooms: ImageRooms, query: ImageListQuery): ImageSummary[] {
  const keep = imageFilter(rooms, query.filters);
  const namesOf = referenceFilter(query.filters.get("reference") ?? []);
  const parents = new Set(rooms.store.all().map(({ parent }) => parent));
  const wantsDangling = query.filters.has("dangling");
  const sharers = query.sharedSize ? countSharers(rooms) : undefined;
  const summaries: ImageSummary[] = [];
  const newestFirst = rooms.store.all().sort((one, other) => momentMs(other) - momentMs(one));
  for (const record of newestFirst) {
    const all = rooms.store.referencesOf(record.id);
    const names = namesOf(all);
    if (rooms.store.isHiddenVariant(record)) continue;
    if (query.filters.has("reference") && names.length === 0) continue;
    const isIntermediate = all.length === 0 && parents.has(record.id);
    if (isIntermediate && (!query.all || wantsDangling)) continue;
    if (!keep(record)) continue;
    const summary = summaryOf(rooms, record, names, sharers);
    if (query.containers) summary.Containers = countUsers(rooms, record);
    summaries.push(query.manifests ? { ...summary, Manifests: manifestsOf(rooms, record) } : summary);
  }
  return summaries;
}

function summaryOf(
  rooms: ImageRooms,
  record: ImageRecord,
  names: Reference[],
  sharers: Map<string, number> | undefined,
): ImageSummary {
  const shared = (diffId: string) => (sharers!.get(diffId)! > 1 ? rooms.layers.size(diffId) : 0);
  const { digest, mediaType, size } = topOf(rooms, record);
  return {
    Id: record.id,
    ParentId: record.parent ?? "",
    RepoTags: names.filter(isTag).map(familiarString),
    RepoDigests: names.filter((name) => !isTag(name)).map(familiarString),
    Created: Math.floor(momentMs(record) / 1000),
    Size: record.size,
    SharedSize: sharers ? record.diffIds.reduce((sum, diffId) => sum + shared(diffId), 0) : NOT_COMPUTED,
    Labels: record.labels,
    Containers: NOT_COMPUTED,
    Descriptor: { mediaType, digest, size },
  };
}

/** Containers of an image and of the other platforms that its names stand for. */
function countUsers(rooms: ImageRooms, record: ImageRecord): number {
  const family = rooms.store.referencesOf(record.id).flatMap((reference) => rooms.store.family(reference));
  return [...new Set([record, ...family])].reduce((sum, { id }) => sum + rooms.usedBy(id).length, 0);
}

const isTag = ({ digest }: Reference) => digest === undefined;
const momentMs = ({ created }: ImageRecord) => Date.parse(created) || 0;

function countSharers(rooms: ImageRooms): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { diffIds } of rooms.store.all())
    for (const diffId of new Set(diffIds)) counts.set(diffId, (counts.get(diffId) ?? 0) + 1);
  return counts;
}

/** A predicate for the filters. Throws invalidParameter for wrong ones. */
export function imageFilter(rooms: ImageRooms, filters: Map<string, string[]>): (record: ImageRecord) => boolean {
  const tests: ((record: ImageRecord) => boolean)[] = [];
  for (const [name, values] of filters) {
    if (!known.has(name)) throw invalidParameter(`invalid filter '${name}'`);
    if (values.length > 0) tests.push(testFor(rooms, name, values));
  }
  return (record) => tests.every((test) => test(record));
}

function testFor(rooms: ImageRooms, name: string, values: string[]): (record: ImageRecord) => boolean {
  switch (name) {
    case "dangling": {
      const isWanted = danglingOf(values);
      // An image that a newer one took the tag from keeps its digest's name, and dangles all the same.
      return ({ id }) => {
        const names = rooms.store.referencesOf(id);
        return isWanted ? !names.some(isTag) : names.length > 0;
      };
    }
    case "label":
      return ({ labels }) => values.every((value) => hasLabel(labels, value));
    case "label!":
      return ({ labels }) => !values.some((value) => hasLabel(labels, value));
    case "before": {
      const before = Math.min(...values.map((value) => momentMs(rooms.store.resolve(value))));
      return (record) => momentMs(record) < before;
    }
    case "since": {
      const since = Math.max(...values.map((value) => momentMs(rooms.store.resolve(value))));
      return (record) => momentMs(record) > since;
    }
    case "until": {
      const until = Math.min(...values.map(momentOf));
      return (record) => momentMs(record) < until;
    }
    default:
      return () => true;
  }
}

/** Which of an image's names to show: those that a pattern fits, or all where there is none. */
function referenceFilter(patterns: string[]): (names: Reference[]) => Reference[] {
  if (patterns.length === 0) return (names) => names;
  const tests = patterns.map(compilePattern);
  return (names) => names.filter((name) => tests.some((test) => test(familiarString(name)) || test(name.familiarName)));
}

/** What a filter `dangling` says. Throws invalidParameter where it is neither, or both. */
export function danglingOf(values: string[]): boolean {
  const isTrue = values.includes("true") || values.includes("1");
  const isFalse = values.includes("false") || values.includes("0");
  if (isTrue === isFalse) throw invalidParameter(`invalid filter 'dangling=[${values.join(" ")}]'`);
  return isTrue;
}

function hasLabel(labels: Record<string, string>, value: string): boolean {
  const equals = value.indexOf("=");
  if (equals < 0) return Object.hasOwn(labels, value);
  const key = value.slice(0, equals);
  return Object.hasOwn(labels, key) && labels[key] === value.slice(equals + 1);
}

/** Milliseconds since 1970 from seconds, a date, or a duration before now. */
function momentOf(value: string): number {
  if (/^\d+(\.\d+)?$/.test(value)) return Number(value) * 1000;
  const date = Date.parse(value);
  if (!Number.isNaN(date)) return date;
  try {
    return Date.now() - parseGoDuration(value) / 1e6;
  } catch {
    throw invalidParameter(`failed to parse value as time or duration: ${JSON.stringify(value)}`);
  }
}
