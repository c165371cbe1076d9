/** restart: a stop, where the container runs, and a start. */
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";
import { startContainer } from "./start.ts";
import { type StopOptions, stopContainer } from "./stop.ts";

/** POST /containers/{id}/restart. An `--rm` container survives it. */
export async function restartContainer(rooms: Rooms, container: Container, options: StopOptions): Promise<void> {
  const { record } = container;
  if (container.running || record.state.status === "restarting") {
    container.keepAfterExit = true;
    try {
      await stopContainer(rooms, container, options);
    } finally {
      container.keepAfterExit = false;
    }
  }
  await startContainer(rooms, container, "person");
  announce(rooms, container, "restart");
}
