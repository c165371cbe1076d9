/** An htpasswd file of bcrypt entries, read again when it changes. */
import { readFileSync, statSync } from "node:fs";

/** How long the file is believed without a look. */
const believeMs = 1000;

export class HtpasswdFile {
  readonly #path: string;
  #hashes = new Map<string, string>();
  #changedMs = 0;
  #lookedMs = 0;

  /** Throws where the file cannot be read, or holds entries of another kind. */
  constructor(path: string) {
    this.#path = path;
    this.#read();
  }

  hashOf(user: string): string | undefined {
    if (Date.now() - this.#lookedMs > believeMs) {
      try {
        this.#read();
      } catch {
        // What was known goes on to hold: somebody may be writing the file.
      }
    }
    return this.#hashes.get(user);
  }

  #read(): void {
    this.#lookedMs = Date.now();
    const { mtimeMs } = statSync(this.#path);
    if (mtimeMs === this.#changedMs) return;
    const hashes = new Map<string, string>();
    for (const line of readFileSync(this.#path, "utf8").split("\n")) {
      const entry = line.trim();
      if (entry === "" || entry.startsWith("#")) continue;
      const colon = entry.indexOf(":");
      const hash = entry.slice(colon + 1);
      if (colon <= 0 || !/^\$2[aby]\$/.test(hash))
        throw new Error(
          `${this.#path}: the entry ${JSON.stringify(entry.split(":")[0])} is not bcrypt's (htpasswd -B)`,
        );
      hashes.set(entry.slice(0, colon), hash);
    }
    this.#hashes = hashes;
    this.#changedMs = mtimeMs;
  }
}
