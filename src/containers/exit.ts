/** What happens when a container's init has ended: by itself, by a signal, or while no daemon was there to see it. */
import { existsSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { unmount } from "../kernel/mount.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { endExecs } from "./exec.ts";
import { bundleDir, shmDir } from "./paths.ts";
import { erase } from "./remove.ts";
import { scheduleRestart, wantsRestart } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";

/** How a run ended. */
export interface RunEnd {
  exitCode: number;
  /** RFC 3339 with nanoseconds. */
  finishedAt: string;
}

/** Records the end of a run, takes down what it had, and does what the restart policy or `--rm` wants. */
export function handleExit(rooms: Rooms, container: Container, end: RunEnd): Promise<void> {
  return container.lock.run(async () => {
    if (!container.running) return;
    const { record } = container;
    const { state } = record;
    const oomKilled = existsSync(join(bundleDir(rooms.settings, container.id), "oom"));
    await cleanUpRun(rooms, container);
    const runMs = Math.max(0, Date.parse(end.finishedAt) - Date.parse(state.startedAt));
    record.state = { ...state, status: "exited", pid: 0, pidStartTime: 0, conmonPid: 0, oomKilled, ...end };
    if (oomKilled) announce(rooms, container, "oom");
    announce(rooms, container, "die", {
      exitCode: String(end.exitCode),
      execDuration: String(Math.floor(runMs / 1000)),
    });
    const restarts = !container.keepAfterExit && !container.removalBegun && wantsRestart(record, end.exitCode);
    if (restarts) {
      scheduleRestart(rooms, container, runMs);
      container.endRun({ exitCode: end.exitCode });
      return;
    }
    rooms.store.save(container);
    container.endRun({ exitCode: end.exitCode });
    if (record.hostConfig.AutoRemove && !container.keepAfterExit && !container.removalBegun)
      await erase(rooms, container, true);
  });
}

/** Takes down everything a run had outside the writable layer. Each step may be repeated, and may find nothing to do. */
export async function cleanUpRun(rooms: Rooms, container: Container): Promise<void> {
  const { id, record } = container;
  container.console?.close();
  container.console = undefined;
  endExecs(rooms, container);
  rooms.rotation.unwatch(id);
  rooms.networks.release(id);
  await rooms.runtimeFor(record.hostConfig.Runtime ?? "").delete(id);
  removeBundle(rooms, id);
}

/** Unmounts the root and removes the bundle. Idempotent. Throws where something cannot be unmounted. */
export function removeBundle(rooms: Rooms, id: string): void {
  const bundle = bundleDir(rooms.settings, id);
  rooms.rootfs.unmount(id);
  unmount(shmDir(rooms.settings, id), true);
  // A mount point that is still one refuses rmdir: nothing of what is mounted is ever removed.
  for (const mountPoint of [join(bundle, "rootfs"), shmDir(rooms.settings, id)])
    if (existsSync(mountPoint)) rmdirSync(mountPoint);
  rmSync(bundle, { recursive: true, force: true });
}
