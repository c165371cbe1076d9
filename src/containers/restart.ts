/** restart: a stop, where the container runs, and a start. */
import { BrigError } from "../lib/errors.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";
import { startContainer } from "./start.ts";
import { type StopOptions, stopContainer } from "./stop.ts";

/** POST /containers/{id}/restart. An `--rm` container survives it. */
export async function restartContainer(rooms: Rooms, container: Container, options: StopOptions): Promise<void> {
  container.keepAfterExit = true;
  try {
    await unlessDone(stopContainer(rooms, container, options));
  } finally {
    container.keepAfterExit = false;
  }
  await unlessDone(startContainer(rooms, container, "person"));
  announce(rooms, container, "restart");
}

/** Somebody else may have stopped it, or started it, a moment before. */
async function unlessDone(change: Promise<void>): Promise<void> {
  try {
    await change;
  } catch (error) {
    if (!(error instanceof BrigError) || error.kind !== "notModified") throw error;
  }
}
