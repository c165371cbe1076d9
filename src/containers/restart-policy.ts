/** Restart policies: whether a container that ended starts again, and when. */
import { messageOf } from "../lib/errors.ts";
import type { Container, Exit } from "./container.ts";
import type { ContainerRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";
import { startContainer } from "./start.ts";

const firstDelayMs = 100;
const longestDelayMs = 60_000;
/** A run that lasted this long starts the delays from the first again. */
const healthyRunMs = 10_000;

/** True when the policy wants another run after an exit with `exitCode`. */
export function wantsRestart(record: ContainerRecord, exitCode: number): boolean {
  if (record.manuallyStopped) return false;
  const { Name: policy, MaximumRetryCount: limit = 0 } = record.hostConfig.RestartPolicy ?? {};
  switch (policy) {
    case "always":
    case "unless-stopped":
      return true;
    case "on-failure":
      return exitCode !== 0 && (limit <= 0 || record.restartCount < limit);
    default:
      return false;
  }
}

/** True when the policy wants the container running after the daemon has started. */
export function wantsStartWithDaemon(record: ContainerRecord): boolean {
  const { Name: policy } = record.hostConfig.RestartPolicy ?? {};
  if (record.state.startedAt.startsWith("0001")) return false;
  return policy === "always" || wantsRestart(record, record.state.exitCode);
}

/** Puts the container into `restarting` and starts it when its delay is over. `runMs` is how long the last run took. */
export function scheduleRestart(rooms: Rooms, container: Container, runMs: number): void {
  container.restartDelayMs =
    runMs > healthyRunMs || container.restartDelayMs === 0
      ? firstDelayMs
      : Math.min(container.restartDelayMs * 2, longestDelayMs);
  container.record.state.status = "restarting";
  container.record.restartCount++;
  rooms.store.save(container);
  container.restartTimer = setTimeout(() => void restartNow(rooms, container), container.restartDelayMs);
}

async function restartNow(rooms: Rooms, container: Container): Promise<void> {
  container.restartTimer = undefined;
  const { record } = container;
  if (record.state.status !== "restarting") return;
  try {
    await startContainer(rooms, container, "policy");
  } catch (error) {
    // Cancelled, or started by a person, while it failed.
    if (record.state.status !== "restarting" || container.removalBegun) return;
    record.state.error = messageOf(error);
    if (wantsRestart(record, record.state.exitCode || 128)) scheduleRestart(rooms, container, 0);
    else giveUp(rooms, container, { exitCode: record.state.exitCode, error: record.state.error });
  }
}

/** Ends the waiting for a restart: the container counts as exited. */
export function cancelRestart(rooms: Rooms, container: Container): void {
  clearTimeout(container.restartTimer);
  container.restartTimer = undefined;
  container.restartDelayMs = 0;
  if (container.record.state.status === "restarting")
    giveUp(rooms, container, { exitCode: container.record.state.exitCode });
}

function giveUp(rooms: Rooms, container: Container, exit: Exit): void {
  container.record.state.status = "exited";
  rooms.store.save(container);
  container.endRun(exit);
}
