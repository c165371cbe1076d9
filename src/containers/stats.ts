/** stats: what a container uses, now and compared with a moment ago. */
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { nowRfc3339Nano } from "../lib/time.ts";
import { noBlkio, noCpu } from "../runtime/cgroup-stats.ts";
import type { ContainerCPUStats, ContainerNetworkStats, ContainerStatsResponse } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { neverTime } from "./record.ts";
import type { Rooms } from "./rooms.ts";

/** GET /containers/{id}/stats */
export interface StatsRequest {
  stream: boolean;
  /** Only the present, with nothing to compare it with. */
  oneShot: boolean;
  signal: AbortSignal;
}

/** Docker's. */
const intervalMs = 1000;
/** How long the two samples of an answer lie apart that nobody waits a second for. */
const shortIntervalMs = 50;

interface CpuSample {
  read: string;
  cpu: ContainerCPUStats;
}

/** One sample, or one each second until `signal` aborts or the container is removed. */
export async function* statsOfContainer(
  rooms: Rooms,
  container: Container,
  { stream, oneShot, signal }: StatsRequest,
): AsyncGenerator<ContainerStatsResponse> {
  let before: CpuSample | undefined;
  if (!stream && !oneShot && container.running) {
    before = sampleCpu(rooms, container);
    await Bun.sleep(shortIntervalMs);
  }
  for (;;) {
    const now = sampleCpu(rooms, container);
    yield response(rooms, container, before, now);
    if (!stream) return;
    before = now;
    await pause(intervalMs, signal);
    if (signal.aborted || rooms.store.byId(container.id) === undefined) return;
  }
}

function sampleCpu(rooms: Rooms, container: Container): CpuSample | undefined {
  const cpu = container.running ? runtimeOf(rooms, container).cpuUsage(container.id) : undefined;
  return cpu === undefined ? undefined : { read: nowRfc3339Nano(), cpu };
}

const runtimeOf = (rooms: Rooms, { record }: Container) => rooms.runtimeFor(record.hostConfig.Runtime ?? "");

function response(
  rooms: Rooms,
  container: Container,
  before: CpuSample | undefined,
  now: CpuSample | undefined,
): ContainerStatsResponse {
  const { id, record } = container;
  const usage = now === undefined ? undefined : runtimeOf(rooms, container).usage(id, totalmem());
  const networks = now === undefined ? undefined : networksOf(record.hostConfig.NetworkMode ?? "", record.state.pid);
  return {
    id,
    name: `/${record.name}`,
    os_type: record.platform.os,
    read: now?.read ?? neverTime,
    preread: before?.read ?? neverTime,
    pids_stats: usage?.pids_stats ?? {},
    blkio_stats: usage?.blkio_stats ?? (noBlkio as never),
    num_procs: 0,
    storage_stats: {},
    cpu_stats: now?.cpu ?? noCpu,
    precpu_stats: before?.cpu ?? noCpu,
    memory_stats: usage?.memory_stats ?? {},
    ...(networks === undefined ? {} : { networks }),
  };
}

/** Counters of a container's interfaces; undefined where the namespace is not its own. */
function networksOf(mode: string, pid: number): Record<string, ContainerNetworkStats> | undefined {
  if (mode === "host" || mode.startsWith("container:")) return undefined;
  let text: string;
  try {
    text = readFileSync(`/proc/${pid}/net/dev`, "latin1");
  } catch {
    return undefined; // It has ended meanwhile.
  }
  const interfaces: Record<string, ContainerNetworkStats> = {};
  for (const line of text.split("\n").slice(2)) {
    const colon = line.indexOf(":");
    const name = line.slice(0, colon).trim();
    if (colon < 0 || name === "lo") continue;
    const numbers = line
      .slice(colon + 1)
      .trim()
      .split(/\s+/)
      .map(Number);
    const at = (index: number) => numbers[index] ?? 0;
    interfaces[name] = {
      rx_bytes: at(0),
      rx_packets: at(1),
      rx_errors: at(2),
      rx_dropped: at(3),
      tx_bytes: at(8),
      tx_packets: at(9),
      tx_errors: at(10),
      tx_dropped: at(11),
    };
  }
  return Object.keys(interfaces).length === 0 ? undefined : interfaces;
}

function pause(milliseconds: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, milliseconds);
    signal.addEventListener("abort", done);
    if (signal.aborted) done();
  });
}
