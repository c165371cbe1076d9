/** kill: a signal to a container's init. */
import { conflict } from "../lib/errors.ts";
import { parseSignal } from "../lib/signals.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";

const SIGKILL = 9;
const SIGTERM = 15;

/** Sends a signal by name or number; `askedFor` is what the client called the container. Throws `is not running` (409). A stop by the container's own stop signal counts as a person's. */
export async function killContainer(
  rooms: Rooms,
  container: Container,
  askedFor: string,
  signal = "SIGKILL",
): Promise<void> {
  const number = parseSignal(signal === "" || signal === "0" ? "SIGKILL" : signal);
  if (!container.running)
    throw conflict(`cannot kill container: ${askedFor}: container ${container.id} is not running`);
  const stopSignal = parseSignal(container.record.config.StopSignal || "SIGTERM");
  if (number === SIGKILL || number === SIGTERM || number === stopSignal) {
    container.record.manuallyStopped = true;
    rooms.store.save(container);
  }
  const exit = number === SIGKILL ? container.nextExit() : undefined;
  await sendSignal(rooms, container, number);
  if (exit !== undefined) await Promise.race([exit, Bun.sleep(10_000)]);
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
