/** What of this process lies in memory: madvise(2), and proc(5)'s smaps. */
import { readFileSync } from "node:fs";
import { bindLibc } from "./libc.ts";

const MADV_DONTNEED = 4;

const libc = bindLibc({
  madvise: { args: ["u64", "u64", "i32"], returns: "i32" },
});

/**
 * Lets go of the pages of our own executable: most were needed for the start alone. What is used again comes back from
 * the page cache, with a fault. Nothing can get lost: only mappings that cannot be written to and hold nothing but the
 * file's own pages are touched.
 */
export function releaseExecutablePages(): void {
  for (const mapping of readFileSync("/proc/self/smaps", "utf8").split(/\n(?=[\da-f]+-[\da-f]+ )/)) {
    const head = /^([\da-f]+)-([\da-f]+) r-[-x]p .* (\S+)\n/.exec(mapping);
    if (head?.[3] !== process.execPath || !/^Anonymous: +0 kB$/m.test(mapping)) continue;
    const start = BigInt(`0x${head[1]}`);
    libc.madvise(start, BigInt(`0x${head[2]}`) - start, MADV_DONTNEED);
  }
}
