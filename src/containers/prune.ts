/** prune: removes all containers that do not run. */
import { invalidParameter } from "../lib/errors.ts";
import { parseTimestamp } from "../lib/time.ts";
import { containerFilter, type Filters } from "./filters.ts";
import { erase } from "./remove.ts";
import type { Rooms } from "./rooms.ts";

const pruneFilters = new Set(["label", "label!", "until"]);

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
    const { status } = container.record.state;
    if (status !== "created" && status !== "exited" && status !== "dead") continue;
    if (!passes(container) || Date.parse(container.record.created) > untilMs) continue;
    reclaimed += await rooms.rootfs.usage(container.id);
    await container.lock.run(() => erase(rooms, container, false));
    deleted.push(container.id);
  }
  return { deleted, spaceReclaimed: reclaimed };
}
