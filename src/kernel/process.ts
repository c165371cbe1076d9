/** Other processes: signals that cannot hit a stranger, liveness, start times. */
import { readFileSync } from "node:fs";
import { bindLibc, errno, SyscallError } from "./libc.ts";

// The same numbers on every architecture: they were added after the tables were joined.
const SYS_pidfd_send_signal = 424;
const SYS_pidfd_open = 434;
const SYS_pidfd_getfd = 438;
const PRIO_PROCESS = 0;
const ESRCH = 3;
const EBADF = 9;
const EINVAL = 22;

const libc = bindLibc({
  syscall: { args: ["i64", "i64", "i64", "ptr", "i64"], returns: "i64" },
  close: { args: ["i32"], returns: "i32" },
  setpriority: { args: ["i32", "u32", "i32"], returns: "i32" },
});

/**
 * Sends a signal. With `startTime` (see processStartTime) it goes only to the process that was meant: a pid that the
 * kernel has given to somebody else counts as gone. Returns false where the process is gone.
 */
export function sendSignal(pid: number, signal: number, startTime?: number): boolean {
  const pidfd = openPidfd(pid);
  if (pidfd === undefined) return false;
  try {
    // Checked after the pidfd was opened: what the pidfd names can no longer change.
    if (startTime !== undefined && processStartTime(pid) !== startTime) return false;
    if (Number(libc.syscall(SYS_pidfd_send_signal, pidfd, signal, null, 0)) === 0) return true;
    const code = errno();
    if (code === ESRCH) return false;
    throw new SyscallError("pidfd_send_signal", code, `${pid}`);
  } finally {
    libc.close(pidfd);
  }
}

/**
 * A descriptor of our own for what another process has open as `fd`: pidfd_getfd(2). Undefined where the process is
 * gone, is not the one that started at `startTime`, or has no such descriptor. Throws SyscallError otherwise.
 */
export function takeDescriptor(pid: number, startTime: number, fd: number): number | undefined {
  const pidfd = openPidfd(pid);
  if (pidfd === undefined) return undefined;
  try {
    if (processStartTime(pid) !== startTime) return undefined;
    const taken = Number(libc.syscall(SYS_pidfd_getfd, pidfd, fd, null, 0));
    if (taken >= 0) return taken;
    const code = errno();
    if (code === ESRCH || code === EBADF) return undefined;
    throw new SyscallError("pidfd_getfd", code, `${pid}`);
  } finally {
    libc.close(pidfd);
  }
}

/** Changes this thread's nice value; from -20, which goes first, to 19. Does nothing where that is not allowed. */
export function setThreadNice(nice: number): void {
  // For Linux a "process" is a thread here: setpriority(2), C library/kernel differences.
  libc.setpriority(PRIO_PROCESS, 0, nice);
}

/** When a process started, in clock ticks since boot: with the pid it names a process for ever. Undefined: gone. */
export function processStartTime(pid: number): number | undefined {
  const fields = statFields(pid);
  return fields === undefined ? undefined : Number(fields[19]);
}

/** Whether the process runs (a zombie does not). With `startTime`: whether it is still the same one. */
export function isAlive(pid: number, startTime?: number): boolean {
  const fields = statFields(pid);
  if (fields === undefined || fields[0] === "Z" || fields[0] === "X") return false;
  return startTime === undefined || Number(fields[19]) === startTime;
}

/** Fields of /proc/pid/stat from the third on. The second is the name, which may hold blanks and parentheses. */
function statFields(pid: number): string[] | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "latin1");
    return text.slice(text.lastIndexOf(")") + 2).split(" ");
  } catch {
    return undefined;
  }
}

function openPidfd(pid: number): number | undefined {
  if (!Number.isInteger(pid) || pid <= 0) return undefined;
  const pidfd = Number(libc.syscall(SYS_pidfd_open, pid, 0, null, 0));
  if (pidfd >= 0) return pidfd;
  const code = errno();
  // EINVAL: the number belongs to a thread, so the process that had it is gone.
  if (code === ESRCH || code === EINVAL) return undefined;
  throw new SyscallError("pidfd_open", code, `${pid}`);
}
