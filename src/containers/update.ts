/** update: what can change of a container that exists. */

import { conflict, invalidParameter, notFound, notImplemented } from "../lib/errors.ts";
import type { ContainerUpdateResponse, Mount, PortMap, Resources, RestartPolicy } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import { changeMounts } from "./change-mounts.ts";
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
  /** Brig's own: what is to be mounted, as HostConfig.Mounts has it. */
  MountAdd?: Mount[];
  /** Brig's own: places of mounts that are to go. */
  MountRemove?: string[];
};

/** Changes the restart policy, the published ports and the mounts. Throws where the container is removed at its exit anyway, and for limits, which cannot change yet. */
export async function updateContainer(
  rooms: Rooms,
  container: Container,
  {
    RestartPolicy: policy,
    PublishAdd = {},
    PublishRemove = [],
    MountAdd = [],
    MountRemove = [],
    ...limits
  }: ContainerChange,
): Promise<ContainerUpdateResponse> {
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
  if (MountAdd.length > 0 || MountRemove.length > 0)
    await container.lock.run(async () => {
      if (rooms.store.byId(container.id) !== container) throw notFound(`No such container: ${container.id}`);
      await changeMounts(rooms, container, MountAdd, MountRemove);
    });
  rooms.store.save(container);
  announce(rooms, container, "update");
  return { Warnings: [] };
}
