/** Health checks: a command in the container, now and then, whose exit code says how the container is. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { messageOf } from "../lib/errors.ts";
import { nowRfc3339Nano } from "../lib/time.ts";
import { containerEnvironment } from "../runtime/environment.ts";
import { hostFacts } from "../runtime/host-facts.ts";
import type { ProbeResult } from "../runtime/probe.ts";
import { buildExecProcess } from "../runtime/spec.ts";
import { resolveUser } from "../runtime/user.ts";
import type { Health, HealthcheckResult } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { bundleDir } from "./paths.ts";
import type { ContainerRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";

export type HealthStatus = "starting" | "healthy" | "unhealthy";

/** What the row keeps of a container's health; the last results are only in memory. */
export interface HealthState {
  status: HealthStatus;
  failingStreak: number;
}

/** What is watched of a container. */
export interface HealthMonitor {
  log: HealthcheckResult[];
  timer: NodeJS.Timeout | undefined;
  running: AbortController;
}

const nsPerMs = 1_000_000;
/** Docker's. */
const defaults = { intervalMs: 30_000, timeoutMs: 30_000, startIntervalMs: 5_000, retries: 3 };
const keptResults = 5;
const outputLimitBytes = 4096;
const timedOutCode = -1;

/** The command that is to be run; undefined where there is none. */
export function healthCommand({ config }: ContainerRecord): string[] | undefined {
  const [kind, ...words] = config.Healthcheck?.Test ?? [];
  if (kind === "CMD") return words;
  if (kind === "CMD-SHELL") return [...(config.Shell?.length ? config.Shell : ["/bin/sh", "-c"]), words[0] ?? ""];
  return undefined;
}

/** Begins to watch a container that runs. `isNew`: its run has just begun, and nothing is known of its health. */
export function watchHealth(rooms: Rooms, container: Container, { isNew }: { isNew: boolean }): void {
  const command = healthCommand(container.record);
  if (command === undefined) return;
  stopTimer(container);
  const { state } = container.record;
  if (isNew || state.health === undefined) {
    state.health = { status: "starting", failingStreak: 0 };
    rooms.store.save(container);
  }
  container.health = { log: [], timer: undefined, running: new AbortController() };
  writeProcess(rooms, container, command);
  schedule(rooms, container);
}

/** Ends the watch: the container does not run any more. Docker calls such a container unhealthy. */
export function endHealth(container: Container): void {
  stopTimer(container);
  const { state } = container.record;
  if (state.health !== undefined) state.health.status = "unhealthy";
}

/** State.Health as inspect shows it; undefined where there is no check. */
export function shownHealth({ record, health }: Container): Health | undefined {
  const { state } = record;
  if (state.health === undefined) return undefined;
  const { status, failingStreak } = state.health;
  return { Status: status, FailingStreak: failingStreak, Log: health?.log ?? [] };
}

function stopTimer(container: Container): void {
  clearTimeout(container.health?.timer);
  container.health?.running.abort();
}

function schedule(rooms: Rooms, container: Container): void {
  const { health } = container;
  if (health === undefined || health.running.signal.aborted) return;
  health.timer = setTimeout(() => void check(rooms, container), delayMs(container.record));
}

function delayMs({ config, state }: ContainerRecord): number {
  const { Interval, StartInterval } = config.Healthcheck ?? {};
  return state.health?.status === "starting" && startPeriodLeft({ config, state }) > 0
    ? milliseconds(StartInterval, defaults.startIntervalMs)
    : milliseconds(Interval, defaults.intervalMs);
}

function startPeriodLeft({ config, state }: Pick<ContainerRecord, "config" | "state">): number {
  return Date.parse(state.startedAt) + milliseconds(config.Healthcheck?.StartPeriod, 0) - Date.now();
}

const milliseconds = (ns: number | undefined, otherwise: number) => (ns ? ns / nsPerMs : otherwise);

async function check(rooms: Rooms, container: Container): Promise<void> {
  const { health, record, id } = container;
  if (health === undefined || !container.running || health.running.signal.aborted) return;
  // One that stands still is asked when it goes on.
  if (record.state.status === "paused") {
    schedule(rooms, container);
    return;
  }
  const { signal } = health.running;
  const timeoutMs = milliseconds(record.config.Healthcheck?.Timeout, defaults.timeoutMs);
  const start = nowRfc3339Nano();
  let result: HealthcheckResult;
  try {
    const directory = bundleDir(rooms.settings, id);
    const specPath = join(directory, "health.json");
    const options = { id, directory, specPath, timeoutMs, outputLimitBytes, signal };
    result = resultOf(start, await rooms.runtimeFor(record.hostConfig.Runtime ?? "").probe(options), timeoutMs);
  } catch (error) {
    result = { Start: start, End: nowRfc3339Nano(), ExitCode: timedOutCode, Output: messageOf(error) };
  }
  if (signal.aborted || !container.running) return;
  health.log = [...health.log, result].slice(-keptResults);
  apply(rooms, container, result);
  schedule(rooms, container);
}

function resultOf(start: string, { exitCode, output, isTruncated }: ProbeResult, timeoutMs: number): HealthcheckResult {
  const End = nowRfc3339Nano();
  if (exitCode === undefined)
    return {
      Start: start,
      End,
      ExitCode: timedOutCode,
      Output: `Health check exceeded timeout (${goDuration(timeoutMs)}): ${output}`,
    };
  return { Start: start, End, ExitCode: exitCode, Output: isTruncated ? `${output}...` : output };
}

/** What one result makes of a container's health. */
function apply(rooms: Rooms, container: Container, { ExitCode }: HealthcheckResult): void {
  const { record } = container;
  const { health } = record.state;
  if (health === undefined) return;
  const before = { ...health };
  if (ExitCode === 0) {
    health.failingStreak = 0;
    health.status = "healthy";
  } else if (health.status !== "starting" || startPeriodLeft(record) <= 0) {
    health.failingStreak++;
    if (health.failingStreak >= (record.config.Healthcheck?.Retries || defaults.retries)) health.status = "unhealthy";
  }
  if (health.status === before.status && health.failingStreak === before.failingStreak) return;
  rooms.store.save(container);
  if (health.status !== before.status) announce(rooms, container, `health_status: ${health.status}`);
}

/** The process of all checks of a run, as the runtime reads it. */
function writeProcess(rooms: Rooms, { record, id }: Container, args: string[]): void {
  const { settings } = rooms;
  const { config, hostConfig } = record;
  const user = resolveUser(rooms.rootfs.mount(id, record.diffIds), config.User ?? "", hostConfig.GroupAdd ?? []);
  const process = buildExecProcess({
    args,
    env: containerEnvironment(config.Env ?? [], { hostname: config.Hostname ?? "", home: user.home, tty: false }),
    cwd: config.WorkingDir || "/",
    user,
    tty: false,
    consoleSize: undefined,
    privileged: false,
    hostConfig,
    defaultNoNewPrivileges: settings.noNewPrivileges,
    defaultUlimits: settings.ulimits,
    host: hostFacts(),
  });
  writeFileSync(join(bundleDir(settings, id), "health.json"), JSON.stringify(process), { mode: 0o600 });
}

/** Whole and fractional seconds as Go prints durations. */
function goDuration(ms: number): string {
  if (ms < 1000) return `${ms}ms`;
  const minutes = Math.floor(ms / 60_000);
  return `${minutes > 0 ? `${minutes}m` : ""}${(ms % 60_000) / 1000}s`;
}
