/** How many bytes the files of a tree have, counted without holding up the event loop. */
import { lstatSync, readdirSync } from "node:fs";
import { setImmediate } from "node:timers/promises";

/** The loop is given back after this long, so that a request in between waits no longer. */
const sliceMs = 4;

/**
 * Adds up the lengths of all files below `root`, each inode once; directories count nothing.
 * With `changedAfterNs` only what changed (ctime) after that moment is counted. 0 where `root` is not there.
 */
export async function sumFiles(root: string, changedAfterNs = -1n): Promise<number> {
  const seen = new Set<string>();
  const pending = [Buffer.from(root)];
  let sum = 0;
  let sliceStart = performance.now();
  for (let directory = pending.pop(); directory !== undefined; directory = pending.pop()) {
    for (const name of namesIn(directory)) {
      const path = Buffer.concat([directory, Buffer.from("/"), name]);
      const facts = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      if (facts === undefined) continue;
      if (facts.isDirectory()) pending.push(path);
      else if (facts.ctimeNs > changedAfterNs && (facts.nlink === 1n || !seen.has(`${facts.dev}:${facts.ino}`))) {
        if (facts.nlink > 1n) seen.add(`${facts.dev}:${facts.ino}`);
        sum += Number(facts.size);
      }
      if (performance.now() - sliceStart < sliceMs) continue;
      await setImmediate();
      sliceStart = performance.now();
    }
  }
  return sum;
}

/** Names as bytes, for they need not be UTF-8. A directory that a container removes meanwhile is empty. */
function namesIn(directory: Buffer): Buffer[] {
  try {
    return readdirSync(directory, { encoding: "buffer" });
  } catch (thrown) {
    if ((thrown as { code?: string }).code === "ENOENT") return [];
    throw thrown;
  }
}
