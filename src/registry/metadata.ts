/** What the registry knows of its repositories: manifests, tags, which blobs can be had where. */
import { setImmediate } from "node:timers/promises";
import type { StateDatabase } from "../state/database.ts";

/** A manifest as it was pushed. */
export interface StoredManifest {
  digest: string;
  mediaType: string;
  content: Uint8Array;
}

/** A manifest to be stored, with what was read from it. */
export interface NewManifest extends StoredManifest {
  artifactType: string;
  annotations: Record<string, string>;
  subject: string | undefined;
  /** Digests of the blobs and manifests that have to be in the same repository. */
  needs: string[];
}

/** An entry of a referrers list (distribution-spec, "Listing Referrers"). */
export interface Referrer {
  mediaType: string;
  digest: string;
  size: number;
  artifactType?: string;
  annotations?: Record<string, string>;
}

/** How long a link that was just asked for needs no new time. */
const touchMs = 60_000;
/** Repositories that are read at once. */
const batchSize = 500;

/** Every change is one transaction. Repositories come into being with what is first pushed to them. */
export class Metadata {
  readonly db: StateDatabase;
  readonly #ids = new Map<string, number>();

  constructor(db: StateDatabase) {
    this.db = db;
  }

  /** The row of a repository; undefined where nothing was ever pushed to it. */
  idOf(repository: string): number | undefined {
    const known = this.#ids.get(repository);
    if (known !== undefined) return known;
    const id = this.db.get<{ id: number }>("SELECT id FROM repositories WHERE name = ?", repository)?.id;
    if (id !== undefined) this.#remember(repository, id);
    return id;
  }

  /** As idOf(), and makes the repository where there is none. */
  ensure(repository: string): number {
    const known = this.idOf(repository);
    if (known !== undefined) return known;
    this.db.run("INSERT OR IGNORE INTO repositories (name) VALUES (?)", repository);
    return this.idOf(repository)!;
  }

  #remember(repository: string, id: number): void {
    if (this.#ids.size >= 10_000) this.#ids.clear();
    this.#ids.set(repository, id);
  }

  /** Names of repositories with a manifest, behind `last`, in order. Others have their turn in between. */
  async *repositories(last = ""): AsyncGenerator<string> {
    for (let after = last; ; await setImmediate()) {
      const batch = this.db.all<{ name: string; hasManifests: number }>(
        `SELECT name, EXISTS (SELECT 1 FROM manifests WHERE repository_id = id) AS hasManifests FROM repositories
         WHERE name > ? ORDER BY name LIMIT ?`,
        after,
        batchSize,
      );
      for (const { name, hasManifests } of batch) if (hasManifests) yield name;
      if (batch.length < batchSize) return;
      after = batch.at(-1)!.name;
    }
  }

  /** Tags of a repository behind `last`, in order; at most `limit`. */
  tags(repositoryId: number, last: string, limit: number): string[] {
    return this.db
      .all<{ name: string }>(
        "SELECT name FROM tags WHERE repository_id = ? AND name > ? ORDER BY name LIMIT ?",
        repositoryId,
        last,
        limit,
      )
      .map(({ name }) => name);
  }

  /** Repositories whose name holds `text`, in order, with their newest manifest's annotations (JSON). */
  async search(
    text: string,
    limit: number,
    isVisible: (name: string) => boolean,
  ): Promise<{ name: string; annotations: string }[]> {
    const found: { name: string; annotations: string }[] = [];
    for await (const name of this.repositories()) {
      if (found.length === limit) break;
      if (!name.includes(text) || !isVisible(name)) continue;
      const newest = this.db.get<{ annotations: string }>(
        `SELECT annotations FROM manifests WHERE repository_id = (SELECT id FROM repositories WHERE name = ?)
         ORDER BY pushed_at DESC LIMIT 1`,
        name,
      );
      if (newest) found.push({ name, ...newest });
    }
    return found;
  }

  counts(): { repositories: number; manifests: number; tags: number; blobs: number; bytes: number } {
    return this.db.get(
      `SELECT (SELECT count(*) FROM repositories) AS repositories, (SELECT count(*) FROM manifests) AS manifests,
         (SELECT count(*) FROM tags) AS tags, count(*) AS blobs, coalesce(sum(size), 0) AS bytes
       FROM (SELECT DISTINCT digest, size FROM links)`,
    )!;
  }

  hasManifests(repositoryId: number): boolean {
    return this.db.get("SELECT 1 FROM manifests WHERE repository_id = ? LIMIT 1", repositoryId) !== undefined;
  }

  /** By tag or digest. */
  manifest(repositoryId: number, reference: string): StoredManifest | undefined {
    const row = this.db.get<{ digest: string; media_type: string; content: Uint8Array }>(
      `SELECT digest, media_type, content FROM manifests WHERE repository_id = ?1
       AND digest = CASE WHEN instr(?2, ':') THEN ?2
                    ELSE (SELECT digest FROM tags WHERE repository_id = ?1 AND name = ?2) END`,
      repositoryId,
      reference,
    );
    return row && { digest: row.digest, mediaType: row.media_type, content: row.content };
  }

  hasManifest(repositoryId: number, digest: string): boolean {
    return (
      this.db.get("SELECT 1 FROM manifests WHERE repository_id = ? AND digest = ?", repositoryId, digest) !== undefined
    );
  }

  /**
   * Stores a manifest, and points a tag at it where one is given. Returns the first digest it needs that is not in the
   * repository; then nothing is stored. A cache may be `incomplete`.
   */
  putManifest(
    repositoryId: number,
    manifest: NewManifest,
    tag: string | undefined,
    incomplete = false,
  ): string | undefined {
    const { digest, mediaType, content, artifactType, annotations, subject = null, needs } = manifest;
    const now = Date.now();
    return this.db.transaction(() => {
      for (const need of incomplete ? [] : needs)
        if (!this.hasLink(repositoryId, need) && !this.hasManifest(repositoryId, need)) return need;
      this.db.run(
        `INSERT INTO manifests (repository_id, digest, media_type, artifact_type, annotations, subject, content, pushed_at)
         VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (repository_id, digest) DO UPDATE SET
           media_type = excluded.media_type, pushed_at = excluded.pushed_at`,
        repositoryId,
        digest,
        mediaType,
        artifactType,
        JSON.stringify(annotations),
        subject,
        content,
        now,
      );
      for (const need of needs)
        this.db.run(
          "INSERT OR IGNORE INTO needs (repository_id, manifest, digest) VALUES (?, ?, ?)",
          repositoryId,
          digest,
          need,
        );
      if (tag !== undefined)
        this.db.run(
          `INSERT INTO tags (repository_id, name, digest, tagged_at) VALUES (?, ?, ?, ?)
           ON CONFLICT (repository_id, name) DO UPDATE SET digest = excluded.digest, tagged_at = excluded.tagged_at`,
          repositoryId,
          tag,
          digest,
          now,
        );
      return undefined;
    });
  }

  /** When a manifest was pushed, or of a cache when it was last asked for; ms since 1970. */
  manifestTime(repositoryId: number, digest: string): number {
    return (
      this.db.get<{ pushed_at: number }>(
        "SELECT pushed_at FROM manifests WHERE repository_id = ? AND digest = ?",
        repositoryId,
        digest,
      )?.pushed_at ?? 0
    );
  }

  touchManifest(repositoryId: number, digest: string): void {
    const now = Date.now();
    this.db.run("UPDATE manifests SET pushed_at = ? WHERE repository_id = ? AND digest = ?", now, repositoryId, digest);
  }

  /** Removes manifests that were not touched since `before` (ms), with their tags. Returns how many. */
  deleteManifestsBefore(before: number): number {
    return this.db.transaction(() => {
      this.db.run(
        `DELETE FROM tags WHERE EXISTS (SELECT 1 FROM manifests WHERE manifests.repository_id = tags.repository_id
           AND manifests.digest = tags.digest AND pushed_at < ?)`,
        before,
      );
      return this.db.run("DELETE FROM manifests WHERE pushed_at < ?", before);
    });
  }

  /** Removes a tag. False where it was not there. */
  deleteTag(repositoryId: number, tag: string): boolean {
    return this.db.run("DELETE FROM tags WHERE repository_id = ? AND name = ?", repositoryId, tag) > 0;
  }

  /** Removes a manifest and all tags that point at it. False where it was not there. */
  deleteManifest(repositoryId: number, digest: string): boolean {
    return this.db.transaction(() => {
      this.db.run("DELETE FROM tags WHERE repository_id = ? AND digest = ?", repositoryId, digest);
      return this.db.run("DELETE FROM manifests WHERE repository_id = ? AND digest = ?", repositoryId, digest) > 0;
    });
  }

  /**
   * Manifests that name `subject` behind the digest `last`, in order of their digests: as many as fit into
   * `limitBytes`, but one at least.
   */
  referrers(repositoryId: number, subject: string, last: string, limitBytes: number): Referrer[] {
    return this.db
      .all<{ digest: string; media_type: string; artifact_type: string; annotations: string; size: number }>(
        `SELECT * FROM (
           SELECT digest, media_type, artifact_type, annotations, length(content) AS size,
             sum(length(annotations) + 600) OVER (ORDER BY digest) AS bytes, row_number() OVER (ORDER BY digest) AS row
           FROM manifests WHERE repository_id = ? AND subject = ? AND digest > ?)
         WHERE bytes <= ? OR row = 1`,
        repositoryId,
        subject,
        last,
        limitBytes,
      )
      .map((row) => {
        const annotations = JSON.parse(row.annotations) as Record<string, string>;
        return {
          mediaType: row.media_type,
          digest: row.digest,
          size: row.size,
          ...(row.artifact_type === "" ? {} : { artifactType: row.artifact_type }),
          ...(Object.keys(annotations).length === 0 ? {} : { annotations }),
        };
      });
  }

  hasReferrersBehind(repositoryId: number, subject: string, last: string): boolean {
    const sql = "SELECT 1 FROM manifests WHERE repository_id = ? AND subject = ? AND digest > ? LIMIT 1";
    return this.db.get(sql, repositoryId, subject, last) !== undefined;
  }

  /** Makes a blob available in a repository; again is no error, and renews its time. */
  link(repositoryId: number, digest: string, size: number): void {
    this.db.run(
      `INSERT INTO links (repository_id, digest, size, linked_at) VALUES (?, ?, ?, ?)
       ON CONFLICT (repository_id, digest) DO UPDATE SET linked_at = excluded.linked_at`,
      repositoryId,
      digest,
      size,
      Date.now(),
    );
  }

  hasLink(repositoryId: number, digest: string): boolean {
    return (
      this.db.get("SELECT 1 FROM links WHERE repository_id = ? AND digest = ?", repositoryId, digest) !== undefined
    );
  }

  /**
   * Length in bytes of a blob that can be had from a repository. Whoever asks for that alone is likely to be pushing
   * what needs it: then it stays for a while, also when the manifest that needs it now goes. One that is fetched stays too.
   */
  linkedSize(repositoryId: number, digest: string, isLengthAlone = false): number | undefined {
    const row = this.db.get<{ size: number; linked_at: number }>(
      "SELECT size, linked_at FROM links WHERE repository_id = ? AND digest = ?",
      repositoryId,
      digest,
    );
    if (row && Date.now() - row.linked_at > touchMs && (isLengthAlone || !this.isNeeded(repositoryId, digest)))
      this.link(repositoryId, digest, row.size);
    return row?.size;
  }

  /** Any repository that a blob can be had from. */
  homesOf(digest: string): { repository: string; size: number }[] {
    return this.db.all(
      "SELECT name AS repository, size FROM links JOIN repositories ON id = repository_id WHERE digest = ? LIMIT 100",
      digest,
    );
  }

  /** Whether a manifest of the repository needs a blob or another manifest. */
  isNeeded(repositoryId: number, digest: string): boolean {
    return (
      this.db.get("SELECT 1 FROM needs WHERE repository_id = ? AND digest = ? LIMIT 1", repositoryId, digest) !==
      undefined
    );
  }

  unlink(repositoryId: number, digest: string): boolean {
    return this.db.run("DELETE FROM links WHERE repository_id = ? AND digest = ?", repositoryId, digest) > 0;
  }

  /** Removes links that no manifest needs and nobody has asked for since `before` (ms). Returns how many. */
  unlinkUnneeded(before: number): number {
    return this.db.run(
      `DELETE FROM links WHERE linked_at < ? AND NOT EXISTS
         (SELECT 1 FROM needs WHERE needs.repository_id = links.repository_id AND needs.digest = links.digest)`,
      before,
    );
  }

  /** Whether any repository has a blob. */
  isLinked(digest: string): boolean {
    return this.db.get("SELECT 1 FROM links WHERE digest = ? LIMIT 1", digest) !== undefined;
  }

  beginUpload(id: string, repositoryId: number): void {
    this.db.run("INSERT INTO uploads (id, repository_id, touched_at) VALUES (?, ?, ?)", id, repositoryId, Date.now());
  }

  touchUpload(id: string): void {
    this.db.run("UPDATE uploads SET touched_at = ? WHERE id = ?", Date.now(), id);
  }

  /** Whether an upload is under way in a repository. */
  hasUpload(id: string, repositoryId: number): boolean {
    return this.db.get("SELECT 1 FROM uploads WHERE id = ? AND repository_id = ?", id, repositoryId) !== undefined;
  }

  endUpload(id: string): void {
    this.db.run("DELETE FROM uploads WHERE id = ?", id);
  }

  /** Ids of uploads that nobody went on with since `before` (ms). */
  staleUploads(before: number): string[] {
    return this.db.all<{ id: string }>("SELECT id FROM uploads WHERE touched_at < ?", before).map(({ id }) => id);
  }

  uploadIds(): Set<string> {
    return new Set(this.db.all<{ id: string }>("SELECT id FROM uploads").map(({ id }) => id));
  }
}
