/** What containers use, as clients are told. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { ContainerStatsResponse } from "../src/wire/engine-api.ts";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();

beforeAll(async () => {
  await daemon.start();
  await daemon.withImage();
});
afterAll(() => daemon.dispose());

async function brig(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.brig(...args);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout;
}

const start = (name: string, options: string[], ...command: string[]) =>
  brig("run", "-d", "--name", name, ...options, "alpine", ...command);

async function ask(name: string, query: string): Promise<ContainerStatsResponse> {
  const answer = await fetch(`http://engine/containers/${name}/stats?${query}`, { unix: daemon.socket });
  expect(answer.status).toBe(200);
  return (await answer.json()) as ContainerStatsResponse;
}

/** Docker's client reckons so. */
function cpuPercent({ cpu_stats: now, precpu_stats: before }: ContainerStatsResponse): number {
  const used = now!.cpu_usage!.total_usage! - before!.cpu_usage!.total_usage!;
  const passed = now!.system_cpu_usage! - before!.system_cpu_usage!;
  return (used / passed) * now!.online_cpus! * 100;
}

test("processor, memory, processes and network of a container that is busy", async () => {
  await start("busy", ["--cpus", "0.3", "-m", "64m"], "sh", "-c", "sleep 100 & while :; do :; done");
  await Bun.sleep(500);
  const one = await ask("busy", "stream=false");
  expect(one.name).toBe("/busy");
  expect(Date.parse(one.read!) - Date.parse(one.preread!)).toBeGreaterThan(20);
  const percents: number[] = [];
  for (let round = 0; round < 10; round++) percents.push(cpuPercent(await ask("busy", "stream=false")));
  const mean = percents.reduce((sum, percent) => sum + percent, 0) / percents.length;
  // The quota is spent in pieces of 30 ms of each 100: single answers vary, and a loaded machine gives less.
  expect(mean).toBeLessThan(60);
  expect(mean).toBeGreaterThan(2);
  expect(one.pids_stats?.current).toBe(2);
  expect(one.memory_stats?.limit).toBe(64 << 20);
  expect(one.memory_stats?.usage).toBeGreaterThan(0);
  expect(Object.keys(one.memory_stats?.stats ?? {})).not.toHaveLength(0);
  expect(Object.keys(one.networks ?? {})).toEqual(["eth0"]);
});

test("one shot has nothing to compare with; a stream compares with a second ago, and ends with its client", async () => {
  const shot = await ask("busy", "stream=false&one-shot=true");
  expect(shot.preread).toBe("0001-01-01T00:00:00Z");
  expect(shot.precpu_stats?.cpu_usage?.total_usage).toBe(0);
  const abort = new AbortController();
  const answer = await fetch("http://engine/containers/busy/stats", { unix: daemon.socket, signal: abort.signal });
  const samples: ContainerStatsResponse[] = [];
  for await (const chunk of answer.body!) {
    samples.push(JSON.parse(Buffer.from(chunk).toString()));
    if (samples.length === 2) break;
  }
  abort.abort();
  expect(samples[1]!.preread).toBe(samples[0]!.read);
  expect(Date.parse(samples[1]!.read!) - Date.parse(samples[0]!.read!)).toBeGreaterThan(800);
});

test("networks of others are not a container's; one that does not run uses nothing; one that is not there is told", async () => {
  await start("onhost", ["--network", "host"], "sleep", "100");
  expect((await ask("onhost", "stream=false")).networks).toBeUndefined();
  await brig("kill", "onhost");
  const ended = await ask("onhost", "stream=false");
  expect([ended.read, ended.cpu_stats?.cpu_usage?.total_usage]).toEqual(["0001-01-01T00:00:00Z", 0]);
  const answer = await fetch("http://engine/containers/nobody/stats?stream=false", { unix: daemon.socket });
  expect([answer.status, await answer.json()]).toEqual([404, { message: "No such container: nobody" }]);
});

test("the table", async () => {
  const lines = (await brig("stats", "--no-stream", "--format", "{{.Name}} {{.PIDs}} {{.MemUsage}}")).trim();
  expect(lines).toMatch(/^busy 2 [\d.]+\wiB \/ 64MiB$/);
});
