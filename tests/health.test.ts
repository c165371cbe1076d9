/** Health checks: what they make of a container, when they are made, and what survives a daemon. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { ContainerInspectResponse } from "../src/wire/engine-api.ts";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();

beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

async function brig(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.brig(...args);
  expect([code, stderr]).toEqual([0, ""]);
  return stdout.trim();
}

const start = (name: string, ...options: string[]) =>
  brig("run", "-d", "--name", name, "--health-interval", "100ms", ...options, "alpine", "sleep", "1000");

async function health(name: string) {
  const answer = await daemon.request("GET", `/containers/${name}/json`);
  return (
    (await answer.json()) as ContainerInspectResponse & {
      State: { Health?: import("../src/wire/engine-api.ts").Health };
    }
  ).State.Health;
}

async function until(name: string, status: string): Promise<void> {
  for (let attempt = 0; attempt < 100; attempt++) {
    if ((await health(name))?.Status === status) return;
    await Bun.sleep(50);
  }
  throw new Error(`${name} is ${(await health(name))?.Status}, not ${status}`);
}

const check = 'test -f /ok; code=$?; echo "code $code" >&2; exit $code';

test("starting, unhealthy after some failures, healthy after one success: in inspect, ps, its filter and events", async () => {
  await start("web", "--health-cmd", check, "--health-retries", "2");
  expect((await health("web"))?.Status).toBe("starting");
  expect(await brig("ps", "--format", "{{.Status}}")).toContain("(health: starting)");
  await until("web", "unhealthy");
  const failed = (await health("web"))!;
  expect(failed.FailingStreak).toBeGreaterThanOrEqual(2);
  expect(failed.Log?.at(-1)).toMatchObject({ ExitCode: 1, Output: "code 1\n" });
  expect(await brig("ps", "--filter", "health=unhealthy", "--format", "{{.Names}} {{.Status}}")).toMatch(
    /^web Up .* \(unhealthy\)$/,
  );
  await brig("exec", "web", "touch", "/ok");
  await until("web", "healthy");
  await Bun.sleep(700);
  const well = (await health("web"))!;
  expect([well.FailingStreak, well.Log?.length, well.Log?.at(-1)?.ExitCode]).toEqual([0, 5, 0]);
  const events = await brig(
    "events",
    "--since",
    "60s",
    "--until",
    "0s",
    "--format",
    "{{.Action}}",
    "--filter",
    "container=web",
  );
  expect(events.split("\n").filter((action) => action.startsWith("health"))).toEqual([
    "health_status: unhealthy",
    "health_status: healthy",
  ]);
});

test("what takes too long is killed, and says so; much output is cut", async () => {
  await start("slow", "--health-cmd", "echo begun; sleep 60", "--health-timeout", "200ms", "--health-retries", "1");
  await until("slow", "unhealthy");
  expect((await health("slow"))?.Log?.[0]).toMatchObject({
    ExitCode: -1,
    Output: "Health check exceeded timeout (200ms): begun\n",
  });
  await start("loud", "--health-cmd", "yes | head -c 100000");
  await until("loud", "healthy");
  expect((await health("loud"))?.Log?.[0]?.Output).toBe(`${"y\n".repeat(2048)}...`);
  await brig("rm", "-f", "slow", "loud");
});

test("in the start period failures do not count, and checks come as often as asked for", async () => {
  const options = ["--health-start-period", "30s", "--health-start-interval", "50ms", "--health-retries", "1"];
  await start("young", "--health-cmd", check, ...options, "--health-interval", "60s");
  await Bun.sleep(800);
  const young = (await health("young"))!;
  expect([young.Status, young.FailingStreak]).toEqual(["starting", 0]);
  expect(young.Log?.length).toBe(5);
  await brig("exec", "young", "touch", "/ok");
  await until("young", "healthy");
  await brig("rm", "-f", "young");
});

test("no check: no health; a container that has ended is not healthy; a new run begins anew", async () => {
  await brig("run", "-d", "--name", "plain", "--no-healthcheck", "alpine", "sleep", "1000");
  expect(await health("plain")).toBeUndefined();
  expect(await brig("ps", "--filter", "health=none", "--format", "{{.Names}}")).toBe("plain");
  await brig("stop", "-t", "0", "web");
  expect((await health("web"))?.Status).toBe("unhealthy");
  await brig("start", "web");
  expect((await health("web"))?.Status).toBe("starting");
  await until("web", "healthy");
});

test("a new daemon knows how a container was, and goes on asking", async () => {
  await daemon.end("SIGKILL");
  await daemon.start();
  expect((await health("web"))?.Status).toBe("healthy");
  await brig("exec", "web", "rm", "/ok");
  await until("web", "unhealthy");
});

test("a paused container is not asked", async () => {
  await brig("pause", "web");
  await Bun.sleep(300);
  const before = (await health("web"))?.FailingStreak;
  await Bun.sleep(500);
  expect((await health("web"))?.FailingStreak).toBe(before);
  await brig("unpause", "web");
  await brig("exec", "web", "touch", "/ok");
  await until("web", "healthy");
});
