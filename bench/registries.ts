/** Registries to pull from and push to, and the image that is moved. */
import { existsSync, mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { atEnd, brigBinary, type Engine, endDaemon, quietly, spawnDaemon } from "./engines.ts";
import { freePort } from "./measure.ts";

export interface RegistryServer {
  /** `127.0.0.1:port` */
  host: string;
  pid: number;
  stop(): void;
}

/** Debian's docker-registry on a directory. */
export function startDockerRegistry(directory: string): Promise<RegistryServer> {
  const host = `127.0.0.1:${freePort()}`;
  mkdirSync(directory, { recursive: true });
  const config = join(directory, "config.yml");
  writeFileSync(
    config,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${directory}/data}}\nhttp: {addr: "${host}"}\nlog: {level: error}\n`,
  );
  return started(host, ["docker-registry", "serve", config], directory);
}

/** Brig's own registry on a directory. */
export function startBrigRegistry(directory: string): Promise<RegistryServer> {
  const host = `127.0.0.1:${freePort()}`;
  mkdirSync(directory, { recursive: true });
  return started(host, [brigBinary, "registry", "serve", "--listen", host, "--root", directory], directory);
}

async function started(host: string, command: string[], directory: string): Promise<RegistryServer> {
  const { pid } = spawnDaemon(command, join(directory, "log"));
  const stop = () => endDaemon(pid);
  atEnd(stop);
  for (let attempt = 0; attempt < 200; attempt++) {
    if ((await fetch(`http://${host}/v2/`).catch(() => undefined))?.ok) return { host, pid, stop };
    await Bun.sleep(50);
  }
  throw new Error(`${command[0]} does not answer at ${host}`);
}

/** What is installed in each layer of the image, one upon the other. */
const steps = [
  "apt-get update && apt-get install -y --no-install-recommends python3",
  "apt-get install -y --no-install-recommends perl",
  "apt-get install -y --no-install-recommends git",
  "apt-get install -y --no-install-recommends g++",
  "rm -rf /var/lib/apt/lists/* /var/cache/apt/archives/*.deb",
];

/**
 * Makes the image that is moved, debian with python3, perl, git and g++ in six layers of 890 MB, in a registry on
 * `directory`, unless an earlier run has. Returns the registry.
 */
export async function registryWithBigImage(directory: string, { client }: Engine): Promise<RegistryServer> {
  const done = join(directory, "done");
  const registry = await startDockerRegistry(directory);
  if (existsSync(done)) return registry;
  console.error("making the image, once: debootstrap and apt-get in containers");
  const root = join(directory, "debian");
  rmSync(root, { recursive: true, force: true });
  must(["debootstrap", "--variant=minbase", "bookworm", root]);
  must(["tar", "--numeric-owner", "-C", root, "-cf", `${root}.tar`, "."]);
  must([...client, "import", "-c", "ENV DEBIAN_FRONTEND=noninteractive", `${root}.tar`, "brig-bench-big"]);
  for (const step of steps) {
    must([...client, "run", "--name", "brig-bench-step", "brig-bench-big", "sh", "-ec", step]);
    must([...client, "commit", "brig-bench-step", "brig-bench-big"]);
    must([...client, "rm", "brig-bench-step"]);
  }
  const name = `${registry.host}/big`;
  must([...client, "tag", "brig-bench-big", name]);
  must([...client, "push", "-q", name]);
  quietly([...client, "rmi", name, "brig-bench-big"]);
  rmSync(root, { recursive: true });
  rmSync(`${root}.tar`);
  writeFileSync(done, "");
  return registry;
}

function must(command: string[]): void {
  const { success, stderr } = Bun.spawnSync(command, { stdout: "ignore", stderr: "pipe" });
  if (!success) throw new Error(`${command.join(" ")}: ${stderr.toString().slice(-1000)}`);
}
