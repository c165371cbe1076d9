/** prune: removes all containers that do not run. */
import { invalidParameter } from "../lib/errors.ts";
import { parseTimestamp } from "../lib/time.ts";
import type { Container } from "./container.ts";
import { containerFilter, type Filters } from "./filters.ts";
import { erase } from "./remove.ts";
import type { Rooms } from "./rooms.ts";

const pruneFilters = new Set(["label", "label!", "until"]);

function isPrunable({ record: { state } }: Container): boolean {
  return state.status === "created" || state.status === "exited" || state.status === "dead";
}

/** POST /containers/prune. `until` spares what was created later. Returns ids and the bytes of their writable layers. */
export async function pruneContainers(
  rooms: Rooms,
  filters: Filters,
): Promise<{ deleted: string[]; spaceReclaimed: number }> {
  for (const name of filters.keys()) if (!pruneFilters.has(name)) throw invalidParameter(`invalid filter '${name}'`);
  const passes = containerFilter(rooms, filters);
  const nowMs = Date.now();
  const until = filters.get("until")?.[0];
  const untilMs = until === undefined ? Number.POSITIVE_INFINITY : Number(parseTimestamp(until, nowMs) / 1_000_000n);
  const deleted: string[] = [];
  let reclaimed = 0;
  for (const container of [...rooms.store.all()]) {
    if (!isPrunable(container) || !passes(container) || Date.parse(container.record.created) > untilMs) continue;
    const sizeBytes = await rooms.rootfs.usage(container.id);
    await container.lock.run(async () => {
      // Meanwhile somebody may have started it, or removed it.
      if (!isPrunable(container) || rooms.store.byId(container.id) === undefined) return;
      await erase(rooms, container, false);
      reclaimed += sizeBytes;
      deleted.push(container.id);
    });
  }
  rooms.events.publish("container", "prune", "", { reclaimed: String(reclaimed) });
  return { deleted, spaceReclaimed: reclaimed };
}
