/**
 * Brig and dockerd in turn, on the same machine, with the same image. Prints medians and ratios.
 *
 *   BENCH_DOCKER_HOST=unix:///…   a dockerd that runs already (otherwise one is started)
 *   BENCH_ONLY=run,exec           only the parts whose names contain one of these words
 */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBusyboxTar } from "../tests/support/busybox-image.ts";
import { atEnd, type Engine, image, label, startBrig, startDocker } from "./engines.ts";
import { concurrently, each, inTurn, median, proportionalMb, residentMb, time } from "./measure.ts";
import { networkParts } from "./networks.ts";
import { measureParts, type Row, runBenchmark } from "./table.ts";

const deadlineMs = 900_000;
const runs = 20;

const one = (name: string, unit: Row["unit"], wanted: string, values: number[]): Row[] => [
  { name, unit, wanted, values },
];

const command = (engine: Engine, ...args: string[]) => time([...engine.client, ...args]);
const run = (engine: Engine, ...args: string[]) => command(engine, "run", "--label", label, ...args);
const sleeper = [image, "/bin/sleep", "1000"];
const numbered = (count: number, prefix: string) => Array.from({ length: count }, (_, index) => `${prefix}-${index}`);

/** Files that are copied: 10,000 of 1 kB in 100 directories, and one of 1 GB. */
async function makeCopied(scratch: string): Promise<{ many: string; big: string }> {
  const [many, big] = [join(scratch, "many"), join(scratch, "big")];
  for (let directory = 0; directory < 100; directory++) {
    mkdirSync(join(many, `d${directory}`), { recursive: true });
    for (let file = 0; file < 100; file++)
      writeFileSync(join(many, `d${directory}`, `f${file}`), Buffer.alloc(1024, `${directory} ${file} `));
  }
  await time(["/bin/sh", "-c", `head -c 1073741824 /dev/urandom >${big}`]);
  return { many, big };
}

const parts: { name: string; measure: (engines: Engine[], scratch: string) => Promise<Row[]> }[] = [
  {
    name: "run",
    async measure(engines) {
      const bridged = await inTurn(engines, runs, (engine) => run(engine, "--rm", image, "/bin/true"));
      const alone = await inTurn(engines, runs, (engine) =>
        run(engine, "--rm", "--network", "none", image, "/bin/true"),
      );
      const byDocker = await inTurn(engines, runs, ({ host }) =>
        time(["docker", "-H", host, "run", "--label", label, "--rm", image, "/bin/true"]),
      );
      return [
        ...one("run --rm true, default bridge", "ms", "≤ 70, ≥ 5×", bridged),
        ...one("run --rm true, --network none", "ms", "≤ 50", alone),
        ...one("run --rm true by the docker client", "ms", "≥ 4×", byDocker),
      ];
    },
  },
  {
    name: "exec",
    async measure(engines) {
      await each(engines, (engine) => run(engine, "-d", "--name", "bench-exec", ...sleeper));
      const values = await inTurn(engines, runs, (engine) => command(engine, "exec", "bench-exec", "/bin/true"));
      await each(engines, (engine) => command(engine, "rm", "-f", "bench-exec"));
      return one("exec true", "ms", "≥ 2.5×", values);
    },
  },
  {
    name: "memory: idle",
    async measure(engines) {
      await Bun.sleep(12_000);
      const values = engines.map(({ pid }) => residentMb(pid));
      return one("daemon's resident memory, idle", "MB", "≤ 70", values);
    },
  },
  {
    name: "50",
    async measure(engines) {
      const count = 50;
      const rounds = 3;
      const names = numbered(count, "bench");
      const all = ({ pid, supervisors }: Engine) => residentMb(pid) + proportionalMb(supervisors());
      // By round, then by engine.
      const started: number[][] = [];
      const removed: number[][] = [];
      const memory: number[][] = [];
      const costs: number[][] = [];
      for (let round = 0; round < rounds; round++) {
        const before = engines.map(all);
        started.push(
          await each(engines, (engine) =>
            concurrently(count, 8, (index) => run(engine, "-d", "--name", names[index]!, ...sleeper)),
          ),
        );
        await Bun.sleep(1000);
        memory.push(engines.map(({ pid }) => residentMb(pid)));
        costs.push(engines.map((engine, index) => Math.max(0, all(engine) - before[index]!) / count));
        removed.push(await each(engines, (engine) => command(engine, "rm", "-f", ...names)));
      }
      const middle = (values: number[][]) => engines.map((_, index) => median(values.map((round) => round[index]!)));
      return [
        ...one("50 × run -d, 8 at once", "ms", "≥ 4×", middle(started)),
        ...one("rm -f of 50 that run", "ms", "≥ 4×", middle(removed)),
        ...one("daemon's resident memory with 50 running", "MB", "≤ 100", middle(memory)),
        ...one("memory each of them costs beyond its own", "MB", "≤ 3", middle(costs)),
      ];
    },
  },
  {
    name: "stats",
    async measure(engines) {
      const names = numbered(50, "bench-stats");
      await each(engines, (engine) =>
        concurrently(names.length, 8, (index) => run(engine, "-d", "--name", names[index]!, ...sleeper)),
      );
      const values = await inTurn(engines, 5, (engine) => command(engine, "stats", "--no-stream"));
      await each(engines, (engine) => command(engine, "rm", "-f", ...names));
      return one("stats --no-stream of 50", "ms", "≤ 100", values);
    },
  },
  {
    name: "ps",
    async measure(engines) {
      const names = numbered(500, "bench-many");
      await each(engines, (engine) =>
        concurrently(names.length, 8, (index) =>
          command(engine, "create", "--label", label, "--name", names[index]!, image, "/bin/true"),
        ),
      );
      const values = await inTurn(engines, runs, (engine) => command(engine, "ps", "-a"));
      await each(engines, (engine) =>
        concurrently(5, 5, (index) => command(engine, "rm", ...names.slice(index * 100, index * 100 + 100))),
      );
      return one("ps -a with 500 containers", "ms", "≤ 40", values);
    },
  },
  {
    name: "cp",
    async measure(engines, scratch) {
      const { many, big } = await makeCopied(scratch);
      await each(engines, (engine) => run(engine, "-d", "--name", "bench-cp", ...sleeper));
      const byDocker = engines.map(({ host }) => ["docker", "-H", host]);
      // Each time to a new place: some file systems are slow to give out again what was just freed.
      let count = 0;
      const rows: Row[] = [];
      for (const [name, clients] of [
        ["", engines.map(({ client }) => client)],
        [" by the docker client", byDocker],
      ] as const)
        for (const [what, source, rounds] of [
          ["10,000 files of 1 kB", many, 3],
          ["a file of 1 GB", big, 2],
        ] as const) {
          const into = await inTurn([...clients], rounds, (client) =>
            time([...client, "cp", "-q", source, `bench-cp:/in${++count}`]),
          );
          const out = await inTurn([...clients], rounds, (client) =>
            time([
              ...client,
              "cp",
              "-q",
              `bench-cp:/in${count - 1 + clients.indexOf(client)}`,
              `${scratch}/out${Bun.nanoseconds()}`,
            ]),
          );
          const wanted = name === "" ? "≥ 3×" : "";
          rows.push(
            ...one(`cp of ${what} in${name}`, "ms", wanted, into),
            ...one(`cp of ${what} out${name}`, "ms", wanted, out),
          );
        }
      await each(engines, (engine) => command(engine, "rm", "-f", "bench-cp"));
      return rows;
    },
  },
  {
    name: "logs",
    async measure(engines) {
      const line = "0123456789".repeat(10).slice(1);
      const script = `yes ${line} | head -c 104857600`;
      const options = ["-d", "--name", "bench-log", "--log-opt", "max-size=1g"];
      const written = await inTurn(engines, 2, async (engine) => {
        await command(engine, "rm", "-f", "bench-log").catch(() => 0);
        return (
          (await run(engine, ...options, image, "/bin/sh", "-c", script)) + (await command(engine, "wait", "bench-log"))
        );
      });
      const read = await inTurn(engines, 2, (engine) => command(engine, "logs", "bench-log"));
      await each(engines, (engine) => command(engine, "rm", "bench-log"));
      return [
        ...one("100 MB of log lines: written", "ms", "≥ 3×", written),
        ...one("100 MB of log lines: read by logs", "ms", "≥ 3×", read),
      ];
    },
  },
];

await runBenchmark(deadlineMs, async () => {
  const scratch = mkdtempSync(join(tmpdir(), "brig-bench-"));
  atEnd(() => rmSync(scratch, { recursive: true, force: true }));
  const engines = [await startBrig(scratch, "own"), await startDocker(scratch, "own")];
  const archive = await buildBusyboxTar(join(scratch, "image.tar"));
  await each(engines, (engine) => command(engine, "import", archive, image));
  const measured = [...parts, ...networkParts].map(({ name, measure }) => ({
    name,
    measure: () => measure(engines, scratch),
  }));
  return measureParts(measured, ["dockerd"]);
});
