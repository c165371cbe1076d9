/** Which containers a list's or prune's filters let through. */
import { invalidParameter } from "../lib/errors.ts";
import type { Container } from "./container.ts";
import { type ContainerStatus, isRunning } from "./record.ts";
import type { Rooms } from "./rooms.ts";

/** Filters as the API has them: values by name, any of which may match. */
export type Filters = Map<string, string[]>;

const statuses = new Set<ContainerStatus>(["created", "running", "paused", "restarting", "removing", "exited", "dead"]);
const healths = new Set(["none", "starting", "healthy", "unhealthy"]);
const known = new Set(
  "ancestor before exited expose health id isolation is-task label label! name network publish since status volume until".split(
    " ",
  ),
);

/** A predicate for GET /containers/json. Throws on filters Docker does not know and on values that cannot be. */
export function containerFilter(rooms: Rooms, filters: Filters): (container: Container) => boolean {
  const tests: ((container: Container) => boolean)[] = [];
  for (const [name, values] of filters) {
    if (!known.has(name)) throw invalidParameter(`invalid filter '${name}'`);
    if (values.length > 0) tests.push(filterBy(rooms, name, values));
  }
  return (container) => tests.every((test) => test(container));
}

function filterBy(rooms: Rooms, name: string, values: string[]): (container: Container) => boolean {
  switch (name) {
    case "id":
      return ({ id }) => values.some((value) => id.startsWith(value) || matches(value, id));
    case "name":
      return (container) => values.some((value) => matchesName(value, container.name));
    case "label":
      return ({ record }) => values.every((value) => hasLabel(record.config.Labels, value));
    case "label!":
      return ({ record }) => !values.some((value) => hasLabel(record.config.Labels, value));
    case "status": {
      for (const value of values)
        if (!statuses.has(value as ContainerStatus)) throw invalidParameter(`invalid filter 'status=${value}'`);
      return ({ record }) => values.includes(record.state.status);
    }
    case "exited": {
      const codes = values.map((value) => integer("exited", value));
      return ({ record }) =>
        codes.includes(record.state.exitCode) && !isRunning(record) && record.state.status !== "created";
    }
    case "ancestor": {
      const ids = new Set(values.flatMap((value) => rooms.images.find(value)?.id ?? []));
      const lowest = new Map([...ids].map((id) => [id, rooms.images.get(id).diffIds.join()]));
      return ({ record }) =>
        ids.has(record.imageId) ||
        values.includes(record.config.Image ?? "") ||
        [...lowest.values()].some((layers) => layers !== "" && `${record.diffIds.join()},`.startsWith(`${layers},`));
    }
    case "before":
      return comparedWith(rooms, values, (created, other) => created < other);
    case "since":
      return comparedWith(rooms, values, (created, other) => created > other);
    case "volume":
      return ({ record }) =>
        values.some((value) =>
          record.mounts.some((mount) => [mount.Name, mount.Source, mount.Destination].includes(value)),
        );
    case "network":
      return ({ record, id }) => {
        const attached = Object.entries(rooms.networks.settingsOf(id, record.state.pid, record).Networks ?? {});
        return values.some(
          (value) =>
            record.hostConfig.NetworkMode === value ||
            attached.some(([name, { NetworkID }]) => name === value || NetworkID?.startsWith(value)),
        );
      };
    case "publish":
    case "expose": {
      const wanted = values.map(parsePorts);
      return ({ record }) => {
        const ports = Object.keys(
          (name === "publish" ? record.hostConfig.PortBindings : record.config.ExposedPorts) ?? {},
        );
        return wanted.some(({ protocol, from, to }) =>
          ports.some((port) => {
            const [number, its = "tcp"] = port.split("/");
            return its === protocol && Number(number) >= from && Number(number) <= to;
          }),
        );
      };
    }
    case "health":
      for (const value of values)
        if (!healths.has(value)) throw invalidParameter(`unrecognized filter value for health: ${value}`);
      return ({ record }) => values.includes(record.state.health?.status ?? "none");
    case "isolation":
      return () => values.includes("default") || values.includes("");
    case "is-task":
      if (values.some((value) => !/^(1|t|true|0|f|false)$/i.test(value)))
        throw invalidParameter(`invalid filter 'is-task=[${values.join(" ")}]'`);
      return () => values.some((value) => ["false", "0", "f", "F", "False", "FALSE"].includes(value));
    default:
      return () => true;
  }
}

function comparedWith(rooms: Rooms, values: string[], holds: (created: string, other: string) => boolean) {
  const others = values.map((value) => rooms.store.find(value));
  return (container: Container) =>
    others.every((other) => other !== container && holds(container.record.created, other.record.created));
}

/** Docker matches names as regular expressions, with and without the slash. */
function matchesName(pattern: string, name: string): boolean {
  return pattern === name || pattern === `/${name}` || matches(pattern, name) || matches(pattern, `/${name}`);
}

function matches(pattern: string, text: string): boolean {
  try {
    return new RegExp(pattern).test(text);
  } catch {
    return text.includes(pattern);
  }
}

/** `key` or `key=value`. */
export function hasLabel(labels: Record<string, string> | undefined, wanted: string): boolean {
  const split = wanted.indexOf("=");
  if (split < 0) return labels !== undefined && Object.hasOwn(labels, wanted);
  const key = wanted.slice(0, split);
  return labels !== undefined && Object.hasOwn(labels, key) && labels[key] === wanted.slice(split + 1);
}

function integer(filter: string, value: string): number {
  if (!/^[-+]?\d+$/.test(value))
    throw invalidParameter(
      `invalid filter '${filter}=${value}': strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
    );
  return Number(value);
}

function parsePorts(value: string): { protocol: string; from: number; to: number } {
  const [range = "", protocol = "tcp"] = value.split("/");
  const [from, to = from] = range.split("-").map(Number);
  if (from === undefined || to === undefined || Number.isNaN(from) || Number.isNaN(to) || to < from || to > 65_535)
    throw invalidParameter(`invalid filter 'publish=${value}'`);
  return { protocol, from, to };
}
