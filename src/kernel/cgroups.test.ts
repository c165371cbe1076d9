import { expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  cgroupControllers,
  cgroupDirectories,
  cgroupMode,
  cgroupPids,
  frozenState,
  killCgroup,
  mountMissingHierarchies,
  removeCgroup,
  setFrozen,
} from "./cgroups.ts";
import { readMounts } from "./mount.ts";

test("a cgroup's processes are found, frozen, killed, and the cgroup removed everywhere", async () => {
  expect(mountMissingHierarchies()).toEqual([]);
  expect(["v1", "hybrid", "v2"]).toContain(cgroupMode());
  expect(cgroupControllers()).toContain("memory");
  // crun's condition for the hybrid layout.
  if (cgroupMode() === "hybrid") {
    const v2 = readMounts().find((entry) => entry.fstype === "cgroup2")!.mountPoint;
    expect(readFileSync(join(v2, "cgroup.controllers"), "utf8").trim()).toBe("");
  }
  const path = `/brig-test-cgroups-${process.pid}`;
  const children = [Bun.spawn(["sleep", "100"]), Bun.spawn(["sleep", "100"])];
  try {
    for (const directory of cgroupDirectories(path)) {
      mkdirSync(join(directory, "below"), { recursive: true });
      // A v1 cpuset takes processes only when it was told where.
      if (directory.includes("/cpuset/")) continue;
      writeFileSync(join(directory, "cgroup.procs"), String(children[0]!.pid));
      writeFileSync(join(directory, "below", "cgroup.procs"), String(children[1]!.pid));
    }
    const pids = children.map((child) => child.pid);
    expect(cgroupPids(path).sort()).toEqual(pids.sort());
    expect(frozenState(path)).toBe(false);
    expect(setFrozen(path, true)).toBe(true);
    while (frozenState(path) === "pending") await Bun.sleep(1);
    expect(frozenState(path)).toBe(true);
    expect(removeCgroup(path)).toBe(false);
    killCgroup(path);
    await Promise.all(children.map((child) => child.exited));
    expect(removeCgroup(path)).toBe(true);
    expect(removeCgroup(path)).toBe(true);
    for (const directory of cgroupDirectories(path)) expect(existsSync(directory)).toBe(false);
    expect([cgroupPids(path), setFrozen(path, true), frozenState(path)]).toEqual([[], false, false]);
  } finally {
    for (const child of children) child.kill(9);
    removeCgroup(path);
  }
});

test("a path that is none is refused", () => {
  for (const path of ["/", "relative", "/a/../b", ""]) expect(() => removeCgroup(path)).toThrow("not a cgroup path");
});
