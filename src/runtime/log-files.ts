/**
 * A container's log on disk: `<path>` grows, `<path>.0` is a second name (hard link) of the same file, `<path>.1` is the
 * one before, and so on. The second name keeps the file when conmon begins a new one: it opens `<path>.tmp`, made here
 * beforehand so that this one, too, has a second name from its first line on, `<path>.next`, and renames it to `<path>`.
 */
import { readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";

/** A log file that exists. */
export interface LogFile {
  path: string;
  inode: number;
  sizeBytes: number;
  mtimeMs: number;
}

/** The files of a log, oldest first, each only once. Empty where nothing was ever logged. */
export function listLogFiles(path: string): LogFile[] {
  const files: LogFile[] = [];
  const numbered = rotatedNumbers(path).map((number) => logFile(`${path}.${number}`));
  for (const file of [...numbered, takenNext(path), logFile(path)]) {
    if (file !== undefined && !files.some((other) => other.inode === file.inode)) files.push(file);
  }
  return files;
}

/** The file that was made beforehand, where conmon has begun to write to it and it has no number yet. */
export function takenNext(path: string): LogFile | undefined {
  const next = logFile(`${path}.next`);
  if (next === undefined || logFile(`${path}.tmp`) !== undefined) return undefined;
  return next.sizeBytes > 0 || next.inode === logFile(path)?.inode ? next : undefined;
}

/** The numbers that follow the name of a log, highest (oldest) first. */
export function rotatedNumbers(path: string): number[] {
  const prefix = `${basename(path)}.`;
  return readNames(dirname(path))
    .filter((name) => name.startsWith(prefix) && /^\d{1,6}$/.test(name.slice(prefix.length)))
    .map((name) => Number(name.slice(prefix.length)))
    .sort((a, b) => b - a);
}

/** One file's facts; undefined where it is not there. */
export function logFile(path: string): LogFile | undefined {
  const stat = statSync(path, { throwIfNoEntry: false });
  return stat === undefined ? undefined : { path, inode: stat.ino, sizeBytes: stat.size, mtimeMs: stat.mtimeMs };
}

function readNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
