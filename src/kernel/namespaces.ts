/**
 * Network namespaces: unshare(2), setns(2). A namespace belongs to a thread, so everything here is synchronous:
 * between going in and coming back no other code of this process can run.
 */
import { closeSync, openSync } from "node:fs";
import { bindLibc, check, SyscallError } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const CLONE_NEWNS = 0x00020000;
const CLONE_FS = 0x00000200;

const libc = bindLibc({
  unshare: { args: ["i32"], returns: "i32" },
  setns: { args: ["i32", "i32"], returns: "i32" },
});

const ownNamespace = "/proc/thread-self/ns/net";

/** Creates a network namespace. The returned fd alone keeps it alive: it is gone when the fd is closed and nobody joined. */
export function createNetworkNamespace(): number {
  const home = openSync(ownNamespace, "r");
  try {
    check(libc.unshare(CLONE_NEWNET), "unshare", "CLONE_NEWNET");
    try {
      return openSync(ownNamespace, "r");
    } finally {
      comeHome(home);
    }
  } finally {
    closeSync(home);
  }
}

/** Runs `work` inside the network namespace of `fd`. `work` must not return a promise: it would go on outside. */
export function insideNetworkNamespace<T>(fd: number, work: () => T): T {
  const home = openSync(ownNamespace, "r");
  try {
    check(libc.setns(fd, CLONE_NEWNET), "setns", `fd ${fd}`);
    try {
      return work();
    } finally {
      comeHome(home);
    }
  } finally {
    closeSync(home);
  }
}

/** Opens the network namespace a process lives in. The caller closes the fd. Throws ENOENT where the process is gone. */
export function openNetworkNamespace(pid: number): number {
  return openSync(`/proc/${pid}/ns/net`, "r");
}

/**
 * Takes this thread into a mount namespace for good: its root is that of the namespace then. Only for processes that
 * have nothing else to do.
 */
export function enterMountNamespace(fd: number): void {
  // Other threads have to do without it.
  check(libc.unshare(CLONE_FS), "unshare", "CLONE_FS");
  check(libc.setns(fd, CLONE_NEWNS), "setns", "CLONE_NEWNS");
}

/** Left in a foreign namespace, every later socket would be made in the wrong place: better to stop at once. */
function comeHome(home: number): void {
  try {
    check(libc.setns(home, CLONE_NEWNET), "setns", "home");
  } catch (error) {
    console.error(error instanceof SyscallError ? error.message : error);
    process.abort();
  }
}
