/** The filters of GET /networks. */
import { invalidParameter } from "../lib/errors.ts";
import { parseTimestamp } from "../lib/time.ts";
import type { Network } from "../wire/engine-api.ts";
import type { Filters } from "./query.ts";
import type { NetworksRoom } from "./rooms.ts";

type Test = (network: Network, value: string) => boolean;

/** Networks that are there from the start. */
const predefined = new Set(["bridge", "host", "none"]);

const tests: Record<string, Test> = {
  driver: ({ Driver }, value) => Driver === value,
  id: ({ Id }, value) => Id?.startsWith(value) ?? false,
  name: ({ Name }, value) => Name?.includes(value) ?? false,
  scope: ({ Scope }, value) => Scope === value,
  type: ({ Name }, value) => (value === "builtin") === predefined.has(Name ?? ""),
  label: hasLabel,
};

const booleans: Record<string, boolean> = { true: true, "1": true, false: false, "0": false };

function hasLabel({ Labels = {} }: Network, value: string): boolean {
  const equals = value.indexOf("=");
  if (equals < 0) return Object.hasOwn(Labels, value);
  const key = value.slice(0, equals);
  return Object.hasOwn(Labels, key) && Labels[key] === value.slice(equals + 1);
}

/** A predicate over networks; any value of a filter may match, but every label must. Throws on filters there are not. */
export function networkFilter(
  filters: Filters,
  networks: Pick<NetworksRoom, "inspect">,
): (network: Network) => boolean {
  const dangling = danglingOf(filters);
  for (const [name, values] of filters) {
    if (name === "dangling") continue;
    if (!Object.hasOwn(tests, name)) throw invalidParameter(`invalid filter '${name}'`);
    for (const value of values)
      if (name === "type" && value !== "builtin" && value !== "custom")
        throw invalidParameter(`invalid filter: 'type'='${value}'`);
  }
  const isDangling = ({ Id = "", Name = "" }: Network) =>
    !predefined.has(Name) && Object.keys(networks.inspect(Id).Containers).length === 0;
  return (network) =>
    (dangling === undefined || dangling === isDangling(network)) &&
    [...filters].every(([name, values]) => {
      if (values.length === 0 || name === "dangling") return true;
      const test = tests[name]!;
      return name === "label"
        ? values.every((value) => test(network, value))
        : values.some((value) => test(network, value));
    });
}

function danglingOf(filters: Filters): boolean | undefined {
  const values = filters.get("dangling") ?? [];
  if (values.length === 0) return undefined;
  if (values.length > 1) throw invalidParameter('got more than one value for filter key "dangling"');
  const [first] = values.map((value) => (Object.hasOwn(booleans, value) ? booleans[value] : undefined));
  if (first === undefined)
    throw invalidParameter(`invalid value for filter 'dangling', must be "true" (or "1"), or "false" (or "0")`);
  return first;
}

/** What `network prune` may remove: by labels that must or must not be there, and by age. Throws on other filters. */
export function networkPruneFilter(filters: Filters): (network: Network) => boolean {
  for (const name of filters.keys())
    if (!["label", "label!", "until"].includes(name)) throw invalidParameter(`invalid filter '${name}'`);
  const until = filters.get("until") ?? [];
  if (until.length > 1) throw invalidParameter("more than one until filter specified");
  const untilMs = until[0] === undefined ? undefined : Number(parseTimestamp(until[0], Date.now()) / 1_000_000n);
  const wanted = filters.get("label") ?? [];
  const unwanted = filters.get("label!") ?? [];
  return (network) =>
    wanted.every((label) => hasLabel(network, label)) &&
    !unwanted.some((label) => hasLabel(network, label)) &&
    (untilMs === undefined || Date.parse(network.Created ?? "") < untilMs);
}
