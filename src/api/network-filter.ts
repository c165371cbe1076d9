/** The filters of GET /networks. */
import { invalidParameter } from "../lib/errors.ts";
import type { Network } from "../wire/engine-api.ts";
import type { Filters } from "./query.ts";

type Test = (network: Network, value: string) => boolean;

/** Networks that are there from the start. */
const predefined = new Set(["bridge", "host", "none"]);

const tests: Record<string, Test> = {
  driver: ({ Driver }, value) => Driver === value,
  id: ({ Id }, value) => Id?.startsWith(value) ?? false,
  name: ({ Name }, value) => Name?.includes(value) ?? false,
  scope: ({ Scope }, value) => Scope === value,
  type: ({ Name }, value) => (value === "builtin") === predefined.has(Name ?? ""),
  label: ({ Labels = {} }, value) => {
    const equals = value.indexOf("=");
    if (equals < 0) return Object.hasOwn(Labels, value);
    const key = value.slice(0, equals);
    return Object.hasOwn(Labels, key) && Labels[key] === value.slice(equals + 1);
  },
  dangling: () => true,
};

/** A predicate over networks; any value of a filter may match, but every label must. Throws on filters there are not. */
export function networkFilter(filters: Filters): (network: Network) => boolean {
  for (const [name, values] of filters) {
    if (!Object.hasOwn(tests, name)) throw invalidParameter(`invalid filter '${name}'`);
    for (const value of values)
      if (name === "type" && value !== "builtin" && value !== "custom")
        throw invalidParameter(`invalid filter 'type=${value}'`);
  }
  return (network) =>
    [...filters].every(([name, values]) => {
      if (values.length === 0) return true;
      const test = tests[name]!;
      return name === "label"
        ? values.every((value) => test(network, value))
        : values.some((value) => test(network, value));
    });
}
