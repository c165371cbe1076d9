/** update --mount-add and --mount-rm: binds, volumes and the like, of a container that runs at once. */
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { bytesOf } from "../kernel/at.ts";
import { fdPath, O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import {
  cloneMounts,
  MS_PRIVATE,
  MS_SHARED,
  MS_SLAVE,
  mount,
  readMounts,
  setMountAttributes,
} from "../kernel/mount.ts";
import { conflict, invalidParameter } from "../lib/errors.ts";
import { orderMount } from "../runtime/container-mounts.ts";
import type { Mount, MountPoint } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { mountedLayers } from "./create.ts";
import { MountStage } from "./mount-stage.ts";
import { checkPropagation, detailsOf, mountPoint, prepareVolumes, sourceOf, tmpfsOptionsOf } from "./mounts.ts";
import { resolveLinks } from "./resolve-links.ts";
import type { Rooms } from "./rooms.ts";
import { checkMount, cleanDestination, parseBind, tmpfsOptions } from "./volume-spec.ts";

/**
 * Changes what is mounted in a container: first `removed`, by their places, then `added`. To be called with the lock held.
 * What can be checked is, before anything changes. The record says what has been done, also where it throws.
 */
export async function changeMounts(
  rooms: Rooms,
  container: Container,
  added: Mount[],
  removed: string[],
): Promise<void> {
  const { record } = container;
  const places = removed.map(cleanDestination);
  for (const [index, place] of places.entries()) {
    if (places.indexOf(place) !== index || !hasMount(container, place))
      throw invalidParameter(`container ${record.name} has no mount at ${removed[index]}`);
    if (
      record.mounts.some(({ Destination = "" }) => Destination.startsWith(`${place}/`) && !places.includes(Destination))
    )
      throw conflict(`other mounts of container ${record.name} lie below ${removed[index]}`);
  }
  const taken = new Set<string>();
  for (const mount of added) {
    checkMount(mount);
    const place = cleanDestination(mount.Target ?? "");
    if (taken.has(place) || (hasMount(container, place) && !places.includes(place)))
      throw invalidParameter(`Duplicate mount point: ${place}`);
    taken.add(place);
  }
  // Deeper ones go first.
  for (const place of places.toSorted((one, other) => other.length - one.length)) await remove(rooms, container, place);
  for (const mount of added) await add(rooms, container, mount);
}

const hasMount = ({ record: { mounts, hostConfig } }: Container, place: string) =>
  mounts.some(({ Destination }) => Destination === place) || tmpfsAt(hostConfig.Tmpfs, place) !== undefined;

const tmpfsAt = (tmpfs: Record<string, string> | undefined, place: string) =>
  Object.keys(tmpfs ?? {}).find((path) => cleanDestination(path) === place);

async function remove(rooms: Rooms, container: Container, place: string): Promise<void> {
  const { record, id } = container;
  const { hostConfig } = record;
  if (container.running) await detach(container, place);
  const gone = record.mounts.find(({ Destination }) => Destination === place);
  record.mounts = record.mounts.filter((point) => point !== gone);
  delete record.mountDetails?.[place];
  const key = tmpfsAt(hostConfig.Tmpfs, place);
  if (key !== undefined) delete hostConfig.Tmpfs![key];
  hostConfig.Mounts = hostConfig.Mounts?.filter(({ Target = "" }) => cleanDestination(Target) !== place);
  if (hostConfig.Mounts?.length === 0) delete hostConfig.Mounts;
  hostConfig.Binds = hostConfig.Binds?.filter((text) => parseBind(text).destination !== place) ?? null!;
  rooms.store.save(container);
  const isStillUsed = record.mounts.some(({ Name }) => Name !== undefined && Name === gone?.Name);
  if (gone?.Type === "volume" && !isStillUsed) rooms.volumes.release(id, gone.Name);
}

async function detach({ record: { state } }: Container, place: string): Promise<void> {
  const path = placeInside(state.pid, place);
  // The last of several at one place lies on top.
  const found = readMounts(state.pid).findLast(({ mountPoint }) => mountPoint === path);
  // The container may have unmounted it by itself.
  if (found === undefined) return;
  const process = { pid: state.pid, startTime: state.pidStartTime };
  await orderMount(process, { kind: "detach", path, mountId: found.mountId });
}

async function add(rooms: Rooms, container: Container, mount: Mount): Promise<void> {
  const { record } = container;
  const { mounts, hostConfig, mountDetails } = record;
  const layersOf = (reference: string) => mountedLayers(rooms, reference);
  // Nothing waits between the volume and the mount that keeps it from being pruned.
  const point = mountPoint(mount, {
    volumes: rooms.volumes,
    layersOf,
    volumesFrom: () => ({ mounts: [] }),
  });
  const place = point.Destination ?? "";
  const details = detailsOf(mount, { layersOf });
  record.mounts = [...mounts, point];
  if (details !== undefined) record.mountDetails = { ...mountDetails, [place]: details };
  const asked = point.Type === "volume" ? { ...mount, Source: point.Name } : mount;
  record.hostConfig = { ...hostConfig, Mounts: [...(hostConfig.Mounts ?? []), asked] };
  try {
    if (container.running) await attach(rooms, container, point, mount);
  } catch (error) {
    Object.assign(record, { mounts, hostConfig, mountDetails });
    const isStillUsed = mounts.some(({ Name }) => Name !== undefined && Name === point.Name);
    if (point.Type === "volume" && !isStillUsed) rooms.volumes.release(container.id, point.Name);
    throw error;
  }
  rooms.store.save(container);
}

async function attach(rooms: Rooms, { record, id }: Container, point: MountPoint, mount: Mount): Promise<void> {
  const { state } = record;
  const path = placeInside(state.pid, point.Destination ?? "");
  if (/^\/proc(\/|$)/.test(path))
    throw invalidParameter(`"${point.Destination}" cannot be mounted because it is inside "/proc"`);
  const rootfs = rooms.rootfs.mount(id, record.diffIds);
  await prepareVolumes({ ...record, mounts: [point] }, rootfs, id, rooms.volumes);
  const stage = new MountStage(rooms, `update-${id}`);
  try {
    const source = point.Type === "tmpfs" ? mountTmpfs(stage, mount) : await sourceOf(point, record, rooms, stage);
    if (point.Type === "bind" && mount.BindOptions?.CreateMountpoint)
      mkdirSync(source, { recursive: true, mode: 0o755 });
    const propagation = point.Propagation || "rprivate";
    if (point.Type === "bind") checkPropagation(source, propagation);
    const recursive = !mount.BindOptions?.NonRecursive;
    const tree = cloneMounts(source, recursive);
    try {
      setMountAttributes(tree, {
        readOnly: point.RW === false,
        recursive: recursive && !mount.BindOptions?.ReadOnlyNonRecursive,
        propagation: propagation.endsWith("shared") ? MS_SHARED : propagation.endsWith("slave") ? MS_SLAVE : MS_PRIVATE,
      });
      const order = { kind: "attach", path, isDirectory: statSync(fdPath(tree)).isDirectory() } as const;
      await orderMount({ pid: state.pid, startTime: state.pidStartTime }, order, tree);
    } finally {
      closeSync(tree);
    }
  } finally {
    stage.release();
  }
}

const flagNames = ["noexec", "nosuid", "nodev", "ro", "rprivate"];
/** MS_NOEXEC, MS_NOSUID, MS_NODEV; what is read-only becomes so when all is mounted. */
const tmpfsFlags = 8 | 2 | 4;

function mountTmpfs(stage: MountStage, asked: Mount): string {
  const place = stage.directory();
  const data = tmpfsOptions(tmpfsOptionsOf(asked)).filter((option) => !flagNames.includes(option));
  mount("tmpfs", place, "tmpfs", tmpfsFlags, data.join(","));
  return place;
}

/** A place of a container that runs with all links in its path resolved, as its own mount table has it. */
function placeInside(pid: number, place: string): string {
  const root = openSync(`/proc/${pid}/root`, O_PATH | O_DIRECTORY);
  try {
    return Buffer.from(resolveLinks(root, bytesOf(place)), "latin1").toString("utf8");
  } finally {
    closeSync(root);
  }
}
