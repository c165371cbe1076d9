/** update: what can change of a container that exists. */

import { conflict, invalidParameter } from "../lib/errors.ts";
import type { ContainerUpdateResponse, RestartPolicy } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";

/** POST /containers/{id}/update with a restart policy. Throws where the container is removed at its exit anyway. */
export function updateContainer(
  rooms: Rooms,
  container: Container,
  policy: RestartPolicy | undefined,
): ContainerUpdateResponse {
  const { record } = container;
  if (record.state.status === "removing" || record.state.status === "dead")
    throw conflict(`Container is marked for removal and cannot be "update".`);
  if (policy?.Name) {
    if (record.hostConfig.AutoRemove && policy.Name !== "no")
      throw invalidParameter("Restart policy cannot be updated because AutoRemove is enabled for the container");
    record.hostConfig.RestartPolicy = policy;
  }
  rooms.store.save(container);
  announce(rooms, container, "update");
  return { Warnings: [] };
}
