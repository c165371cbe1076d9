/** update: what can change of a container that exists. */

import { conflict, invalidParameter, notImplemented } from "../lib/errors.ts";
import type { ContainerUpdateResponse, PortMap, Resources, RestartPolicy } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import { checkRestartPolicy } from "./check-request.ts";
import type { Container } from "./container.ts";
import { changePublished } from "./publish.ts";
import type { Rooms } from "./rooms.ts";

/** POST /containers/{id}/update */
export type ContainerChange = Resources & {
  RestartPolicy?: RestartPolicy;
  /** Brig's own: ports to publish, as HostConfig.PortBindings has them. */
  PublishAdd?: PortMap;
  /** Brig's own: ports to take back, `[HOST:]CONTAINER[/PROTOCOL]`. */
  PublishRemove?: string[];
};

/** Changes the restart policy and the published ports. Throws where the container is removed at its exit anyway, and for limits, which cannot change yet. */
export function updateContainer(
  rooms: Rooms,
  container: Container,
  { RestartPolicy: policy, PublishAdd = {}, PublishRemove = [], ...limits }: ContainerChange,
): ContainerUpdateResponse {
  const { record } = container;
  const asked = Object.entries(limits).find(([, value]) => (Array.isArray(value) ? value.length > 0 : Boolean(value)));
  if (asked !== undefined) throw notImplemented(`changing ${asked[0]} of a container is not implemented yet`);
  if (record.state.status === "removing" || record.state.status === "dead")
    throw conflict(`Container is marked for removal and cannot be "update".`);
  if (policy?.Name) {
    checkRestartPolicy(policy);
    if (record.hostConfig.AutoRemove && policy.Name !== "no")
      throw invalidParameter("Restart policy cannot be updated because AutoRemove is enabled for the container");
    record.hostConfig.RestartPolicy = policy;
  }
  if (Object.keys(PublishAdd).length > 0 || PublishRemove.length > 0)
    changePublished(rooms, container, PublishAdd, PublishRemove);
  rooms.store.save(container);
  announce(rooms, container, "update");
  return { Warnings: [] };
}
