/** Files with holes in a tar archive: the four ways (GNU old, 0.0, 0.1, 1.0) in which their maps are written. */
import { blockBytes, invalidHeader, numberField, parseDecimal } from "./tar-header.ts";

/** A run of bytes that the archive holds; what lies between runs is a hole. Both in bytes. */
export interface SparseRun {
  offset: number;
  length: number;
}

/** More runs than this in one file are taken for an attack on memory. */
const runsLimit = 1_000_000;

/** Checks that runs are in order, do not overlap, end within `sizeBytes`, and add up to what the archive stores. */
export function checkRuns(runs: SparseRun[], sizeBytes: number, storedBytes: number): void {
  let end = 0;
  let stored = 0;
  for (const { offset, length } of runs) {
    if (offset < end || offset + length > sizeBytes) throw invalidHeader("sparse map is out of order");
    end = offset + length;
    stored += length;
  }
  if (stored !== storedBytes) throw invalidHeader("sparse map does not match the stored data");
}

/** Pairs up the numbers of a map: offset, length, offset, length… */
export function runsOf(numbers: string[]): SparseRun[] {
  if (numbers.length % 2 !== 0 || numbers.length > 2 * runsLimit) throw invalidHeader("malformed sparse map");
  const runs: SparseRun[] = [];
  for (let index = 0; index < numbers.length; index += 2)
    runs.push({
      offset: parseDecimal(numbers[index]!, "sparse offset"),
      length: parseDecimal(numbers[index + 1]!, "sparse length"),
    });
  return runs;
}

/** Reads `count` runs of a GNU old-style map into `runs`; returns whether another block of the map follows. */
export function readOldRuns(block: Buffer, offset: number, count: number, runs: SparseRun[]): boolean {
  for (let index = 0; index < count; index++) {
    const at = offset + index * 24;
    if (block[at] === 0) break;
    const run = {
      offset: numberField(block, at, 12, "sparse offset"),
      length: numberField(block, at + 12, 12, "sparse length"),
    };
    if (run.offset < 0 || run.length < 0) throw invalidHeader("negative sparse run");
    runs.push(run);
  }
  if (runs.length > runsLimit) throw invalidHeader("sparse map is too long");
  return block[offset + count * 24] === 1;
}

/** Collects the map that format 1.0 puts, in decimal lines padded to whole blocks, before a file's data. */
export class SparseMapReader {
  readonly #numbers: string[] = [];
  #rest = "";
  /** Bytes of the map read so far. */
  bytes = 0;

  /** Takes one block of the map; returns the runs when it was the last one. */
  push(block: Buffer): SparseRun[] | undefined {
    this.bytes += blockBytes;
    const lines = (this.#rest + block.toString("latin1", 0, blockBytes)).split("\n");
    this.#rest = lines.pop()!;
    for (const line of lines) {
      if (this.#isComplete()) break;
      this.#numbers.push(line);
    }
    if (this.#isComplete()) return runsOf(this.#numbers.slice(1));
    if (this.#rest.length > 20) throw invalidHeader("malformed sparse map");
    return undefined;
  }

  #isComplete(): boolean {
    const count = this.#numbers[0];
    if (count === undefined) return false;
    if (parseDecimal(count, "sparse map's length") > runsLimit) throw invalidHeader("sparse map is too long");
    return this.#numbers.length >= 1 + 2 * Number(count);
  }
}
