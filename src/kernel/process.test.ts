import { expect, test } from "bun:test";
import { readlinkSync } from "node:fs";
import { closeFd } from "./files.ts";
import { createNetworkNamespace, insideNetworkNamespace, openNetworkNamespace } from "./namespaces.ts";
import { isAlive, processStartTime, sendSignal } from "./process.ts";

test("a signal reaches the process that was meant and no other", async () => {
  const child = Bun.spawn(["sleep", "100"]);
  const startTime = processStartTime(child.pid)!;
  expect(startTime).toBeGreaterThan(0);
  expect(isAlive(child.pid, startTime)).toBe(true);
  expect(isAlive(child.pid, startTime + 1)).toBe(false);
  expect(sendSignal(child.pid, 9, startTime + 1)).toBe(false);
  expect(sendSignal(child.pid, 15, startTime)).toBe(true);
  await child.exited;
  expect(child.signalCode).toBe("SIGTERM");
  expect(isAlive(child.pid)).toBe(false);
  expect(processStartTime(child.pid)).toBeUndefined();
  expect(sendSignal(child.pid, 15)).toBe(false);
  for (const pid of [0, -1, 1.5, Number.NaN]) expect([sendSignal(pid, 9), isAlive(pid)]).toEqual([false, false]);
});

test("a network namespace lives as long as its fd, and we come home from it", () => {
  const home = readlinkSync("/proc/thread-self/ns/net");
  const fd = createNetworkNamespace();
  const inside = insideNetworkNamespace(fd, () => readlinkSync("/proc/thread-self/ns/net"));
  expect(inside).not.toBe(home);
  expect(readlinkSync(`/proc/self/fd/${fd}`)).toBe(inside);
  expect(() =>
    insideNetworkNamespace(fd, () => {
      throw new Error("on the way");
    }),
  ).toThrow("on the way");
  expect(readlinkSync("/proc/thread-self/ns/net")).toBe(home);
  closeFd(fd);
  const own = openNetworkNamespace(process.pid);
  expect(readlinkSync(`/proc/self/fd/${own}`)).toBe(home);
  closeFd(own);
});
