/** stop: asks a container to end, and makes it when it does not. */
import { notModified } from "../lib/errors.ts";
import { parseSignal } from "../lib/signals.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { killUntilExit, sendSignal } from "./kill.ts";
import { cancelRestart } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";

const defaultTimeoutSeconds = 10;

export interface StopOptions {
  /** The container's own stop signal where there is none. */
  signal?: string;
  /** Seconds until SIGKILL; negative waits without end; the container's own or 10 where there is none. */
  timeoutSeconds?: number;
}

/** POST /containers/{id}/stop. Throws notModified when the container does not run. */
export async function stopContainer(rooms: Rooms, container: Container, options: StopOptions): Promise<void> {
  const { record } = container;
  const signal = parseSignal(options.signal || record.config.StopSignal || "SIGTERM");
  // What begins a run or ends one holds the lock: the run that is stopped is the one that is there afterwards.
  const run = await container.lock.run(async () => {
    const isRestarting = record.state.status === "restarting";
    if (!container.running && !isRestarting) throw notModified();
    record.manuallyStopped = true;
    rooms.store.save(container);
    if (isRestarting) {
      cancelRestart(rooms, container);
      return undefined;
    }
    // In an object, for the lock would wait for a promise.
    const run = { ended: container.nextExit() };
    await sendSignal(rooms, container, signal);
    return run;
  });
  if (run !== undefined) {
    const timeoutSeconds = options.timeoutSeconds ?? record.config.StopTimeout ?? defaultTimeoutSeconds;
    const hasEnded = await within(run.ended, timeoutSeconds < 0 ? undefined : timeoutSeconds * 1000);
    if (!hasEnded) await killUntilExit(rooms, container);
  }
  announce(rooms, container, "stop");
}

/** True when `promise` settles within that time; without a time it waits. */
async function within(promise: Promise<unknown>, timeoutMs: number | undefined): Promise<boolean> {
  if (timeoutMs === undefined) return promise.then(() => true);
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, timeoutMs, false);
  });
  try {
    return await Promise.race([promise.then(() => true), timeout]);
  } finally {
    clearTimeout(timer);
  }
}
