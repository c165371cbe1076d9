/**
 * crun in memory. A container could write to the runtime's file through /proc/<pid>/exe, so crun begins by making itself
 * a copy that cannot be written to and executing that: mounts, and a second load with all libraries, for every
 * container and every exec. Given a sealed copy at once, it sees that it is one and goes on.
 */
import { closeSync, statSync } from "node:fs";
import { sealedCopy } from "../kernel/sealed-file.ts";

export class SealedProgram {
  readonly #source: string;
  #fd = -1;
  #path = "";
  #version = "";

  /** `source` is the program's file. */
  constructor(source: string) {
    this.#source = source;
  }

  /**
   * Where to execute it, for as long as this process lives. The copy is made anew where the file has been replaced, by an
   * upgrade say. Throws Node's errors where there is no such file; where memory files are not to be had it is the file.
   */
  get path(): string {
    const { ino, mtimeMs, size } = statSync(this.#source);
    const version = `${ino} ${mtimeMs} ${size}`;
    if (version === this.#version) return this.#path;
    this.close();
    try {
      this.#fd = sealedCopy(this.#source, "crun");
      this.#path = `/proc/${process.pid}/fd/${this.#fd}`;
    } catch {
      this.#path = this.#source;
    }
    this.#version = version;
    return this.#path;
  }

  close(): void {
    if (this.#fd !== -1) closeSync(this.#fd);
    this.#fd = -1;
    this.#version = "";
  }
}
