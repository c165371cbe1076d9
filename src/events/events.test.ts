import { expect, test } from "bun:test";
import { nowNs } from "../lib/time.ts";
import type { EventMessage } from "../wire/engine-api.ts";
import { type EventFilters, Events } from "./events.ts";

const none: EventFilters = new Map();

function collect(events: Events, query: Parameters<Events["subscribe"]>[0]) {
  const seen: EventMessage[] = [];
  const stop = events.subscribe(query, (event) => seen.push(event));
  return { seen, stop };
}

test("a listener hears what happens from then on, until it stops", () => {
  const events = new Events();
  events.publish("container", "create", "abc", { name: "one" });
  const { seen, stop } = collect(events, { filters: none });
  events.publish("container", "start", "abc", { name: "one", image: "alpine" });
  stop();
  events.publish("container", "die", "abc", { name: "one" });
  expect(seen.length).toBe(1);
  expect(seen[0]).toMatchObject({
    Type: "container",
    Action: "start",
    Actor: { ID: "abc", Attributes: { name: "one", image: "alpine" } },
    scope: "local",
  });
  expect(events.listenerCount).toBe(0);
});

test("times never repeat nor run backwards", () => {
  const events = new Events();
  const { seen } = collect(events, { filters: none });
  for (let i = 0; i < 500; i++) events.publish("image", "tag", "x", {});
  for (let i = 1; i < seen.length; i++) expect(seen[i]!.timeNano!).toBeGreaterThan(seen[i - 1]!.timeNano!);
});

test("the past is replayed when asked for, the last 1024 of it", () => {
  const events = new Events();
  for (let i = 0; i < 3000; i++) events.publish("container", "create", `c${i}`, {});
  const { seen } = collect(events, { sinceNs: 0n, filters: none });
  expect(seen.length).toBe(1024);
  expect(seen.at(-1)!.Actor!.ID).toBe("c2999");
  expect(collect(events, { sinceNs: nowNs() + 10_000_000_000n, filters: none }).seen).toEqual([]);
  const middle = BigInt(seen[500]!.timeNano!);
  expect(collect(events, { untilNs: middle, filters: none }).seen.length).toBeLessThanOrEqual(502);
});

test.each<[Record<string, string[]>, boolean]>([
  [{ type: ["container"] }, true],
  [{ type: ["image"] }, false],
  [{ event: ["exec_start"] }, true],
  [{ event: ["exec_start: sh"] }, true],
  [{ event: ["start"] }, false],
  [{ container: ["abc"] }, true],
  [{ container: ["my-na"] }, true],
  [{ container: ["zzz", "abc"] }, true],
  [{ container: ["zzz"] }, false],
  [{ image: ["alpine"] }, true],
  [{ image: ["alpine:3"] }, true],
  [{ image: ["alp"] }, false],
  [{ label: ["color"] }, true],
  [{ label: ["color=red"] }, true],
  [{ label: ["color=blue"] }, false],
  [{ label: ["color=red", "size"] }, false],
  [{ scope: ["swarm"] }, false],
  [{ nonsense: ["x"] }, true],
  [{ type: ["container"], event: ["die"] }, false],
])("filter %p", (filters, passes) => {
  const events = new Events();
  const { seen } = collect(events, { filters: new Map(Object.entries(filters)) });
  events.publish("container", "exec_start: sh", "abcdef", { name: "my-name", image: "alpine:3", color: "red" });
  expect(seen.length).toBe(passes ? 1 : 0);
});

test("a listener that throws is dropped, the others hear", () => {
  const events = new Events();
  events.subscribe({ filters: none }, () => {
    throw new Error("gone");
  });
  const { seen } = collect(events, { filters: none });
  events.publish("volume", "create", "v", {});
  expect(seen.length).toBe(1);
  expect(events.listenerCount).toBe(1);
});
