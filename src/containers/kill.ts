/** kill: a signal to a container's init. */
import { conflict, invalidParameter, systemError } from "../lib/errors.ts";
import { isSignal, parseSignal } from "../lib/signals.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { cancelRestart } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";

const SIGKILL = 9;
/** How long SIGKILL may take before another one is sent, and how many are. */
const killPatienceMs = 2_000;
const killAttempts = 5;

/**
 * Sends a signal by name or number. Throws `is not running` (409).
 * Returns when the container has ended, where it is killed. One that waits for a restart is not restarted.
 */
export async function killContainer(rooms: Rooms, container: Container, signal: string): Promise<void> {
  const number = parseSignal(signal);
  if (!isSignal(number)) throw invalidParameter(`the linux daemon does not support signal ${number}`);
  const { record } = container;
  const run = await container.lock.run(async () => {
    const isRestarting = record.state.status === "restarting";
    if (!container.running && !isRestarting) throw conflict(`container ${container.id} is not running`);
    if (countsAsStop(container, number)) {
      record.manuallyStopped = true;
      rooms.store.save(container);
    }
    if (isRestarting) {
      cancelRestart(rooms, container);
      return undefined;
    }
    // In an object, for the lock would wait for a promise.
    const run = { ended: container.nextExit() };
    await sendSignal(rooms, container, number);
    return number === SIGKILL ? run : undefined;
  });
  if (run !== undefined) await Promise.race([run.ended, Bun.sleep(killPatienceMs * killAttempts)]);
}

/** Docker takes any signal for a person's wish to end it, unless the container names the one that is. */
function countsAsStop({ record }: Container, signal: number): boolean {
  const { StopSignal: stopSignal } = record.config;
  return !stopSignal || signal === SIGKILL || signal === parseSignal(stopSignal);
}

/** Kills a container that runs, and returns when its end is recorded. Throws where the kernel holds its processes. */
export async function killUntilExit(rooms: Rooms, container: Container): Promise<void> {
  const exited = container.nextExit();
  for (let attempt = 0; container.running; attempt++) {
    if (attempt === killAttempts) throw systemError("tried to kill container, but did not receive an exit event");
    await sendSignal(rooms, container, SIGKILL);
    await Promise.race([exited, Bun.sleep(killPatienceMs)]);
  }
}

/** Sends `signal` to the container's init, and says so in the events. A paused container gets it when it runs again: Docker wakes it. */
export async function sendSignal(rooms: Rooms, container: Container, signal: number): Promise<void> {
  const { state, hostConfig } = container.record;
  const runtime = rooms.runtimeFor(hostConfig.Runtime ?? "");
  runtime.kill(container.id, { pid: state.pid, startTime: state.pidStartTime }, signal);
  if (state.status === "paused") {
    await runtime.resume(container.id);
    state.status = "running";
    rooms.store.save(container);
    announce(rooms, container, "unpause");
  }
  announce(rooms, container, "kill", { signal: String(signal) });
}
