/** The exit files that conmon writes: how and when each container ended, also while no daemon was there to see it. */
import { type FSWatcher, mkdirSync, readdirSync, readFileSync, rmSync, statSync, watch } from "node:fs";
import { join } from "node:path";

/** How a container ended. */
export interface ExitRecord {
  exitCode: number;
  /** Nanoseconds since 1970. */
  finishedAtNs: bigint;
}

export type ExitListener = (id: string, exitCode: number, finishedAtNs: bigint) => void;

/** Watches a directory of exit files and tells each expected one once. */
export class ExitFiles {
  readonly directory: string;
  readonly #listener: ExitListener;
  readonly #expected = new Set<string>();
  #watcher: FSWatcher | undefined;

  constructor(directory: string, listener: ExitListener) {
    this.directory = directory;
    this.#listener = listener;
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }

  /** The listener will be told of this container's end, once. */
  expect(id: string): void {
    this.#expected.add(id);
    if (this.#watcher !== undefined) return;
    this.#watcher = watch(this.directory, { persistent: false }, (_, name) => {
      // conmon writes a temporary file beside it first; its name is nobody's.
      if (name !== null) this.check(String(name));
    });
  }

  /** No longer of interest; true where it was still expected. */
  settle(id: string): boolean {
    return this.#expected.delete(id);
  }

  isExpected(id: string): boolean {
    return this.#expected.has(id);
  }

  /** Looks for the file now and tells the listener. False where it is not there or was told before. */
  check(id: string): boolean {
    if (!this.#expected.has(id)) return false;
    const record = this.read(id);
    if (record === undefined) return false;
    this.#expected.delete(id);
    this.#listener(id, record.exitCode, record.finishedAtNs);
    return true;
  }

  /** What the exit file says, or undefined where there is none. */
  read(id: string): ExitRecord | undefined {
    const path = join(this.directory, id);
    try {
      const text = readFileSync(path, "utf8");
      if (!/^-?\d+$/.test(text)) return undefined;
      return { exitCode: Number(text) & 0xff, finishedAtNs: statSync(path, { bigint: true }).mtimeNs };
    } catch {
      return undefined;
    }
  }

  remove(id: string): void {
    rmSync(join(this.directory, id), { force: true });
  }

  /** Removes the files of all containers but these. */
  removeOthers(keep: ReadonlySet<string>): void {
    // What conmon is just writing has the container's id and some letters for a name.
    for (const name of readdirSync(this.directory)) if (!keep.has(name.split(".", 1)[0]!)) this.remove(name);
  }

  close(): void {
    this.#watcher?.close();
    this.#watcher = undefined;
    this.#expected.clear();
  }
}
