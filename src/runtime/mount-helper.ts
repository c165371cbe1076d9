/**
 * A process that goes into a container's mount namespace, and mounts or unmounts one thing there. The daemon cannot go
 * there itself; and a file system of the container's may keep waiting whoever looks at it, who then can be killed.
 */
import { bytesOf, mountIdOf, openBeneath, statAt } from "../kernel/at.ts";
import { O_DIRECTORY, O_PATH, openPath } from "../kernel/files.ts";
import { attachMounts, unmountIn } from "../kernel/mount.ts";
import { enterMountNamespace } from "../kernel/namespaces.ts";
import { messageOf } from "../lib/errors.ts";
import { makeMountPoint } from "../trees/mount-point.ts";
import { isDirectory } from "../trees/tree.ts";

/** What the helper is to do, at a path without symbolic links. */
export type MountOrder =
  /** Mounts what the second descriptor is. */
  | { kind: "attach"; path: string; isDirectory: boolean }
  /** Unmounts what is there, if it is this mount. */
  | { kind: "detach"; path: string; mountId: number };

/** The descriptors that the helper is given. */
export const helperFds = { namespace: 3, tree: 4 };

/** Does what the order in JSON says. Returns the exit code; what went wrong is on stderr. */
export function runMountHelper([order = ""]: string[]): number {
  try {
    perform(JSON.parse(order) as MountOrder);
    return 0;
  } catch (thrown) {
    process.stderr.write(messageOf(thrown));
    return 1;
  }
}

function perform(order: MountOrder): void {
  enterMountNamespace(helperFds.namespace);
  const root = openPath("/", O_PATH | O_DIRECTORY);
  const path = bytesOf(order.path.slice(1));
  if (order.kind === "attach") {
    const target = makeMountPoint(root, path, order.isDirectory, false);
    if (target === undefined) throw new Error(`${order.path} has been replaced meanwhile`);
    if (isDirectory(statAt(target, "")!) !== order.isDirectory)
      throw new Error(`cannot mount at ${order.path}: it is ${order.isDirectory ? "not " : ""}a directory`);
    attachMounts(helperFds.tree, target, order.path);
    return;
  }
  const slash = path.lastIndexOf("/");
  const parent = slash < 0 ? root : openBeneath(root, path.slice(0, slash), O_PATH | O_DIRECTORY);
  const name = path.slice(slash + 1);
  const place = parent === undefined ? undefined : openBeneath(parent, name, O_PATH);
  // A mount point cannot be renamed: from here on it is this one.
  if (place === undefined || mountIdOf(place) !== order.mountId)
    throw new Error(`${order.path} has been replaced meanwhile`);
  unmountIn(parent!, Buffer.from(name, "latin1").toString("utf8"));
}
