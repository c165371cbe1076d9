/** What a `cp` copies to where: the rules by which paths that are there or not, and how they end, decide. */
import { lstatSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { posix, resolve } from "node:path";

/** One end of a copy. */
export interface CopyEnd {
  path: string;
  exists: boolean;
  isDirectory: boolean;
  /** The name under which it is copied, where a symbolic link was followed; else empty. */
  rebaseName: string;
}

/** Where an archive is extracted, and what in it is called otherwise there. */
export interface Destination {
  directory: string;
  /** The name that the copied thing gets; undefined where it keeps its own. */
  name: string | undefined;
}

const isCurrentDirectory = (path: string) => posix.basename(path) === ".";
/** As Go's filepath.Clean. */
const clean = (path: string) => posix.normalize(path).replace(/(?<=.)\/+$/, "");

/** Gives a cleaned path the ending of the original: `/` or `/.`. */
export function keepEnding(cleaned: string, original: string): string {
  let path = cleaned;
  if (!isCurrentDirectory(path) && isCurrentDirectory(original)) path += path.endsWith("/") ? "." : "/.";
  return !path.endsWith("/") && original.endsWith("/") ? `${path}/` : path;
}

export const absolutePath = (path: string) => keepEnding(resolve(path), path);

/** Directory and last name; `a/.` has the name `.`. */
export function splitPath(path: string): [directory: string, name: string] {
  const cleaned = isCurrentDirectory(path) ? `${clean(path)}/.` : clean(path);
  return [posix.dirname(cleaned), posix.basename(cleaned) || "/"];
}

/** The path a followed link leads to with the ending of `path`, and the name to copy it under, where that is another. */
export function followed(path: string, target: string): { path: string; rebaseName: string } {
  const kept = keepEnding(target, path);
  return { path: kept, rebaseName: posix.basename(path) === posix.basename(kept) ? "" : posix.basename(path) };
}

const reasons: Record<string, string> = {
  ENOENT: "no such file or directory",
  ENOTDIR: "not a directory",
  EACCES: "permission denied",
  ELOOP: "too many levels of symbolic links",
  ENAMETOOLONG: "file name too long",
};

/** What node throws of a path, in Go's words. */
function told<T>(call: string, path: string, work: () => T): T {
  try {
    return work();
  } catch (thrown) {
    const reason = reasons[(thrown as NodeJS.ErrnoException).code ?? ""];
    throw reason === undefined ? thrown : new Error(`${call} ${path}: ${reason}`);
  }
}

const lstatOf = (path: string) => told("lstat", path, () => lstatSync(path));

function resolvedPath(path: string): string {
  const real = told("lstat", clean(path), () => realpathSync(path));
  if (path.endsWith("/") && !statSync(real).isDirectory()) throw new Error("not a directory");
  return real;
}

/** A local path that is to be copied. Throws in Go's words where it is not there. */
export function localSource(path: string, followLink: boolean): CopyEnd {
  const slash = path.lastIndexOf("/") + 1;
  let end = { path: "", rebaseName: "" };
  if (followLink) end = followed(path, resolvedPath(path));
  else {
    const parent = resolvedPath(path.slice(0, slash));
    end.path = `${parent === "/" ? "" : parent}/${path.slice(slash)}`;
    const [name, own] = [posix.basename(path), posix.basename(end.path)];
    if (path.endsWith("/") && name !== own) end.rebaseName = name;
  }
  return { ...end, exists: true, isDirectory: lstatOf(end.path).isDirectory() };
}

const linksLimit = 10;

/** A local path that is to be copied to: what a symbolic link leads to. Throws where not even its parent is there. */
export function localDestination(path: string): CopyEnd {
  let place = path;
  for (let links = 0; ; links++) {
    const facts = told("lstat", place, () => lstatSync(place, { throwIfNoEntry: false }));
    if (facts === undefined) {
      const [parent] = splitPath(place);
      if (!told("stat", parent, () => statSync(parent)).isDirectory()) throw new Error("not a directory");
      return { path: place, exists: false, isDirectory: false, rebaseName: "" };
    }
    if (!facts.isSymbolicLink()) return { path: place, exists: true, isDirectory: facts.isDirectory(), rebaseName: "" };
    if (links > linksLimit) throw new Error(`too many symlinks in ${path}`);
    const target = readlinkSync(place);
    place = target.startsWith("/") ? target : posix.join(splitPath(place)[0], target);
  }
}

/** Throws in docker's words where nothing can be written to a local path, before anything is asked of the engine. */
export function checkLocalDestination(path: string): void {
  const parent = posix.dirname(clean(path));
  if (statSync(parent, { throwIfNoEntry: false }) === undefined)
    throw new Error(`invalid output path: directory ${JSON.stringify(parent)} does not exist`);
  const facts = told("stat", path, () => statSync(path, { throwIfNoEntry: false }));
  if (facts?.isBlockDevice() || facts?.isCharacterDevice())
    throw new Error(`invalid output path: ${JSON.stringify(path)} must be a directory or a regular file: got a device`);
}

/** Where `source` goes when it is copied to `target`. Throws in docker's words where that cannot be. */
export function destinationOf(source: CopyEnd, target: CopyEnd): Destination {
  const [directory, name] = splitPath(target.path);
  if (target.exists && target.isDirectory) return { directory: target.path, name: undefined };
  if (target.exists && source.isDirectory) throw new Error("cannot copy directory");
  const mustBeDirectory = target.path.endsWith("/") || isCurrentDirectory(target.path);
  if (!target.exists && !source.isDirectory && mustBeDirectory) throw new Error("no such directory");
  return { directory, name };
}
