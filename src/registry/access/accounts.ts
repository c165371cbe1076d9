/** Accounts and what they may do, in the registry's database: the seeds of a hub. */
import type { StateDatabase } from "../../state/database.ts";
import type { Action } from "../request.ts";

/** What a grant gives: `read` pulls, `write` pushes too, `admin` also deletes. */
export type Level = "read" | "write" | "admin";
export const levels: readonly Level[] = ["read", "write", "admin"];

export interface Grant {
  /** A repository, `team/*` for all below, or `*` for all. */
  pattern: string;
  level: Level;
}

/** The name under which everybody has grants, also who says no name. */
export const everybody = "*";
const namePattern = /^[a-z0-9][a-z0-9._-]{0,63}$/;
const patternPattern = /^(?:\*|[a-z0-9._/-]{1,200}(?:\/\*)?)$/;
const passwordLimit = 72;
const levelOf: Record<Action, number> = { pull: 0, push: 1, delete: 2 };

/** Every answer comes from the database: a command in another process may have changed it a moment ago. */
export class Accounts {
  readonly #db: StateDatabase;

  constructor(db: StateDatabase) {
    this.#db = db;
  }

  /** The bcrypt hash of an account's password; undefined where there is none. */
  hashOf(user: string): string | undefined {
    return this.#db.get<{ hash: string }>("SELECT hash FROM users WHERE name = ?", user)?.hash;
  }

  isAdmin(user: string | undefined): boolean {
    if (user === undefined) return false;
    return this.#db.get("SELECT 1 FROM users WHERE name = ? AND is_admin", user) !== undefined;
  }

  /** Grants of an account and of everybody. */
  grantsOf(user: string | undefined): Grant[] {
    const names = user === undefined ? [everybody, everybody] : [user, everybody];
    return this.#db.all<Grant>("SELECT pattern, level FROM grants WHERE user IN (?, ?)", ...names);
  }

  /** A predicate for what whoever asks may do. */
  rights(user: string | undefined): (repository: string, action: Action) => boolean {
    if (this.isAdmin(user)) return () => true;
    const grants = this.grantsOf(user);
    return (repository, action) =>
      grants.some(({ pattern, level }) => levels.indexOf(level) >= levelOf[action] && covers(pattern, repository));
  }

  /** Throws where the name breaks the rules or is taken, or the password is too long for bcrypt. */
  async add(name: string, password: string, isAdmin: boolean): Promise<void> {
    if (!namePattern.test(name)) throw new Error(`invalid user name: ${name}`);
    if (this.hashOf(name) !== undefined) throw new Error(`user ${name} exists already`);
    const hash = await hashOf(password);
    this.#db.run("INSERT INTO users (name, hash, is_admin) VALUES (?, ?, ?)", name, hash, isAdmin ? 1 : 0);
  }

  /** Also ends what identity tokens were given out. Throws where there is no such user. */
  async setPassword(name: string, password: string): Promise<void> {
    const hash = await hashOf(password);
    this.#db.transaction(() => {
      if (this.#db.run("UPDATE users SET hash = ? WHERE name = ?", hash, name) === 0) throw unknown(name);
      this.#db.run("DELETE FROM refresh_tokens WHERE user = ?", name);
    });
  }

  remove(name: string): void {
    this.#db.transaction(() => {
      if (this.#db.run("DELETE FROM users WHERE name = ?", name) === 0) throw unknown(name);
      this.#db.run("DELETE FROM grants WHERE user = ?", name);
      this.#db.run("DELETE FROM refresh_tokens WHERE user = ?", name);
    });
  }

  list(): { name: string; isAdmin: boolean; grants: Grant[] }[] {
    const users = this.#db.all<{ name: string; is_admin: number }>("SELECT name, is_admin FROM users ORDER BY name");
    const all = [...users.map(({ name, is_admin: admin }) => ({ name, isAdmin: admin === 1 }))];
    if (this.#ownGrants(everybody).length > 0) all.unshift({ name: everybody, isAdmin: false });
    return all.map((user) => ({ ...user, grants: this.#ownGrants(user.name) }));
  }

  #ownGrants(user: string): Grant[] {
    return this.#db.all("SELECT pattern, level FROM grants WHERE user = ? ORDER BY pattern", user);
  }

  /** Gives an account, or everybody, a level; one for the same pattern is replaced. Throws for what cannot be. */
  grant(user: string, { pattern, level }: Grant): void {
    if (user !== everybody && this.hashOf(user) === undefined) throw unknown(user);
    if (!patternPattern.test(pattern)) throw new Error(`invalid repository: ${pattern}`);
    this.#db.run(
      `INSERT INTO grants (user, pattern, level) VALUES (?, ?, ?)
       ON CONFLICT (user, pattern) DO UPDATE SET level = excluded.level`,
      user,
      pattern,
      level,
    );
  }

  revoke(user: string, pattern: string): void {
    if (this.#db.run("DELETE FROM grants WHERE user = ? AND pattern = ?", user, pattern) === 0)
      throw new Error(`user ${user} has no grant for ${pattern}`);
  }
}

const unknown = (name: string) => new Error(`no such user: ${name}`);

function hashOf(password: string): Promise<string> {
  if (password === "" || Buffer.byteLength(password) > passwordLimit)
    throw new Error(`a password has 1 to ${passwordLimit} bytes`);
  return Bun.password.hash(password, { algorithm: "bcrypt", cost: 10 });
}

/** Whether a grant's pattern means a repository. */
export function covers(pattern: string, repository: string): boolean {
  if (pattern === "*" || pattern === repository) return true;
  return pattern.endsWith("/*") && repository.startsWith(pattern.slice(0, -1));
}
