/** The two engines: started, asked, and put away with all that was made in them. */
import { join } from "node:path";
import { processesWith } from "./measure.ts";

export interface Engine {
  name: "brig" | "dockerd";
  /** The engine's own command line, as far as its host. */
  client: string[];
  host: string;
  pid: number;
  /** The program that stands beside each running container. */
  supervisors: () => number[];
}

export const image = "brig-bench-image";
/** Marks all containers of the benchmark. */
export const label = "brig-bench";
const bridge = "brig-bench0";
export const brigBinary = join(import.meta.dir, "../dist/brig");
const cleanups: (() => void)[] = [];

/** Puts everything away that was started, the last first. Synchronous, so that it can be done on a signal's way out. */
export function cleanUp(): void {
  for (let cleanup = cleanups.pop(); cleanup !== undefined; cleanup = cleanups.pop()) cleanup();
}

/** Something to be done at the end, before what was added earlier. */
export function atEnd(cleanup: () => void): void {
  cleanups.push(cleanup);
}

/** `network`: in a network namespace of its own, as the other engine, or beside us to reach registries on this machine. */
export async function startBrig(scratch: string, network: "own" | "host"): Promise<Engine> {
  const host = `unix://${scratch}/brig.sock`;
  const roots = ["--data-root", `${scratch}/brig`, "--exec-root", `${scratch}/brig-run`];
  const rest = ["--pidfile", `${scratch}/brig.pid`, "--bridge", bridge, "--config-file", "/dev/null"];
  const inNetwork = network === "own" ? ["unshare", "--net"] : [];
  const daemon = spawnDaemon(
    [...inNetwork, brigBinary, "daemon", "-H", host, ...roots, ...rest],
    `${scratch}/brig.log`,
  );
  atEnd(() => {
    endDaemon(daemon.pid);
    if (network === "host") quietly([brigBinary, "daemon", "--uninstall", "--bridge", bridge]);
  });
  const client = [brigBinary, "-H", host];
  await answers(host);
  atEnd(() => removeAll(client));
  return {
    name: "brig",
    client,
    host,
    pid: daemon.pid,
    supervisors: () => processesWith("conmon", scratch),
  };
}

/**
 * BENCH_DOCKER_HOST, or a dockerd of our own: in a network namespace with its bridge and its rules, which vanish with
 * it, or, to reach registries on this machine, beside us with neither.
 */
export async function startDocker(scratch: string, network: "own" | "host"): Promise<Engine> {
  const running = process.env.BENCH_DOCKER_HOST;
  const host = running ?? `unix://${scratch}/docker.sock`;
  if (running === undefined) {
    const roots = ["--data-root", `${scratch}/docker`, "--exec-root", `${scratch}/docker-run`];
    const rest = ["-p", `${scratch}/docker.pid`];
    const inNetwork = network === "own" ? ["unshare", "--net"] : [];
    const without = network === "own" ? [] : ["--bridge", "none", "--iptables=false", "--ip6tables=false"];
    const daemon = spawnDaemon(
      [...inNetwork, "dockerd", "-H", host, ...roots, ...rest, ...without],
      `${scratch}/docker.log`,
    );
    atEnd(() => endDaemon(daemon.pid));
  }
  const client = ["docker", "-H", host];
  await answers(host);
  atEnd(() => removeAll(client));
  const pid = processesWith("dockerd", host)[0];
  if (pid === undefined) throw new Error(`no process is to be seen that is the dockerd of ${host}`);
  return { name: "dockerd", client, host, pid, supervisors: () => processesWith("containerd-shim") };
}

/** With a session of its own, so that a Ctrl-C does not reach it before its containers are gone. */
export function spawnDaemon(command: string[], logPath: string): Bun.Subprocess {
  const shell = ["/bin/sh", "-c", 'log=$1; shift; exec "$@" >"$log" 2>&1', "sh", logPath, ...command];
  const daemon = Bun.spawn(shell, { stdio: ["ignore", "ignore", "ignore"], detached: true });
  daemon.unref();
  return daemon;
}

async function answers(host: string): Promise<void> {
  for (let attempt = 0; attempt < 400; attempt++) {
    const answer = await fetch("http://engine/_ping", { unix: host.slice("unix://".length) }).catch(() => undefined);
    if (answer?.ok) return;
    await Bun.sleep(50);
  }
  throw new Error(`nothing answers at ${host}`);
}

export function endDaemon(pid: number): void {
  for (let attempt = 0; attempt < 150; attempt++) {
    try {
      process.kill(pid, attempt === 0 ? "SIGTERM" : 0);
    } catch {
      return;
    }
    // Only an awaited child is reaped, and we do not come to that: a zombie is gone enough.
    if (quietly(["ps", "-o", "stat=", "-p", String(pid)]).startsWith("Z")) return;
    Bun.sleepSync(100);
  }
}

function removeAll(client: string[]): void {
  const ids = quietly([...client, "ps", "-aq", "--filter", `label=${label}`])
    .split("\n")
    .filter(Boolean);
  for (let first = 0; first < ids.length; first += 100)
    quietly([...client, "rm", "-fv", ...ids.slice(first, first + 100)]);
  quietly([...client, "rmi", image]);
}

export function quietly(command: string[]): string {
  return Bun.spawnSync(command, { stderr: "ignore", timeout: 60_000, killSignal: "SIGKILL" }).stdout.toString();
}
