/** Threads for work on layers: begun when there is some, ended when there has been none for a while. */
import { availableParallelism } from "node:os";
import { BrigError, systemError } from "../lib/errors.ts";
import type { FromWorker, Task, TaskResult, ToWorker } from "./worker-protocol.ts";

/** Each worker holds some megabytes, which an idle daemon shall not. */
const idleMs = 5000;
/** How much of an archive may be on its way to a worker. */
const windowBytes = 1 * 1024 * 1024;
/** How many pieces of output, of a megabyte each, may be on their way from a worker. */
const outputWindow = 4;

export interface RunOptions {
  /** The bytes of a task without a path. They are pulled only as fast as the worker takes them. */
  source?: AsyncIterable<Uint8Array>;
  /** Whether nobody else uses the source's chunks: then their memory goes to the worker, and is not copied. */
  givesSource?: boolean;
  /** Takes what an export task sends. The next piece comes when it has resolved; where it rejects the task is cancelled. */
  onOutput?: (chunk: Uint8Array) => Promise<void> | void;
  onProgress?: (bytesRead: number) => void;
  signal?: AbortSignal;
}

/** What came is not what was to come: its digest or length is another. */
export class MismatchError extends BrigError {}

interface Job {
  onOutput: (chunk: Uint8Array) => void;
  onTaken: (bytes: number, isEarlier: boolean) => void;
  resolve: (result: unknown) => void;
  reject: (error: Error) => void;
}

interface Member {
  worker: Worker;
  jobs: Map<number, Job>;
  idleTimer: Timer | undefined;
}

class WorkerPool {
  readonly #members: Member[] = [];
  #lastId = 0;

  /** Begins a worker where there is none, for a task that is expected: it takes a while to load. */
  prepare(): void {
    if (this.#members.length === 0) this.#retire(this.#begin());
  }

  /** Has a worker do a task. Rejects with what went wrong there, or with the signal's reason; then it has stopped. */
  async run<T extends Task>(task: T, options: RunOptions = {}): Promise<TaskResult<T>> {
    const { source, givesSource = false, onOutput, onProgress, signal } = options;
    signal?.throwIfAborted();
    const member = this.#pick();
    const id = ++this.#lastId;
    const send = (message: ToWorker, transfer: ArrayBuffer[] = []) => member.worker.postMessage(message, transfer);
    let read = 0;
    let underWay = 0;
    let wake = () => {};
    let isSettled = false;
    const result = new Promise<unknown>((resolve, reject) => {
      const onTaken = (bytes: number, isEarlier: boolean) => {
        read += bytes;
        if (!isEarlier) underWay -= bytes;
        onProgress?.(read);
        wake();
      };
      member.jobs.set(id, { onTaken, onOutput: (chunk) => deliver(chunk), resolve, reject });
    }).finally(() => {
      isSettled = true;
      wake();
    });
    const cancel = () => send({ id, kind: "cancel" });
    let sourceFailure: { thrown: unknown } | undefined;
    const failed = (thrown: unknown) => {
      sourceFailure ??= { thrown };
      cancel();
    };
    let delivered: Promise<void> = Promise.resolve();
    const deliver = (chunk: Uint8Array) => {
      delivered = delivered.then(async () => {
        if (sourceFailure !== undefined) return;
        await onOutput?.(chunk);
        if (!isSettled) send({ id, kind: "more", count: 1 });
      });
      delivered.catch(failed);
    };
    const feed = async (chunks: AsyncIterable<Uint8Array>) => {
      for await (const chunk of chunks) {
        if (isSettled) return;
        const isOwn = givesSource && chunk.byteLength === chunk.buffer.byteLength;
        const given = isOwn ? (chunk as Uint8Array<ArrayBuffer>) : new Uint8Array(chunk);
        underWay += given.length;
        send({ id, kind: "chunk", chunk: given }, [given.buffer]);
        while (underWay > windowBytes && !isSettled) await new Promise<void>((resolve) => (wake = resolve));
      }
      send({ id, kind: "end" });
    };
    signal?.addEventListener("abort", cancel, { once: true });
    try {
      send({ id, kind: "task", task });
      if (source !== undefined) void feed(source).catch(failed);
      if (onOutput !== undefined) send({ id, kind: "more", count: outputWindow });
      // A source that hangs is not waited for: the worker answers a cancel by itself.
      const value = (await result) as TaskResult<T>;
      await delivered;
      return value;
    } catch (thrown) {
      signal?.throwIfAborted();
      throw sourceFailure === undefined ? thrown : sourceFailure.thrown;
    } finally {
      signal?.removeEventListener("abort", cancel);
      this.#release(member, id);
    }
  }

  #pick(): Member {
    const least = this.#members.toSorted((a, b) => a.jobs.size - b.jobs.size)[0];
    const isBusy = least === undefined || least.jobs.size > 0;
    const member = isBusy && this.#members.length < availableParallelism() ? this.#begin() : least!;
    clearTimeout(member.idleTimer);
    member.worker.ref();
    return member;
  }

  #begin(): Member {
    const worker = new Worker(workerEntry());
    const member: Member = { worker, jobs: new Map(), idleTimer: undefined };
    worker.onmessage = ({ data: message }: MessageEvent<FromWorker>) => {
      const job = member.jobs.get(message.id);
      if (message.kind === "taken") job?.onTaken(message.bytes, message.isEarlier);
      else if (message.kind === "output") job?.onOutput(message.chunk);
      else if (message.kind === "done") job?.resolve(message.result);
      else if (message.isMismatch) job?.reject(new MismatchError("system", message.message));
      else job?.reject(systemError(message.message));
    };
    const onDeath = (why: string) => {
      this.#drop(member);
      for (const job of member.jobs.values()) job.reject(systemError(`storage worker failed: ${why}`));
    };
    worker.onerror = (event) => onDeath(event.message);
    worker.addEventListener("close", () => onDeath("it ended"));
    this.#members.push(member);
    return member;
  }

  #release(member: Member, id: number): void {
    member.jobs.delete(id);
    if (member.jobs.size === 0) this.#retire(member);
  }

  /** Ends a worker that has nothing to do, after a while. */
  #retire(member: Member): void {
    member.worker.unref();
    member.idleTimer = setTimeout(() => {
      this.#drop(member);
      member.worker.terminate();
    }, idleMs);
    member.idleTimer.unref();
  }

  #drop(member: Member): void {
    const index = this.#members.indexOf(member);
    if (index >= 0) this.#members.splice(index, 1);
  }
}

/** In the executable modules have no files of their own; an entry keeps its path below `src/`. */
function workerEntry(): string {
  return Bun.isStandaloneExecutable
    ? "/$bunfs/root/storage/unpack.worker.js"
    : new URL("./unpack.worker.ts", import.meta.url).href;
}

/** The process's one pool. */
export const storageWorkers = new WorkerPool();
