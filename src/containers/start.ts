/** start: from a container that was created to one that runs. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { processStartTime } from "../kernel/process.ts";
import { BrigError, conflict, messageOf, notModified } from "../lib/errors.ts";
import { nowRfc3339Nano } from "../lib/time.ts";
import type { Sandbox } from "../networks/networks.ts";
import type { Launch } from "../runtime/runtime.ts";
import { announce } from "./announce.ts";
import { consoleOf } from "./attach.ts";
import { buildBundle } from "./bundle.ts";
import type { Container } from "./container.ts";
import { cleanUpRun } from "./exit.ts";
import { watchHealth } from "./health.ts";
import { establishLinks, followLinked, linksOf } from "./links.ts";
import { backstopBytes, watchLogSize } from "./logs.ts";
import { MountStage } from "./mount-stage.ts";
import { watchOom } from "./oom.ts";
import { bundleDir, logPath } from "./paths.ts";
import type { ContainerRecord } from "./record.ts";
import { removeContainer } from "./remove.ts";
import type { Rooms } from "./rooms.ts";

/** Who wants the start: a start by a person begins the counting of restarts anew. */
export type StartReason = "person" | "policy";

/**
 * POST /containers/{id}/start. Throws notModified when it runs already; what keeps it from starting otherwise, and then the
 * container is as before, with the reason in its state.
 */
export function startContainer(rooms: Rooms, container: Container, reason: StartReason): Promise<void> {
  return container.lock.run(async () => {
    const { record } = container;
    // Cancelled while this waited for its turn.
    if (reason === "policy" && (record.state.status !== "restarting" || container.removalBegun)) return;
    checkStartable(container, reason);
    if (reason === "person") {
      container.restartDelayMs = 0;
      record.restartCount = 0;
      record.manuallyStopped = false;
    }
    try {
      await launch(rooms, container);
    } catch (error) {
      await recordFailure(rooms, container, error);
      throw error;
    }
  });
}

function checkStartable({ record, removalBegun }: Container, reason: StartReason): void {
  const { status } = record.state;
  if (status === "paused") throw conflict("cannot start a paused container, try unpause instead");
  // One that is to be restarted counts as running.
  if (status === "running" || (status === "restarting" && reason === "person")) throw notModified();
  if (status === "removing" || status === "dead" || removalBegun)
    throw conflict(`container is marked for removal and cannot be started`);
}

async function launch(rooms: Rooms, container: Container): Promise<void> {
  const { record, id } = container;
  const { settings } = rooms;
  const { Tty: tty = false, OpenStdin: openStdin = false, StdinOnce: stdinOnce = false } = record.config;
  const runtime = rooms.runtimeFor(record.hostConfig.Runtime ?? "");
  const bundle = bundleDir(settings, id);
  mkdirSync(bundle, { recursive: true, mode: 0o711 });
  // First, because conmon is to hold the sockets of the container's name server.
  const sandbox = openSandbox(rooms, record);
  let launching: Launch | undefined;
  const stage = new MountStage(rooms, id);
  try {
    // conmon takes a while to load: it does so while the mounts are made.
    launching = runtime.begin({
      id,
      bundle,
      tty,
      openStdin,
      leaveStdinOpen: tty || !stdinOnce,
      logPath: record.hostConfig.LogConfig?.Type === "none" ? undefined : logPath(settings, id),
      logBackstopBytes: backstopBytes(record),
      keptFds: sandbox?.keptFds,
    });
    const rootfs = rooms.rootfs.mount(id, record.diffIds);
    const spec = await buildBundle(rooms, container, rootfs, sandbox, stage);
    writeFileSync(join(bundle, "config.json"), JSON.stringify(spec));
    const created = launching.proceed();
    // Where what follows throws, nobody waits for it.
    created.catch(() => undefined);
    sandbox?.connect();
    const { pid, conmonPid } = await created;
    container.beginRun();
    record.state = {
      status: "running",
      pid,
      pidStartTime: processStartTime(pid) ?? 0,
      conmonPid,
      exitCode: 0,
      error: "",
      startedAt: nowRfc3339Nano(),
      finishedAt: record.state.finishedAt,
      oomKilled: false,
    };
    rooms.store.save(container);
    // Who comes from now on connects for himself.
    await consoleOf(rooms, container).connectIfAwaited();
    await runtime.start(id);
  } catch (error) {
    // What it cannot take back, recordFailure tries again, and every later removal.
    await launching?.abort().catch(() => undefined);
    throw error;
  } finally {
    sandbox?.close();
    stage.release();
  }
  establishLinks(rooms, container, linksOf(rooms, record, { onlyRunning: true }));
  followLinked(rooms, container);
  watchLogSize(rooms, container);
  announce(rooms, container, "start");
  watchHealth(rooms, container, { isNew: true });
  watchOom(rooms, container);
}

/** The network a container gets for its own; undefined where it has the host's or another container's. */
function openSandbox(rooms: Rooms, { id, name, config, hostConfig, endpoints }: ContainerRecord): Sandbox | undefined {
  const mode = hostConfig.NetworkMode ?? "bridge";
  if (mode.startsWith("container:")) return undefined;
  return rooms.networks.open({ containerId: id, name, config, hostConfig, endpoints });
}

/** Takes back what the start had made, and keeps the reason where inspect shows it. */
async function recordFailure(rooms: Rooms, container: Container, error: unknown): Promise<void> {
  const { record } = container;
  const trouble: unknown = await cleanUpRun(rooms, container).catch((reason) => reason ?? "unknown");
  const message = trouble === undefined ? messageOf(error) : `${messageOf(error)} (and then: ${messageOf(trouble)})`;
  record.state.status = record.state.status === "running" ? "exited" : record.state.status;
  record.state.pid = 0;
  record.state.conmonPid = 0;
  record.state.error = message;
  record.state.exitCode = exitCodeFor(message);
  try {
    rooms.store.save(container);
  } finally {
    // The reason is the answer to the start: who waits for the end beside it, as clients do, would report it once more.
    container.endRun({ exitCode: record.state.exitCode });
  }
  if (record.hostConfig.AutoRemove && !(error instanceof BrigError && error.kind === "notModified"))
    queueMicrotask(() => void removeContainer(rooms, container, { force: true, volumes: true }).catch(() => undefined));
}

/** Docker's code for a container that did not start: 127 where the command is not there, 126 where it cannot be executed. */
export function exitCodeFor(message: string): number {
  if (/executable file.*not found|no such file or directory|system cannot find the file/i.test(message)) return 127;
  if (/permission denied|not a directory|is a directory/i.test(message)) return 126;
  return 128;
}
