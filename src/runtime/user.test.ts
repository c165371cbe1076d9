import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { resolveUser } from "./user.ts";

const root = mkdtempSync(join(tmpdir(), "brig-user-"));
afterAll(() => rmSync(root, { recursive: true }));
mkdirSync(join(root, "etc"));
writeFileSync(
  join(root, "etc/passwd"),
  "# people\nroot:x:0:0:root:/root:/bin/sh\n\nweb:x:33:34:Web:/var/www:/bin/false\n1000:x:7:8::/odd:\nbroken\n",
);
writeFileSync(join(root, "etc/group"), "root:x:0:root\nweb:x:34:\nstaff:x:50:web,other\naudio:x:29:web\n");

test("names, numbers and both", () => {
  expect(resolveUser(root, "")).toEqual({ uid: 0, gid: 0, additionalGids: [], home: "/root" });
  expect(resolveUser(root, "web")).toEqual({ uid: 33, gid: 34, additionalGids: [50, 29], home: "/var/www" });
  expect(resolveUser(root, "33")).toEqual({ uid: 33, gid: 34, additionalGids: [50, 29], home: "/var/www" });
  expect(resolveUser(root, "web:staff")).toEqual({ uid: 33, gid: 50, additionalGids: [], home: "/var/www" });
  expect(resolveUser(root, "4321")).toEqual({ uid: 4321, gid: 0, additionalGids: [], home: "/" });
  expect(resolveUser(root, "4321:77")).toEqual({ uid: 4321, gid: 77, additionalGids: [], home: "/" });
  expect(resolveUser(root, ":50")).toEqual({ uid: 0, gid: 50, additionalGids: [], home: "/root" });
  expect(resolveUser(root, "1000").uid).toBe(7);
  expect(resolveUser(root, "web", ["77", "staff", "web"]).additionalGids).toEqual([50, 29, 77]);
});

test("who is not there", () => {
  expect(() => resolveUser(root, "nobody")).toThrow("unable to find user nobody: no matching entries in passwd file");
  expect(() => resolveUser(root, "web:nope")).toThrow("unable to find group nope: no matching entries in group file");
  expect(() => resolveUser(root, "web", ["nope"])).toThrow(
    "Unable to find group nope: no matching entries in group file",
  );
  for (const user of ["99999999999", "-1", "0:2147483648"])
    expect(() => resolveUser(root, user)).toThrow("uids and gids must be in range 0-2147483647");
});

test("no files, and files that lead out or never end", () => {
  const hostile = mkdtempSync(join(tmpdir(), "brig-user-"));
  try {
    expect(resolveUser(hostile, "5")).toEqual({ uid: 5, gid: 0, additionalGids: [], home: "/" });
    mkdirSync(join(hostile, "etc"));
    symlinkSync("/../../../../../../etc/passwd", join(hostile, "etc/passwd"));
    symlinkSync("/dev/zero", join(hostile, "etc/group"));
    expect(() => resolveUser(hostile, "root")).toThrow("unable to find user root");
    symlinkSync(join(root, "etc"), join(hostile, "real"));
    rmSync(join(hostile, "etc/group"));
    Bun.spawnSync(["mkfifo", join(hostile, "etc/group")]);
    expect(() => resolveUser(hostile, "5:nope")).toThrow("unable to find group nope");
  } finally {
    rmSync(hostile, { recursive: true });
  }
});
