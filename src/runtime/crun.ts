/**
 * What crun would do for `start` and `delete`, done without the process: crun keeps a container as a directory below
 * its root with `status`, `config.json` and, until it is started, `exec.fifo` (crun's status.c).
 */
import { closeSync, readdirSync, readFileSync, rmdirSync, rmSync, unlinkSync, writeSync } from "node:fs";
import { join } from "node:path";
import { O_NONBLOCK, O_WRONLY, openPath } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";

/** The part of crun's status file that matters here. */
export interface CrunStatus {
  pid: number;
  startTime: number;
  cgroupPath: string;
}

/** Undefined where crun does not know the container. */
export function readCrunStatus(stateRoot: string, id: string): CrunStatus | undefined {
  try {
    const status = JSON.parse(readFileSync(join(stateRoot, id, "status"), "utf8")) as Record<string, unknown>;
    return {
      pid: Number(status.pid),
      startTime: Number(status["process-start-time"]),
      cgroupPath: String(status["cgroup-path"] ?? ""),
    };
  } catch {
    return undefined;
  }
}

/**
 * Lets a created container's init go on. The fifo's other end has been open since `create`, so nothing here waits.
 * Returns false where the container is not in the state for it: it was started before, or init has died.
 */
export function releaseInit(stateRoot: string, id: string): boolean {
  const fifo = join(stateRoot, id, "exec.fifo");
  let fd: number;
  try {
    fd = openPath(fifo, O_WRONLY | O_NONBLOCK);
  } catch (error) {
    if (error instanceof SyscallError && (error.code === "ENXIO" || error.code === "ENOENT")) return false;
    throw error;
  }
  try {
    // Unlinked first, as crun does: `state` says "created" for as long as the fifo is there.
    unlinkSync(fifo);
    writeSync(fd, "\0");
    return true;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "EPIPE") return false;
    throw error;
  } finally {
    closeSync(fd);
  }
}

/** Makes crun forget a container. */
export function removeCrunState(stateRoot: string, id: string): void {
  const directory = join(stateRoot, id);
  try {
    for (const entry of readdirSync(directory, { withFileTypes: true })) {
      const path = join(directory, entry.name);
      if (entry.isDirectory()) rmSync(path, { recursive: true, force: true });
      else unlinkSync(path);
    }
    rmdirSync(directory);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
