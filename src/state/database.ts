/** The one database: opening it, its schema's version, transactions. */
import { Database, type SQLQueryBindings } from "bun:sqlite";
import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { systemError } from "../lib/errors.ts";
import { migrations } from "./migrations.ts";

/** The open database of a data root. Statements are prepared once and kept. */
export class StateDatabase {
  readonly #db: Database;

  /**
   * Opens or creates the database and brings its schema up to date.
   * Throws when it was written by a newer Brig than this one.
   */
  constructor(path: string) {
    mkdirSync(dirname(path), { recursive: true });
    this.#db = new Database(path, { create: true, strict: true });
    this.#db.run("PRAGMA journal_mode = WAL");
    this.#db.run("PRAGMA synchronous = NORMAL");
    this.#db.run("PRAGMA foreign_keys = ON");
    this.#migrate(path);
  }

  #migrate(path: string): void {
    const { user_version: version } = this.#db.query<{ user_version: number }, []>("PRAGMA user_version").get()!;
    if (version > migrations.length)
      throw systemError(
        `${path} was written by a newer version of Brig (schema ${version}, this one knows ${migrations.length}): start that version, or choose another --data-root`,
      );
    for (let next = version; next < migrations.length; next++)
      this.#db.transaction(() => {
        this.#db.run(migrations[next]!);
        this.#db.run(`PRAGMA user_version = ${next + 1}`);
      })();
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
    return this.#db.query<unknown, SQLQueryBindings[]>(sql).run(...bindings).changes;
  }

  /** Runs `change` in one transaction: all of it is kept, or, where it throws, none. `change` must not await. */
  transaction<T>(change: () => T): T {
    return this.#db.transaction(change).immediate();
  }

  close(): void {
    this.#db.close();
  }
}
