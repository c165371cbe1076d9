/** logs: what a container has written. */
import { join } from "node:path";
import { notImplemented } from "../lib/errors.ts";
import { parseMemoryBytes } from "../lib/units.ts";
import type { OutputChunk } from "../runtime/console.ts";
import { readLogs } from "../runtime/logs.ts";
import { logBackstopBytes } from "../runtime/rotation.ts";
import type { Container } from "./container.ts";
import { bundleDir, logPath } from "./paths.ts";
import type { ContainerRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";

/** GET /containers/{id}/logs */
export interface LogRequest {
  follow: boolean;
  stdout: boolean;
  stderr: boolean;
  timestamps: boolean;
  /** Adds the labels and variables that the log options name. */
  details: boolean;
  /** The last so many lines; undefined for all. */
  tail?: number;
  sinceNs?: bigint;
  untilNs?: bigint;
  /** Aborted when nobody reads any more. */
  signal: AbortSignal;
}

/** Limits that hold where none are named: a container that is forgotten does not fill the disk. */
const defaultMaxSize = "20m";
const defaultMaxFiles = 5;
const frameHeaderBytes = 8;

/** The log as it is sent: in frames, or raw where the container has a terminal. Throws where the driver keeps none. */
export function logsOfContainer(rooms: Rooms, container: Container, request: LogRequest): AsyncIterable<Uint8Array> {
  const { record, id } = container;
  if (record.hostConfig.LogConfig?.Type === "none")
    throw notImplemented("configured logging driver does not support reading");
  return readLogs(logPath(rooms.settings, id), {
    ...request,
    tty: record.config.Tty ?? false,
    details: request.details ? detailsOf(record) : undefined,
    ended: container.running ? container.runEnded : AbortSignal.abort(),
  });
}

/** What was written until now, as attach sends it before it goes on. */
export async function* logChunks(
  rooms: Rooms,
  container: Container,
  streams: { stdout: boolean; stderr: boolean },
): AsyncGenerator<OutputChunk> {
  const frames = logsOfContainer(rooms, container, {
    ...streams,
    follow: false,
    timestamps: false,
    details: false,
    signal: new AbortController().signal,
  });
  for await (const piece of frames) {
    if (container.record.config.Tty) {
      yield { stream: 1, data: piece };
      continue;
    }
    const view = new DataView(piece.buffer, piece.byteOffset, piece.byteLength);
    for (let offset = 0; offset < piece.length; ) {
      const end = offset + frameHeaderBytes + view.getUint32(offset + 4);
      yield { stream: piece[offset] === 2 ? 2 : 1, data: piece.subarray(offset + frameHeaderBytes, end) };
      offset = end;
    }
  }
}

/** Begins to keep the log of a running container within its limits. */
export function watchLogSize(rooms: Rooms, { id, record }: Container): void {
  if (record.hostConfig.LogConfig?.Type === "none") return;
  rooms.rotation.watch(id, {
    path: logPath(rooms.settings, id),
    ...logLimits(record),
    ctlPath: join(bundleDir(rooms.settings, id), "ctl"),
  });
}

/** Size after which conmon itself begins anew, for when no daemon is there to rotate; undefined for no limit. */
export function backstopBytes(record: ContainerRecord): number | undefined {
  const { maxSizeBytes, maxFiles } = logLimits(record);
  return Number.isFinite(maxSizeBytes) ? logBackstopBytes(maxSizeBytes, maxFiles) : undefined;
}

function logLimits({ hostConfig }: ContainerRecord): { maxSizeBytes: number; maxFiles: number } {
  const options = hostConfig.LogConfig?.Config ?? {};
  return {
    maxSizeBytes:
      options["max-size"] === "-1" ? Number.POSITIVE_INFINITY : parseMemoryBytes(options["max-size"] ?? defaultMaxSize),
    maxFiles: Number(options["max-file"] ?? defaultMaxFiles),
  };
}

/** `key=value` of the labels and variables that `--log-opt labels=…` and `env=…` name, with commas between. */
function detailsOf({ config, hostConfig }: ContainerRecord): string {
  const options = hostConfig.LogConfig?.Config ?? {};
  const names = (option: string) => (options[option] ?? "").split(",").filter(Boolean);
  const labels = names("labels").flatMap((name) => {
    const value = config.Labels?.[name];
    return value === undefined ? [] : [`${name}=${value}`];
  });
  const variables = new Set(names("env"));
  const env = (config.Env ?? []).filter((variable) => variables.has(variable.split("=", 1)[0]!));
  return [...labels, ...env].join(",");
}
