/** remove: a container, its writable layer, its logs, and its anonymous volumes where asked for. */
import { rm } from "node:fs/promises";
import { conflict, notFound } from "../lib/errors.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { isAnonymous } from "./create.ts";
import { sendSignal } from "./kill.ts";
import { containerDir } from "./paths.ts";
import { cancelRestart } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";

const SIGKILL = 9;
const killPatienceMs = 2_000;

export interface RemoveOptions {
  /** Kills it first where it runs. */
  force: boolean;
  /** Takes its anonymous volumes along. */
  volumes: boolean;
}

/** DELETE /containers/{id}. Throws Docker's refusals for containers that run. */
export async function removeContainer(rooms: Rooms, container: Container, options: RemoveOptions): Promise<void> {
  const { record } = container;
  if (record.state.status === "removing") {
    if (!options.force) throw conflict(`removal of container ${container.id} is already in progress`);
    await container.removal();
    return;
  }
  if (!options.force && (container.running || record.state.status === "restarting")) {
    const word = record.state.status;
    const advice = word === "paused" ? "Unpause and then stop the container" : "Stop the container";
    throw conflict(
      `cannot remove container "/${container.name}": container is ${word}: ${advice.toLowerCase()} before removing or force remove`,
    );
  }
  cancelRestart(rooms, container);
  record.manuallyStopped = true;
  container.removalBegun = true;
  const exited = container.nextExit();
  while (container.running) {
    await sendSignal(rooms, container, SIGKILL);
    await Promise.race([exited, Bun.sleep(killPatienceMs)]);
  }
  await container.lock.run(() => erase(rooms, container, options.volumes));
}

/** Takes everything of a container that does not run away. Each step may be repeated after a crash. To be called with the lock held. */
export async function erase(rooms: Rooms, container: Container, volumes: boolean): Promise<void> {
  const { record } = container;
  if (rooms.store.byId(container.id) === undefined) throw notFound(`No such container: ${container.id}`);
  record.state.status = "removing";
  rooms.store.save(container);
  rooms.networks.release(container.id);
  await rooms.rootfs.remove(container.id);
  await rm(containerDir(rooms.settings, container.id), { recursive: true, force: true });
  rooms.store.delete(container);
  if (volumes)
    for (const mount of record.mounts)
      if (mount.Type === "volume" && isAnonymous(mount.Name)) await removeUnused(rooms, mount.Name!);
  if (rooms.images.find(record.imageId) === undefined) void rooms.images.sweep();
  announce(rooms, container, "destroy");
  container.announceRemoval({ exitCode: record.state.exitCode });
}

/** An anonymous volume that another container shares by `--volumes-from` stays. */
async function removeUnused(rooms: Rooms, volume: string): Promise<void> {
  try {
    await rooms.volumes.remove(volume, true);
  } catch {
    // In use, or gone already.
  }
}
