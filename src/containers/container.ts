/** A container in memory: its record, and what only lives as long as the daemon. */
import type { FSWatcher } from "node:fs";
import { conflict } from "../lib/errors.ts";
import { Mutex } from "../lib/mutex.ts";
import type { Console } from "../runtime/console.ts";
import type { Exec } from "./exec.ts";
import type { HealthMonitor } from "./health.ts";
import { type ContainerRecord, isRunning } from "./record.ts";

/** What a waiter is told: the exit code, and why the start failed where it did. */
export interface Exit {
  exitCode: number;
  error?: string;
}

export class Container {
  /** Held by start, exit and remove; never while waiting for a process to end. */
  readonly lock = new Mutex();
  /** The link to the streams; there from the first attach or start until the exit. */
  console: Console | undefined;
  /** Execs that were made since the daemon started. */
  readonly execs = new Set<Exec>();
  /** There while it runs. */
  oomWatcher: FSWatcher | undefined;
  /** There while its health is watched, and with its last results until it is started again. */
  health: HealthMonitor | undefined;
  /** Set while a restart by policy is due. */
  restartTimer: ReturnType<typeof setTimeout> | undefined;
  /** Delay before the next restart by policy. */
  restartDelayMs = 0;
  /** Set while `restart` has it stopped: an `--rm` container is not removed then. */
  keepAfterExit = false;
  /** Set once a removal has begun: the exit it brings about does not restart or remove the container by itself. */
  removalBegun = false;
  readonly #exitWaiters = new Set<(exit: Exit) => void>();
  readonly #removalWaiters = new Set<(exit: Exit) => void>();
  readonly #readers = new Set<Promise<void>>();
  readonly #copies = new Set<AbortController>();
  /** Ends with the present run: followers of logs stop then. */
  #run = new AbortController();

  constructor(readonly record: ContainerRecord) {}

  get id(): string {
    return this.record.id;
  }

  get name(): string {
    return this.record.name;
  }

  get running(): boolean {
    return isRunning(this.record);
  }

  /** Aborted when the present run ends; already aborted while the container does not run. */
  get runEnded(): AbortSignal {
    return this.#run.signal;
  }

  /** To be called when a run begins, before anything can follow it. */
  beginRun(): void {
    this.#run = new AbortController();
  }

  /** Keeps the writable layer from being removed until the function that it returns is called: soon, and without the lock. */
  beginReading(): () => void {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#readers.add(promise);
    return () => {
      this.#readers.delete(promise);
      resolve();
    };
  }

  /**
   * Keeps the container's files from being removed until `end` is called. `signal` aborts when they are to be: then that
   * has to be soon, and without the lock.
   */
  beginCopy(): { signal: AbortSignal; end: () => void } {
    const copy = new AbortController();
    const endReading = this.beginReading();
    this.#copies.add(copy);
    return {
      signal: copy.signal,
      end: () => {
        this.#copies.delete(copy);
        endReading();
      },
    };
  }

  get isCopied(): boolean {
    return this.#copies.size > 0;
  }

  /** Has all copies end. */
  abortCopies(): void {
    for (const copy of this.#copies)
      copy.abort(conflict(`container ${this.id} was removed while files of it were copied`));
  }

  /** Resolves when nobody reads the writable layer any more. */
  async allRead(): Promise<void> {
    await Promise.all(this.#readers);
  }

  /** Tells everybody who waits that the run has ended. */
  endRun(exit: Exit): void {
    this.#run.abort();
    settle(this.#exitWaiters, exit);
  }

  /** Tells everybody who waits that the container is gone, or, with an error, that it could not be removed. */
  announceRemoval(exit: Exit): void {
    settle(this.#exitWaiters, exit);
    settle(this.#removalWaiters, exit);
  }

  /** Resolves at the next exit, or undefined when `signal` aborts first. */
  nextExit(signal?: AbortSignal): Promise<Exit | undefined> {
    return waitIn(this.#exitWaiters, signal);
  }

  /** Resolves when the container is removed, or undefined when `signal` aborts first. */
  removal(signal?: AbortSignal): Promise<Exit | undefined> {
    return waitIn(this.#removalWaiters, signal);
  }
}

function settle(waiters: Set<(exit: Exit) => void>, exit: Exit): void {
  const waiting = [...waiters];
  waiters.clear();
  for (const resolve of waiting) resolve(exit);
}

function waitIn(waiters: Set<(exit: Exit) => void>, signal?: AbortSignal): Promise<Exit | undefined> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve(undefined);
    const abandon = () => {
      waiters.delete(done);
      resolve(undefined);
    };
    const done = (exit: Exit) => {
      signal?.removeEventListener("abort", abandon);
      resolve(exit);
    };
    signal?.addEventListener("abort", abandon, { once: true });
    waiters.add(done);
  });
}
