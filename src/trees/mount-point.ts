/** What a mount needs below it. */
import { chmodOf, closeFast, createAt, lookUpInRoot, openBeneath } from "../kernel/at.ts";
import { O_CREAT, O_DIRECTORY, O_EXCL, O_PATH, O_WRONLY } from "../kernel/files.ts";
import { DirectoryCache } from "./tree.ts";

/**
 * Makes a directory or an empty file at `path` below the directory `root`, where it is missing, and opens it (O_PATH).
 * Symbolic links lead nowhere out of the root; with `followsLinks` false none is followed. One character per byte.
 */
export function makeMountPoint(
  root: number,
  path: string,
  isDirectory: boolean,
  followsLinks = true,
): number | undefined {
  const look = (below: string, flags: number) =>
    followsLinks ? lookUpInRoot(root, below, flags) : openBeneath(root, below, flags);
  const directories = new DirectoryCache(root, (below) => look(below, O_PATH | O_DIRECTORY));
  try {
    const relative = path.replace(/^\/+/, "");
    const there = look(relative, O_PATH);
    if (there !== undefined) return there;
    if (isDirectory) directories.get(relative);
    else {
      const slash = relative.lastIndexOf("/");
      const parent = slash < 0 ? root : directories.get(relative.slice(0, slash));
      const name = relative.slice(slash + 1);
      const fd = createAt(parent, name, O_WRONLY | O_CREAT | O_EXCL, 0o755);
      if (fd === undefined) return undefined;
      chmodOf(fd, 0o755, name);
      closeFast(fd);
    }
    return look(relative, O_PATH);
  } finally {
    directories.clear();
  }
}
