/** stop: asks a container to end, and makes it when it does not. */
import { notModified } from "../lib/errors.ts";
import { parseSignal } from "../lib/signals.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { sendSignal } from "./kill.ts";
import { cancelRestart } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";

const SIGKILL = 9;
const defaultTimeoutSeconds = 10;
/** How long SIGKILL may take before a second one is sent. */
const killPatienceMs = 2_000;

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
  if (record.state.status === "restarting") {
    record.manuallyStopped = true;
    cancelRestart(rooms, container);
    announce(rooms, container, "stop");
    return;
  }
  if (!container.running) throw notModified();
  record.manuallyStopped = true;
  rooms.store.save(container);

  const timeoutSeconds = options.timeoutSeconds ?? record.config.StopTimeout ?? defaultTimeoutSeconds;
  const exited = container.nextExit();
  await sendSignal(rooms, container, signal);
  const ended = await within(exited, timeoutSeconds < 0 ? undefined : timeoutSeconds * 1000);
  while (!ended && container.running) {
    await sendSignal(rooms, container, SIGKILL);
    if (await within(exited, killPatienceMs)) break;
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
