/** The verbs of a container's life, by the name or id a client gives. Each has a file of its own. */

import { BrigError } from "../lib/errors.ts";
import type { TraceRequest } from "../networks/trace/trace.ts";
import type { Attachment } from "../runtime/console.ts";
import type {
  ContainerInspectResponse,
  ContainerPathStat,
  ContainerStatsResponse,
  ContainerSummary,
  ContainerTopResponse,
  ContainerUpdateResponse,
  ContainerWaitResponse,
  EndpointSettings,
  FilesystemChange,
} from "../wire/engine-api.ts";
import type { TraceReport } from "../wire/network-trace.ts";
import { type ExtractRequest, extractArchive, readArchive, statPath } from "./archive.ts";
import { type AttachRequest, attachToContainer, resizeContainer } from "./attach.ts";
import { type CommitRequest, commitContainer } from "./commit.ts";
import { connectContainer, disconnectContainer } from "./connect.ts";
import type { Container } from "./container.ts";
import { type CreateRequest, createContainer } from "./create.ts";
import { diffContainer } from "./diff.ts";
import { createExec, type ExecConfig, type ExecStart, findExec, inspectExec, resizeExec, startExec } from "./exec.ts";
import { exportContainer } from "./export.ts";
import type { Filters } from "./filters.ts";
import { inspectContainer } from "./inspect.ts";
import { killContainer } from "./kill.ts";
import { type ListQuery, listContainers } from "./list.ts";
import { type LogRequest, logsOfContainer } from "./logs.ts";
import { pauseContainer, unpauseContainer } from "./pause.ts";
import { pruneContainers } from "./prune.ts";
import { removeContainer } from "./remove.ts";
import { renameContainer } from "./rename.ts";
import { restartContainer } from "./restart.ts";
import type { Rooms } from "./rooms.ts";
import { startContainer } from "./start.ts";
import { type StatsRequest, statsOfContainer } from "./stats.ts";
import { type StopOptions, stopContainer } from "./stop.ts";
import { topOfContainer } from "./top.ts";
import { traceFromContainer } from "./trace.ts";
import { type ContainerChange, updateContainer } from "./update.ts";
import { type WaitCondition, waitForContainer } from "./wait.ts";

export class Containers {
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  find(nameOrId: string): Container {
    return this.#rooms.store.find(nameOrId);
  }

  create(request: CreateRequest): Promise<{ Id: string; Warnings: string[] }> {
    return createContainer(this.#rooms, request);
  }

  start(nameOrId: string): Promise<void> {
    return startContainer(this.#rooms, this.find(nameOrId), "person");
  }

  stop(nameOrId: string, options: StopOptions): Promise<void> {
    return stopContainer(this.#rooms, this.find(nameOrId), options);
  }

  restart(nameOrId: string, options: StopOptions): Promise<void> {
    return restartContainer(this.#rooms, this.find(nameOrId), options);
  }

  async kill(nameOrId: string, signal?: string): Promise<void> {
    try {
      await killContainer(this.#rooms, this.find(nameOrId), signal || "SIGKILL");
    } catch (error) {
      if (!(error instanceof BrigError)) throw error;
      throw new BrigError(error.kind, `cannot kill container: ${nameOrId}: ${error.message}`, { cause: error });
    }
  }

  pause(nameOrId: string): Promise<void> {
    return pauseContainer(this.#rooms, this.find(nameOrId));
  }

  unpause(nameOrId: string): Promise<void> {
    return unpauseContainer(this.#rooms, this.find(nameOrId));
  }

  rename(nameOrId: string, newName: string): void {
    renameContainer(this.#rooms, this.find(nameOrId), newName);
  }

  remove(nameOrId: string, options: { force: boolean; volumes: boolean }): Promise<void> {
    return removeContainer(this.#rooms, this.find(nameOrId), options);
  }

  wait(nameOrId: string, condition: WaitCondition, signal: AbortSignal): Promise<ContainerWaitResponse> {
    return waitForContainer(this.find(nameOrId), condition, signal);
  }

  list(query: ListQuery): Promise<ContainerSummary[]> {
    return listContainers(this.#rooms, query);
  }

  inspect(nameOrId: string, options: { size: boolean }): Promise<ContainerInspectResponse> {
    return inspectContainer(this.#rooms, this.find(nameOrId), options);
  }

  top(nameOrId: string, psArgs: string): Promise<ContainerTopResponse> {
    return topOfContainer(this.#rooms, this.find(nameOrId), psArgs);
  }

  stats(nameOrId: string, request: StatsRequest): AsyncIterable<ContainerStatsResponse> {
    return statsOfContainer(this.#rooms, this.find(nameOrId), request);
  }

  logs(nameOrId: string, request: LogRequest): AsyncIterable<Uint8Array> {
    return logsOfContainer(this.#rooms, this.find(nameOrId), request);
  }

  attach(nameOrId: string, request: AttachRequest): Promise<Attachment> {
    return attachToContainer(this.#rooms, this.find(nameOrId), request);
  }

  resize(nameOrId: string, size: { height: number; width: number }): void {
    resizeContainer(this.#rooms, this.find(nameOrId), size);
  }

  update(nameOrId: string, change: ContainerChange): Promise<ContainerUpdateResponse> {
    return updateContainer(this.#rooms, this.find(nameOrId), change);
  }

  diff(nameOrId: string, signal?: AbortSignal): Promise<FilesystemChange[]> {
    return diffContainer(this.#rooms, this.find(nameOrId), signal);
  }

  /** Gives `take` an archive of the container's files, piece by piece. */
  export(nameOrId: string, take: (piece: Uint8Array) => Promise<void> | void, signal?: AbortSignal): Promise<void> {
    return exportContainer(this.#rooms, this.find(nameOrId), take, signal);
  }

  /** What is at a path of the container. */
  statPath(nameOrId: string, path: string): Promise<ContainerPathStat> {
    return statPath(this.#rooms, this.find(nameOrId), nameOrId, path);
  }

  /** Tells `begin` what is at a path, and gives `take` the archive of it piece by piece. */
  readArchive(
    nameOrId: string,
    path: string,
    begin: (stat: ContainerPathStat) => void,
    take: (piece: Uint8Array) => Promise<void> | void,
    signal: AbortSignal,
  ): Promise<void> {
    return readArchive(this.#rooms, this.find(nameOrId), nameOrId, path, begin, take, signal);
  }

  /** Extracts an archive into a directory of the container. */
  extractArchive(nameOrId: string, request: ExtractRequest): Promise<void> {
    return extractArchive(this.#rooms, this.find(nameOrId), nameOrId, request);
  }

  /** Makes an image of a container, and returns the image's id. */
  commit(nameOrId: string, request: CommitRequest): Promise<string> {
    return commitContainer(this.#rooms, this.find(nameOrId), request);
  }

  /** Puts a container on a network, by the name or id of each. */
  connect(nameOrId: string, network: string, settings: EndpointSettings): Promise<void> {
    return connectContainer(this.#rooms, this.find(nameOrId), network, settings);
  }

  disconnect(nameOrId: string, network: string, force: boolean): Promise<void> {
    return disconnectContainer(this.#rooms, this.find(nameOrId), network, force);
  }

  /** Whether and how one end reaches another. */
  trace(request: TraceRequest): Promise<TraceReport> {
    return traceFromContainer(this.#rooms, request);
  }

  prune(filters: Filters): Promise<{ deleted: string[]; spaceReclaimed: number }> {
    return pruneContainers(this.#rooms, filters);
  }

  execCreate(nameOrId: string, config: ExecConfig): { Id: string } {
    return { Id: createExec(this.#rooms, this.find(nameOrId), config).id };
  }

  execStart(id: string, options: ExecStart): Promise<Attachment | undefined> {
    return startExec(this.#rooms, findExec(this.#rooms, id), options);
  }

  execInspect(id: string) {
    return inspectExec(findExec(this.#rooms, id));
  }

  async execResize(id: string, size: { height: number; width: number }): Promise<void> {
    await resizeExec(findExec(this.#rooms, id), size);
  }
}
