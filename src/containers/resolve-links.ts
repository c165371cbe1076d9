/** Paths of a container with the symbolic links in them resolved. */
import { closeFast, lookUpInRoot, readlinkAt, textOf } from "../kernel/at.ts";
import { O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";
import { systemError } from "../lib/errors.ts";

const directory = O_PATH | O_DIRECTORY;
const linksLimit = 255;

/**
 * A path with all symbolic links in it resolved, as far as there is something: text for clients, which ask for it again.
 * Nothing is opened by it here. One character per byte.
 */
export function resolveLinks(rootFd: number, path: string): string {
  const todo = path.split("/").reverse();
  let resolved: string[] = [];
  for (let links = 0; todo.length > 0; ) {
    const part = todo.pop()!;
    if (part === "" || part === ".") continue;
    if (part === "..") {
      resolved.pop();
      continue;
    }
    const target = readLink(rootFd, resolved, part);
    if (target === undefined) {
      resolved.push(part);
      continue;
    }
    if (++links > linksLimit) throw systemError(`evalSymlinksInScope: too many links in ${textOf(path)}`);
    if (target.startsWith("/")) resolved = [];
    todo.push(...target.split("/").reverse());
  }
  return `/${resolved.join("/")}`;
}

function readLink(rootFd: number, parents: string[], name: string): string | undefined {
  try {
    const fd = lookUpInRoot(rootFd, parents.join("/") || ".", directory);
    if (fd === undefined) return undefined;
    try {
      return readlinkAt(fd, name);
    } finally {
      closeFast(fd);
    }
  } catch (thrown) {
    if (thrown instanceof SyscallError) return undefined; // No link.
    throw thrown;
  }
}
