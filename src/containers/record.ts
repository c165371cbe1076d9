/** What is remembered of a container, and how its state reads. */

import { humanDuration } from "../lib/units.ts";
import type { ContainerConfig, EndpointSettings, HostConfig, MountPoint } from "../wire/engine-api.ts";
import type { HealthState } from "./health.ts";

/** Docker's states of a container (Engine API, ContainerState.Status). */
export type ContainerStatus = "created" | "running" | "paused" | "restarting" | "removing" | "exited" | "dead";

/** When the API means "never": Go's zero time. */
export const neverTime = "0001-01-01T00:00:00Z";

/** The changing part of a record. */
export interface ContainerRunState {
  status: ContainerStatus;
  /** Host pid of the container's init; 0 when not running. */
  pid: number;
  /** Start time of `pid` in clock ticks since boot, so that a reused pid is not taken for the container. */
  pidStartTime: number;
  /** Host pid of conmon; 0 when not running. */
  conmonPid: number;
  exitCode: number;
  /** Why the last start failed; empty otherwise. */
  error: string;
  /** RFC 3339 with nanoseconds, or `neverTime`. */
  startedAt: string;
  finishedAt: string;
  oomKilled: boolean;
  /** There where health is checked. */
  health?: HealthState;
  /** Paused by a commit alone, which lets it go on again. */
  frozenForCommit?: boolean;
  /** The limits in `hostConfig` are on their way into the kernel. */
  limitsChanging?: boolean;
}

/** Of a volume's or image's mount. */
export interface MountDetails {
  /** An image's layers, the lowest first. */
  layers?: string[];
  /** What of it is mounted; all of it where there is none. */
  subpath?: string;
}

/** A container as the table `containers` keeps it, in JSON. */
export interface ContainerRecord {
  id: string;
  /** Without the leading slash. */
  name: string;
  /** RFC 3339 with nanoseconds. */
  created: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** The endpoints asked for, by network name. */
  endpoints: Record<string, EndpointSettings>;
  imageId: string;
  platform: { os: string; architecture: string; variant?: string };
  /** Layers of the image, lowest first. */
  diffIds: string[];
  /** What is executed: entrypoint and command merged. */
  path: string;
  args: string[];
  mounts: MountPoint[];
  /** What `mounts` has no field for, by destination. */
  mountDetails?: Record<string, MountDetails>;
  state: ContainerRunState;
  /** Restarts by policy since the last start by hand. */
  restartCount: number;
  /** Stopped by a person: `unless-stopped` does not bring it back. */
  manuallyStopped: boolean;
  /** While it is being removed: whether its anonymous volumes go too. Who finds it half removed goes on by this. */
  removesVolumes?: boolean;
}

/** The state of a container that was never started. */
export function createdState(): ContainerRunState {
  return {
    status: "created",
    pid: 0,
    pidStartTime: 0,
    conmonPid: 0,
    exitCode: 0,
    error: "",
    startedAt: neverTime,
    finishedAt: neverTime,
    oomKilled: false,
  };
}

function healthText({ health }: ContainerRunState): string {
  if (health === undefined) return "";
  return health.status === "starting" ? " (health: starting)" : ` (${health.status})`;
}

/** True while the container has processes. */
export function isRunning(record: ContainerRecord): boolean {
  return record.state.status === "running" || record.state.status === "paused";
}

/** The STATUS column: `Up 2 minutes (Paused)`, `Exited (0) 3 seconds ago`. `nowMs` is milliseconds since 1970. */
export function statusText({ state }: ContainerRecord, nowMs: number): string {
  const since = (time: string) => humanDuration(Math.max(0, nowMs - Date.parse(time)));
  switch (state.status) {
    case "running":
      return `Up ${since(state.startedAt)}${healthText(state)}`;
    case "paused":
      return `Up ${since(state.startedAt)} (Paused)`;
    case "restarting":
      return `Restarting (${state.exitCode}) ${since(state.finishedAt)} ago`;
    case "removing":
      return "Removal In Progress";
    case "dead":
      return "Dead";
    case "created":
      return "Created";
    case "exited":
      return state.finishedAt === neverTime ? "Created" : `Exited (${state.exitCode}) ${since(state.finishedAt)} ago`;
  }
}
