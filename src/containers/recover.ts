/**
 * What a daemon does about containers when it starts: the same after a clean stop, a kill -9 and a reboot. Rows are
 * compared with what the kernel and conmon's files say, and the difference is mended.
 */
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { isAlive } from "../kernel/process.ts";
import { messageOf } from "../lib/errors.ts";
import { formatRfc3339Nano, nowRfc3339Nano } from "../lib/time.ts";
import type { Runtime } from "../runtime/runtime.ts";
import type { Container } from "./container.ts";
import { handleExit, type RunEnd, removeBundle } from "./exit.ts";
import { watchLogSize } from "./logs.ts";
import { erase } from "./remove.ts";
import { wantsStartWithDaemon } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";
import { startContainer } from "./start.ts";

/** Docker's exit code for a container whose end nobody saw. */
const unknownExitCode = 255;

/** First half, before networks and mounts are mended: finds out which containers still run, and follows them again. */
export async function findRunning(rooms: Rooms): Promise<{ live: Container[]; ended: Map<Container, RunEnd> }> {
  const live: Container[] = [];
  const ended = new Map<Container, RunEnd>();
  for (const container of rooms.store.all()) {
    if (!container.running) continue;
    const { state, hostConfig } = container.record;
    const runtime = rooms.runtimeFor(hostConfig.Runtime ?? "");
    const exit = await runtime.reopen(container.id, state.conmonPid);
    if (exit !== undefined)
      ended.set(container, { exitCode: exit.exitCode, finishedAt: formatRfc3339Nano(exit.finishedAtNs) });
    else if (isAlive(state.pid, state.pidStartTime) || runtime.isConmonAlive(container.id)) {
      container.beginRun();
      live.push(container);
      // Killed between the row and the last step of its start: that step is repeated.
      await runtime.startIfCreated(container.id);
    } else ended.set(container, { exitCode: unknownExitCode, finishedAt: nowRfc3339Nano() });
  }
  return { live, ended };
}

/** What no live container owns goes: processes, cgroups and the runtime's state, bundles. */
export async function removeStrays(rooms: Rooms, runtimes: Iterable<Runtime>, keep: Set<string>): Promise<void> {
  for (const runtime of runtimes) for (const id of runtime.leftovers()) if (!keep.has(id)) await runtime.delete(id);
  await rooms.rootfs.mend(new Set([...rooms.store.all()].map(({ id }) => id)));
  for (const id of readdirSync(join(rooms.settings.runRoot, "containers"))) if (!keep.has(id)) removeBundle(rooms, id);
}

/** Second half, when networks and mounts are as they should be: records ends, finishes removals, follows policies. */
export async function settle(rooms: Rooms, live: Container[], ended: Map<Container, RunEnd>): Promise<void> {
  for (const container of live) watchLogSize(rooms, container);
  for (const [container, end] of ended) await handleExit(rooms, container, end);
  const removed: Container[] = [];
  for (const container of rooms.store.all()) {
    const { record } = container;
    if (record.state.status === "removing") removed.push(container);
    else if (record.hostConfig.AutoRemove && record.state.status === "exited") removed.push(container);
  }
  for (const container of removed) await erase(rooms, container, container.record.hostConfig.AutoRemove ?? false);
}

/** Starts what its policy wants running. Failures are the container's own, and are reported to `warn`. */
export async function startByPolicy(rooms: Rooms, warn: (message: string) => void): Promise<void> {
  const wanted = [...rooms.store.all()].filter(
    (container) => !container.running && container.restartTimer === undefined && wantsStartWithDaemon(container.record),
  );
  await Promise.all(
    wanted.map(async (container) => {
      if (container.record.state.status === "restarting") container.record.state.status = "exited";
      try {
        await startContainer(rooms, container, "person");
      } catch (error) {
        warn(`container ${container.name} could not be started: ${messageOf(error)}`);
      }
    }),
  );
}
