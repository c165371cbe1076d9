/** The keys that leave a container's terminal without ending it: `--detach-keys`, by default ctrl-p ctrl-q. */
import { invalidParameter } from "../lib/errors.ts";

/** `ctrl-` and one of these: the character's place is its code. */
const controlKeys = "@abcdefghijklmnopqrstuvwxyz[\\]^_";
const defaultKeys = "ctrl-p,ctrl-q";

/** Reads a list such as `ctrl-p,ctrl-q` or `a,b` into bytes; empty means the default. Throws invalidParameter. */
export function parseDetachKeys(keys: string): Uint8Array {
  const codes = (keys === "" ? defaultKeys : keys).split(",").map((key) => {
    if (key.length === 1 && key.charCodeAt(0) < 128) return key.charCodeAt(0);
    if (key === "DEL") return 127;
    const code = key.length === 6 && key.startsWith("ctrl-") ? controlKeys.indexOf(key.charAt(5)) : -1;
    if (code < 0) throw invalidParameter(`Invalid detach keys (${keys}) provided`);
    return code;
  });
  return Uint8Array.from(codes);
}

/** What of a client's input goes on to the container, and whether the sequence has come. */
export interface FilteredInput {
  pass: Uint8Array;
  detached: boolean;
}

/** Looks for the sequence in a stream that comes in pieces. The beginning of one is held back until it is decided. */
export class DetachFilter {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /** What follows the sequence in the same piece is dropped. */
  feed(input: Uint8Array): FilteredInput {
    if (this.#matched === 0 && !input.includes(this.#keys[0]!)) return { pass: input, detached: false };
    const pass = new Uint8Array(this.#matched + input.length);
    let length = 0;
    for (const byte of input) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) {
          this.#matched = 0;
          return { pass: pass.subarray(0, length), detached: true };
        }
        continue;
      }
      for (let held = 0; held < this.#matched; held++) pass[length++] = this.#keys[held]!;
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass[length++] = byte;
    }
    return { pass: pass.subarray(0, length), detached: false };
  }

  /** What is held back when the input ends. */
  flush(): Uint8Array {
    const held = this.#keys.slice(0, this.#matched);
    this.#matched = 0;
    return held;
  }
}
