/** Tokens that clients keep in a password's place, until that password is changed or its user is gone. */
import { randomBytes } from "node:crypto";
import { sha256Of } from "../../lib/reference.ts";
import type { StateDatabase } from "../../state/database.ts";

/** A user has so many; a new one takes the oldest's place. */
const userLimit = 100;

export class RefreshTokens {
  readonly #db: StateDatabase;
  readonly #hashOf: (user: string) => string | undefined;

  /** `hashOf` gives the bcrypt hash of a user's password, wherever that is kept. */
  constructor(db: StateDatabase, hashOf: (user: string) => string | undefined) {
    this.#db = db;
    this.#hashOf = hashOf;
  }

  /** Undefined where the user is gone. */
  issue(user: string): string | undefined {
    const password = this.#hashOf(user);
    if (password === undefined) return undefined;
    const token = randomBytes(32).toString("base64url");
    this.#db.transaction(() => {
      this.#db.run(
        "INSERT INTO refresh_tokens (hash, user, issued_at, password) VALUES (?, ?, ?, ?)",
        sha256Of(token),
        user,
        Date.now(),
        sha256Of(password),
      );
      this.#db.run(
        `DELETE FROM refresh_tokens WHERE user = ?1 AND hash NOT IN
           (SELECT hash FROM refresh_tokens WHERE user = ?1 ORDER BY issued_at DESC, rowid DESC LIMIT ?2)`,
        user,
        userLimit,
      );
    });
    return token;
  }

  /** Whose a token is; undefined where it counts no more. */
  userOf(token: string): string | undefined {
    const row = this.#db.get<{ user: string; password: string }>(
      "SELECT user, password FROM refresh_tokens WHERE hash = ?",
      sha256Of(token),
    );
    const password = row && this.#hashOf(row.user);
    return password !== undefined && sha256Of(password) === row?.password ? row.user : undefined;
  }
}
