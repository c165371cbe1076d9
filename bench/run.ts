/**
 * Brig and dockerd in turn, on the same machine, with the same image. Prints medians and ratios.
 *
 *   BENCH_DOCKER_HOST=unix:///…   a dockerd that runs already (otherwise the one on the PATH is started)
 *   BENCH_ONLY=run,exec           only the rows whose names contain one of these words
 */
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { cpus, tmpdir } from "node:os";
import { join } from "node:path";
import { buildBusyboxTar } from "../tests/support/busybox-image.ts";

interface Engine {
  name: string;
  /** Command line with the engine's own client. */
  client: string[];
  host: string;
  pid: number;
}

const scratch = mkdtempSync(join(tmpdir(), "brig-bench-"));
const brigBinary = join(import.meta.dir, "../dist/brig");
const cleanups: (() => void)[] = [() => rmSync(scratch, { recursive: true, force: true })];

async function startBrig(): Promise<Engine> {
  const host = `unix://${scratch}/brig.sock`;
  const daemon = Bun.spawn(
    [brigBinary, "daemon", "-H", host, "--data-root", `${scratch}/brig`, "--exec-root", `${scratch}/brig-run`].concat([
      "--pidfile",
      `${scratch}/brig.pid`,
      "--bridge",
      "brig-bench",
      "--config-file",
      `/dev/null`,
    ]),
    { stdio: ["ignore", Bun.file(`${scratch}/brig.log`), Bun.file(`${scratch}/brig.log2`)] },
  );
  cleanups.unshift(() => {
    daemon.kill();
    Bun.sleepSync(500);
    Bun.spawnSync([brigBinary, "daemon", "--uninstall", "--bridge", "brig-bench"]);
  });
  await answers(host);
  return { name: "brig", client: [brigBinary, "-H", host], host, pid: daemon.pid };
}

async function startDocker(): Promise<Engine> {
  const running = process.env.BENCH_DOCKER_HOST;
  const host = running ?? `unix://${scratch}/docker.sock`;
  if (running === undefined) {
    const args = ["-H", host, "--data-root", `${scratch}/docker`, "--exec-root", `${scratch}/docker-run`];
    const daemon = Bun.spawn(["dockerd", ...args, "-p", `${scratch}/docker.pid`], {
      stdio: ["ignore", "ignore", "ignore"],
    });
    cleanups.unshift(() => {
      daemon.kill();
      Bun.sleepSync(2000);
    });
  }
  await answers(host);
  return { name: "dockerd", client: ["docker", "-H", host], host, pid: daemonPid(host) };
}

async function answers(host: string): Promise<void> {
  for (let attempt = 0; attempt < 300; attempt++) {
    try {
      await fetch("http://engine/_ping", { unix: host.slice("unix://".length) });
      return;
    } catch {
      await Bun.sleep(50);
    }
  }
  throw new Error(`nothing answers at ${host}`);
}

function daemonPid(host: string): number {
  const socket = host.slice("unix://".length);
  const found = Bun.spawnSync(["sh", "-c", `pgrep -f -- "dockerd.*${socket}" | head -n 1`])
    .stdout.toString()
    .trim();
  return Number(found);
}

/** Runs a command and returns its time in milliseconds; throws when it fails. */
async function time(command: string[]): Promise<number> {
  const begun = performance.now();
  const child = Bun.spawn(command, { stdin: "ignore", stdout: "ignore", stderr: "pipe" });
  const code = await child.exited;
  const took = performance.now() - begun;
  if (code !== 0) throw new Error(`${command.join(" ")}: exit ${code}: ${await child.stderr.text()}`);
  return took;
}

const median = (values: number[]) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)]!;

/** Medians of `runs` runs of each engine's measure, one engine after the other in each run. */
async function inTurn(
  engines: Engine[],
  runs: number,
  measure: (engine: Engine) => Promise<number>,
): Promise<number[]> {
  const values = engines.map(() => [] as number[]);
  for (let run = -1; run < runs; run++)
    for (const [index, engine] of engines.entries()) {
      const value = await measure(engine);
      if (run >= 0) values[index]!.push(value);
    }
  return values.map(median);
}

/** Runs `work` for 0 … count-1, so many at once, and returns the milliseconds all of it took. */
async function concurrently(count: number, width: number, work: (index: number) => Promise<unknown>): Promise<number> {
  const begun = performance.now();
  let next = 0;
  await Promise.all(
    Array.from({ length: width }, async () => {
      while (next < count) await work(next++);
    }),
  );
  return performance.now() - begun;
}

const quiet = (engine: Engine, ...args: string[]) => time([...engine.client, ...args]);

/** Resident bytes of a process and, where asked for, of all that it started. */
function residentMb(pid: number): number {
  const status = readFileSync(`/proc/${pid}/status`, "utf8");
  return Number(status.match(/VmRSS:\s+(\d+)/)?.[1] ?? 0) / 1024;
}

/** What processes other than the containers' own hold privately, in MB: daemon's helpers, conmon, shims. */
function supervisorsMb(pattern: string): number {
  const pids = Bun.spawnSync(["pgrep", "-f", pattern]).stdout.toString().trim().split("\n").filter(Boolean);
  let kb = 0;
  for (const pid of pids)
    try {
      kb += Number(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8").match(/^Pss:\s+(\d+)/m)?.[1] ?? 0);
    } catch {
      // Ended meanwhile.
    }
  return kb / 1024;
}

interface Row {
  name: string;
  unit: string;
  values: number[];
  wanted: string;
}
const rows: Row[] = [];
const only = process.env.BENCH_ONLY?.split(",");

async function row(name: string, unit: string, wanted: string, measure: () => Promise<number[]>): Promise<void> {
  if (only !== undefined && !only.some((word) => name.includes(word))) return;
  const values = await measure();
  rows.push({ name, unit, values, wanted });
  console.error(`  ${name}: ${values.map((value) => value.toFixed(1)).join(" / ")} ${unit}`);
}

async function main(): Promise<void> {
  const engines = [await startBrig(), await startDocker()];
  const archive = await buildBusyboxTar(join(scratch, "alpine.tar"));
  for (const engine of engines) await time([...engine.client, "import", archive, "bench-alpine"]);
  const image = "bench-alpine";
  const sh = (script: string) => [image, "/bin/sh", "-c", script];

  await row("run --rm true, default bridge", "ms", "≤ 70, ≥ 5×", () =>
    inTurn(engines, 20, (engine) => quiet(engine, "run", "--rm", image, "/bin/true")),
  );
  await row("run --rm true, --network none", "ms", "≤ 50", () =>
    inTurn(engines, 20, (engine) => quiet(engine, "run", "--rm", "--network", "none", image, "/bin/true")),
  );
  await row("the same by the docker client, default bridge", "ms", "≥ 4×", () =>
    inTurn(engines, 20, (engine) => time(["docker", "-H", engine.host, "run", "--rm", image, "/bin/true"])),
  );

  for (const engine of engines) await quiet(engine, "run", "-d", "--name", "bench-exec", ...sh("sleep 1000"));
  await row("exec true", "ms", "≥ 2.5×", () =>
    inTurn(engines, 20, (engine) => quiet(engine, "exec", "bench-exec", "/bin/true")),
  );
  for (const engine of engines) await quiet(engine, "rm", "-f", "bench-exec");

  await row("daemon's memory, idle", "MB", "≤ 70", async () => {
    await Bun.sleep(3000);
    return engines.map((engine) => residentMb(engine.pid));
  });

  const started: number[] = [];
  const removed: number[] = [];
  const memory: number[] = [];
  const perContainer: number[] = [];
  if (only === undefined || only.includes("50"))
    for (const engine of engines) {
      const pattern = engine.name === "brig" ? `conmon.*${scratch}` : "containerd-shim";
      const before = supervisorsMb(pattern);
      started.push(
        await concurrently(50, 8, (index) =>
          quiet(engine, "run", "-d", "--name", `bench-${index}`, ...sh("sleep 1000")),
        ),
      );
      await Bun.sleep(2000);
      memory.push(residentMb(engine.pid));
      perContainer.push((supervisorsMb(pattern) - before) / 50);
      const names = Array.from({ length: 50 }, (_, index) => `bench-${index}`);
      removed.push(await time([...engine.client, "rm", "-f", ...names]));
    }
  if (started.length > 0) {
    await row("50 × run -d, 8 at once", "ms", "≥ 4×", async () => started);
    await row("50: rm -f of all", "ms", "≥ 4×", async () => removed);
    await row("50: daemon's memory with them", "MB", "≤ 100", async () => memory);
    await row("50: memory each costs besides its own", "MB", "≤ 3", async () => perContainer);
  }

  if (only === undefined || only.includes("ps"))
    for (const engine of engines)
      await concurrently(500, 8, (index) => quiet(engine, "create", "--name", `many-${index}`, image, "/bin/true"));
  await row("ps -a with 500 containers", "ms", "≤ 40", () =>
    inTurn(engines, 10, (engine) => quiet(engine, "ps", "-a")),
  );
  if (only === undefined || only.includes("ps"))
    for (const engine of engines)
      for (let first = 0; first < 500; first += 100)
        await quiet(engine, "rm", ...Array.from({ length: 100 }, (_, index) => `many-${first + index}`));

  // 1,048,576 lines of 100 bytes, written by busybox's own loop-free tools.
  const writeLog = sh(
    "yes 012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789012345678 | head -c 104857600",
  );
  await row("100 MB of log lines: written", "ms", "≥ 3×", async () => {
    const times: number[] = [];
    for (const engine of engines)
      times.push(
        await quiet(engine, "run", "--name", "bench-log", "--log-opt", "max-size=1g", "-a", "stderr", ...writeLog),
      );
    return times;
  });
  await row("100 MB of log lines: read by logs", "ms", "≥ 3×", () =>
    inTurn(engines, 3, (engine) => quiet(engine, "logs", "bench-log")),
  );
  for (const engine of engines) await quiet(engine, "rm", "-f", "bench-log").catch(() => undefined);

  console.log(`\n${cpus().length} × ${cpus()[0]?.model ?? "?"}; medians; dockerd ${version(engines[1]!)}\n`);
  console.log("| work | brig | dockerd | times faster (less) | wanted |\n|---|---:|---:|---:|---|");
  for (const { name, unit, values, wanted } of rows) {
    const [brig = 0, docker = 0] = values;
    console.log(
      `| ${name} | ${brig.toFixed(1)} ${unit} | ${docker.toFixed(1)} ${unit} | ${(docker / brig).toFixed(1)} | ${wanted} |`,
    );
  }
}

function version(engine: Engine): string {
  return Bun.spawnSync([...engine.client, "version", "-f", "{{.Server.Version}}"])
    .stdout.toString()
    .trim();
}

try {
  await main();
} finally {
  for (const cleanup of cleanups) cleanup();
}
