/** The images and references tables, and the same in memory: `run` finds its image without a query or a file. */
import { notFound } from "../lib/errors.ts";
import {
  canonicalString,
  familiarString,
  parseReference,
  type Reference,
  withDefaultTag,
  withDigest,
} from "../lib/reference.ts";
import type { StateDatabase } from "../state/database.ts";
import type { ImageRecord } from "./record.ts";

/** How many names, as typed, are remembered with what they mean. */
const MEMO_LIMIT = 1024;

export class ImageStore {
  readonly #db: StateDatabase;
  readonly #records = new Map<string, ImageRecord>();
  /** Canonical reference to image id. */
  readonly #ids = new Map<string, string>();
  /** Canonical reference to the index or manifest it was resolved to. */
  readonly #targets = new Map<string, string>();
  /** How many references were resolved to an index or manifest. */
  readonly #targetCounts = new Map<string, number>();
  /** Digest of an index to the images that were chosen from it. */
  readonly #variants = new Map<string, Set<string>>();
  /** Image id to its references, sorted. */
  readonly #references = new Map<string, Reference[]>();
  readonly #memo = new Map<string, ImageRecord>();

  constructor(db: StateDatabase) {
    this.#db = db;
    for (const row of db.all<{ id: string; record: string }>("SELECT id, record FROM images"))
      this.#keep(JSON.parse(row.record) as ImageRecord);
    const rows = db.all<{ reference: string; image_id: string; target: string }>(
      "SELECT reference, image_id, target FROM image_references",
    );
    const byImage = new Map<string, string[]>();
    for (const { reference, image_id: id, target } of rows) {
      this.#point(reference, id, target);
      byImage.set(id, [...(byImage.get(id) ?? []), reference]);
    }
    for (const [id, names] of byImage) this.#references.set(id, sorted(names));
  }

  /** All images, in no order. */
  all(): ImageRecord[] {
    return [...this.#records.values()];
  }

  byId(id: string): ImageRecord | undefined {
    return this.#records.get(id);
  }

  /** An image's references, sorted, tags and digests mixed. */
  referencesOf(id: string): Reference[] {
    return this.#references.get(id) ?? [];
  }

  /** All tags of a repository. */
  tagsOf({ name }: Reference): Reference[] {
    return sorted([...this.#ids.keys()].filter((key) => key.startsWith(`${name}:`)));
  }

  /** The id a reference points at. Where it has a digest, the tag does not count. */
  idOf(reference: Reference): string | undefined {
    return this.#ids.get(keyOf(reference));
  }

  /**
   * Digest of the index or manifest a reference stands for: the one it was resolved to, else the image's newest manifest.
   * Undefined where the reference is not known.
   */
  targetOf(reference: Reference): string | undefined {
    const key = keyOf(reference);
    return this.#targets.get(key) || this.#records.get(this.#ids.get(key) ?? "")?.manifests.at(-1)?.digest;
  }

  /** As targetOf(), for what a person typed; undefined where that is an id. */
  targetNamedBy(text: string): string | undefined {
    try {
      const reference = withDefaultTag(parseReference(text));
      return this.idOf(reference) === undefined ? undefined : this.targetOf(reference);
    } catch {
      return undefined;
    }
  }

  /** Images that were chosen from an index, in no order. */
  variantsOf(index: string): ImageRecord[] {
    return [...(this.#variants.get(index) ?? [])].map((id) => this.#records.get(id)!);
  }

  /** The image a reference points at and, where it stands for an index, the other platforms' images of that. */
  family(reference: Reference): ImageRecord[] {
    const own = this.#records.get(this.idOf(reference) ?? "");
    if (!own) return [];
    return [own, ...this.variantsOf(this.targetOf(reference) ?? "").filter(({ id }) => id !== own.id)];
  }

  /** Whether no reference leads to an image. */
  isNameless(record: ImageRecord): boolean {
    return this.referencesOf(record.id).length === 0 && !this.isHiddenVariant(record);
  }

  /** Whether an image has no reference of its own, but one of the indexes it was chosen from has. */
  isHiddenVariant({ id, manifests }: ImageRecord): boolean {
    if (this.referencesOf(id).length > 0) return false;
    return manifests.some(({ indexes }) => indexes.some(({ digest }) => this.#targetCounts.has(digest)));
  }

  /**
   * Finds what a person means: a reference, an id, or the unique beginning of an id.
   * Throws notFound in Docker's words, invalidParameter for what can be neither.
   */
  resolve(text: string): ImageRecord {
    const known = this.#memo.get(text);
    if (known) return known;
    const found = this.#search(text);
    if (this.#memo.size >= MEMO_LIMIT) this.#memo.clear();
    this.#memo.set(text, found);
    return found;
  }

  #search(text: string): ImageRecord {
    const id = /^(?:sha256:)?([a-f0-9]{64})$/.exec(text)?.[1];
    if (id !== undefined) {
      const record = this.#records.get(`sha256:${id}`);
      if (record) return record;
      throw notFound(`No such image: sha256:${id}`);
    }
    const reference = withDefaultTag(parseReference(text));
    const record = this.#records.get(this.idOf(reference) ?? "") ?? this.#byPrefix(text);
    if (!record) throw notFound(`No such image: ${familiarString(reference)}`);
    return record;
  }

  /** An ambiguous prefix finds nothing, as in Docker. */
  #byPrefix(text: string): ImageRecord | undefined {
    const prefix = text.startsWith("sha256:") ? text : `sha256:${text}`;
    if (!/^sha256:[a-f0-9]+$/.test(prefix)) return undefined;
    let found: ImageRecord | undefined;
    for (const [id, record] of this.#records) {
      if (!id.startsWith(prefix)) continue;
      if (found) return undefined;
      found = record;
    }
    return found;
  }

  /**
   * Adds an image, or replaces what was known of it, and points references at it: one transaction.
   * `target` is the digest of the index or manifest that they stand for.
   */
  put(record: ImageRecord, references: Reference[], target = record.manifests.at(-1)?.digest ?? ""): void {
    const names = references.map(canonicalString);
    const taggedAt = Date.now();
    this.#db.transaction(() => {
      this.#db.run(
        "INSERT INTO images (id, record) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET record = excluded.record",
        record.id,
        JSON.stringify(record),
      );
      for (const name of names)
        this.#db.run(
          `INSERT INTO image_references (reference, image_id, tagged_at, target) VALUES (?, ?, ?, ?)
           ON CONFLICT (reference) DO UPDATE SET
             image_id = excluded.image_id, tagged_at = excluded.tagged_at, target = excluded.target`,
          name,
          record.id,
          taggedAt,
          target,
        );
    });
    this.#forget(record.id);
    this.#keep(record);
    const touched = new Set([record.id]);
    for (const name of names) {
      const before = this.#ids.get(name);
      if (before !== undefined) touched.add(before);
      this.#point(name, record.id, target);
    }
    for (const id of touched) this.#indexReferences(id);
    this.#memo.clear();
  }

  /** Takes references away; they need not exist. */
  unreference(id: string, references: Reference[]): void {
    const names = references.map(canonicalString);
    this.#db.transaction(() => {
      for (const name of names) this.#db.run("DELETE FROM image_references WHERE reference = ?", name);
    });
    for (const name of names) this.#unpoint(name);
    this.#indexReferences(id);
    this.#memo.clear();
  }

  /** Forgets an image and whatever still points at it. */
  delete(id: string): void {
    this.#db.run("DELETE FROM images WHERE id = ?", id);
    for (const name of this.referencesOf(id).map(canonicalString)) this.#unpoint(name);
    this.#forget(id);
    this.#references.delete(id);
    this.#memo.clear();
  }

  #keep(record: ImageRecord): void {
    this.#records.set(record.id, record);
    for (const { digest } of record.manifests.flatMap(({ indexes }) => indexes))
      this.#variants.set(digest, (this.#variants.get(digest) ?? new Set()).add(record.id));
  }

  #forget(id: string): void {
    const indexes = this.#records.get(id)?.manifests.flatMap(({ indexes }) => indexes) ?? [];
    for (const { digest } of indexes) {
      const ids = this.#variants.get(digest);
      ids?.delete(id);
      if (ids?.size === 0) this.#variants.delete(digest);
    }
    this.#records.delete(id);
  }

  #point(name: string, id: string, target: string): void {
    this.#unpoint(name);
    this.#ids.set(name, id);
    this.#targets.set(name, target);
    this.#targetCounts.set(target, (this.#targetCounts.get(target) ?? 0) + 1);
  }

  #unpoint(name: string): void {
    const target = this.#targets.get(name);
    if (target === undefined) return;
    const left = this.#targetCounts.get(target)! - 1;
    if (left === 0) this.#targetCounts.delete(target);
    else this.#targetCounts.set(target, left);
    this.#ids.delete(name);
    this.#targets.delete(name);
  }

  #indexReferences(id: string): void {
    const names: string[] = [];
    for (const [name, target] of this.#ids) if (target === id) names.push(name);
    this.#references.set(id, sorted(names));
  }
}

/** Where a reference has a digest, its tag does not count. */
function keyOf(reference: Reference): string {
  const { digest } = reference;
  return canonicalString(digest === undefined ? reference : withDigest(reference, digest));
}

function sorted(names: string[]): Reference[] {
  return names.map(parseReference).sort((one, other) => (familiarString(one) < familiarString(other) ? -1 : 1));
}
