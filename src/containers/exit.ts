/** What happens when a container's init has ended: by itself, by a signal, or while no daemon was there to see it. */
import { existsSync, rmdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { unmount } from "../kernel/mount.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { endExecs } from "./exec.ts";
import { endHealth } from "./health.ts";
import { noteOom } from "./oom.ts";
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

/**
 * Takes down what a run had, records its end, and does what the restart policy or `--rm` wants. Where something cannot
 * be taken down, it throws after all the rest is done: nobody waits in vain.
 */
export function handleExit(rooms: Rooms, container: Container, end: RunEnd): Promise<void> {
  return container.lock.run(async () => {
    if (!container.running) return;
    const { record } = container;
    const { state } = record;
    noteOom(rooms, container);
    const trouble: unknown = await cleanUpRun(rooms, container).catch((error) => error ?? "unknown");
    const runMs = Math.max(0, Date.parse(end.finishedAt) - Date.parse(state.startedAt));
    delete state.frozenForCommit;
    endHealth(container);
    delete state.limitsChanging;
    record.state = { ...state, status: "exited", pid: 0, pidStartTime: 0, conmonPid: 0, ...end };
    announce(rooms, container, "die", {
      exitCode: String(end.exitCode),
      execDuration: String(Math.floor(runMs / 1000)),
    });
    const isKept = container.keepAfterExit || container.removalBegun;
    try {
      if (!isKept && wantsRestart(record, end.exitCode)) scheduleRestart(rooms, container, runMs);
      else rooms.store.save(container);
    } finally {
      container.endRun({ exitCode: end.exitCode });
    }
    rooms.runtimeFor(record.hostConfig.Runtime ?? "").forgetExit(container.id);
    if (record.hostConfig.AutoRemove && !isKept) await erase(rooms, container, true);
    if (trouble !== undefined) throw trouble;
  });
}

/**
 * Takes down everything a run had outside the writable layer. Each step may be repeated, and may find nothing to do.
 * Throws what the first step that failed has thrown, when all have been tried.
 */
export async function cleanUpRun(rooms: Rooms, container: Container): Promise<void> {
  const { id, record } = container;
  container.console?.close();
  container.console = undefined;
  container.oomWatcher?.close();
  container.oomWatcher = undefined;
  endExecs(rooms, container);
  rooms.rotation.unwatch(id);
  const failures: unknown[] = [];
  for (const step of [
    () => rooms.networks.release(id),
    () => rooms.runtimeFor(record.hostConfig.Runtime ?? "").delete(id),
    () => removeBundle(rooms, id),
    () => rooms.volumes.release(id),
  ])
    try {
      await step();
    } catch (error) {
      failures.push(error);
    }
  if (failures.length > 0) throw failures[0];
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
