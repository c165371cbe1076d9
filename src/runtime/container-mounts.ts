/** Mounts of a container that runs, changed from outside. */
import { closeSync, openSync } from "node:fs";
import { processStartTime } from "../kernel/process.ts";
import { systemError } from "../lib/errors.ts";
import type { MountOrder } from "./mount-helper.ts";

const patienceMs = 10_000;

/**
 * Carries out an order in the mount namespace of a process. `treeFd` is what is to be attached. Throws what went wrong
 * there, also where the process is gone, or a file system of the container's does not answer.
 */
export async function orderMount(
  { pid, startTime }: { pid: number; startTime: number },
  order: MountOrder,
  treeFd?: number,
): Promise<void> {
  const namespace = openSync(`/proc/${pid}/ns/mnt`, "r");
  try {
    if (processStartTime(pid) !== startTime) throw systemError("the container has ended");
    const program = Bun.isStandaloneExecutable ? [process.execPath] : [process.execPath, Bun.main];
    const helper = Bun.spawn([...program, "mount-helper", JSON.stringify(order)], {
      stdio: ["ignore", "ignore", "pipe", namespace, ...(treeFd === undefined ? [] : [treeFd])],
      timeout: patienceMs,
      killSignal: "SIGKILL",
    });
    const [said, code] = await Promise.all([helper.stderr.text(), helper.exited]);
    if (code !== 0) throw systemError(said || "the container's file systems do not answer");
  } finally {
    closeSync(namespace);
  }
}
