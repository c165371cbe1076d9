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

export class Quotas {
  readonly #db: StateDatabase;
  readonly #options: QuotaOptions;

  constructor(db: StateDatabase, options: QuotaOptions) {
    this.#db = db;
    this.#options = options;
  }

  /** Throws DENIED where a blob of `size` bytes has no room in a repository. One that is there takes none. */
  check(repository: string, digest: string | undefined, size: number): void {
    const { total, namespace, repository: own } = this.#options;
    if (total === 0 && namespace === 0 && own === 0) return;
    if (digest !== undefined && this.#has(repository, digest)) return;
    const first = repository.split("/")[0]!;
    this.#compare(own, `repository ${repository}`, size, "name = ?1", repository);
    this.#compare(
      namespace,
      `namespace ${first}`,
      size,
      "(name = ?1 OR (name >= ?1 || '/' AND name < ?1 || '0'))",
      first,
    );
    if (total === 0) return;
    const sum = "SELECT coalesce(sum(size), 0) AS used FROM (SELECT DISTINCT digest, size FROM links)";
    this.#refuse(total, "registry", size, this.#db.get<{ used: number }>(sum)!.used);
  }

  #has(repository: string, digest: string): boolean {
    const sql = "SELECT 1 FROM links JOIN repositories ON id = repository_id WHERE name = ? AND digest = ?";
    return this.#db.get(sql, repository, digest) !== undefined;
  }

  #compare(limit: number, what: string, size: number, where: string, name: string): void {
    if (limit === 0) return;
    const sql = `SELECT coalesce(sum(size), 0) AS used FROM (SELECT DISTINCT digest, size FROM links
      JOIN repositories ON id = repository_id WHERE ${where})`;
    this.#refuse(limit, what, size, this.#db.get<{ used: number }>(sql, name)!.used);
  }

  #refuse(limit: number, what: string, size: number, used: number): void {
    if (used + size <= limit) return;
    throw new RegistryFailure("DENIED", {
      message: `quota of ${what} exceeded: ${humanSize(used)} of ${humanSize(limit)} are used, ${humanSize(size)} do not fit`,
    });
  }
}
