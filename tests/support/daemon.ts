/** A real daemon with roots, socket, bridge and subnet of its own, for one test file. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { buildBusyboxTar } from "./busybox-image.ts";

export const brigBinary = resolve(import.meta.dir, "../../dist/brig");

/** What a command printed and how it ended. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a command to its end. Throws where it takes more than 50 s. */
export async function run(
  command: string[],
  options: { stdin?: string | Uint8Array; env?: Record<string, string> } = {},
): Promise<Outcome> {
  const child = Bun.spawn(command, {
    stdin: options.stdin === undefined ? "ignore" : new Blob([options.stdin as string]),
    stdout: "pipe",
    stderr: "pipe",
    env: { ...process.env, ...options.env },
    timeout: 50_000,
  });
  const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, stdout, stderr };
}

let recentClient: boolean | undefined;

function isRecentClient(): boolean {
  recentClient ??= /version (2[89]|[3-9]\d)\./.test(Bun.spawnSync(["docker", "--version"]).stdout.toString());
  return recentClient;
}

export class TestDaemon {
  readonly root = mkdtempSync(join(tmpdir(), "brig-e2e-"));
  readonly host = `unix://${this.root}/brig.sock`;
  readonly bridge = `bt${Math.random().toString(36).slice(2, 9)}`;
  readonly socket = `${this.root}/brig.sock`;
  #process: ReturnType<typeof Bun.spawn> | undefined;

  /** `wrapper`: a command that executes the one it is given, such as unshare. */
  constructor(
    readonly options: string[] = [],
    readonly wrapper: string[] = [],
  ) {}

  get pid(): number {
    return this.#process?.pid ?? 0;
  }

  get log(): string {
    return existsSync(`${this.root}/log`) ? readFileSync(`${this.root}/log`, "utf8") : "";
  }

  async start(): Promise<this> {
    this.#process = Bun.spawn(
      ["/bin/sh", "-c", `exec "$@" >>${this.root}/log 2>&1`, "sh", ...this.wrapper, brigBinary]
        .concat(["daemon", "-H", this.host])
        .concat(["--data-root", `${this.root}/data`, "--exec-root", `${this.root}/run`])
        .concat(["--pidfile", `${this.root}/brig.pid`, "--bridge", this.bridge, "--config-file", `/dev/null`])
        .concat(this.options),
      { stdin: "ignore", stdout: "ignore", stderr: "ignore", env: { ...process.env, DOCKER_HOST: "" } },
    );
    for (let attempt = 0; attempt < 400; attempt++) {
      if (this.#process.exitCode !== null) throw new Error(`the daemon ended: ${this.log}`);
      const answer = await fetch("http://engine/_ping", { unix: this.socket }).catch(() => undefined);
      if (answer?.ok) return this;
      await Bun.sleep(25);
    }
    throw new Error(`the daemon does not answer: ${this.log}`);
  }

  /** Sends a signal and waits for the end of the daemon. */
  async end(signal: NodeJS.Signals): Promise<void> {
    this.#process?.kill(signal);
    await this.#process?.exited;
    this.#process = undefined;
  }

  /** Imports busybox as `alpine`. */
  async withImage(): Promise<this> {
    const tar = await buildBusyboxTar(`${this.root}/busybox.tar`);
    const environment = "ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    const imported = await this.docker("import", "-c", environment, "-c", "CMD /bin/sh", tar, "alpine");
    if (imported.code !== 0) throw new Error(imported.stderr + this.log);
    return this;
  }

  /** The real docker client on this daemon. */
  docker(...args: string[]): Promise<Outcome> {
    return run(["docker", "-H", this.host, ...args]);
  }

  /** The real client where it knows the commands and flags of the version whose words Brig speaks, else Brig's own. */
  client(...args: string[]): Promise<Outcome> {
    return isRecentClient() ? this.docker(...args) : this.brig(...args);
  }

  dockerWith(stdin: string | Uint8Array, ...args: string[]): Promise<Outcome> {
    return run(["docker", "-H", this.host, ...args], { stdin });
  }

  /** Brig's own command line on this daemon. */
  brig(...args: string[]): Promise<Outcome> {
    return run([brigBinary, "-H", this.host, ...args]);
  }

  /** A bare request. */
  request(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Response> {
    return fetch(`http://engine${path}`, {
      unix: this.socket,
      method,
      body: body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body),
      headers: body === undefined ? headers : { "Content-Type": "application/json", ...headers },
    });
  }

  /** Removes all containers, ends the daemon, and takes away what is its own. Throws where something is left over. */
  async dispose(): Promise<void> {
    if (this.#process !== undefined) {
      const { stdout } = await this.docker("ps", "-aq");
      const ids = stdout.split("\n").filter(Boolean);
      if (ids.length > 0) await this.docker("rm", "-fv", ...ids);
      const left = await this.leftovers();
      await this.end("SIGTERM");
      await run([brigBinary, "daemon", "--uninstall", "--bridge", this.bridge]);
      rmSync(this.root, { recursive: true, force: true });
      if (left.length > 0) throw new Error(`left over: ${left.join(", ")}`);
    }
  }

  /** Whatever of containers is there though no container is: mounts, processes, links, cgroups, directories. */
  async leftovers(): Promise<string[]> {
    // The kernel takes links and processes away a moment after what held them.
    for (let attempt = 0; attempt < 60 && this.#strays().length > 0; attempt++) await Bun.sleep(50);
    return this.#strays();
  }

  #strays(): string[] {
    const sh = (script: string) =>
      Bun.spawnSync(["sh", "-c", script]).stdout.toString().trim().split("\n").filter(Boolean);
    return [
      ...sh(`grep -o '${this.root}/run/[^ ]*' /proc/self/mountinfo`),
      ...sh(`pgrep -af 'conmo[n].*${this.root}'`),
      ...sh(`ls /sys/class/net/${this.bridge}/brif`),
      ...sh(`ls ${this.root}/run/containers ${this.root}/data/containers | grep -v :`),
      ...sh(`ls ${this.root}/run/crun`),
    ];
  }
}
