/** What a container has changed of its image: the list that `diff` shows, and the members of which a layer is made. */
import { closeSync, openSync } from "node:fs";
import { closeFast, textOf } from "../kernel/at.ts";
import { O_DIRECTORY, O_PATH } from "../kernel/files.ts";
import { isDirectory, isWhiteout, keptXattrs, namesIn, openDirectoryAt } from "../trees/tree.ts";
import { type TreeEntry, walkTree } from "../trees/walk.ts";
import type { WritableTree } from "./driver.ts";
import { isOpaque, type LowerDirectory, type LowerEntry, LowerLayers } from "./lower.ts";
import type { WhiteoutStyle } from "./unpack.ts";

/** Kinds of change as the API numbers them: `C`, `A` and `D` of `docker diff`. */
export const changeKinds = { changed: 0, added: 1, deleted: 2 } as const;

export interface FileChange {
  /** With a slash in front. */
  path: string;
  kind: (typeof changeKinds)[keyof typeof changeKinds];
}

/** Where to look for changes. Paths within are without a slash in front. */
export interface ChangedTree extends WritableTree {
  /** Directories of the image's layers, the lowest first. */
  lowers: string[];
  style: WhiteoutStyle;
  /** Paths that are the engine's own: neither they nor what is below them counts. */
  ignored: string[];
  /** Directories that may be there for the sake of what is ignored: by themselves they do not count. */
  scaffold: string[];
}

/** One member of a layer. */
export type LayerMember =
  | { kind: "entry"; entry: TreeEntry }
  /** What the image has there is gone. */
  | { kind: "whiteout"; path: string }
  /** All that the image has in this directory is gone; comes behind the directory's entry. */
  | { kind: "opaque"; path: string };

/**
 * All changes, sorted; yields every now and then, for others to get their turn. A directory is changed where its owner
 * or permissions are, or anything in it is; all else where type, owner, permissions, device, time, length or
 * capabilities are others than in the image. What is below something that is gone is not listed.
 */
export function* listChanges(tree: ChangedTree): Generator<undefined, FileChange[]> {
  const changes = new Map<string, FileChange["kind"]>();
  const add = (path: string, kind: FileChange["kind"]) => {
    changes.set(path, kind);
    for (let end = path.lastIndexOf("/"); end > 0; end = path.lastIndexOf("/", end - 1)) {
      const parent = path.slice(0, end);
      if (changes.has(parent)) break;
      changes.set(parent, changeKinds.changed);
    }
  };
  for (const { path, entry, lower } of compare(tree)) {
    yield;
    if (entry === undefined) add(path, changeKinds.deleted);
    else if (lower === undefined) {
      if (!tree.scaffold.includes(path)) add(path, changeKinds.added);
    } else if (isChanged(entry, lower)) add(path, changeKinds.changed);
  }
  return [...changes]
    .sort(([one], [other]) => (one < other ? -1 : 1))
    .map(([path, kind]) => ({ path: `/${textOf(path)}`, kind }));
}

/**
 * What a layer of the changes has in it, a directory before its contents. Of a tree that holds nothing but changes all
 * files are taken, whatever their times say: a program may have set them back.
 */
export function* layerMembers(tree: ChangedTree): Generator<LayerMember> {
  const holdsAll = tree.changedSinceNs !== undefined;
  /** Directories that come only where something in them does. */
  let waiting: TreeEntry[] = [];
  for (const found of compare(tree)) {
    const { path, entry } = found;
    // An opaque directory hides what is gone from it.
    if (entry === undefined && found.isHiddenAbove && !holdsAll) continue;
    waiting = waiting.filter((directory) => path.startsWith(`${directory.path}/`));
    if (entry !== undefined && !isNeeded(tree, found, entry)) {
      if (isDirectory(entry.facts)) waiting.push(entry);
      continue;
    }
    for (const directory of waiting) yield { kind: "entry", entry: directory };
    waiting = [];
    if (entry === undefined) yield { kind: "whiteout", path };
    else yield { kind: "entry", entry };
    if (found.isOpaque) yield { kind: "opaque", path };
  }
}

function isNeeded(tree: ChangedTree, { path, lower, isHiddenAbove, isOpaque }: Compared, entry: TreeEntry): boolean {
  const holdsAll = tree.changedSinceNs !== undefined;
  if (lower === undefined) return !tree.scaffold.includes(path);
  if (isDirectory(entry.facts)) {
    if (isOpaque || (isHiddenAbove && !holdsAll) || isChanged(entry, lower)) return true;
    return !sameXattrs(keptXattrs(entry.dirFd, entry.name), lower.xattrs());
  }
  return !holdsAll || ctimeNsOf(entry) > BigInt(tree.changedSinceNs!) || isChanged(entry, lower);
}

/** A path that is or may be changed. */
interface Compared {
  path: string;
  /** What the tree has there; undefined where what the image has is gone. */
  entry: TreeEntry | undefined;
  /** What the image has there. */
  lower: LowerEntry | undefined;
  /** Nothing of the image is to be seen in the directory that this is in, unless the tree has it itself. */
  isHiddenAbove: boolean;
  /** A directory for whose contents that begins. */
  isOpaque: boolean;
}

/** Entries that vanish meanwhile are left out. */
function* compare(tree: ChangedTree): Generator<Compared> {
  const holdsAll = tree.changedSinceNs !== undefined;
  const ignored = new Set(tree.ignored);
  const layers = new LowerLayers(tree.lowers, tree.style);
  const root = openSync(tree.directory, O_PATH | O_DIRECTORY);
  /** By depth: the image's directory, undefined below what is new; and whether it is hidden. */
  const lowers: (LowerDirectory | undefined)[] = [layers.root];
  const hides = [holdsAll];
  try {
    if (holdsAll) yield* gone(root, "", layers.root, ignored);
    for (const entry of walkTree(root, ({ path }) => !ignored.has(path))) {
      const { path, name, depth, dirFd, facts } = entry;
      if (ignored.has(path)) continue;
      const lower = lowers[depth]?.find(name);
      const isHiddenAbove = hides[depth]!;
      if (!holdsAll && isWhiteout(facts)) {
        if (lower !== undefined) yield { path, entry: undefined, lower, isHiddenAbove, isOpaque: false };
        continue;
      }
      const isMerged = lower !== undefined && isDirectory(facts) && isDirectory(lower.facts);
      const below = isMerged ? lowers[depth]!.child(name) : undefined;
      const isOpaqueHere = below !== undefined && !isHiddenAbove && isOpaque(dirFd, name);
      lowers[depth + 1] = below;
      hides[depth + 1] = isHiddenAbove || isOpaqueHere;
      yield { path, entry, lower, isHiddenAbove, isOpaque: isOpaqueHere };
      const fd = below !== undefined && hides[depth + 1] ? openIfThere(dirFd, name) : undefined;
      if (fd === undefined) continue;
      try {
        yield* gone(fd, path, below!, ignored);
      } finally {
        closeFast(fd);
      }
    }
  } finally {
    closeSync(root);
    layers.close();
  }
}

/** What the image's directory has and the tree's, in which all is that is to be seen, has not. */
function* gone(fd: number, path: string, lower: LowerDirectory, ignored: Set<string>): Generator<Compared> {
  const present = new Set(namesIn(fd));
  for (const name of lower.names().sort()) {
    const at = path === "" ? name : `${path}/${name}`;
    if (present.has(name) || ignored.has(at)) continue;
    yield { path: at, entry: undefined, lower: lower.find(name), isHiddenAbove: true, isOpaque: false };
  }
}

function openIfThere(dirFd: number, name: string): number | undefined {
  try {
    return openDirectoryAt(dirFd, name);
  } catch {
    // A running container has removed or replaced it meanwhile.
    return undefined;
  }
}

/** As Docker compares: a directory's time and length say nothing, and a time without nanoseconds may have lost them. */
function isChanged({ facts, dirFd, name }: TreeEntry, { facts: before, xattrs }: LowerEntry): boolean {
  for (const key of ["mode", "uid", "gid", "devMajor", "devMinor"] as const)
    if (facts[key] !== before[key]) return true;
  if (isDirectory(facts)) return false;
  if (facts.size !== before.size || facts.mtimeSeconds !== before.mtimeSeconds) return true;
  if (facts.mtimeNanos !== before.mtimeNanos && facts.mtimeNanos !== 0 && before.mtimeNanos !== 0) return true;
  const capability = (attributes: Map<string, Buffer> | undefined) => attributes?.get("security.capability");
  const [now, then] = [capability(keptXattrs(dirFd, name)), capability(xattrs())];
  return now === undefined || then === undefined ? now !== then : !now.equals(then);
}

function sameXattrs(one: Map<string, Buffer> | undefined, other: Map<string, Buffer> | undefined): boolean {
  if ((one?.size ?? 0) !== (other?.size ?? 0)) return false;
  return [...(one ?? [])].every(([key, value]) => other?.get(key)?.equals(value));
}

function ctimeNsOf({ facts }: TreeEntry): bigint {
  return BigInt(facts.ctimeSeconds) * 1_000_000_000n + BigInt(facts.ctimeNanos);
}
