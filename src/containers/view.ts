/** A container's files as it sees them: its root, and its binds and volumes in their places, whether it runs or not. */
import { closeSync, mkdirSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { bytesOf, closeFast, lookUpInRoot, statAt } from "../kernel/at.ts";
import { fdPath, O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import { cloneMounts, MS_BIND, MS_PRIVATE, MS_RDONLY, MS_REC, MS_REMOUNT, mount, unmount } from "../kernel/mount.ts";
import { processStartTime } from "../kernel/process.ts";
import { conflict } from "../lib/errors.ts";
import { makeMountPoint } from "../trees/mount-point.ts";
import type { Container } from "./container.ts";
import { removeBundle } from "./exit.ts";
import { MountStage } from "./mount-stage.ts";
import { prepareVolumes, sourceOf } from "./mounts.ts";
import { etcFile } from "./paths.ts";
import type { Rooms } from "./rooms.ts";
import { cleanDestination } from "./volume-spec.ts";

/** The root of a container's files, open. */
export interface ContainerView {
  rootFd: number;
  /** The file systems in memory of a container that runs, with the root that they are seen from. */
  memory: { rootFd: number; devices: Set<string> } | undefined;
  /** Aborted when the container is to be removed, which then waits for the end of the work. */
  signal: AbortSignal;
}

/** What is seen at a place. */
interface Overlay {
  source: string;
  destination: string;
  readOnly: boolean;
  /** Whether it is left out where the root has nothing at its place. */
  optional: boolean;
}

let copies = 0;

/** Has `work` see a container's files. Throws where the container is being removed. */
export async function withView<T>(
  rooms: Rooms,
  container: Container,
  work: (view: ContainerView) => Promise<T> | T,
): Promise<T> {
  const { id } = container;
  const name = `copy-${++copies}`;
  let rootFd: number;
  try {
    rootFd = await container.lock.run(() => openView(rooms, container, name));
  } catch (thrown) {
    rooms.volumes.release(name);
    throw thrown;
  }
  const { signal, end } = container.beginCopy();
  const memory = openMemory(container);
  try {
    return await work({ rootFd, memory, signal });
  } finally {
    closeSync(rootFd);
    if (memory !== undefined) closeSync(memory.rootFd);
    rooms.volumes.release(name);
    end();
    if (!container.running)
      await container.lock.run(async () => {
        if (!container.running && !container.isCopied && rooms.store.byId(id) === container) removeBundle(rooms, id);
      });
  }
}

async function openView(rooms: Rooms, container: Container, name: string): Promise<number> {
  const { id, record } = container;
  const { status } = record.state;
  if (status === "dead") throw conflict(`container ${id} is dead`);
  if (status === "removing") throw conflict(`container ${id} is being removed`);
  const rootfs = rooms.rootfs.mount(id, record.diffIds);
  // One that runs has filled them when it started.
  await prepareVolumes(record, container.running ? undefined : rootfs, name, rooms.volumes);
  const stage = new MountStage(rooms, name);
  try {
    const overlays = await overlaysOf(rooms, container, stage);
    return assemble(rootfs, viewPlace(rooms), overlays, record.hostConfig.ReadonlyRootfs ?? false);
  } finally {
    stage.release();
  }
}

async function overlaysOf(rooms: Rooms, { id, record }: Container, stage: MountStage): Promise<Overlay[]> {
  const overlays: Overlay[] = (["resolv.conf", "hostname", "hosts"] as const).map((name) => ({
    source: etcFile(rooms.settings, id, name),
    destination: `/etc/${name}`,
    readOnly: false,
    optional: true,
  }));
  for (const point of record.mounts) {
    if (point.Type === "tmpfs") continue;
    const source = await sourceOf(point, record, rooms, stage);
    overlays.push({ source, destination: point.Destination ?? "", readOnly: point.RW === false, optional: false });
  }
  const depth = ({ destination }: Overlay) => destination.split("/").length;
  return overlays
    .filter(({ source }) => statSync(source, { throwIfNoEntry: false }) !== undefined)
    .sort((one, other) => depth(one) - depth(other));
}

/** Where a view is put together: for one moment, so one place is enough for all. */
const viewPlace = (rooms: Rooms) => join(rooms.settings.runRoot, "view");

/** What a daemon left there that was killed in that moment. */
export function removeHalfView(rooms: Rooms): void {
  while (unmount(viewPlace(rooms), true));
}

/**
 * Mounts everything at `place`, takes a copy of that which is mounted nowhere, and unmounts it again. So there is nothing
 * to clean up after a crash: the copy goes with the returned fd. Nothing here waits.
 */
function assemble(rootfs: string, place: string, overlays: Overlay[], isRootReadOnly: boolean): number {
  mkdirSync(place, { recursive: true, mode: 0o700 });
  while (unmount(place, true));
  try {
    mount(rootfs, place, "", MS_BIND);
    mount("", place, "", MS_PRIVATE);
    for (const overlay of overlays) put(place, overlay);
    if (isRootReadOnly) mount("", place, "", MS_REMOUNT | MS_BIND | MS_RDONLY);
    return cloneMounts(place);
  } finally {
    unmount(place, true);
  }
}

function put(place: string, { source, destination, readOnly, optional }: Overlay): void {
  const root = openSync(place, O_PATH | O_DIRECTORY);
  const path = bytesOf(destination);
  try {
    const under =
      lookUpInRoot(root, path, O_PATH) ??
      (optional ? undefined : makeMountPoint(root, path, statSync(source).isDirectory()));
    if (under === undefined) return;
    try {
      mount(source, fdPath(under), "", MS_BIND | MS_REC);
    } finally {
      closeFast(under);
    }
    // What is mounted within it later is not to be seen where it comes from.
    const top = lookUpInRoot(root, path, O_PATH)!;
    try {
      mount("", fdPath(top), "", MS_PRIVATE | MS_REC);
      if (readOnly) mount("", fdPath(top), "", MS_REMOUNT | MS_BIND | MS_RDONLY);
    } finally {
      closeFast(top);
    }
  } finally {
    closeSync(root);
  }
}

/** A file system in memory belongs to the container's own mounts, and can be reached through a process of it alone. */
function openMemory({ running, record: { state, hostConfig, mounts } }: Container): ContainerView["memory"] {
  if (!running) return undefined;
  const places = ["/dev/shm", ...Object.keys(hostConfig.Tmpfs ?? {}).map(cleanDestination)];
  for (const { Type, Destination = "" } of mounts) if (Type === "tmpfs") places.push(Destination);
  let rootFd: number;
  try {
    rootFd = openSync(`/proc/${state.pid}/root`, O_PATH | O_DIRECTORY);
  } catch {
    return undefined; // It has ended.
  }
  const devices = new Set<string>();
  // Whoever has the pid now may be somebody else.
  if (processStartTime(state.pid) === state.pidStartTime)
    for (const place of places) {
      const fd = lookUpIfThere(rootFd, place);
      if (fd === undefined) continue;
      devices.add(statAt(fd, "")!.device);
      closeFast(fd);
    }
  return { rootFd, devices };
}

function lookUpIfThere(rootFd: number, path: string): number | undefined {
  try {
    return lookUpInRoot(rootFd, bytesOf(path), O_PATH | O_DIRECTORY);
  } catch {
    return undefined; // The container has put something else in its place.
  }
}
