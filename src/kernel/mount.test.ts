import { expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MS_PRIVATE, MS_SHARED, mount, parseMountInfo, readMounts, unmount } from "./mount.ts";

test("mounts and unmounts, and finds the mount in the table", () => {
  const directory = mkdtempSync(join(tmpdir(), "brig mount-"));
  try {
    mount("tmpfs", directory, "tmpfs", 0, "size=64k");
    mount("", directory, "", MS_PRIVATE);
    const entry = readMounts().find((one) => one.mountPoint === directory);
    expect(entry).toMatchObject({ fstype: "tmpfs", root: "/", propagation: "private" });
    expect(entry?.superOptions).toContain("size=64k");
    mount("", directory, "", MS_SHARED);
    expect(readMounts().find((one) => one.mountPoint === directory)?.propagation).toBe("shared");
    expect(unmount(directory)).toBe(true);
    expect(unmount(directory)).toBe(false);
    expect(unmount(join(directory, "nothing"))).toBe(false);
    mkdirSync(join(directory, "target"));
    symlinkSync("target", join(directory, "link"));
    mount("tmpfs", join(directory, "target"), "tmpfs", 0);
    expect(unmount(join(directory, "link"))).toBe(false);
    expect(unmount(join(directory, "target"), true)).toBe(true);
    expect(() => mount("x", join(directory, "nothing"), "tmpfs", 0)).toThrow("nothing: No such file or directory");
  } finally {
    unmount(directory, true);
    rmSync(directory, { recursive: true });
  }
});

test("reads the table's fields", () => {
  const [entry] = parseMountInfo(
    "36 35 98:0 /mnt1 /mnt\\040a\\134b rw,noatime master:1 shared:7 - ext3 /dev/root rw,errors=continue\nrubbish\n",
  );
  expect(entry).toEqual({
    mountId: 36,
    parentId: 35,
    device: "98:0",
    root: "/mnt1",
    mountPoint: "/mnt a\\b",
    options: ["rw", "noatime"],
    propagation: "shared-slave",
    fstype: "ext3",
    source: "/dev/root",
    superOptions: ["rw", "errors=continue"],
  });
});
