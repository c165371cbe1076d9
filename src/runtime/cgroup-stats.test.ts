import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { cgroupUsage, cpuUsage } from "./cgroup-stats.ts";

const directory = mkdtempSync(join(tmpdir(), "brig-cgroup-stats-"));
afterAll(() => rmSync(directory, { recursive: true }));
const here = () => directory;
const write = (files: Record<string, string>) => {
  for (const [name, content] of Object.entries(files)) writeFileSync(join(directory, name), content);
};

test("cgroup v2", () => {
  write({
    "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\nnr_periods 7\nnr_throttled 2\nthrottled_usec 30\n",
    "memory.current": "4096\n",
    "memory.max": "max\n",
    "memory.stat": "anon 100\ninactive_file 50\n",
    "memory.events": "low 0\noom 3\noom_kill 1\n",
    "pids.current": "5\n",
    "pids.max": "max\n",
    "io.stat": "254:0 rbytes=10 wbytes=20 rios=1 wios=2 dbytes=0 dios=0\n",
  });
  expect(cpuUsage(here, 2)).toMatchObject({
    cpu_usage: { total_usage: 1_500_000, usage_in_usermode: 1_000_000, usage_in_kernelmode: 500_000 },
    throttling_data: { periods: 7, throttled_periods: 2, throttled_time: 30_000 },
  });
  const usage = cgroupUsage(here, 2, 1_000_000);
  expect(usage.memory_stats).toEqual({
    usage: 4096,
    stats: { anon: 100, inactive_file: 50 },
    failcnt: 3,
    limit: 1_000_000,
  });
  expect(usage.pids_stats).toEqual({ current: 5 });
  expect(usage.blkio_stats.io_service_bytes_recursive).toEqual([
    { major: 254, minor: 0, op: "read", value: 10 },
    { major: 254, minor: 0, op: "write", value: 20 },
  ]);
  expect(usage.blkio_stats.io_serviced_recursive?.map(({ value }) => value)).toEqual([1, 2]);
});

test("cgroup v1", () => {
  write({
    "cpuacct.usage": "2000\n",
    "cpuacct.usage_percpu": "1500 500 \n",
    "cpuacct.stat": "user 3\nsystem 1\n",
    "cpu.stat": "nr_periods 0\nnr_throttled 0\nthrottled_time 0\n",
    "memory.usage_in_bytes": "8192\n",
    "memory.max_usage_in_bytes": "9000\n",
    "memory.limit_in_bytes": "10000\n",
    "memory.stat": "cache 1\ntotal_inactive_file 2\n",
    "memory.failcnt": "0\n",
    "pids.max": "40\n",
    "blkio.throttle.io_service_bytes_recursive": "254:0 Read 7\n254:0 Total 7\nTotal 7\n",
  });
  expect(cpuUsage(here, 1).cpu_usage).toEqual({
    total_usage: 2000,
    percpu_usage: [1500, 500],
    usage_in_kernelmode: 10_000_000,
    usage_in_usermode: 30_000_000,
  });
  const usage = cgroupUsage(here, 1, 1_000_000);
  expect(usage.memory_stats).toEqual({
    usage: 8192,
    max_usage: 9000,
    stats: { cache: 1, total_inactive_file: 2 },
    limit: 10_000,
  });
  expect(usage.pids_stats.limit).toBe(40);
  expect(usage.blkio_stats.io_service_bytes_recursive).toEqual([
    { major: 254, minor: 0, op: "Read", value: 7 },
    { major: 254, minor: 0, op: "Total", value: 7 },
  ]);
});

test("a cgroup that is gone has used nothing", () => {
  expect(cpuUsage(() => undefined, 1).cpu_usage?.total_usage).toBe(0);
  expect(cgroupUsage(() => join(directory, "gone"), 2, 5).memory_stats).toEqual({ usage: 0, stats: {}, limit: 5 });
});
