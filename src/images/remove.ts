/** `docker rmi`: names go one by one, and with the last one the image, unless somebody needs it. */
import { createHash } from "node:crypto";
import { type BrigError, conflict } from "../lib/errors.ts";
import { familiarString, parseReference, type Reference, shortId, withDefaultTag } from "../lib/reference.ts";
import type { ImageDeleteResponseItem } from "../wire/engine-api.ts";
import { blobsOf, type ImageRecord } from "./record.ts";
import { announce, type ImageRooms, type ImageUser } from "./rooms.ts";
import { mainOf, resolveFor } from "./variants.ts";

export interface RemoveOptions {
  force: boolean;
  /** Keep parents that are left without a name. */
  noPrune: boolean;
  /** Only these platforms' images, `linux/arm64`, of all that the name stands for. */
  platforms?: string[];
}

/** Why an image cannot be deleted; a soft reason gives way to force. */
interface Obstacle {
  isHard: boolean;
  /** Whether the image is in use, and not merely named. */
  isUse: boolean;
  reason: string;
}

/** Removes a name or an image. Returns what was untagged and deleted, in Docker's order. */
export async function remove(
  rooms: ImageRooms,
  text: string,
  { force, noPrune, platforms = [] }: RemoveOptions,
): Promise<ImageDeleteResponseItem[]> {
  if (platforms.length > 0) return removePlatforms(rooms, text, platforms, { force, noPrune });
  const record = rooms.store.resolve(text);
  const variants = variantsBehind(rooms, rooms.store.referencesOf(record.id));
  const items: ImageDeleteResponseItem[] = [];
  if (isIdPrefix(record.id, text)) {
    if (isSingleRepository(rooms.store.referencesOf(record.id))) {
      const obstacle = findObstacle(rooms, record, false);
      if (obstacle && (obstacle.isHard || !force)) throw refusal(record, obstacle);
      untag(rooms, record, rooms.store.referencesOf(record.id), items);
    }
    await removeImage(rooms, record, { force, noPrune }, false, items);
    await removeNameless(rooms, variants, { force, noPrune }, items);
    return items;
  }

  const reference = namedReference(text);
  const used = [record, ...variants].find(({ id }) => rooms.usedBy(id).length > 0);
  const user = used && rooms.usedBy(used.id)[0];
  if (!force && user && isSingleRepository(rooms.store.referencesOf(record.id)))
    throw conflict(
      `conflict: unable to remove repository reference "${text}" (must force) - container ${shortId(user.id)} is using its referenced image ${shortId(used.id)}`,
    );
  untag(rooms, record, [reference], items);
  const left = rooms.store.referencesOf(record.id);
  if (reference.digest === undefined) {
    const ofRepository = left.filter(({ name }) => name === reference.name);
    if (ofRepository.every(({ digest }) => digest !== undefined)) {
      rooms.store.unreference(record.id, ofRepository);
      for (const digested of ofRepository) items.push({ Untagged: familiarString(digested) });
    }
  }
  await removeNameless(rooms, [record, ...variants], { force, noPrune }, items);
  return items;
}

/** Other platforms' images of the indexes that an image's references stand for. */
function variantsBehind(rooms: ImageRooms, references: Reference[]): ImageRecord[] {
  return [...new Set(references.flatMap((reference) => rooms.store.family(reference).slice(1)))];
}

/** Removes those of the images that no name stands for any more. One in use stays. */
async function removeNameless(
  rooms: ImageRooms,
  images: ImageRecord[],
  options: RemoveOptions,
  items: ImageDeleteResponseItem[],
): Promise<void> {
  for (const { id } of images) {
    const record = rooms.store.byId(id);
    if (record && rooms.store.isNameless(record)) await removeImage(rooms, record, options, true, items);
  }
}

/**
 * Removes the images of some platforms. A name that pointed at one of them goes on to another platform's; with the last
 * one it goes too.
 */
async function removePlatforms(
  rooms: ImageRooms,
  text: string,
  platforms: string[],
  options: RemoveOptions,
): Promise<ImageDeleteResponseItem[]> {
  const doomed = new Set(platforms.map((platform) => resolveFor(rooms.store, text, platform)));
  const items: ImageDeleteResponseItem[] = [];
  for (const record of doomed) {
    const obstacle = findObstacle(rooms, record, false);
    if (obstacle && (obstacle.isHard || !options.force)) throw refusal(record, obstacle);
  }
  for (const record of doomed) {
    for (const reference of rooms.store.referencesOf(record.id)) {
      const heir = mainOf(rooms.store.family(reference).filter((other) => !doomed.has(other)));
      if (heir) rooms.store.put(heir, [reference], rooms.store.targetOf(reference));
      else untag(rooms, record, [reference], items);
    }
    await removeImage(rooms, record, options, false, items);
  }
  return items;
}

function namedReference(text: string): Reference {
  const reference = withDefaultTag(parseReference(text));
  return reference.digest === undefined ? reference : { ...reference, tag: undefined };
}

function isIdPrefix(id: string, text: string): boolean {
  return id.startsWith(text) || id.slice("sha256:".length).startsWith(text);
}

/** Whether at most one tag, and digests of the same repository alone, point at an image. */
function isSingleRepository(references: Reference[]): boolean {
  const tags = references.filter(({ digest }) => digest === undefined);
  const repositories = new Set(references.map(({ name }) => name));
  return references.length <= 1 || (tags.length <= 1 && repositories.size === 1);
}

function untag(
  rooms: ImageRooms,
  record: ImageRecord,
  references: Reference[],
  items: ImageDeleteResponseItem[],
): void {
  rooms.store.unreference(record.id, references);
  for (const reference of references) {
    items.push({ Untagged: familiarString(reference) });
    announce(rooms, "untag", record.id, record.id, record.labels);
  }
}

/** Deletes an image that has, or may lose, its names. `isQuiet`: a name went, so that staying is no failure. */
async function removeImage(
  rooms: ImageRooms,
  record: ImageRecord,
  { force, noPrune }: RemoveOptions,
  isQuiet: boolean,
  items: ImageDeleteResponseItem[],
): Promise<void> {
  const obstacle = findObstacle(rooms, record, true);
  if (obstacle && (obstacle.isHard || !force)) {
    if (isQuiet && obstacle.isUse) return;
    throw refusal(record, obstacle);
  }
  untag(rooms, record, rooms.store.referencesOf(record.id), items);
  rooms.store.delete(record.id);
  announce(rooms, "delete", record.id, record.id, record.labels);
  items.push({ Deleted: record.id });
  const removed = new Set(await rooms.garbage.collect(blobsOf(record), record.diffIds));
  const chains = chainIds(record.diffIds);
  for (let index = chains.length - 1; index >= 0; index--)
    if (removed.has(record.diffIds[index]!)) items.push({ Deleted: chains[index]! });
  const parent = rooms.store.byId(record.parent ?? "");
  if (parent && !noPrune && rooms.store.isNameless(parent) && !findObstacle(rooms, parent, true))
    await removeImage(rooms, parent, { force: false, noPrune }, true, items);
}

function findObstacle(rooms: ImageRooms, record: ImageRecord, namesCount: boolean): Obstacle | undefined {
  const children = rooms.store.all().some(({ parent }) => parent === record.id);
  if (children) return { isHard: true, isUse: true, reason: "image has dependent child images" };
  const users = rooms.usedBy(record.id);
  const running = users.find((user) => user.running);
  if (running) return used(running, true);
  if (namesCount && rooms.store.referencesOf(record.id).length > 0)
    return { isHard: false, isUse: false, reason: "image is referenced in multiple repositories" };
  return users[0] && used(users[0], false);
}

function used(user: ImageUser, isRunning: boolean): Obstacle {
  const reason = `image is being used by ${isRunning ? "running" : "stopped"} container ${shortId(user.id)}`;
  return { isHard: isRunning, isUse: true, reason };
}

function refusal(record: ImageRecord, { isHard, reason }: Obstacle): BrigError {
  const how = isHard ? "cannot be forced" : "must be forced";
  return conflict(`conflict: unable to delete ${shortId(record.id)} (${how}) - ${reason}`);
}

/** The ids of stacks of layers, by which Docker tells which ones went (OCI image-spec, "Layer ChainID"). */
function chainIds(diffIds: string[]): string[] {
  const chains: string[] = [];
  for (const diffId of diffIds) {
    const below = chains.at(-1);
    chains.push(
      below === undefined ? diffId : `sha256:${createHash("sha256").update(`${below} ${diffId}`).digest("hex")}`,
    );
  }
  return chains;
}
