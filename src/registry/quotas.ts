/** How much may be stored: in one repository, in all of a namespace, in all of them. */
import { humanSize } from "../lib/units.ts";
import type { StateDatabase } from "../state/database.ts";
import { RegistryFailure } from "./errors.ts";

/** Bytes; 0 for no limit. */
export interface QuotaOptions {
  total: number;
  /** Of what has the same first part of the name. */
  namespace: number;
  repository: number;
}

const boundsLimit = 10_000;

export class Quotas {
  readonly #db: StateDatabase;
  readonly #options: QuotaOptions;
  /** What is used, or more: to count takes long where there are many links, and so is done where this seems too much. */
  readonly #bounds = new Map<string, number>();

  constructor(db: StateDatabase, options: QuotaOptions) {
    this.#db = db;
    this.#options = options;
  }

  /**
   * Throws DENIED where a blob of `size` bytes has no room in a repository. One that is there takes none. One whose
   * digest is known is about to be there, and counts from now on.
   */
  check(repository: string, digest: string | undefined, size: number): void {
    const { total, namespace, repository: own } = this.#options;
    if (total === 0 && namespace === 0 && own === 0) return;
    if (digest !== undefined && this.#has(repository, digest)) return;
    if (this.#bounds.size > boundsLimit) this.#bounds.clear();
    const first = repository.split("/")[0]!;
    const below = "(name = ?1 OR (name >= ?1 || '/' AND name < ?1 || '0'))";
    const checks = [
      { limit: own, what: `repository ${repository}`, count: () => this.#usedBy("name = ?1", repository) },
      { limit: namespace, what: `namespace ${first}`, count: () => this.#usedBy(below, first) },
      { limit: total, what: "registry", count: () => this.#usedByAll() },
    ].filter(({ limit }) => limit > 0);
    for (const { limit, what, count } of checks) this.#compare(limit, what, size, count);
    if (digest !== undefined) for (const { what } of checks) this.#bounds.set(what, this.#bounds.get(what)! + size);
  }

  #has(repository: string, digest: string): boolean {
    const sql = "SELECT 1 FROM links JOIN repositories ON id = repository_id WHERE name = ? AND digest = ?";
    return this.#db.get(sql, repository, digest) !== undefined;
  }

  #usedBy(where: string, name: string): number {
    const sql = `SELECT coalesce(sum(size), 0) AS used FROM (SELECT DISTINCT digest, size FROM links
      JOIN repositories ON id = repository_id WHERE ${where})`;
    return this.#db.get<{ used: number }>(sql, name)!.used;
  }

  #usedByAll(): number {
    const sql = "SELECT coalesce(sum(size), 0) AS used FROM (SELECT DISTINCT digest, size FROM links)";
    return this.#db.get<{ used: number }>(sql)!.used;
  }

  #compare(limit: number, what: string, size: number, count: () => number): void {
    let used = this.#bounds.get(what);
    if (used === undefined || used + size > limit) {
      used = count();
      this.#bounds.set(what, used);
    }
    if (used + size <= limit) return;
    throw new RegistryFailure("DENIED", {
      message: `quota of ${what} exceeded: ${humanSize(used)} of ${humanSize(limit)} are used, ${humanSize(size)} do not fit`,
    });
  }
}
