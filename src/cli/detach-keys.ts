/** The keys that let go of a container and leave it running. */

const usual = "ctrl-p,ctrl-q";
const controls: Record<string, number> = { "@": 0, "[": 27, "\\": 28, "]": 29, "^": 30, _: 31 };

/** The user struck the keys. */
export class Detached extends Error {
  override readonly name = "Detached";
  constructor() {
    super("read escape sequence");
  }
}

/** Looks for the keys in what is typed, and holds back what may be their beginning. */
export class DetachKeys {
  readonly #keys: number[];
  #matched = 0;

  /** `text` is like `ctrl-p,ctrl-q`, `a,b` or `DEL`; where it makes no sense the usual keys hold. */
  constructor(text: string) {
    this.#keys = parseKeys(text || usual) ?? parseKeys(usual)!;
  }

  /** What of the bytes is meant for the process, and whether the keys are complete. */
  filter(bytes: Uint8Array): { pass: Uint8Array; detach: boolean } {
    if (this.#matched === 0 && !bytes.includes(this.#keys[0]!)) return { pass: bytes, detach: false };
    const pass: number[] = [];
    for (const byte of bytes) {
      if (byte === this.#keys[this.#matched]) {
        this.#matched++;
        if (this.#matched === this.#keys.length) return { pass: Uint8Array.from(pass), detach: true };
        continue;
      }
      pass.push(...this.#keys.slice(0, this.#matched));
      this.#matched = byte === this.#keys[0] ? 1 : 0;
      if (this.#matched === 0) pass.push(byte);
    }
    return { pass: Uint8Array.from(pass), detach: false };
  }
}

/** The bytes that the keys send, or undefined where one of them is unknown. */
export function parseKeys(text: string): number[] | undefined {
  const keys = text.split(",").map((key) => {
    if (key.length === 1) return key.charCodeAt(0);
    if (key === "DEL") return 127;
    const control = /^ctrl-(.)$/s.exec(key)?.[1];
    if (control === undefined) return undefined;
    if (/[a-z]/.test(control)) return control.charCodeAt(0) - 96;
    return controls[control];
  });
  return keys.some((key) => key === undefined || key > 127) ? undefined : (keys as number[]);
}
