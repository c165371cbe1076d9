/** The one database: opening it, its schema's version, transactions. */
import { Database, SQLiteError, type SQLQueryBindings } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { systemError } from "../lib/errors.ts";
import { migrations } from "./migrations.ts";

/** How long a statement waits for another process, such as a command beside a server, to be done with its own. */
const patienceMs = 5000;
/** Room that the database keeps for itself, so that on a full disk containers can still be stopped, and removed. */
const reserveBytes = 512 * 1024;

const isFull = (error: unknown) => error instanceof SQLiteError && error.code === "SQLITE_FULL";

/** The open database of a data root. Statements are prepared once and kept. */
export class StateDatabase {
  readonly #db: Database;
  readonly #path: string;

  /**
   * Opens or creates the database and brings its schema, the daemon's or another one, up to date.
   * Throws systemError where it was written by a newer Brig than this one, is no database, or has no room to begin.
   */
  constructor(path: string, schema: readonly string[] = migrations) {
    mkdirSync(dirname(path), { recursive: true });
    this.#db = new Database(path, { create: true, strict: true });
    this.#path = path;
    try {
      this.#db.run(`PRAGMA busy_timeout = ${patienceMs}`);
      this.#db.run("PRAGMA journal_mode = WAL");
      this.#db.run("PRAGMA synchronous = NORMAL");
      this.#db.run("PRAGMA foreign_keys = ON");
      this.#migrate(schema);
      this.#reserve();
    } catch (error) {
      this.#db.close();
      if (error instanceof SQLiteError) throw systemError(`cannot open the database ${path}: ${error.message}`, error);
      throw error;
    }
  }

  #migrate(schema: readonly string[]): void {
    const { user_version: version } = this.#db.query<{ user_version: number }, []>("PRAGMA user_version").get()!;
    if (version > schema.length)
      throw systemError(
        `${this.#path} was written by a newer version of Brig (schema ${version}, this one knows ${schema.length}): start that version, or choose another --data-root`,
      );
    for (let next = version; next < schema.length; next++)
      this.#db.transaction(() => {
        this.#db.run(schema[next]!);
        this.#db.run(`PRAGMA user_version = ${next + 1}`);
      })();
  }

  /** Makes the file and its journal as large as they are to be at least: SQLite uses again what a deleted row leaves. */
  #reserve(): void {
    const key = "reserve";
    try {
      this.#db.run("INSERT OR REPLACE INTO settings (key, value) VALUES (?, zeroblob(?))", [key, reserveBytes]);
    } catch (error) {
      // Too late for this time.
      if (!isFull(error)) throw error;
    }
    this.#db.run("DELETE FROM settings WHERE key = ?", [key]);
    this.#db.run("PRAGMA wal_checkpoint(RESTART)");
  }

  /** On a full disk the journal begins anew within what it has. Throws systemError where that is too small. */
  #write<T>(change: () => T): T {
    try {
      return change();
    } catch (error) {
      // A transaction is begun anew as a whole.
      if (!isFull(error) || this.#db.inTransaction) throw error;
    }
    this.#db.run("PRAGMA wal_checkpoint(RESTART)");
    try {
      return change();
    } catch (error) {
      if (isFull(error)) throw systemError(`no space left on the disk of ${this.#path}`, error);
      throw error;
    }
  }

  /** All rows a query yields. */
  all<Row>(sql: string, ...bindings: SQLQueryBindings[]): Row[] {
    return this.#db.query<Row, SQLQueryBindings[]>(sql).all(...bindings);
  }

  /** The first row, or undefined. */
  get<Row>(sql: string, ...bindings: SQLQueryBindings[]): Row | undefined {
    return this.#db.query<Row, SQLQueryBindings[]>(sql).get(...bindings) ?? undefined;
  }

  /** Runs a statement and returns the number of rows it changed. */
  run(sql: string, ...bindings: SQLQueryBindings[]): number {
    return this.#write(() => this.#db.query<unknown, SQLQueryBindings[]>(sql).run(...bindings).changes);
  }

  /**
   * Runs `change` in one transaction: all of it is kept, or, where it throws, none. `change` must not await, and may be
   * run a second time where it has failed.
   */
  transaction<T>(change: () => T): T {
    return this.#write(() => this.#db.transaction(change).immediate());
  }

  close(): void {
    this.#db.close();
  }
}
