/** diff: what a container has changed of its image's files. */
import type { FilesystemChange } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { ownPaths } from "./own-paths.ts";
import type { Rooms } from "./rooms.ts";

/** GET /containers/{id}/changes, sorted by path. */
export async function diffContainer(
  rooms: Rooms,
  container: Container,
  signal?: AbortSignal,
): Promise<FilesystemChange[]> {
  const changes = await rooms.rootfs.changes(container.id, container.record.diffIds, ownPaths, signal);
  return changes.map(({ path, kind }) => ({ Path: path, Kind: kind }));
}
