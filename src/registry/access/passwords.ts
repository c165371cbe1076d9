/** Checking passwords: slow on purpose, and so neither on the event loop nor more often than needed. */
import { sha256Of } from "../../lib/reference.ts";
import { RegistryFailure } from "../errors.ts";

/** How long a password that was right need not be checked again. */
const rememberMs = 300_000;
const rememberLimit = 10_000;
const failureWindowMs = 60_000;
/** So many wrong passwords an address may send within a minute. */
const failureLimit = 30;
/** Hashes that are computed at once, and that may wait. */
const parallel = 2;
const waitingLimit = 100;
/** What an unknown user's password is compared with, so that nobody can tell users by the time it takes. */
const nobody = "$2b$10$abcdefghijklmnopqrstuuVQ8sGTqVPEXzLz0Yz3eY0CqXj5hCzS2";

export class Passwords {
  readonly #hashOf: (user: string) => string | undefined;
  readonly #known = new Map<string, number>();
  readonly #failures = new Map<string, { since: number; count: number }>();
  #running = 0;
  readonly #waiting: (() => void)[] = [];

  /** `hashOf` gives a user's bcrypt hash. */
  constructor(hashOf: (user: string) => string | undefined) {
    this.#hashOf = hashOf;
  }

  /** Whether the password is the user's. Throws TOOMANYREQUESTS for an address that has failed too often. */
  async verify(user: string, password: string, address: string): Promise<boolean> {
    const hash = this.#hashOf(user);
    const key = sha256Of(`${hash}\0${user}\0${password}`);
    if (hash !== undefined && (this.#known.get(key) ?? 0) > Date.now()) return true;
    this.#checkFailures(address);
    const isRight = (await this.#compare(password, hash ?? nobody)) && hash !== undefined;
    if (isRight) {
      if (this.#known.size >= rememberLimit) this.#known.clear();
      this.#known.set(key, Date.now() + rememberMs);
    } else this.#countFailure(address);
    return isRight;
  }

  async #compare(password: string, hash: string): Promise<boolean> {
    if (this.#waiting.length >= waitingLimit) throw new RegistryFailure("TOOMANYREQUESTS");
    while (this.#running >= parallel) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    this.#running++;
    try {
      // htpasswd's own mark of the same algorithm.
      return await Bun.password.verify(password, hash.replace(/^\$2y\$/, "$2b$"), "bcrypt");
    } catch {
      return false;
    } finally {
      this.#running--;
      this.#waiting.shift()?.();
    }
  }

  #checkFailures(address: string): void {
    const failures = this.#failures.get(address);
    if (failures === undefined) return;
    const left = failures.since + failureWindowMs - Date.now();
    if (left <= 0) this.#failures.delete(address);
    else if (failures.count >= failureLimit)
      throw new RegistryFailure("TOOMANYREQUESTS", { headers: { "Retry-After": String(Math.ceil(left / 1000)) } });
  }

  #countFailure(address: string): void {
    if (this.#failures.size >= rememberLimit) this.#failures.clear();
    const failures = this.#failures.get(address) ?? { since: Date.now(), count: 0 };
    failures.count++;
    this.#failures.set(address, failures);
  }
}
