import { afterEach, beforeEach, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { mount, readMounts, unmount } from "../kernel/mount.ts";
import { StateDatabase } from "../state/database.ts";
import { driverSuite, TestStorage } from "./driver.suite.ts";
import { selectDriver } from "./driver.ts";
import { file } from "./test-layers.ts";

driverSuite("overlay2");
driverSuite("vfs");

let root: string;
let db: StateDatabase;
beforeEach(() => {
  root = mkdtempSync(join(tmpdir(), "brig-driver-"));
  db = new StateDatabase(join(root, "state.db"));
});
afterEach(() => {
  db.close();
  for (const { mountPoint } of readMounts().toReversed()) if (mountPoint.startsWith(root)) unmount(mountPoint, true);
  rmSync(root, { recursive: true, force: true });
});

test("overlay2 is the default, and leaves nothing of its check", () => {
  expect(selectDriver(undefined, root, db).name).toBe("overlay2");
  expect(selectDriver("", root, db).name).toBe("overlay2");
  expect(readdirSync(root).filter((name) => !name.startsWith("state.db"))).toEqual([]);
});

test("an unknown driver is refused", () => {
  expect(() => selectDriver("zfs", root, db)).toThrow("driver not supported: zfs");
});

test("what was chosen is remembered; another one is refused while there are layers", () => {
  selectDriver("vfs", root, db);
  db.run("INSERT INTO layers (diff_id, driver, size) VALUES ('sha256:x', 'vfs', 1)");
  expect(selectDriver(undefined, root, db).name).toBe("vfs");
  expect(() => selectDriver("overlay2", root, db)).toThrow('holds layers of the storage driver "vfs"');
  db.run("DELETE FROM layers");
  expect(selectDriver("overlay2", root, db).name).toBe("overlay2");
});

test("where overlayfs cannot work, vfs is the default and overlay2 an error", () => {
  // An overlay cannot be an upper directory's file system.
  for (const part of ["l", "u", "w", "m"]) mkdirSync(join(root, part));
  const at = (part: string) => join(root, part);
  mount("overlay", at("m"), "overlay", 0, `lowerdir=${at("l")},upperdir=${at("u")},workdir=${at("w")}`);
  expect(selectDriver(undefined, at("m"), db).name).toBe("vfs");
  expect(() => selectDriver("overlay2", at("m"), db)).toThrow("overlayfs does not work on the file system of");
});

test("a data root with commas and colons in its name", async () => {
  const storage = new TestStorage(join(root, "a,b:c\\d"), "overlay2");
  try {
    const path = await storage.view("c", [file("a")], [file("b")]);
    writeFileSync(join(path, "c"), "");
    expect(readdirSync(path).sort()).toEqual(["a", "b", "c"]);
  } finally {
    storage.dispose();
  }
});
