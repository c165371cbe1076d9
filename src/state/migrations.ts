/**
 * The schema, as steps from an empty database. A step that has been released never changes: append another.
 * The JSON columns hold the API's own shapes, so that what a client sent is what it gets back.
 */
export const migrations: string[] = [
  `
  CREATE TABLE containers (
    id       TEXT PRIMARY KEY,
    name     TEXT NOT NULL UNIQUE,
    record   TEXT NOT NULL          -- JSON: containers/record.ts
  );

  -- An image is its config's digest. A tag or a digest reference points at it.
  CREATE TABLE images (
    id        TEXT PRIMARY KEY,     -- sha256:… of the config
    record    TEXT NOT NULL         -- JSON: images/record.ts
  );
  CREATE TABLE image_references (
    reference TEXT PRIMARY KEY,     -- canonical: docker.io/library/alpine:3.20 or …@sha256:…
    image_id  TEXT NOT NULL REFERENCES images (id) ON DELETE CASCADE,
    tagged_at INTEGER NOT NULL      -- ms since 1970
  );
  CREATE INDEX image_references_by_image ON image_references (image_id);

  -- Layers whose directory is complete. A directory without a row is left over from a crash and is removed.
  CREATE TABLE layers (
    diff_id   TEXT PRIMARY KEY,     -- sha256:…
    driver    TEXT NOT NULL,
    size      INTEGER NOT NULL      -- bytes of file content
  );

  CREATE TABLE volumes (
    name      TEXT PRIMARY KEY,
    record    TEXT NOT NULL         -- JSON: volumes/volumes.ts
  );

  CREATE TABLE networks (
    id        TEXT PRIMARY KEY,
    name      TEXT NOT NULL UNIQUE,
    record    TEXT NOT NULL         -- JSON: networks/record.ts
  );
  -- A container's place on a network: its addresses stay taken as long as the row is there.
  CREATE TABLE endpoints (
    id           TEXT PRIMARY KEY,
    network_id   TEXT NOT NULL REFERENCES networks (id) ON DELETE CASCADE,
    container_id TEXT NOT NULL,
    record       TEXT NOT NULL      -- JSON: networks/record.ts
  );
  CREATE INDEX endpoints_by_container ON endpoints (container_id);

  CREATE TABLE settings (
    key       TEXT PRIMARY KEY,     -- 'engine-id', …
    value     TEXT NOT NULL
  );
  `,
  `
  -- What a name was resolved to: the digest of an index or a manifest. Empty where the image was named by its id.
  ALTER TABLE image_references ADD COLUMN target TEXT NOT NULL DEFAULT '';
  `,
];
