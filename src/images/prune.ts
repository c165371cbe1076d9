/** POST /images/prune: removes images that no container uses. */
import { invalidParameter } from "../lib/errors.ts";
import type { ImageDeleteResponseItem } from "../wire/engine-api.ts";
import { imageFilter } from "./list.ts";
import type { ImageRecord } from "./record.ts";
import { remove } from "./remove.ts";
import type { ImageRooms } from "./rooms.ts";

const pruneFilters = new Set(["dangling", "label", "label!", "until"]);

/**
 * Removes images without a name, or with the filter dangling=false also those with one, and what cancelled pulls left.
 * Returns what was untagged and deleted, and the bytes of the layers and downloads that are gone. Throws on other filters.
 */
export async function prune(
  rooms: ImageRooms,
  filters: Map<string, string[]>,
): Promise<{ deleted: ImageDeleteResponseItem[]; spaceReclaimed: number }> {
  for (const name of filters.keys()) if (!pruneFilters.has(name)) throw invalidParameter(`invalid filter '${name}'`);
  const { dangling = ["true"], ...others } = Object.fromEntries(filters);
  const onlyDangling = !["false", "0"].includes(dangling[0] ?? "true");
  const passes = imageFilter(rooms, new Map(Object.entries(onlyDangling ? { ...others, dangling: ["true"] } : others)));
  const isUsed = ({ id }: ImageRecord) => rooms.usedBy(id).length > 0;
  // The other platforms of an image share its fate.
  const family = (record: ImageRecord) => [
    record,
    ...rooms.store.referencesOf(record.id).flatMap((reference) => rooms.store.family(reference)),
  ];
  const unused = rooms.store
    .all()
    .filter((record) => !rooms.store.isHiddenVariant(record) && passes(record) && !family(record).some(isUsed));
  const sizes = new Map(
    unused.flatMap(family).flatMap(({ diffIds }) => diffIds.map((diffId) => [diffId, rooms.layers.size(diffId)])),
  );
  const deleted: ImageDeleteResponseItem[] = [];
  // The removal of an image takes parents along that have no name.
  for (const { id } of unused)
    if (rooms.store.byId(id) !== undefined) deleted.push(...(await remove(rooms, id, { force: true, noPrune: false })));
  let spaceReclaimed = rooms.content.discardPartials((digest) => rooms.downloads.isUnderWay(digest));
  for (const [diffId, size] of sizes) if (!rooms.layers.has(diffId)) spaceReclaimed += size;
  return { deleted, spaceReclaimed };
}
