/** Commands with `-o FILE`: the file appears when all of it has come, and not at all where it does not. */
import { closeSync, openSync, renameSync, rmSync, statSync, writeSync } from "node:fs";
import { basename, dirname, join } from "node:path";

const endings = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/** Throws an Error in Docker's words where nothing can be written to a path, before anything is asked of the engine. */
export function checkOutputPath(path: string): void {
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
export async function writeOutputFile(path: string, chunks: AsyncIterable<Uint8Array>): Promise<void> {
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
