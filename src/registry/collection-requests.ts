/** How a command asks the registry that serves for a garbage collection: a row in its database, and a signal. */
import type { StateDatabase } from "../state/database.ts";
import type { CollectionResult } from "./collect-garbage.ts";

export class CollectionRequests {
  readonly #db: StateDatabase;

  constructor(db: StateDatabase) {
    this.#db = db;
  }

  /** Asks, and returns the number to ask the result with. */
  ask(): number {
    return this.#db.get<{ id: number }>("INSERT INTO collections (asked_at) VALUES (?) RETURNING id", Date.now())!.id;
  }

  /** What came of it, as soon as it is done; then the row is gone. */
  take(id: number): CollectionResult | undefined {
    const row = this.#db.get<{ result: string | null }>("SELECT result FROM collections WHERE id = ?", id);
    if (row?.result === undefined || row.result === null) return undefined;
    this.withdraw(id);
    return JSON.parse(row.result) as CollectionResult;
  }

  withdraw(id: number): void {
    this.#db.run("DELETE FROM collections WHERE id = ?", id);
  }

  /** Tells all who have asked. */
  answerAll(result: CollectionResult): void {
    this.#db.run("UPDATE collections SET result = ? WHERE result IS NULL", JSON.stringify(result));
  }
}
