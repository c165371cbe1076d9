/** The registry's database, as steps from an empty one. A step that has been released never changes: append another. */
export const registrySchema: readonly string[] = [
  `
  CREATE TABLE settings (key TEXT PRIMARY KEY, value TEXT NOT NULL);

  CREATE TABLE repositories (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    description TEXT NOT NULL DEFAULT ''
  );

  -- A manifest's bytes are here and not among the blobs: they are small, and a pull begins with them.
  CREATE TABLE manifests (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest        TEXT NOT NULL,
    media_type    TEXT NOT NULL,
    artifact_type TEXT NOT NULL,
    annotations   TEXT NOT NULL,    -- JSON
    subject       TEXT,             -- digest of the manifest this one refers to
    content       BLOB NOT NULL,
    pushed_at     INTEGER NOT NULL, -- ms since 1970
    PRIMARY KEY (repository_id, digest)
  );
  CREATE INDEX manifests_by_subject ON manifests (repository_id, subject) WHERE subject IS NOT NULL;

  CREATE TABLE tags (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    name          TEXT NOT NULL,
    digest        TEXT NOT NULL,
    tagged_at     INTEGER NOT NULL,
    PRIMARY KEY (repository_id, name)
  ) WITHOUT ROWID;
  CREATE INDEX tags_by_digest ON tags (repository_id, digest);

  -- Which blobs can be had from a repository. A blob without a link belongs to nobody.
  CREATE TABLE links (
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    digest        TEXT NOT NULL,
    size          INTEGER NOT NULL,
    linked_at     INTEGER NOT NULL, -- when it was last asked for in a push
    PRIMARY KEY (repository_id, digest)
  ) WITHOUT ROWID;
  CREATE INDEX links_by_digest ON links (digest);

  -- What a manifest needs: blobs, and, of an index, other manifests.
  CREATE TABLE needs (
    repository_id INTEGER NOT NULL,
    manifest      TEXT NOT NULL,
    digest        TEXT NOT NULL,
    PRIMARY KEY (repository_id, manifest, digest),
    FOREIGN KEY (repository_id, manifest) REFERENCES manifests (repository_id, digest) ON DELETE CASCADE
  ) WITHOUT ROWID;
  CREATE INDEX needs_by_digest ON needs (repository_id, digest);

  -- Bytes of an upload are in a file; its length is how far it is.
  CREATE TABLE uploads (
    id            TEXT PRIMARY KEY,
    repository_id INTEGER NOT NULL REFERENCES repositories (id) ON DELETE CASCADE,
    touched_at    INTEGER NOT NULL
  );

  -- Garbage collections that were asked for, and what came of them.
  CREATE TABLE collections (
    id          INTEGER PRIMARY KEY,
    asked_at    INTEGER NOT NULL,
    result      TEXT                -- JSON, when it is done
  );
  `,
  `
  CREATE TABLE users (
    name     TEXT PRIMARY KEY,
    hash     TEXT NOT NULL,         -- bcrypt
    is_admin INTEGER NOT NULL
  );
  CREATE TABLE grants (
    user    TEXT NOT NULL,          -- * for everybody
    pattern TEXT NOT NULL,
    level   TEXT NOT NULL,
    PRIMARY KEY (user, pattern)
  ) WITHOUT ROWID;
  -- Tokens that clients keep in a password's place; only their hashes are here.
  CREATE TABLE refresh_tokens (
    hash      TEXT PRIMARY KEY,
    user      TEXT NOT NULL,
    issued_at INTEGER NOT NULL
  );
  CREATE INDEX refresh_tokens_by_user ON refresh_tokens (user);
  `,
  `
  -- A token counts as long as the password is the one it was given for (the SHA-256 of its bcrypt hash).
  ALTER TABLE refresh_tokens ADD COLUMN password TEXT NOT NULL DEFAULT '';
  CREATE INDEX manifests_by_time ON manifests (repository_id, pushed_at);
  `,
];
