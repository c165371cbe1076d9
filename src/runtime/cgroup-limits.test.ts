/** What is written into which file. The trees are made up: a machine has one layout, and the order of v1 needs a kernel (tests/limits.test.ts). */
import { afterAll, expect, test } from "bun:test";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { changeLimits } from "./cgroup-limits.ts";
import type { OciResources } from "./oci.ts";
import { systemdCgroupPath } from "./resources.ts";

const root = mkdtempSync(join(tmpdir(), "brig-limits-"));
afterAll(() => rmSync(root, { recursive: true }));
let count = 0;

/** A directory with these files, and what they hold after the change. */
function change(
  version: 1 | 2,
  files: Record<string, string>,
  before: OciResources,
  after: OciResources,
): Record<string, string> {
  const directory = join(root, String(count++));
  mkdirSync(directory);
  for (const [name, text] of Object.entries(files)) writeFileSync(join(directory, name), text);
  const read = () =>
    Object.fromEntries(Object.keys(files).map((name) => [name, readFileSync(join(directory, name), "utf8")]));
  let thrown = "";
  try {
    changeLimits(() => directory, version, before, after);
  } catch (error) {
    thrown = (error as Error).message.replace(directory, "DIR");
  }
  return { thrown, ...read() };
}

const none: OciResources = { devices: [] };

test("v2: memory and swap are two limits", () => {
  const files = { "memory.max": "", "memory.swap.max": "", "memory.low": "" };
  const before = { devices: [], memory: { limit: 100, swap: 200 } };
  const after = { devices: [], memory: { limit: 150, swap: 400, reservation: 50 } };
  const held = { thrown: "", "memory.max": "150", "memory.swap.max": "250", "memory.low": "50" };
  expect(change(2, files, before, after)).toEqual(held);
  const free = { devices: [], memory: { limit: 150, swap: -1 } };
  expect(change(2, files, none, free)).toMatchObject({ thrown: "", "memory.swap.max": "max" });
});

test("v2: shares, quotas, weights, processes", () => {
  const files = { "cpu.weight": "", "cpu.max": "", "pids.max": "", "io.weight": "", "cpuset.cpus": "" };
  const after: OciResources = {
    devices: [],
    cpu: { shares: 1024, quota: 50_000, cpus: "0-1" },
    pids: { limit: 7 },
    blockIO: { weight: 500 },
  };
  const held = change(2, files, none, after);
  expect(held).toEqual({
    thrown: "",
    "cpu.weight": "39",
    "cpu.max": "50000 100000",
    "pids.max": "7",
    "io.weight": "4950",
    "cpuset.cpus": "0-1",
  });
});

test("v2: limits that are taken away", () => {
  const files = { "cpu.max": "", "pids.max": "", "io.max": "" };
  const device = { major: 8, minor: 0, rate: 5 };
  const before: OciResources = {
    devices: [],
    cpu: { quota: 5000, period: 20_000 },
    pids: { limit: 7 },
    blockIO: { throttleWriteIOPSDevice: [device] },
  };
  expect(change(2, files, before, { devices: [], cpu: { quota: -1, period: 20_000 } })).toEqual({
    thrown: "",
    "cpu.max": "max 20000",
    "pids.max": "max",
    "io.max": "8:0 wiops=max",
  });
});

test("what cannot be written is told, and what was written is taken back", () => {
  const files = { "pids.max": "5", "cpu.weight": "100" };
  const after: OciResources = { devices: [], cpu: { shares: 2, cpus: "0" }, pids: { limit: 7 } };
  const held = change(2, files, none, after);
  expect(held.thrown).toBe('failed to write "0": write DIR/cpuset.cpus: no such file or directory');
  expect(held).toMatchObject({ "cpu.weight": "100" });
});

test("where systemd puts a scope", () => {
  expect(systemdCgroupPath("system.slice:brig:abc")).toBe("/system.slice/brig-abc.scope");
  expect(systemdCgroupPath("a-b-c.slice:brig:x")).toBe("/a.slice/a-b.slice/a-b-c.slice/brig-x.scope");
  expect(systemdCgroupPath("-.slice:brig:x")).toBe("/brig-x.scope");
});
