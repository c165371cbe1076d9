/** Which events a listener asked for (Engine API, GET /events, `filters`). */
import type { EventMessage } from "../wire/engine-api.ts";

/** Values by name of filter; any of the values may match, but every label must. */
export type EventFilters = ReadonlyMap<string, readonly string[]>;

type Test = (event: EventMessage) => boolean;

/** Filters whose value is the beginning of the actor's id or name. */
const byActor = ["container", "daemon", "network", "node", "plugin", "secret", "service", "volume", "config"];

/** A predicate over events, built once for a listener. Filters it does not know let everything through, as Docker's do. */
export function eventFilter(filters: EventFilters): Test {
  const tests: Test[] = [];
  const add = (name: string, test: (event: EventMessage, values: readonly string[]) => boolean) => {
    const values = filters.get(name);
    if (values !== undefined && values.length > 0) tests.push((event) => test(event, values));
  };
  add("type", ({ Type }, values) => values.includes(Type ?? ""));
  add("scope", ({ scope }, values) => values.includes(scope ?? "local"));
  add("event", ({ Action = "" }, values) => values.includes(Action) || values.includes(baseAction(Action)));
  add("image", (event, values) => imageNames(event).some((name) => values.includes(name)));
  add("label", ({ Actor }, values) => values.every((label) => hasLabel(Actor?.Attributes ?? {}, label)));
  for (const kind of byActor) {
    add(kind, ({ Actor }, values) =>
      values.some((value) => Actor?.ID?.startsWith(value) || Actor?.Attributes?.name?.startsWith(value)),
    );
  }
  return (event) => tests.every((test) => test(event));
}

/** `exec_start: sh -c x` is an `exec_start`, `health_status: healthy` a `health_status`. */
function baseAction(action: string): string {
  const colon = action.indexOf(":");
  return colon < 0 ? action : action.slice(0, colon);
}

function imageNames({ Type, Actor }: EventMessage): string[] {
  const id = Actor?.ID ?? "";
  const name = Actor?.Attributes?.[Type === "image" ? "name" : "image"] ?? "";
  return [id, name, withoutTag(id), withoutTag(name)];
}

function withoutTag(reference: string): string {
  const [name = ""] = reference.split("@");
  const colon = name.lastIndexOf(":");
  return colon > name.lastIndexOf("/") ? name.slice(0, colon) : name;
}

function hasLabel(attributes: Record<string, string>, label: string): boolean {
  const equals = label.indexOf("=");
  if (equals < 0) return Object.hasOwn(attributes, label);
  const key = label.slice(0, equals);
  return Object.hasOwn(attributes, key) && attributes[key] === label.slice(equals + 1);
}
