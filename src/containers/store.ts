/** All containers: found by id, name or prefix; kept in the database. */
import { conflict, invalidParameter, notFound } from "../lib/errors.ts";
import type { StateDatabase } from "../state/database.ts";
import { Container } from "./container.ts";
import type { ContainerRecord } from "./record.ts";

const shortIdLength = 12;
const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9_.-]+$/;

/** The containers of a daemon. Everything is in memory; the database is written, and read once at start. */
export class ContainerStore {
  readonly #db: StateDatabase;
  readonly #byId = new Map<string, Container>();
  readonly #byShortId = new Map<string, Container>();
  readonly #byName = new Map<string, Container>();

  constructor(db: StateDatabase) {
    this.#db = db;
    for (const { record } of db.all<{ record: string }>("SELECT record FROM containers"))
      this.#index(new Container(JSON.parse(record) as ContainerRecord));
  }

  #index(container: Container): void {
    this.#byId.set(container.id, container);
    this.#byShortId.set(container.id.slice(0, shortIdLength), container);
    this.#byName.set(container.name, container);
  }

  get size(): number {
    return this.#byId.size;
  }

  all(): IterableIterator<Container> {
    return this.#byId.values();
  }

  byId(id: string): Container | undefined {
    return this.#byId.get(id);
  }

  byName(name: string): Container | undefined {
    return this.#byName.get(name);
  }

  /** Finds by full id, name, or unambiguous prefix of an id, in this order. Throws `No such container`. */
  find(nameOrId: string): Container {
    const name = nameOrId.startsWith("/") ? nameOrId.slice(1) : nameOrId;
    const found =
      this.#byId.get(nameOrId) ?? this.#byName.get(name) ?? this.#byShortId.get(nameOrId) ?? this.#byPrefix(nameOrId);
    if (found === undefined) throw notFound(`No such container: ${nameOrId}`);
    return found;
  }

  #byPrefix(prefix: string): Container | undefined {
    if (!/^[0-9a-f]{1,64}$/.test(prefix)) return undefined;
    let found: Container | undefined;
    for (const [id, container] of this.#byId) {
      if (!id.startsWith(prefix)) continue;
      if (found !== undefined) throw invalidParameter(`multiple IDs found with provided prefix: ${prefix}`);
      found = container;
    }
    return found;
  }

  /** Throws where a name breaks Docker's rule or is taken by another container than `by`. */
  checkName(name: string, by?: Container): void {
    if (!namePattern.test(name))
      throw invalidParameter(`Invalid container name (${name}), only [a-zA-Z0-9][a-zA-Z0-9_.-] are allowed`);
    const holder = this.#byName.get(name);
    if (holder !== undefined && holder !== by)
      throw conflict(
        `Conflict. The container name "/${name}" is already in use by container "${holder.id}". You have to remove (or rename) that container to be able to reuse that name.`,
      );
  }

  /**
   * Adds the container that `make` returns, together with whatever `make` writes into the database for it: a crash
   * leaves all of that or nothing. Its name must have been checked in the same turn of the event loop.
   */
  add(make: () => Container): Container {
    const container = this.#db.transaction(() => {
      const made = make();
      this.#db.run(
        "INSERT INTO containers (id, name, record) VALUES (?, ?, ?)",
        made.id,
        made.name,
        JSON.stringify(made.record),
      );
      return made;
    });
    this.#index(container);
    return container;
  }

  /** Writes the record as it is now. */
  save(container: Container): void {
    this.#db.run("UPDATE containers SET record = ? WHERE id = ?", JSON.stringify(container.record), container.id);
  }

  /** Gives a container another name, checked in the same turn of the event loop. */
  rename(container: Container, name: string): void {
    const record = { ...container.record, name };
    this.#db.run("UPDATE containers SET name = ?, record = ? WHERE id = ?", name, JSON.stringify(record), container.id);
    this.#byName.delete(container.name);
    container.record.name = name;
    this.#byName.set(name, container);
  }

  delete(container: Container): void {
    this.#db.run("DELETE FROM containers WHERE id = ?", container.id);
    this.#byId.delete(container.id);
    this.#byShortId.delete(container.id.slice(0, shortIdLength));
    if (this.#byName.get(container.name) === container) this.#byName.delete(container.name);
  }
}
