/**
 * What a daemon does about containers when it starts: the same after a clean stop, a kill -9 and a reboot. Rows are
 * compared with what the kernel and conmon's files say, and the difference is mended. One container that cannot be
 * mended does not keep the others waiting: it is told to `warn`.
 */
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../lib/errors.ts";
import { formatRfc3339Nano } from "../lib/time.ts";
import type { Runtime } from "../runtime/runtime.ts";
import { renewEtcFiles } from "./connect.ts";
import type { Container } from "./container.ts";
import { handleExit, type RunEnd, removeBundle } from "./exit.ts";
import { watchHealth } from "./health.ts";
import { establishLinks, linksOf } from "./links.ts";
import { watchLogSize } from "./logs.ts";
import { removeStages } from "./mount-stage.ts";
import { watchOom } from "./oom.ts";
import { bundleDir } from "./paths.ts";
import { erase } from "./remove.ts";
import { wantsStartWithDaemon } from "./restart-policy.ts";
import type { Rooms } from "./rooms.ts";
import { startContainer } from "./start.ts";
import { completeUpdate } from "./update.ts";
import { removeHalfView } from "./view.ts";

type Warn = (message: string) => void;

/** How many containers are started at a time. */
const startsAtOnce = 8;

/** First part, before networks and mounts are mended: finds out which containers still run, and follows them again. */
export async function findRunning(
  rooms: Rooms,
  warn: Warn,
): Promise<{ live: Container[]; ended: Map<Container, RunEnd> }> {
  const live: Container[] = [];
  const ended = new Map<Container, RunEnd>();
  for (const container of rooms.store.all()) {
    if (!container.running) continue;
    const { state, hostConfig } = container.record;
    try {
      const runtime = rooms.runtimeFor(hostConfig.Runtime ?? "");
      const exit = await runtime.reopen(container.id, state.conmonPid);
      if (exit !== undefined) {
        ended.set(container, { exitCode: exit.exitCode, finishedAt: formatRfc3339Nano(exit.finishedAtNs) });
        continue;
      }
      // Killed between a row and the step beside it: that step is repeated, or the row follows.
      await runtime.startIfCreated(container.id);
      if (state.frozenForCommit) await runtime.resume(container.id);
      delete state.frozenForCommit;
      await completeUpdate(rooms, container);
      state.status = runtime.isPaused(container.id) ? "paused" : "running";
      rooms.store.save(container);
    } catch (error) {
      warn(`container ${container.name} cannot be followed: ${messageOf(error)}`);
    }
    for (const { Type, Name = "" } of container.record.mounts)
      if (Type === "volume") rooms.volumes.hold(Name, container.id);
    container.beginRun();
    live.push(container);
  }
  return { live, ended };
}

/** Second part: what no live container owns goes: processes, cgroups and the runtime's state, mounts, bundles. */
export async function removeStrays(
  rooms: Rooms,
  runtimes: Iterable<Runtime>,
  live: Container[],
  warn: Warn,
): Promise<void> {
  const keep = new Set(live.map(({ id }) => id));
  const active = new Set<string>();
  for (const runtime of runtimes) {
    for (const problem of await runtime.removeStrays(keep)) warn(problem.message);
    for (const directory of runtime.activeDirectories()) active.add(directory);
  }
  const attempt = async (what: string, work: () => unknown) => {
    try {
      await work();
    } catch (error) {
      warn(`${what} could not be removed: ${messageOf(error)}`);
    }
  };
  await attempt("a half made view of a container", () => removeHalfView(rooms));
  await attempt("mounts that no container has taken over", () => removeStages(rooms));
  for (const id of readdirSync(join(rooms.settings.runRoot, "containers")))
    if (!keep.has(id)) await attempt(`what container ${id} has left`, () => removeBundle(rooms, id));
  await attempt("what containers have left", () =>
    rooms.rootfs.mend(new Set([...rooms.store.all()].map(({ id }) => id))),
  );
  // Execs that have ended while nobody was there to clean up after them.
  for (const { id } of live) {
    const bundle = bundleDir(rooms.settings, id);
    for (const name of readdirSync(bundle))
      if (name.startsWith("exec-") && !active.has(join(bundle, name)))
        rmSync(join(bundle, name), { recursive: true, force: true });
  }
}

/** Third part, when networks and mounts are as they should be: records ends, finishes removals, follows policies. */
export async function settle(
  rooms: Rooms,
  runtimes: Iterable<Runtime>,
  live: Container[],
  ended: Map<Container, RunEnd>,
  warn: Warn,
): Promise<void> {
  for (const container of live) {
    watchLogSize(rooms, container);
    watchOom(rooms, container);
    rooms.networks.rename(container.id, container.name);
    followNetworks(rooms, container);
    watchHealth(rooms, container, { isNew: false });
    try {
      if (rooms.networks.placesOf(container.id) !== undefined) renewEtcFiles(rooms, container);
    } catch (error) {
      warn(`files in /etc of container ${container.name} may tell of networks it had: ${messageOf(error)}`);
    }
    try {
      establishLinks(rooms, container, linksOf(rooms, container.record, { onlyRunning: true }));
    } catch (error) {
      warn(`links of container ${container.name} are lost: ${messageOf(error)}`);
    }
  }
  for (const [container, end] of ended)
    await handleExit(rooms, container, end).catch((error) =>
      warn(`the end of container ${container.name} was not clean: ${messageOf(error)}`),
    );
  try {
    rooms.volumes.unmountUnheld();
  } catch (error) {
    warn(`a volume that nobody uses could not be unmounted: ${messageOf(error)}`);
  }
  const known = new Set(live.map(({ id }) => id));
  for (const runtime of runtimes) runtime.forgetOtherExits(known);
  for (const container of [...rooms.store.all()]) {
    const { state, hostConfig, removesVolumes } = container.record;
    if (state.status === "restarting" && container.restartTimer === undefined) {
      state.status = "exited";
      rooms.store.save(container);
    }
    const isDoomed = hostConfig.AutoRemove && (state.status === "exited" || state.error !== "");
    if (state.status === "removing" || (isDoomed && !container.running))
      await erase(rooms, container, removesVolumes ?? isDoomed ?? false).catch((error) =>
        warn(`container ${container.name} could not be removed: ${messageOf(error)}`),
      );
  }
}

/** Killed while a container came to a network or left one: its record follows what its namespace has. */
function followNetworks(rooms: Rooms, container: Container): void {
  const places = rooms.networks.placesOf(container.id);
  if (places === undefined) return;
  const { endpoints } = container.record;
  const nameOf = (key: string) => {
    try {
      return rooms.networks.resolve(key).name;
    } catch {
      return key;
    }
  };
  const known = Object.keys(endpoints).map(nameOf).sort().join("\n");
  if (known === Object.keys(places).sort().join("\n")) return;
  container.record.endpoints = places;
  rooms.store.save(container);
}

/** Last part, when clients are served: starts what its policy wants running. Failures are the container's own. */
export async function startByPolicy(rooms: Rooms, warn: Warn): Promise<void> {
  const wanted = [...rooms.store.all()].filter(
    ({ record }) => record.state.status === "exited" && wantsStartWithDaemon(record),
  );
  const startAll = async (queue: Container[]) => {
    for (let next = queue.shift(); next !== undefined; next = queue.shift())
      try {
        await startContainer(rooms, next, "person");
      } catch (error) {
        warn(`container ${next.name} could not be started: ${messageOf(error)}`);
      }
  };
  // Those that join another container's namespaces come after it.
  const joins = wanted.filter(({ record: { hostConfig } }) =>
    [hostConfig.NetworkMode, hostConfig.PidMode, hostConfig.IpcMode].some((mode) => mode?.startsWith("container:")),
  );
  const alone = wanted.filter((container) => !joins.includes(container));
  await Promise.all(Array.from({ length: startsAtOnce }, () => startAll(alone)));
  await startAll(joins);
}
