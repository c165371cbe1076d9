/** cp: files of a container as an archive, and an archive into a container, whether it runs or not. */
import { posix } from "node:path";
import { bytesOf, closeFast, type FileFacts, lookUpInRoot, statAt, textOf } from "../kernel/at.ts";
import { fdPath, O_DIRECTORY, O_NOFOLLOW, O_PATH } from "../kernel/files.ts";
import { SyscallError } from "../kernel/libc.ts";
import { BrigError, invalidParameter, notFound, systemError } from "../lib/errors.ts";
import { formatRfc3339Nano } from "../lib/time.ts";
import { resolveUser } from "../runtime/user.ts";
import { storageWorkers } from "../storage/worker-pool.ts";
import { isDirectory, isSymlink } from "../trees/tree.ts";
import type { ContainerPathStat, MountPoint } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { resolveLinks } from "./resolve-links.ts";
import type { Rooms } from "./rooms.ts";
import { type ContainerView, withView } from "./view.ts";

/** PUT /containers/{id}/archive */
export interface ExtractRequest {
  path: string;
  /** Whether a directory may not give way to something else, nor something else to a directory. */
  noOverwriteDirNonDir: boolean;
  /** Whether all is to belong to the container's own user. */
  copyUIDGID: boolean;
  /** The archive. Its chunks are used up. */
  source: AsyncIterable<Uint8Array>;
  signal: AbortSignal;
}

/** HEAD /containers/{id}/archive. Throws notFound in Docker's words. `called` is how the client names the container. */
export function statPath(rooms: Rooms, container: Container, called: string, path: string): Promise<ContainerPathStat> {
  // Clients ask before they copy.
  storageWorkers.prepare();
  return withView(rooms, container, (view) =>
    inPlaceOf(called, path, () => {
      const found = openAtPath(view, archivePath(path));
      closeFast(found.fd);
      return found.stat;
    }),
  );
}

/**
 * GET /containers/{id}/archive. Calls `begin` when it is known what there is, and then `take` with the archive piece by
 * piece, each when the last one was taken.
 */
export async function readArchive(
  rooms: Rooms,
  container: Container,
  called: string,
  path: string,
  begin: (stat: ContainerPathStat) => void,
  take: (piece: Uint8Array) => Promise<void> | void,
  signal: AbortSignal,
): Promise<void> {
  await withView(rooms, container, async (view) => {
    const absolute = archivePath(path);
    const { fd, stat, rootFd, isDirectory } = inPlaceOf(called, path, () => openAtPath(view, absolute));
    let dirFd = fd;
    try {
      if (!isDirectory) {
        const parent = inPlaceOf(called, path, () => lookUpInRoot(rootFd, bytesOf(posix.dirname(absolute)), directory));
        if (parent === undefined) throw fileNotFound(called, path);
        dirFd = parent;
      }
      begin(stat);
      const as = bytesOf(absolute.endsWith("/.") ? "." : stat.name);
      const source = isDirectory ? { dirFd, as } : { dirFd, as, name: bytesOf(posix.basename(absolute)) };
      await storageWorkers.run(
        { kind: "archive", source },
        { onOutput: take, signal: AbortSignal.any([signal, view.signal]) },
      );
    } finally {
      closeFast(fd);
      if (dirFd !== fd) closeFast(dirFd);
    }
  });
  announce(rooms, container, "archive-path");
}

/** PUT /containers/{id}/archive. Throws in Docker's words where it cannot be; what was extracted by then stays. */
export async function extractArchive(
  rooms: Rooms,
  container: Container,
  called: string,
  request: ExtractRequest,
): Promise<void> {
  const { path, source, signal } = request;
  await withView(rooms, container, async (view) => {
    const absolute = archivePath(path);
    const found = inPlaceOf(called, path, () => lookUp(view, absolute, O_PATH));
    if (found === undefined) throw fileNotFound(called, path);
    const { fd, rootFd } = found;
    try {
      if (!isDirectory(statAt(fd, "")!)) throw invalidParameter("extraction point is not a directory");
      const resolved = textOf(resolveLinks(rootFd, bytesOf(absolute)));
      if (rootFd === view.rootFd) checkWritable(container, resolved);
      const owner = request.copyUIDGID ? ownerFor(container, view) : "archive";
      const target = { dirFd: fd, rootFd, path: resolved, replacesDirectories: !request.noOverwriteDirNonDir, owner };
      await storageWorkers.run(
        { kind: "extract", target },
        { source, givesSource: true, signal: AbortSignal.any([signal, view.signal]) },
      );
    } finally {
      closeFast(fd);
    }
  });
  announce(rooms, container, "extract-to-dir");
}

const directory = O_PATH | O_DIRECTORY;

const fileNotFound = (container: string, path: string) =>
  notFound(`Could not find the file ${path} in container ${container}`);

/** Looks something up; what the kernel says is said in Go's words. */
function inPlaceOf<T>(container: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    if (!(thrown instanceof SyscallError)) throw thrown;
    if (thrown.code === "ENOENT") throw fileNotFound(container, path);
    throw systemError(`lstat ${archivePath(path)}: ${reasonOf(thrown)}`, thrown);
  }
}

function reasonOf(error: SyscallError): string {
  const reason = error.message.slice(error.message.lastIndexOf(": ") + 2);
  return reason.slice(0, 1).toLowerCase() + reason.slice(1);
}

/** An absolute path without `..`; what it says by ending with `/` or `/.` is kept. */
function archivePath(path: string): string {
  if (path.includes("\0")) throw invalidParameter("bad parameter: path must not have a NUL in it");
  const clean = posix.normalize(`/${path}`).replace(/(?<=.)\/$/, "");
  const isRoot = clean === "/";
  if (path === "." || path.endsWith("/.")) return isRoot ? "/." : `${clean}/.`;
  return path.endsWith("/") && !isRoot ? `${clean}/` : clean;
}

interface Found {
  fd: number;
  /** The root it was found in. */
  rootFd: number;
}

/** Opens a path of the container. The fd is an O_PATH one. */
function lookUp({ rootFd, memory }: ContainerView, path: string, flags: number): Found | undefined {
  if (memory !== undefined) {
    const fd = lookUpInMemory(memory, path, flags);
    if (fd !== undefined) return { fd, rootFd: memory.rootFd };
  }
  const fd = lookUpInRoot(rootFd, bytesOf(path), flags);
  return fd === undefined ? undefined : { fd, rootFd };
}

function lookUpInMemory(
  { rootFd, devices }: NonNullable<ContainerView["memory"]>,
  path: string,
  flags: number,
): number | undefined {
  let fd: number | undefined;
  try {
    fd = lookUpInRoot(rootFd, bytesOf(path), flags);
  } catch {
    return undefined; // What is wrong with it is found out again.
  }
  if (fd === undefined || devices.has(statAt(fd, "")!.device)) return fd;
  closeFast(fd);
  return undefined;
}

/** Opens what is at a path itself, a symbolic link as such. Throws SyscallError, with ENOENT where there is nothing. */
function openAtPath(view: ContainerView, path: string): Found & { stat: ContainerPathStat; isDirectory: boolean } {
  const found = lookUp(view, path, O_PATH | O_NOFOLLOW);
  if (found === undefined) throw new SyscallError("lstat", 2, path);
  try {
    const facts = statAt(found.fd, "")!;
    const isLink = isSymlink(facts);
    const linkTarget = isLink ? textOf(resolveLinks(found.rootFd, bytesOf(path))) : "";
    return { ...found, isDirectory: isDirectory(facts), stat: pathStat(path, facts, linkTarget) };
  } catch (thrown) {
    closeFast(found.fd);
    throw thrown;
  }
}

function pathStat(path: string, facts: FileFacts, linkTarget: string): ContainerPathStat {
  return {
    name: path.endsWith("/.") ? "." : posix.basename(path) || "/",
    size: facts.size,
    mode: goMode(facts.mode),
    mtime: formatRfc3339Nano(BigInt(facts.mtimeSeconds) * 1_000_000_000n + BigInt(facts.mtimeNanos)),
    linkTarget,
  };
}

const goTypes = new Map([
  [0o010000, 1 << 25],
  [0o020000, (1 << 26) | (1 << 21)],
  [0o040000, 0x8000_0000],
  [0o060000, 1 << 26],
  [0o120000, 1 << 27],
  [0o140000, 1 << 24],
]);

/** Type and permissions as Go's os.FileMode has them. */
function goMode(mode: number): number {
  let result = (mode & 0o777) + (goTypes.get(mode & 0o170000) ?? 0);
  for (const [bit, goBit] of [
    [0o4000, 1 << 23],
    [0o2000, 1 << 22],
    [0o1000, 1 << 20],
  ] as const)
    if ((mode & bit) !== 0) result += goBit;
  return result;
}

/** What keeps a client from writing where the container itself may not. The mounts of the view say the same again. */
function checkWritable({ record }: Container, path: string): void {
  const isWithin = ({ Destination = "" }: MountPoint) => path === Destination || path.startsWith(`${Destination}/`);
  const length = ({ Destination = "" }: MountPoint) => Destination.length;
  const mount = record.mounts.filter(isWithin).sort((one, other) => length(other) - length(one))[0];
  if (mount?.RW === false) throw invalidParameter("mounted volume is marked read-only");
  if (mount === undefined && record.hostConfig.ReadonlyRootfs)
    throw invalidParameter("container rootfs is marked read-only");
}

function ownerFor({ record }: Container, view: ContainerView): "archive" | { uid: number; gid: number } {
  const user = record.config.User ?? "";
  if (user === "") return "archive";
  try {
    const { uid, gid } = resolveUser(fdPath(view.rootFd), user, []);
    return { uid, gid };
  } catch (thrown) {
    if (thrown instanceof BrigError) throw thrown;
    throw systemError(`the container's user cannot be found: ${user}`, thrown);
  }
}
