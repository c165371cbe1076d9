import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mount, unmount } from "../kernel/mount.ts";
import { StateDatabase } from "./database.ts";

const disk = mkdtempSync(join(tmpdir(), "brig-database-"));
const path = join(disk, "state.db");
const filler = join(disk, "filler");

beforeAll(() => mount("tmpfs", disk, "tmpfs", 0, "size=4m"));
afterAll(() => {
  unmount(disk);
  rmdirSync(disk);
});

function fill(): void {
  expect(() => writeFileSync(filler, Buffer.alloc(8 << 20))).toThrow("ENOSPC");
}

const put = "INSERT OR REPLACE INTO settings (key, value) VALUES (?, ?)";
const settingOf = (db: StateDatabase, key: string) =>
  db.get<{ value: string }>("SELECT value FROM settings WHERE key = ?", key)?.value;

describe("on a full disk", () => {
  test("small changes go on, large ones fail with a clear error and change nothing", () => {
    const db = new StateDatabase(path);
    fill();
    for (let round = 0; round < 2000; round++) db.run(put, "round", `${round}`);
    db.transaction(() => {
      for (let round = 0; round < 10; round++) db.run(put, "round", `transaction ${round}`);
    });
    expect(settingOf(db, "round")).toBe("transaction 9");
    expect(() => db.run(put, "large", "x".repeat(4 << 20))).toThrow(`no space left on the disk of ${path}`);
    expect(settingOf(db, "large")).toBeUndefined();
    db.run(put, "round", "still");
    rmSync(filler);
    db.run(put, "large", "x".repeat(1 << 20));
    db.close();
  });

  test("a database can be opened, or says why not", () => {
    new StateDatabase(path).close();
    fill();
    expect(() => new StateDatabase(path)).toThrow(`cannot open the database ${path}: `);
    rmSync(filler);
    const db = new StateDatabase(path);
    expect(settingOf(db, "round")).toBe("still");
    db.close();
  });
});

test("what is no database is named", () => {
  const other = join(disk, "other.db");
  writeFileSync(other, "x".repeat(5000));
  expect(() => new StateDatabase(other)).toThrow(`cannot open the database ${other}: file is not a database`);
});

test("a newer schema is refused", () => {
  const db = new StateDatabase(path);
  db.run("PRAGMA user_version = 1000");
  db.close();
  expect(() => new StateDatabase(path)).toThrow(/was written by a newer version of Brig/);
});
