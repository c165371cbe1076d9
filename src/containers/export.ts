/** export: the files of a container's whole root, running or not, as an archive. */
import { closeSync, openSync } from "node:fs";
import { O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import { conflict } from "../lib/errors.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { removeBundle } from "./exit.ts";
import { placeholders } from "./own-paths.ts";
import type { Rooms } from "./rooms.ts";

/**
 * GET /containers/{id}/export. Gives `take` the archive piece by piece, each when the last one was taken; what is mounted
 * in the container is not in it. Throws where the container is being removed, also while it is read.
 */
export async function exportContainer(
  rooms: Rooms,
  container: Container,
  take: (piece: Uint8Array) => Promise<void> | void,
  signal?: AbortSignal,
): Promise<void> {
  const { id, record } = container;
  const root = await container.lock.run(async () => openRoot(rooms, container));
  try {
    await rooms.rootfs.export(root, placeholders(record.created), take, signal);
    // What was gone by then is not in it, and nobody could tell.
    if (rooms.store.byId(id) !== container) throw conflict(`container ${id} was removed while it was exported`);
    announce(rooms, container, "export");
  } finally {
    closeSync(root);
    // Another export that still reads keeps what it has open.
    await container.lock.run(async () => {
      if (!container.running && !container.isCopied && rooms.store.byId(id) === container) removeBundle(rooms, id);
    });
  }
}

/** Mounts the root where it is not. After a crash the next start unmounts it, as the container does not run. */
function openRoot(rooms: Rooms, { id, record }: Container): number {
  const { status } = record.state;
  if (status === "dead") throw conflict(`You cannot export container ${id} which is Dead`);
  if (status === "removing") throw conflict(`You cannot export container ${id} which is being removed`);
  return openSync(rooms.rootfs.mount(id, record.diffIds), O_PATH | O_DIRECTORY);
}
