import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  closeSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import {
  fallocate,
  fdPath,
  lchown,
  lstatNs,
  mknod,
  O_DIRECTORY,
  O_RDONLY,
  openInRoot,
  S_IFCHR,
  splitDevice,
  statfs,
  tryLock,
  unlock,
  utimensNs,
} from "./files.ts";
import { SyscallError } from "./libc.ts";
import { lgetxattr, llistxattr, lremovexattr, lsetxattr } from "./xattr.ts";

let root: string;

beforeAll(() => {
  root = mkdtempSync(join(tmpdir(), "brig-files-"));
});
afterAll(() => rmSync(root, { recursive: true }));

test("nothing leads out of a root", () => {
  mkdirSync(join(root, "in/etc"), { recursive: true });
  writeFileSync(join(root, "in/etc/file"), "inside");
  writeFileSync(join(root, "file"), "outside");
  symlinkSync("/etc/file", join(root, "in/absolute"));
  symlinkSync("../../../etc/file", join(root, "in/climbing"));
  symlinkSync("/proc/self/root/etc/passwd", join(root, "in/magic"));
  for (const path of ["etc/file", "/etc/file", "../../etc/file", "absolute", "climbing"]) {
    const fd = openInRoot(join(root, "in"), path, O_RDONLY);
    expect(readFileSync(fd, "utf8")).toBe("inside");
    closeSync(fd);
  }
  for (const path of ["../file", "magic", "etc/none"]) {
    expect(() => openInRoot(join(root, "in"), path, O_RDONLY)).toThrow(SyscallError);
  }
  const directory = openInRoot(join(root, "in"), "", O_DIRECTORY);
  const fd = openInRoot(directory, "etc/file", O_RDONLY);
  expect(statSync(fdPath(fd)).size).toBe(6);
  closeSync(fd);
  closeSync(directory);
});

test("device nodes, owners and times, of links too", () => {
  const node = join(root, "node");
  mknod(node, S_IFCHR | 0o622, 259, 70_000);
  const { rdev, mode } = lstatNs(node)!;
  expect(splitDevice(rdev)).toEqual({ major: 259, minor: 70_000 });
  expect(Number(mode) & 0o7777).toBe(0o622);
  const link = join(root, "link");
  symlinkSync("nowhere", link);
  lchown(link, 123, 456);
  expect([lstatSync(link).uid, lstatSync(link).gid]).toEqual([123, 456]);
  utimensNs(link, 0n, 1_600_000_000_123_456_789n);
  expect(lstatNs(link)?.mtimeNs).toBe(1_600_000_000_123_456_789n);
  utimensNs(node, 0n, -1_500_000_000n);
  expect(lstatNs(node)?.mtimeNs).toBe(-1_500_000_000n);
});

test("locks, holes and facts of the file system", () => {
  const path = join(root, "locked");
  const first = openSync(path, "w+");
  const second = openSync(path, "r");
  expect(tryLock(first, "exclusive")).toBe(true);
  expect(tryLock(second, "shared")).toBe(false);
  unlock(first);
  expect(tryLock(second, "shared")).toBe(true);
  writeFileSync(first, Buffer.alloc(1 << 20, 1));
  const before = statSync(path).blocks;
  fallocate(first, "punch", 0, 1 << 19);
  expect(statSync(path).blocks).toBeLessThan(before);
  expect(statSync(path).size).toBe(1 << 20);
  closeSync(first);
  closeSync(second);
  expect(statfs(root).blocks).toBeGreaterThan(0);
  expect(() => statfs(join(root, "none"))).toThrow("none: No such file or directory");
});

test("extended attributes of a file and of a link", () => {
  const path = join(root, "attributes");
  writeFileSync(path, "");
  lsetxattr(path, "trusted.one", Buffer.from([0, 1, 2]));
  lsetxattr(path, "trusted.empty", Buffer.alloc(0));
  lsetxattr(path, "trusted.long", Buffer.alloc(2000, 7));
  expect(llistxattr(path).sort()).toEqual(["trusted.empty", "trusted.long", "trusted.one"]);
  expect(lgetxattr(path, "trusted.one")).toEqual(Buffer.from([0, 1, 2]));
  expect(lgetxattr(path, "trusted.empty")?.length).toBe(0);
  expect(lgetxattr(path, "trusted.long")?.length).toBe(2000);
  expect(lgetxattr(path, "trusted.none")).toBeUndefined();
  expect(lremovexattr(path, "trusted.one")).toBe(true);
  expect(lremovexattr(path, "trusted.one")).toBe(false);
  const link = join(root, "attribute-link");
  symlinkSync("attributes", link);
  lsetxattr(link, "trusted.own", Buffer.from("x"));
  expect(llistxattr(link)).toEqual(["trusted.own"]);
});
