/** pause and unpause: the container's processes stand still, or go on. */
import { conflict } from "../lib/errors.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";

/** POST /containers/{id}/pause. Throws Docker's sentences for containers that cannot be paused. */
export function pauseContainer(rooms: Rooms, container: Container): Promise<void> {
  return container.lock.run(async () => {
    const { state, hostConfig } = container.record;
    if (state.status === "paused") throw conflict(`Container ${container.id} is already paused`);
    if (state.status === "restarting")
      throw conflict(`Container ${container.id} is restarting, wait until the container is running`);
    if (state.status !== "running") throw conflict(`container ${container.id} is not running`);
    await rooms.runtimeFor(hostConfig.Runtime ?? "").pause(container.id);
    state.status = "paused";
    rooms.store.save(container);
    announce(rooms, container, "pause");
  });
}

/** POST /containers/{id}/unpause. Throws `is not paused`. */
export function unpauseContainer(rooms: Rooms, container: Container): Promise<void> {
  return container.lock.run(async () => {
    const { state, hostConfig } = container.record;
    if (state.status !== "paused") throw conflict(`Container ${container.id} is not paused`);
    await rooms.runtimeFor(hostConfig.Runtime ?? "").resume(container.id);
    state.status = "running";
    delete state.frozenForCommit;
    rooms.store.save(container);
    announce(rooms, container, "unpause");
  });
}
