/** update: what can change of a container that exists, running or not. */

import { BrigError, conflict, invalidParameter, messageOf, notFound } from "../lib/errors.ts";
import { containerResources } from "../runtime/resources.ts";
import type {
  ContainerUpdateResponse,
  HostConfig,
  Mount,
  PortMap,
  Resources,
  RestartPolicy,
} from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import { changeMounts } from "./change-mounts.ts";
import { checkRestartPolicy } from "./check-request.ts";
import { checkResources } from "./check-resources.ts";
import type { Container } from "./container.ts";
import { changePublished } from "./publish.ts";
import type { Rooms } from "./rooms.ts";

/** POST /containers/{id}/update: zero and what is empty mean as it is. */
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

/** What an update can change of the limits; Docker passes over the rest, too. */
const changeable = [
  "BlkioWeight",
  "BlkioWeightDevice",
  "BlkioDeviceReadBps",
  "BlkioDeviceWriteBps",
  "BlkioDeviceReadIOps",
  "BlkioDeviceWriteIOps",
  "CpuShares",
  "NanoCpus",
  "CpuPeriod",
  "CpuQuota",
  "CpuRealtimePeriod",
  "CpuRealtimeRuntime",
  "CpusetCpus",
  "CpusetMems",
  "Memory",
  "MemorySwap",
  "MemoryReservation",
] as const satisfies readonly (keyof Resources)[];

const isGiven = (value: unknown) => (Array.isArray(value) ? value.length > 0 : Boolean(value));

/**
 * Changes limits, the restart policy, the published ports and the mounts: in the kernel, where it runs, and for later starts. Throws
 * Docker's sentences for what contradicts itself or what there is, and what the kernel says; then nothing has changed.
 */
export async function updateContainer(
  rooms: Rooms,
  container: Container,
  change: ContainerChange,
): Promise<ContainerUpdateResponse> {
  const {
    RestartPolicy: policy,
    PublishAdd = {},
    PublishRemove = [],
    MountAdd = [],
    MountRemove = [],
    ...asked
  } = change;
  const warnings: string[] = [];
  checkResources(asked, rooms.settings.checkHost, warnings, "update");
  if (policy) checkRestartPolicy(policy);
  await container.lock.run(async () => {
    if (rooms.store.byId(container.id) !== container) throw notFound(`No such container: ${container.id}`);
    try {
      const { record } = container;
      if (record.state.status === "removing" || record.state.status === "dead")
        throw conflict(`container is marked for removal and cannot be "update"`);
      const changed = merge(record.hostConfig, asked);
      if (policy?.Name) {
        if (record.hostConfig.AutoRemove && policy.Name !== "no")
          throw conflict("Restart policy cannot be updated because AutoRemove is enabled for the container");
        changed.RestartPolicy = policy;
      }
      await apply(rooms, container, changed);
    } catch (error) {
      const kind = error instanceof BrigError ? error.kind : "system";
      throw new BrigError(kind, `Cannot update container ${container.id}: ${messageOf(error)}`, { cause: error });
    }
    if (Object.keys(PublishAdd).length > 0 || PublishRemove.length > 0) {
      changePublished(rooms, container, PublishAdd, PublishRemove);
      rooms.store.save(container);
    }
    if (MountAdd.length > 0 || MountRemove.length > 0) {
      await changeMounts(rooms, container, MountAdd, MountRemove);
      rooms.store.save(container);
    }
  });
  announce(rooms, container, "update");
  return { Warnings: warnings };
}

/** The host configuration with the change in it. Throws conflict where the two do not go together. */
function merge(hostConfig: HostConfig, asked: Resources): HostConfig {
  const { NanoCpus = 0, CpuPeriod = 0, CpuQuota = 0, Memory = 0, MemorySwap = 0 } = asked;
  const holds = (field: "NanoCpus" | "CpuPeriod" | "CpuQuota") => (hostConfig[field] ?? 0) > 0;
  const conflicting = (what: string, has: string) =>
    conflict(`Conflicting options: ${what} cannot be updated as ${has} has already been set`);
  if (NanoCpus > 0 && holds("CpuPeriod")) throw conflicting("Nano CPUs", "CPU Period");
  if (NanoCpus > 0 && holds("CpuQuota")) throw conflicting("Nano CPUs", "CPU Quota");
  if (CpuPeriod > 0 && holds("NanoCpus")) throw conflicting("CPU Period", "NanoCPUs");
  if (CpuQuota > 0 && holds("NanoCpus")) throw conflicting("CPU Quota", "NanoCPUs");
  const heldSwap = hostConfig.MemorySwap ?? 0;
  if (Memory !== 0 && MemorySwap === 0 && heldSwap !== -1 && Memory > heldSwap)
    throw conflict(
      "Memory limit should be smaller than already set memoryswap limit, update the memoryswap at the same time",
    );
  const merged: HostConfig = { ...hostConfig };
  for (const field of changeable) if (isGiven(asked[field])) Object.assign(merged, { [field]: asked[field] });
  if (asked.PidsLimit != null) merged.PidsLimit = Math.max(0, asked.PidsLimit);
  const swap = merged.MemorySwap ?? 0;
  if (swap > 0 && swap < (merged.Memory ?? 0))
    throw invalidParameter("Minimum memoryswap limit should be larger than memory limit, see usage");
  return merged;
}

/** The row comes first, and says so: who finds it after a crash writes its limits once more. */
async function apply(rooms: Rooms, container: Container, changed: HostConfig): Promise<void> {
  const { record } = container;
  const before = record.hostConfig;
  const isLive = container.running;
  record.hostConfig = changed;
  if (isLive) record.state.limitsChanging = true;
  rooms.store.save(container);
  if (!isLive) return;
  try {
    await rooms
      .runtimeFor(before.Runtime ?? "")
      .changeLimits(container.id, containerResources(before, []), containerResources(changed, []));
  } catch (error) {
    record.hostConfig = before;
    throw error;
  } finally {
    delete record.state.limitsChanging;
    rooms.store.save(container);
  }
}

/** Completes a change of limits that a daemon before this one has not. */
export async function completeUpdate(rooms: Rooms, { id, record }: Container): Promise<void> {
  if (!record.state.limitsChanging) return;
  await rooms
    .runtimeFor(record.hostConfig.Runtime ?? "")
    .changeLimits(id, { devices: [] }, containerResources(record.hostConfig, []));
  delete record.state.limitsChanging;
}
