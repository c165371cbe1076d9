/** remove: a container, its writable layer, its logs, and its anonymous volumes where asked for. */
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { conflict, messageOf, notFound, systemError } from "../lib/errors.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { isAnonymous } from "./create.ts";
import { cleanUpRun } from "./exit.ts";
import { killUntilExit } from "./kill.ts";
import { bundleDir, containerDir } from "./paths.ts";
import { cancelRestart } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";

export interface RemoveOptions {
  /** Kills it first where it runs. */
  force: boolean;
  /** Takes its anonymous volumes along. */
  volumes: boolean;
}

/** DELETE /containers/{id}. Throws Docker's refusals for containers that run, and what keeps it from being removed. */
export async function removeContainer(rooms: Rooms, container: Container, options: RemoveOptions): Promise<void> {
  if (container.record.state.status === "removing") {
    if (!options.force) throw conflict(`removal of container ${container.id} is already in progress`);
    const end = await container.removal();
    if (end?.error) throw systemError(end.error);
    return;
  }
  try {
    for (let isGone = false; !isGone; ) {
      if (options.force) {
        container.removalBegun = true;
        await killUntilExit(rooms, container);
      }
      isGone = await container.lock.run(() => eraseStopped(rooms, container, options));
    }
  } catch (error) {
    container.removalBegun = false;
    throw error;
  }
}

/** False where it runs: its start was under way when it was to be killed. */
async function eraseStopped(rooms: Rooms, container: Container, { force, volumes }: RemoveOptions): Promise<boolean> {
  const { status } = container.record.state;
  if (!force && (container.running || status === "restarting")) {
    const advice =
      status === "paused"
        ? "container is paused and must be unpaused first"
        : `container is ${status}: stop the container before removing or force remove`;
    throw conflict(`cannot remove container "/${container.name}": ${advice}`);
  }
  if (container.running) return false;
  cancelRestart(rooms, container);
  await erase(rooms, container, volumes);
  return true;
}

/**
 * Takes everything of a container that does not run away. Each step may be repeated after a crash. To be called with
 * the lock held. Where it throws the container is dead, and may be removed again.
 */
export async function erase(rooms: Rooms, container: Container, volumes: boolean): Promise<void> {
  const { record, id } = container;
  if (rooms.store.byId(id) === undefined) throw notFound(`No such container: ${id}`);
  record.state.status = "removing";
  record.removesVolumes = volumes;
  try {
    rooms.store.save(container);
    // There is something only where it could not be taken down when it was to be.
    if (existsSync(bundleDir(rooms.settings, id))) await cleanUpRun(rooms, container);
    container.console?.close();
    rooms.networks.release(id);
    container.abortCopies();
    await container.allRead();
    await rooms.rootfs.remove(id);
    await rm(containerDir(rooms.settings, id), { recursive: true, force: true });
    if (volumes)
      for (const mount of record.mounts)
        if (mount.Type === "volume" && isAnonymous(mount.Name)) await removeUnused(rooms, mount.Name!);
    rooms.store.delete(container);
  } catch (error) {
    record.state.status = "dead";
    record.state.error = messageOf(error);
    container.announceRemoval({ exitCode: record.state.exitCode, error: record.state.error });
    rooms.store.save(container);
    throw error;
  }
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
