/** trace: whether and how a container, the host or an address reaches another. */
import { readFileSync } from "node:fs";
import { BrigError } from "../lib/errors.ts";
import type { TracedContainer, TraceRequest } from "../networks/trace/trace.ts";
import type { TraceReport } from "../wire/network-trace.ts";
import type { Container } from "./container.ts";
import { etcFile } from "./paths.ts";
import type { Rooms } from "./rooms.ts";

/** GET /networks/trace. Throws invalidParameter for what cannot be asked, notFound for a source that is not there. */
export function traceFromContainer(rooms: Rooms, request: TraceRequest): Promise<TraceReport> {
  return rooms.networks.trace(request, (nameOrId) => {
    const container = find(rooms, nameOrId);
    return container && traced(rooms, container);
  });
}

function traced(rooms: Rooms, container: Container): TracedContainer {
  const { id, record } = container;
  const owner = sandboxOwner(rooms, container);
  const networks = owner === undefined ? ["host"] : Object.keys(owner.record.endpoints);
  return {
    id,
    name: record.name,
    status: record.state.status,
    pid: container.running ? record.state.pid : 0,
    sandbox: owner?.id,
    networks: networks.map((name) => nameOf(rooms, name)),
    etc(name) {
      try {
        return readFileSync(etcFile(rooms.settings, owner?.id ?? id, name), "utf8");
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
        throw error;
      }
    },
  };
}

/** Whose network namespace a container is in; undefined: the host's. */
function sandboxOwner(rooms: Rooms, container: Container): Container | undefined {
  const mode = container.record.hostConfig.NetworkMode ?? "";
  if (mode === "host") return undefined;
  return mode.startsWith("container:") ? (find(rooms, mode.slice("container:".length)) ?? container) : container;
}

function nameOf({ networks }: Rooms, nameOrId: string): string {
  return orUndefined(() => networks.resolve(nameOrId).name) ?? nameOrId;
}

function find({ store }: Rooms, nameOrId: string): Container | undefined {
  return orUndefined(() => store.find(nameOrId));
}

/** Names that are none, or not one, mean nobody. */
function orUndefined<T>(work: () => T): T | undefined {
  try {
    return work();
  } catch (error) {
    if (error instanceof BrigError) return undefined;
    throw error;
  }
}
