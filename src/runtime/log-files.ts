/**
 * A container's log on disk: `<path>` grows, `<path>.0` is a second name (hard link) of the same file, `<path>.1` is the
 * one before, and so on. The second name keeps the file when conmon begins a new one by itself.
 */
import { readdirSync, statSync } from "node:fs";
import { basename, dirname } from "node:path";

/** A log file that exists. */
export interface LogFile {
  path: string;
  inode: number;
  sizeBytes: number;
}

/** The files of a log, oldest first, each only once. Empty where nothing was ever logged. */
export function listLogFiles(path: string): LogFile[] {
  const files: LogFile[] = [];
  for (const candidate of [...rotatedNumbers(path).map((number) => `${path}.${number}`), path]) {
    const file = logFile(candidate);
    if (file !== undefined && !files.some((other) => other.inode === file.inode)) files.push(file);
  }
  return files;
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
  return stat === undefined ? undefined : { path, inode: stat.ino, sizeBytes: stat.size };
}

function readNames(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch {
    return [];
  }
}
