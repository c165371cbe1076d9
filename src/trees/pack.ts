/** Trees of files as tar archives. */
import { readSync } from "node:fs";
import { closeFast, dataRuns, type FileFacts, openAt, readlinkAt, statAt } from "../kernel/at.ts";
import { O_NONBLOCK, O_RDONLY } from "../kernel/files.ts";
import type { TarType } from "../lib/tar.ts";
import type { SparseRun } from "../lib/tar-sparse.ts";
import { type NewTarEntry, storedBytes, tarEnd, tarHeader, tarPadding } from "../lib/tar-writer.ts";
import { isRegular, keptXattrs, keptXattrsOf } from "./tree.ts";
import { type TreeEntry, walkTree } from "./walk.ts";

/** A member of an archive to be. Names have one character per byte. */
export interface PackedMember {
  entry: NewTarEntry;
  /** A file whose contents are to be read; its size and time are those it has when it is opened. */
  file?: { dirFd: number; name: string };
  /** What has several names: all but the first become links to that. */
  identity?: string;
}

/** How much of an archive comes at a time. */
export const packBytes = 1 << 20;
/** A hole that is smaller is sent as zeros. */
const holeBytes = 64 * 1024;
const runsLimit = 10_000;

/**
 * Members of a whole tree. `placeholders` stand for what is mounted over it: files and links replace whatever file is
 * there, directories are added where nothing is. They come last.
 */
export function* membersOfTree(root: number, placeholders: NewTarEntry[] = []): Generator<PackedMember> {
  const missing = new Map(placeholders.map((entry) => [entry.name, entry]));
  for (const entry of walkTree(root)) {
    const isReplaced = missing.has(entry.path) && missing.get(entry.path)!.type !== "directory";
    if (isReplaced && typeOf(entry.facts) !== "directory") continue;
    missing.delete(entry.path);
    const packed = memberOf(entry);
    if (packed !== undefined) yield packed;
  }
  for (const entry of missing.values())
    yield { entry: entry.type === "directory" ? { ...entry, name: `${entry.name}/` } : entry };
}

/** One path that is to be an archive. */
export interface ArchiveSource {
  /** A directory that is open: what is asked for itself, or, where there is a `name`, that which holds it. */
  dirFd: number;
  /** Of what is no directory. One character per byte. */
  name?: string;
  /** What it is called in the archive: for a directory also `.` and `/`. One character per byte. */
  as: string;
}

/** Members of a directory and all below it, or of something else alone. */
export function* membersOfPath({ dirFd, name, as }: ArchiveSource): Generator<PackedMember> {
  const facts = statAt(dirFd, name ?? "");
  const top = facts && memberOf({ path: as, name: name ?? ".", depth: 0, dirFd, facts });
  if (top === undefined) return;
  top.entry.name = top.entry.name.replace(/\/+$/, "/");
  yield top;
  if (name !== undefined) return;
  for (const entry of walkTree(dirFd)) {
    const packed = memberOf({ ...entry, path: `${top.entry.name}${entry.path}` });
    if (packed !== undefined) yield packed;
  }
}

/** undefined for what no archive can hold, sockets, and for what has vanished. */
export function memberOf({ path, name, dirFd, facts }: TreeEntry): PackedMember | undefined {
  const type = typeOf(facts);
  if (type === undefined) return undefined;
  const { uid, gid, mtimeSeconds, mtimeNanos } = facts;
  const mode = facts.mode & 0o7777;
  const entry: NewTarEntry = { name: path, type, mode, uid, gid, mtimeSeconds, mtimeNanos };
  if (type === "directory") entry.name = `${path}/`;
  const identity = facts.links > 1 && type !== "directory" ? facts.identity : undefined;
  if (type === "file") return { entry, file: { dirFd, name }, identity };
  if (type === "char" || type === "block") {
    entry.devMajor = facts.devMajor;
    entry.devMinor = facts.devMinor;
  }
  try {
    if (type === "symlink") entry.linkName = readlinkAt(dirFd, name);
    entry.xattrs = keptXattrs(dirFd, name);
  } catch (thrown) {
    if (hasVanished(thrown)) return undefined;
    throw thrown;
  }
  return { entry, identity };
}

const types = new Map<number, TarType>([
  [0o010000, "fifo"],
  [0o020000, "char"],
  [0o040000, "directory"],
  [0o060000, "block"],
  [0o100000, "file"],
  [0o120000, "symlink"],
]);

const typeOf = (facts: FileFacts) => types.get(facts.mode & 0o170000);

const hasVanished = (thrown: unknown) =>
  ["ENOENT", "ENOTDIR", "ELOOP", "EINVAL", "ENXIO"].includes((thrown as { code?: string }).code ?? "");

export interface PackOptions {
  /** Each piece has memory of its own. Else it is good until the next one is asked for. */
  isKept?: boolean;
  /** Times without their fractions, as Docker's cp has them: most members then need one header, not two. */
  wholeSeconds?: boolean;
}

/**
 * The archive of members, in pieces of at most `packBytes`. Files that vanish before they are opened are left out; those that shrink
 * while they are read end in zeros.
 */
export function* packTar(
  members: Iterable<PackedMember>,
  { isKept = false, wholeSeconds = false }: PackOptions = {},
): Generator<Buffer> {
  let piece = Buffer.allocUnsafeSlow(packBytes);
  let used = 0;
  const full = () => {
    const done = piece.subarray(0, used);
    if (isKept) piece = Buffer.allocUnsafeSlow(packBytes);
    used = 0;
    return done;
  };
  function* put(bytes: Buffer): Generator<Buffer> {
    for (let done = 0; done < bytes.length; ) {
      const length = bytes.copy(piece, used, done);
      used += length;
      done += length;
      if (used === packBytes) yield full();
    }
  }
  /** Sends `length` bytes of a file from `offset` on, or zeros where it has no more. */
  function* putFile(fd: number, offset: number, length: number): Generator<Buffer> {
    for (let done = 0; done < length; ) {
      const wanted = Math.min(length - done, packBytes - used);
      const read = readSync(fd, piece, used, wanted, offset + done);
      if (read === 0) piece.fill(0, used, used + wanted);
      used += read || wanted;
      done += read || wanted;
      if (used === packBytes) yield full();
    }
  }
  /** By identity: the name of what is in the archive already. */
  const sent = new Map<string, string>();
  for (const { entry, file, identity } of members) {
    if (wholeSeconds) entry.mtimeNanos = 0;
    const first = identity === undefined ? undefined : sent.get(identity);
    if (first !== undefined || file === undefined) {
      const link = { type: "link", linkName: first, xattrs: undefined } as const;
      yield* put(tarHeader(first === undefined ? entry : { ...entry, ...link }, { names: "latin1" }));
      if (identity !== undefined && first === undefined) sent.set(identity, entry.name);
      continue;
    }
    const fd = openFile(file.dirFd, file.name);
    if (fd === undefined) continue;
    try {
      const facts = statAt(fd, "");
      if (facts === undefined || !isRegular(facts)) continue;
      const { size, mtimeSeconds } = facts;
      const mtimeNanos = wholeSeconds ? 0 : facts.mtimeNanos;
      const runs = runsOf(fd, facts, file.name);
      const xattrs = keptXattrsOf(fd, file.name);
      yield* put(tarHeader({ ...entry, size, mtimeSeconds, mtimeNanos, xattrs }, { names: "latin1", runs }));
      for (const { offset, length } of runs ?? [{ offset: 0, length: size }]) yield* putFile(fd, offset, length);
      yield* put(tarPadding(runs === undefined ? size : storedBytes(runs)));
      if (identity !== undefined) sent.set(identity, entry.name);
    } finally {
      closeFast(fd);
    }
  }
  yield* put(tarEnd());
  if (used > 0) yield full();
}

/** Never waits for the other end of a pipe that has taken the file's place. */
function openFile(dirFd: number, name: string): number | undefined {
  try {
    return openAt(dirFd, name, O_RDONLY | O_NONBLOCK);
  } catch (thrown) {
    if (hasVanished(thrown)) return undefined;
    throw thrown;
  }
}

/** Where a file has data; undefined where it has no holes worth a map. */
function runsOf(fd: number, { size, blocks }: FileFacts, name: string): SparseRun[] | undefined {
  if (size - blocks * 512 < holeBytes) return undefined;
  for (let least = holeBytes; ; least *= 4) {
    const runs: SparseRun[] = [];
    for (const run of dataRuns(fd, size, name)) {
      const last = runs.at(-1);
      if (last !== undefined && run.offset - last.offset - last.length < least)
        last.length = run.offset + run.length - last.offset;
      else runs.push(run);
      if (runs.length > runsLimit) break;
    }
    if (runs.length > runsLimit) continue;
    if (runs.length === 1 && runs[0]!.length === size) return undefined;
    // A map without an entry is not understood everywhere.
    return runs.length === 0 ? [{ offset: size, length: 0 }] : runs;
  }
}
