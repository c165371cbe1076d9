import { afterEach, beforeEach, expect, test } from "bun:test";
import {
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { StateDatabase } from "../state/database.ts";
import { Volumes } from "./volumes.ts";

let directory: string;
let db: StateDatabase;
let volumes: Volumes;
let events: string[];

const open = () =>
  new Volumes({
    db,
    root: join(directory, "volumes"),
    events: { publish: (_type, action, id) => events.push(`${action} ${id}`) },
  });

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "brig-volumes-"));
  db = new StateDatabase(join(directory, "state.db"));
  events = [];
  volumes = open();
});
afterEach(() => {
  db.close();
  rmSync(directory, { recursive: true });
});

test("create, get, list, remove", async () => {
  const made = volumes.create({ Name: "data", Labels: { a: "b" } });
  expect(made).toMatchObject({ Name: "data", Driver: "local", Scope: "local", Labels: { a: "b" }, Options: null });
  expect(existsSync(made.Mountpoint)).toBe(true);
  expect(volumes.create({ Name: "data" })).toEqual(made);
  expect(volumes.get("data")).toEqual(made);
  const anonymous = volumes.create({});
  expect(anonymous.Labels).toEqual({ "com.docker.volume.anonymous": "" });
  expect(volumes.list({ label: ["a=b"] }).map(({ Name }) => Name)).toEqual(["data"]);
  expect(volumes.list({ dangling: ["true"] })).toHaveLength(2);
  volumes.usedBy = (name) => (name === "data" ? ["c1"] : []);
  expect(volumes.list({ dangling: ["true"] }).map(({ Name }) => Name)).toEqual([anonymous.Name]);
  await expect(volumes.remove("data")).rejects.toThrow("remove data: volume is in use - [c1]");
  volumes.usedBy = () => [];
  await volumes.remove("data");
  expect(existsSync(made.Mountpoint)).toBe(false);
  await expect(volumes.remove("data")).rejects.toThrow("get data: no such volume");
  await volumes.remove("data", true);
  expect(events).toEqual(["create data", `create ${anonymous.Name}`, "destroy data"]);
});

test("names, drivers, options and filters that are none", () => {
  const refuse = (request: Parameters<Volumes["create"]>[0]) => () => volumes.create(request);
  expect(refuse({ Name: "x" })).toThrow(
    "create x: volume name is too short, names should be at least two alphanumeric characters",
  );
  for (const name of ["../x", "a/b", "a b", ".hidden"])
    expect(refuse({ Name: name })).toThrow(
      `create ${name}: "${name}" includes invalid characters for a local volume name, only "[a-zA-Z0-9][a-zA-Z0-9_.-]" are allowed. If you intended to pass a host directory, use absolute path`,
    );
  expect(refuse({ Name: "a".repeat(300) })).toThrow("too long");
  expect(refuse({ Name: "xx", Driver: "nope" })).toThrow(
    'create xx: error looking up volume plugin nope: plugin "nope" not found',
  );
  expect(refuse({ Name: "xx", DriverOpts: { foo: "1" } })).toThrow('create xx: invalid option: "foo"');
  expect(() => volumes.pathOf("../x")).toThrow("invalid characters");
  expect(() => volumes.list({ foo: ["1"] })).toThrow("invalid filter 'foo'");
  expect(() => volumes.list({ dangling: ["maybe"] })).toThrow("invalid filter 'dangling=[maybe]'");
});

test("prune takes the anonymous ones, or all", async () => {
  volumes.create({ Name: "kept" });
  const used = volumes.create({});
  const unused = volumes.create({});
  writeFileSync(join(unused.Mountpoint, "file"), "12345");
  volumes.usedBy = (name) => (name === used.Name ? ["c"] : []);
  expect(await volumes.prune()).toEqual({ VolumesDeleted: [unused.Name], SpaceReclaimed: 5 });
  expect(await volumes.prune({ all: ["true"] })).toEqual({ VolumesDeleted: ["kept"], SpaceReclaimed: 0 });
});

test("an empty volume gets the image's content, owners and modes, once", async () => {
  const rootfs = join(directory, "rootfs");
  mkdirSync(join(rootfs, "srv/www/sub"), { recursive: true, mode: 0o750 });
  writeFileSync(join(rootfs, "srv/www/index"), "hello", { mode: 0o640 });
  chownSync(join(rootfs, "srv/www/index"), 33, 34);
  chownSync(join(rootfs, "srv/www"), 5, 6);
  symlinkSync("index", join(rootfs, "srv/www/link"));
  symlinkSync("/srv/www", join(rootfs, "alias"));
  const { Mountpoint } = volumes.create({ Name: "web" });
  await Promise.all([volumes.copyUp("web", rootfs, "/alias"), volumes.copyUp("web", rootfs, "/alias")]);
  expect(readdirSync(Mountpoint).sort()).toEqual(["index", "link", "sub"]);
  expect(lstatSync(join(Mountpoint, "index"))).toMatchObject({ uid: 33, gid: 34, mode: 0o100640 });
  expect(lstatSync(Mountpoint)).toMatchObject({ uid: 5, gid: 6 });
  writeFileSync(join(Mountpoint, "index"), "changed");
  await volumes.copyUp("web", rootfs, "/alias");
  expect(readFileSync(join(Mountpoint, "index"), "utf8")).toBe("changed");
});

test("also from another file system", async () => {
  const rootfs = mkdtempSync("/dev/shm/brig-volumes-");
  try {
    const content = Buffer.alloc(3 << 20, "0123456789");
    writeFileSync(join(rootfs, "big"), content);
    const { Mountpoint } = volumes.create({ Name: "moved" });
    await volumes.copyUp("moved", rootfs, "/");
    expect(readFileSync(join(Mountpoint, "big")).equals(content)).toBe(true);
  } finally {
    rmSync(rootfs, { recursive: true });
  }
});

test("the image's links do not lead out, and what is no directory is nothing", async () => {
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  writeFileSync(join(directory, "secret"), "secret");
  symlinkSync(directory, join(rootfs, "out"));
  writeFileSync(join(rootfs, "file"), "");
  const { Mountpoint } = volumes.create({ Name: "vv" });
  for (const path of ["/out", "/../..", "/file", "/nowhere"])
    await volumes.copyUp("vv", rootfs, path === "/../.." ? "/out/../.." : path);
  expect(readdirSync(Mountpoint)).not.toContain("secret");
});

test("killed in between: filling goes on, removing is finished, a lost directory is made again", async () => {
  const rootfs = join(directory, "rootfs");
  mkdirSync(rootfs);
  writeFileSync(join(rootfs, "a"), "whole");
  const { Mountpoint } = volumes.create({ Name: "half" });
  writeFileSync(join(Mountpoint, "a"), "wh");
  writeFileSync(join(Mountpoint, "..", ".filling"), "");
  await volumes.copyUp("half", rootfs, "/");
  expect(readFileSync(join(Mountpoint, "a"), "utf8")).toBe("whole");
  volumes.create({ Name: "lost" });
  rmSync(join(directory, "volumes/lost"), { recursive: true });
  mkdirSync(join(directory, "volumes/.removed-1/x"), { recursive: true });
  mkdirSync(join(directory, "volumes/unborn/_data"), { recursive: true });
  mkdirSync(join(directory, "volumes/foreign/_data/precious"), { recursive: true });
  writeFileSync(join(volumes.create({ Name: "doomed" }).Mountpoint, "file"), "");
  const { record } = db.get<{ record: string }>("SELECT record FROM volumes WHERE name = 'doomed'")!;
  const removed = JSON.stringify({ ...JSON.parse(record), isRemoved: true });
  db.run("UPDATE volumes SET record = ? WHERE name = 'doomed'", removed);
  await open().mend();
  expect(volumes.list().map(({ Name }) => Name)).toEqual(["half", "lost"]);
  expect(readdirSync(join(directory, "volumes")).sort()).toEqual(["foreign", "half", "lost"]);
  expect(existsSync(join(directory, "volumes/lost/_data"))).toBe(true);
});
