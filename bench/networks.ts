/** Networks: what joining one costs, what passes through, and finding names. Parts of bench/run.ts. */
import { join } from "node:path";
import { LabHost } from "../tests/support/netlab.ts";
import { type Engine, image, label } from "./engines.ts";
import { each, inTurn, median, time } from "./measure.ts";
import type { Row } from "./table.ts";

const runs = 15;
const seconds = 3;
const publishedPort = 18_731;
const neighbourNetwork = "10.251.77";
const clientScript = join(import.meta.dir, "network-client.ts");
const namesScript = join(import.meta.dir, "names.ts");
const bun = process.execPath;

const row = (name: string, unit: Row["unit"], wanted: string, values: number[]): Row => ({
  name,
  unit,
  wanted,
  values,
});
const command = (engine: Engine, ...args: string[]) => time([...engine.client, ...args]);
const run = (engine: Engine, ...args: string[]) => command(engine, "run", "--label", label, ...args);
const sleeper = [image, "/bin/sleep", "1000"];

function output(argv: string[]): string {
  const { success, stdout, stderr } = Bun.spawnSync(argv, { timeout: 60_000, killSignal: "SIGKILL" });
  if (!success) throw new Error(`${argv.join(" ").slice(0, 200)}: ${stderr}`);
  return stdout.toString().trim();
}

function inspect(engine: Engine, format: string, name: string): string {
  return output([...engine.client, "inspect", "--format", format, name]);
}

const pidOf = (engine: Engine, name: string) => Number(inspect(engine, "{{.State.Pid}}", name));
const addressOf = (engine: Engine, name: string) =>
  inspect(engine, "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name);

/** Runs the client in the network namespace of a process, while servers of this process answer. */
async function client(path: string, ...args: string[]): Promise<number> {
  const child = Bun.spawn(["nsenter", `--net=${path}`, bun, clientScript, ...args], {
    stderr: "inherit",
    timeout: 60_000,
    killSignal: "SIGKILL",
  });
  const text = await child.stdout.text();
  if ((await child.exited) !== 0) throw new Error(`the client of ${args.join(" ")} failed`);
  return Number(text);
}

/** Servers in a container's namespace: port 80 answers a line with a line, port 81 sends as much as is taken. */
function serve(pid: number): { stop(): void } {
  const host = new LabHost(pid);
  const piece = new Uint8Array(256 * 1024);
  const servers = host.inside(() => [
    Bun.listen({ hostname: "0.0.0.0", port: 80, socket: { data: (socket) => void socket.end("hello\n") } }),
    Bun.listen({
      hostname: "0.0.0.0",
      port: 81,
      socket: {
        data: (socket) => void socket.write(piece),
        drain: (socket) => {
          while (socket.write(piece) === piece.length);
        },
      },
    }),
  ]);
  return {
    stop() {
      for (const server of servers) server.stop(true);
      host.close();
    },
  };
}

async function traffic(engines: Engine[]): Promise<Row[]> {
  const local: number[] = [];
  const outside: number[] = [];
  const between: number[] = [];
  for (const engine of engines) {
    await run(engine, "-d", "--name", "bench-server", "-p", `${publishedPort}:80`, ...sleeper);
    await run(engine, "-d", "--name", "bench-client", ...sleeper);
    const server = serve(pidOf(engine, "bench-server"));
    const host = new LabHost(engine.pid);
    const neighbour = new LabHost();
    host.sh("ip link set lo up");
    try {
      host.link("bench-nb", neighbour, "eth0", {
        here: [`${neighbourNetwork}.1/24`],
        there: [`${neighbourNetwork}.2/24`],
      });
      const port = String(publishedPort);
      local.push(await client(host.path, "requests", "127.0.0.1", port, String(seconds)));
      outside.push(await client(neighbour.path, "requests", `${neighbourNetwork}.1`, port, String(seconds)));
      const container = new LabHost(pidOf(engine, "bench-client"));
      between.push(await client(container.path, "bytes", addressOf(engine, "bench-server"), "81", String(seconds)));
      container.close();
    } finally {
      host.sh("ip link del bench-nb || true");
      neighbour.close();
      host.close();
      server.stop();
      await command(engine, "rm", "-f", "bench-server", "bench-client");
    }
  }
  return [
    row("requests by a published port, from the host by 127.0.0.1", "/s", "≥ dockerd's", local),
    row("requests by a published port, from a neighbour", "/s", "≥ dockerd's", outside),
    row("bytes between two containers", "MB/s", "the kernel's", between),
  ];
}

async function names(engines: Engine[]): Promise<Row[]> {
  const rate: number[] = [];
  const p99: number[] = [];
  for (const engine of engines) {
    await command(engine, "network", "create", "bench-names");
    await run(engine, "-d", "--name", "bench-named", "--network", "bench-names", ...sleeper);
    try {
      const pid = String(pidOf(engine, "bench-named"));
      const found = JSON.parse(output([bun, namesScript, pid, "bench-named", "100000"]));
      rate.push(found.perSecond);
      p99.push(found.p99Ms);
    } finally {
      await command(engine, "rm", "-f", "bench-named");
      await command(engine, "network", "rm", "bench-names");
    }
  }
  return [
    row("look-ups of a name in a container, 100,000", "/s", "≥ dockerd's", rate),
    row("the same, 99 of 100 within", "ms", "≤ 2", p99),
  ];
}

async function lifetimes(engines: Engine[]): Promise<Row[]> {
  const created: number[][] = engines.map(() => []);
  const removed: number[][] = engines.map(() => []);
  for (let index = 0; index < runs; index++)
    for (const [at, engine] of engines.entries()) {
      created[at]!.push(await command(engine, "network", "create", "bench-net"));
      removed[at]!.push(await command(engine, "network", "rm", "bench-net"));
    }
  return [
    row("network create", "ms", "≥ 8×", created.map(median)),
    row("network rm", "ms", "≥ 8×", removed.map(median)),
  ];
}

/** dockerd would take minutes for as many as Brig gets. */
const publishers = { brig: 100, dockerd: 30 };

async function ports(engines: Engine[]): Promise<Row[]> {
  const first: number[] = [];
  const last: number[] = [];
  for (const engine of engines) {
    const times: number[] = [];
    const containers = Array.from({ length: publishers[engine.name] }, (_, index) => `bench-port-${index}`);
    for (const [index, name] of containers.entries()) {
      const begin = 20_000 + index * 10;
      times.push(await run(engine, "-d", "--name", name, "-p", `${begin}-${begin + 9}:80-89`, ...sleeper));
    }
    first.push(median(times.slice(0, 15)));
    last.push(median(times.slice(-15)));
    await command(engine, "rm", "-f", ...containers);
  }
  return [
    row("run -d with 10 ports, the first", "ms", "", first),
    row("run -d with 10 ports, the 100th (dockerd: the 30th)", "ms", "± 20 % of the first", last),
  ];
}

async function joining(engines: Engine[]): Promise<Row[]> {
  const bridged = await inTurn(engines, runs, (engine) => run(engine, "--rm", "-p", "19999:80", image, "/bin/true"));
  await each(engines, (engine) => command(engine, "network", "create", "bench-join"));
  const named = await inTurn(engines, runs, (engine) =>
    run(engine, "--rm", "--network", "bench-join", image, "/bin/true"),
  );
  await each(engines, (engine) => command(engine, "network", "rm", "bench-join"));
  const alone = await inTurn(engines, runs, (engine) => run(engine, "--rm", "--network", "none", image, "/bin/true"));
  const more = (values: number[]) => values.map((value, at) => value - alone[at]!);
  return [
    row("what the default bridge and a port add to run --rm --network none", "ms", "≤ 12", more(bridged)),
    row("what a network with names adds", "ms", "", more(named)),
  ];
}

export const networkParts: { name: string; measure: (engines: Engine[]) => Promise<Row[]> }[] = [
  { name: "networks: joining", measure: joining },
  { name: "networks: create", measure: lifetimes },
  { name: "networks: ports", measure: ports },
  { name: "networks: traffic", measure: traffic },
  { name: "networks: names", measure: names },
];
