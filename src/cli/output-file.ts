/** Commands with `-o FILE`: the file appears when all of it has come, and not at all where it does not. */
import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { messageOf } from "../lib/errors.ts";
import { type CliContext, StatusError } from "./command.ts";

/**
 * Where a command's archive goes: to the file `path`, or to stdout where it is empty. Throws a StatusError where that
 * cannot be, before anything is asked of the engine; `what` begins the sentence: `failed to save image`.
 */
export function archiveOutput(
  ctx: CliContext,
  path: string,
  what: string,
): (chunks: AsyncIterable<Uint8Array>) => Promise<void> {
  if (path === "") {
    if (ctx.isTerminal("stdout"))
      throw new StatusError("cowardly refusing to save to a terminal. Use the -o flag or redirect", 1);
    return async (chunks) => {
      for await (const chunk of chunks) ctx.out(chunk);
    };
  }
  try {
    checkOutputPath(path);
  } catch (error) {
    throw new StatusError(`${what}: ${messageOf(error)}`, 1);
  }
  return (chunks) => writeOutputFile(path, chunks);
}

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Throws an Error in Docker's words where nothing can be written to a path. */
function checkOutputPath(path: string): void {
  const directory = dirname(path);
  const parent = statSync(directory, { throwIfNoEntry: false });
  if (!parent?.isDirectory())
    throw new Error(
      `invalid output path: stat ${directory}: ${parent ? "not a directory" : "no such file or directory"}`,
    );
  const there = statSync(path, { throwIfNoEntry: false });
  if (there?.isDirectory()) throw new Error("cannot write to a directory");
  if (there?.isBlockDevice()) throw new Error("cannot write to a block device file");
  if (there?.isCharacterDevice()) throw new Error("cannot write to a character device file");
}

/** Writes to a file beside `path` and renames it at the end. Throws what `chunks` throws; then nothing is left. */
async function writeOutputFile(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  const temporary = join(dirname(path), `.tmp-${basename(path)}${process.pid}`);
  const fd = openSync(temporary, "wx", 0o600);
  const removeAndExit = (_: NodeJS.Signals, number: number) => {
    rmSync(temporary, { force: true });
    process.exit(128 + number);
  };
  for (const signal of endings) process.on(signal, removeAndExit);
  try {
    for await (const chunk of chunks)
      for (let done = 0; done < chunk.length; ) done += writeSync(fd, chunk, done, chunk.length - done);
    renameSync(temporary, path);
  } catch (thrown) {
    rmSync(temporary, { force: true });
    throw thrown;
  } finally {
    for (const signal of endings) process.off(signal, removeAndExit);
    closeSync(fd);
  }
}
