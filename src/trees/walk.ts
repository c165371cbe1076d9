/** Going through a tree of files that may change meanwhile, following no link and holding few descriptors. */
import { closeFast, type FileFacts, openBeneath, statAt, textOf } from "../kernel/at.ts";
import { O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";
import { isDirectory, namesIn } from "./tree.ts";

/** What a walk comes by. Names have one character per byte. */
export interface TreeEntry {
  /** From the root of the walk, without a slash in front. */
  path: string;
  name: string;
  /** How many directories lie between the root and the entry. */
  depth: number;
  /** The directory it is in, open until the walk goes on. */
  dirFd: number;
  facts: FileFacts;
}

interface Frame {
  path: string;
  names: string[];
  next: number;
  fd: number | undefined;
}

const ENAMETOOLONG = 36;
const pathLimitBytes = 4096;
/** Directories that stay open; those above them are opened again on the way back. */
const openLimit = 32;

/**
 * All entries below the directory `root`: a directory before what is in it, names in the order of their bytes. A
 * directory for which `isEntered` says no is left out with all that is in it, but is itself yielded. What vanishes
 * meanwhile is left out. Throws SyscallError for a path that is too long to be looked up.
 */
export function* walkTree(root: number, isEntered: (entry: TreeEntry) => boolean = () => true): Generator<TreeEntry> {
  const stack: Frame[] = [];
  const enter = (path: string) => {
    const fd = openDirectory(root, path);
    if (fd === undefined) return;
    const above = stack.at(-openLimit);
    if (above?.fd !== undefined) closeFast(above.fd);
    if (above !== undefined) above.fd = undefined;
    stack.push({ path, names: namesIfThere(fd), next: 0, fd });
  };
  try {
    enter("");
    for (let frame = stack.at(-1); frame !== undefined; frame = stack.at(-1)) {
      const name = frame.names[frame.next++];
      if (name !== undefined) frame.fd ??= openDirectory(root, frame.path);
      if (name === undefined || frame.fd === undefined) {
        if (frame.fd !== undefined) closeFast(frame.fd);
        stack.pop();
        continue;
      }
      const facts = statAt(frame.fd, name);
      if (facts === undefined) continue;
      const path = frame.path === "" ? name : `${frame.path}/${name}`;
      if (path.length >= pathLimitBytes) throw new SyscallError("open", ENAMETOOLONG, textOf(path.slice(0, 100)));
      const entry = { path, name, depth: stack.length - 1, dirFd: frame.fd, facts };
      yield entry;
      if (isDirectory(facts) && isEntered(entry)) enter(path);
    }
  } finally {
    for (const { fd } of stack) if (fd !== undefined) closeFast(fd);
  }
}

function openDirectory(root: number, path: string): number | undefined {
  return openBeneath(root, path === "" ? "." : path, O_PATH | O_DIRECTORY);
}

/** Sorted. A directory that was removed after it was opened is empty. */
function namesIfThere(fd: number): string[] {
  try {
    return namesIn(fd).sort();
  } catch (thrown) {
    if ((thrown as { code?: string }).code === "ENOENT") return [];
    throw thrown;
  }
}
