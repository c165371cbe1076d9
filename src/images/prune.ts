/** POST /images/prune: removes images that no container uses. */
import { BrigError, invalidParameter } from "../lib/errors.ts";
import { familiarString } from "../lib/reference.ts";
import type { ImageDeleteResponseItem } from "../wire/engine-api.ts";
import { danglingOf, imageFilter } from "./list.ts";
import type { ImageRecord } from "./record.ts";
import { remove } from "./remove.ts";
import { announcePrune, type ImageRooms } from "./rooms.ts";

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
  const onlyDangling = danglingOf(dangling);
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
  for (const { id } of unused) deleted.push(...(await removeUnlessNeeded(rooms, id)));
  let spaceReclaimed = rooms.content.discardPartials((digest) => rooms.downloads.isUnderWay(digest));
  for (const [diffId, size] of sizes) if (!rooms.layers.has(diffId)) spaceReclaimed += size;
  announcePrune(rooms, spaceReclaimed);
  return { deleted, spaceReclaimed };
}

/**
 * Removes an image name by name. One that others are built upon, or that somebody took into use by now, stays; it goes
 * with the last image built upon it, for then it has no name.
 */
async function removeUnlessNeeded(rooms: ImageRooms, id: string): Promise<ImageDeleteResponseItem[]> {
  const items: ImageDeleteResponseItem[] = [];
  const names = rooms.store.referencesOf(id);
  for (const name of names.length > 0 ? names : [undefined]) {
    // The removal before this one may have taken it along.
    const isThere = name ? rooms.store.idOf(name) === id : rooms.store.byId(id) !== undefined;
    if (!isThere) continue;
    try {
      items.push(...(await remove(rooms, name ? familiarString(name) : id, { force: false, noPrune: false })));
    } catch (thrown) {
      if (!(thrown instanceof BrigError && thrown.kind === "conflict")) throw thrown;
    }
  }
  return items;
}
