/**
 * An OCI runtime (crun, runc, …) with conmon around it: the life of a container's processes. Everything that outlives
 * the daemon is kept in files below the run root, so that a daemon started later finds it again.
 */
import { accessSync, constants, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import {
  cgroupMode,
  cgroupPids,
  controllerDirectory,
  expectMove,
  frozenState,
  killCgroup,
  removeCgroup,
  setFrozen,
} from "../kernel/cgroups.ts";
import { isAlive, processStartTime, sendSignal } from "../kernel/process.ts";
import { systemError } from "../lib/errors.ts";
import type { ContainerCPUStats } from "../wire/engine-api.ts";
import { changeLimits } from "./cgroup-limits.ts";
import { type CgroupUsage, cgroupUsage, cpuUsage } from "./cgroup-stats.ts";
import { Conmon } from "./conmon.ts";
import { readCrunStatus, releaseInit, removeCrunState } from "./crun.ts";
import { type Exec, type ExecOptions, startExec } from "./exec.ts";
import { ExitFiles, type ExitListener, type ExitRecord } from "./exits.ts";
import { findHelpers, killHelpers } from "./helpers.ts";
import type { OciResources, OciSpec } from "./oci.ts";
import { type ProbeOptions, type ProbeResult, runProbe } from "./probe.ts";
import { systemdCgroupPath } from "./resources.ts";
import { runtimeFailure } from "./runtime-errors.ts";
import { SealedProgram } from "./sealed-program.ts";

export interface RuntimeOptions {
  /** As in HostConfig.Runtime. */
  name: string;
  runtimePath: string;
  conmonPath: string;
  /** The runtime's own `--root`: on a file system that a reboot empties, as is runRoot. */
  stateRoot: string;
  runRoot: string;
  systemdCgroup: boolean;
  /** More arguments for the runtime (daemon.json's runtimeArgs). */
  runtimeArgs?: string[];
}

export interface LaunchOptions {
  id: string;
  /** Directory that exists; conmon's files go there, and the caller puts config.json there before proceed(). */
  bundle: string;
  tty: boolean;
  openStdin: boolean;
  /** Whether stdin stays open when the client that wrote to it leaves. */
  leaveStdinOpen: boolean;
  /** The log file; undefined for no log. Its directory must exist. */
  logPath?: string | undefined;
  /** Bytes of log after which conmon itself begins a new file: a limit that holds while no daemon is there to rotate. */
  logBackstopBytes?: number | undefined;
  /** Descriptors that outlive this process: conmon holds them until the container has ended (see keptFdsStart). */
  keptFds?: readonly number[] | undefined;
}

/** A container that is being created. Either proceed() or abort() must be called. */
export interface Launch {
  /** Call once config.json is complete. Throws RuntimeFailure in Docker's words, and then nothing is left behind. */
  proceed(): Promise<{ pid: number; conmonPid: number }>;
  /** Takes everything back, at whatever point. May be called again, also after proceed(). */
  abort(): Promise<void>;
}

/** Names a process for good: pids are given out again. */
export interface ProcessIdentity {
  pid: number;
  startTime: number;
}

interface ConmonRecord extends ProcessIdentity {
  bundle: string;
}

const SIGKILL = 9;
const lostExitCode = 137;
const unknownExitCode = 255;
const sweepIntervalMs = 2000;
const deleteTimeoutMs = 10_000;
const pathWords = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

export class Runtime {
  readonly name: string;
  readonly #options: RuntimeOptions;
  readonly #exits: ExitFiles;
  readonly #records: string;
  readonly #listeners = new Set<ExitListener>();
  /** Containers whose conmon is no child of ours (any more): their death has to be looked for. */
  readonly #adopted = new Map<string, ProcessIdentity>();
  readonly #isCrun: boolean;
  readonly #sealed: SealedProgram;
  #sweeper: Timer | undefined;

  constructor(options: RuntimeOptions) {
    this.#options = options;
    this.name = options.name;
    this.#isCrun = /(^|\/)crun$/.test(options.runtimePath) && !options.systemdCgroup;
    this.#sealed = new SealedProgram(options.runtimePath);
    this.#records = join(options.runRoot, "conmon", options.name);
    mkdirSync(this.#records, { recursive: true, mode: 0o700 });
    mkdirSync(options.stateRoot, { recursive: true, mode: 0o700 });
    this.#exits = new ExitFiles(join(options.runRoot, "exits", options.name), (id, exitCode, finishedAtNs) => {
      this.#adopted.delete(id);
      for (const listener of this.#listeners) listener(id, exitCode, finishedAtNs);
    });
  }

  /** Tells of every end of a container that was started or reopened here, once. Returns how to stop listening. */
  onExit(listener: ExitListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Starts conmon at once; it loads while the caller makes the bundle. Throws where conmon or the runtime is missing. */
  begin(options: LaunchOptions): Launch {
    const { id, bundle } = options;
    this.#checkInstalled();
    expectMove();
    if (options.logPath?.includes(":")) throw systemError(`a log path cannot hold a colon: ${options.logPath}`);
    this.#exits.remove(id);
    const conmon = new Conmon({
      conmonPath: this.#options.conmonPath,
      directory: bundle,
      attachPipe: false,
      keptFds: options.keptFds,
      args: [
        ...this.#commonArgs(id, id, bundle),
        "--exit-dir",
        this.#exits.directory,
        "-l",
        options.logPath === undefined ? "none" : `k8s-file:${options.logPath}`,
        ...(options.logBackstopBytes === undefined ? [] : ["--log-size-max", String(options.logBackstopBytes)]),
        ...(options.tty ? ["-t"] : []),
        ...(options.openStdin ? ["-i"] : []),
        ...(options.openStdin && options.leaveStdinOpen ? ["--leave-stdin-open"] : []),
      ],
    });
    try {
      const record: ConmonRecord = { pid: conmon.pid, startTime: processStartTime(conmon.pid) ?? 0, bundle };
      writeFileSync(join(this.#records, id), JSON.stringify(record));
    } catch (error) {
      conmon.kill();
      conmon.disconnect();
      throw error;
    }
    return { proceed: () => this.#proceed(id, bundle, conmon), abort: () => this.#abort(id, conmon) };
  }

  async #proceed(id: string, bundle: string, conmon: Conmon): Promise<{ pid: number; conmonPid: number }> {
    try {
      conmon.release();
      const { data: pid, message } = await conmon.nextMessage();
      if (pid <= 0) throw this.#createFailure(bundle, message ?? "");
      conmon.disconnect();
      this.#exits.expect(id);
      void conmon.exited.then(() => this.#conmonGone(id));
      return { pid, conmonPid: conmon.pid };
    } catch (error) {
      await this.#abort(id, conmon);
      throw error;
    }
  }

  #createFailure(bundle: string, stderr: string): Error {
    let command = "";
    let cwd = "/";
    try {
      const spec = JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as OciSpec;
      command = spec.process.args[0] ?? "";
      cwd = spec.process.cwd;
    } catch {} // The message is then the runtime's own.
    return runtimeFailure(stderr, { action: "create", runtime: this.name, command, cwd });
  }

  async #abort(id: string, conmon: Conmon): Promise<void> {
    this.#exits.settle(id);
    conmon.kill();
    conmon.disconnect();
    await conmon.exited;
    // It takes its runtime along, which may still have been making what delete() is to find.
    await killHelpers(() => findHelpers(this.#options.stateRoot).filter(({ container }) => container === id));
    await this.delete(id);
  }

  /** Lets the container's process run. Throws where the container is not in the state for it. */
  async start(id: string): Promise<void> {
    if (this.#isCrun && releaseInit(this.#options.stateRoot, id)) return;
    await this.#run(["start", id]);
  }

  /** Lets the process of a container that still waits for its start run: a daemon was killed on the way to it. */
  async startIfCreated(id: string): Promise<void> {
    if (this.#isCrun) releaseInit(this.#options.stateRoot, id);
    else if ((await this.#query(["state", id])).status === "created") await this.#run(["start", id]);
  }

  /** Sends a signal to a container's init; false where it is gone. */
  kill(_id: string, init: ProcessIdentity, signal: number): boolean {
    return sendSignal(init.pid, signal, init.startTime);
  }

  /** Freezes all processes of the container, and returns when they stand still. */
  async pause(id: string): Promise<void> {
    const path = this.#cgroupOf(id);
    if (path === undefined || !setFrozen(path, true)) {
      await this.#run(["pause", id]);
      return;
    }
    for (let waits = 0; frozenState(path) === "pending"; waits++) {
      if (waits === 1000) {
        setFrozen(path, false);
        throw systemError(`container ${id} could not be paused: its processes do not stop`);
      }
      await Bun.sleep(waits < 10 ? 1 : 10);
    }
  }

  /** Lets frozen processes run again. */
  async resume(id: string): Promise<void> {
    const path = this.#cgroupOf(id);
    if (path === undefined || !setFrozen(path, false)) await this.#run(["resume", id]);
  }

  /** Whether the container's processes stand still. */
  isPaused(id: string): boolean {
    const path = this.#cgroupOf(id);
    return path !== undefined && frozenState(path) !== false;
  }

  /** All processes of the container, as the host numbers them. */
  pids(id: string): number[] {
    const path = this.#cgroupOf(id);
    return path === undefined ? [] : cgroupPids(path);
  }

  /** Runs a short command in a running container to its end. Throws where the runtime cannot be executed. */
  probe(options: Omit<ProbeOptions, "runtime">): Promise<ProbeResult> {
    const { stateRoot, runtimeArgs = [], systemdCgroup } = this.#options;
    const program = this.#isCrun ? this.#sealed.path : this.#options.runtimePath;
    const flags = [`--root=${stateRoot}`, ...(systemdCgroup ? ["--systemd-cgroup"] : []), ...runtimeArgs];
    return runProbe({ ...options, runtime: [program, ...flags] });
  }

  /** Processor time that a container has used; undefined where its cgroup is not known. */
  cpuUsage(id: string): ContainerCPUStats | undefined {
    const path = this.#cgroupOf(id);
    return path === undefined ? undefined : cpuUsage((controller) => controllerDirectory(controller, path), version());
  }

  /** What else it uses. `hostMemory` is in bytes: a limit above it is none. */
  usage(id: string, hostMemory: number): CgroupUsage | undefined {
    const path = this.#cgroupOf(id);
    if (path === undefined) return undefined;
    return cgroupUsage((controller) => controllerDirectory(controller, path), version(), hostMemory);
  }

  /** Kills what is left of a container and makes the runtime forget it: processes, cgroup, state. Idempotent. */
  async delete(id: string): Promise<void> {
    this.#exits.settle(id);
    this.#adopted.delete(id);
    const record = this.#readRecord(id);
    // An exit file means conmon has done everything; without one it must not write it later, for another run.
    if (record !== undefined && record.startTime !== 0) sendSignal(record.pid, SIGKILL, record.startTime);
    const status = this.#isCrun ? readCrunStatus(this.#options.stateRoot, id) : undefined;
    if (status !== undefined && status.startTime !== 0) sendSignal(status.pid, SIGKILL, status.startTime);
    const cgroup = this.#cgroupOf(id);
    if (!this.#isCrun && this.#knows(id)) await this.#run(["delete", "--force", id]);
    if (cgroup !== undefined) await removeCgroupInTime(cgroup);
    if (this.#isCrun) removeCrunState(this.#options.stateRoot, id);
    rmSync(join(this.#records, id), { force: true });
  }

  /**
   * Changes the limits of a running container. `devices` count for nothing. Throws systemError with what the kernel says,
   * and then nothing has changed.
   */
  async changeLimits(id: string, before: OciResources, after: OciResources): Promise<void> {
    if (this.#options.systemdCgroup) {
      // systemd would write its own again whenever it is reloaded: it has to be told.
      const path = join(this.#options.runRoot, "conmon", `${this.name}-${id}.resources`);
      writeFileSync(path, JSON.stringify({ ...after, devices: undefined }), { mode: 0o600 });
      try {
        await this.#run(["update", "--resources", path, id]);
      } finally {
        rmSync(path, { force: true });
      }
      return;
    }
    const cgroup = this.#cgroupOf(id);
    if (cgroup === undefined) throw systemError(`the cgroup of container ${id} is not known`);
    changeLimits((controller) => controllerDirectory(controller, cgroup), version(), before, after);
  }

  /** Runs another process in a running container. Throws RuntimeFailure where it cannot be started. */
  async exec(options: ExecOptions): Promise<Exec> {
    this.#checkInstalled();
    expectMove();
    return startExec(options, {
      name: this.name,
      conmonPath: this.#options.conmonPath,
      args: this.#commonArgs(options.id, options.id, options.directory),
    });
  }

  /**
   * Takes a container up again that an earlier daemon started. Returns how it ended where it has, undefined where it
   * runs; then onExit tells of its end. A container that has lost its conmon cannot go on: it is killed.
   */
  async reopen(id: string, conmonPid: number): Promise<ExitRecord | undefined> {
    const ended = this.#exits.read(id);
    if (ended !== undefined) return ended;
    const record = this.#readRecord(id);
    const conmon = { pid: conmonPid, startTime: record?.pid === conmonPid ? record.startTime : 0 };
    if (conmon.startTime === 0 || !isAlive(conmon.pid, conmon.startTime)) {
      // It may have written the file between the two looks.
      const late = this.#exits.read(id);
      if (late !== undefined) return late;
      const running = this.pids(id).length > 0;
      await this.delete(id);
      return { exitCode: running ? lostExitCode : unknownExitCode, finishedAtNs: nowNs() };
    }
    this.#adopted.set(id, conmon);
    this.#exits.expect(id);
    this.#sweeper ??= setInterval(() => this.#sweep(), sweepIntervalMs).unref();
    this.#exits.check(id);
    return undefined;
  }

  /** How a container's last run ended, from conmon's file; it stays until forgetExit or the next run. */
  readExit(id: string): ExitRecord | undefined {
    return this.#exits.read(id);
  }

  /** Drops the file of readExit, once the end is recorded elsewhere. */
  forgetExit(id: string): void {
    this.#exits.remove(id);
  }

  /**
   * After a crash: deletes whatever containers other than those in `keep` have left, and ends those who were still at
   * work on it. conmon goes on without its daemon, also where it was still waiting for its word. Tells what remains.
   */
  async removeStrays(keep: ReadonlySet<string>): Promise<Error[]> {
    const { stateRoot } = this.#options;
    const ids = new Set(readdirSync(this.#records));
    await killHelpers(() => {
      const strays = findHelpers(stateRoot).filter(({ container }) => !keep.has(container));
      for (const { container } of strays) ids.add(container);
      return strays;
    });
    for (const id of readdirSync(stateRoot)) if (!id.startsWith(".")) ids.add(id);
    const problems: Error[] = [];
    for (const id of ids) if (!keep.has(id)) await this.delete(id).catch((error) => problems.push(error));
    return problems;
  }

  /** Directories in which a conmon is at work: those of containers, and of their execs. */
  activeDirectories(): Set<string> {
    return new Set(findHelpers(this.#options.stateRoot).map(({ directory }) => directory));
  }

  /** Drops what readExit would tell of containers other than those in `keep`. */
  forgetOtherExits(keep: ReadonlySet<string>): void {
    this.#exits.removeOthers(keep);
  }

  /** Stops watching. The containers go on. */
  close(): void {
    clearInterval(this.#sweeper);
    this.#adopted.clear();
    this.#listeners.clear();
    this.#exits.close();
    this.#sealed.close();
  }

  #conmonGone(id: string): void {
    if (!this.#exits.isExpected(id) || this.#exits.check(id)) return;
    void this.#lost(id);
  }

  /** conmon died without a word: nobody will ever know the container's exit code, nor read its output. */
  async #lost(id: string): Promise<void> {
    try {
      await this.delete(id);
    } finally {
      for (const listener of this.#listeners) listener(id, lostExitCode, nowNs());
    }
  }

  #sweep(): void {
    for (const [id, conmon] of this.#adopted) {
      if (this.#exits.check(id) || isAlive(conmon.pid, conmon.startTime)) continue;
      this.#conmonGone(id);
    }
    if (this.#adopted.size === 0) {
      clearInterval(this.#sweeper);
      this.#sweeper = undefined;
    }
  }

  #commonArgs(cid: string, uuid: string, bundle: string): string[] {
    const { stateRoot, systemdCgroup, runtimeArgs = [] } = this.#options;
    const runtimePath = this.#isCrun ? this.#sealed.path : this.#options.runtimePath;
    const args = ["--api-version", "1", "--sync", "--no-sync-log", "--full-attach", "-c", cid, "-u", uuid, "-n", cid];
    args.push("-b", bundle, "-p", join(bundle, "pidfile"), "-r", runtimePath, "--runtime-arg", `--root=${stateRoot}`);
    for (const argument of runtimeArgs) args.push("--runtime-arg", argument);
    if (systemdCgroup) args.push("-s");
    return args;
  }

  #checkInstalled(): void {
    const { runtimePath } = this.#options;
    try {
      accessSync(runtimePath, constants.X_OK);
    } catch (error) {
      const name = runtimePath.slice(runtimePath.lastIndexOf("/") + 1);
      const why = (error as NodeJS.ErrnoException).code === "ENOENT" ? "was not found" : "cannot be executed";
      throw systemError(
        `the runtime ${this.name} ${why} at ${runtimePath}: install the package ${name} (apt-get install ${name})`,
      );
    }
  }

  /** Undefined where it is not known. */
  #cgroupOf(id: string): string | undefined {
    const status = this.#isCrun ? readCrunStatus(this.#options.stateRoot, id) : undefined;
    const path = status?.cgroupPath || cgroupOfBundle(this.#readRecord(id)?.bundle);
    if (path?.includes(":") && this.#options.systemdCgroup) return systemdCgroupPath(path);
    return path?.startsWith("/") && path !== "/" ? path : undefined;
  }

  #knows(id: string): boolean {
    try {
      return readdirSync(join(this.#options.stateRoot, id)).length >= 0;
    } catch {
      return false;
    }
  }

  #readRecord(id: string): ConmonRecord | undefined {
    try {
      return JSON.parse(readFileSync(join(this.#records, id), "utf8")) as ConmonRecord;
    } catch {
      return undefined;
    }
  }

  async #query(args: string[]): Promise<{ status?: string }> {
    try {
      return JSON.parse(await this.#run(args)) as { status?: string };
    } catch {
      return {};
    }
  }

  /** Runs the runtime's own command and returns what it prints. Throws with what it says on stderr. */
  async #run(args: string[]): Promise<string> {
    const { runtimePath, stateRoot, runtimeArgs = [], systemdCgroup } = this.#options;
    const child = Bun.spawn({
      cmd: [
        runtimePath,
        `--root=${stateRoot}`,
        ...(systemdCgroup ? ["--systemd-cgroup"] : []),
        ...runtimeArgs,
        ...args,
      ],
      env: { PATH: pathWords },
      stdio: ["ignore", "pipe", "pipe"],
    });
    const [stdout, stderr, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
    if (code !== 0) throw systemError(`OCI runtime ${args[0]} failed: ${stderr.trim() || `exit status ${code}`}`);
    return stdout;
  }
}

function version(): 1 | 2 {
  return cgroupMode() === "v2" ? 2 : 1;
}

function cgroupOfBundle(bundle: string | undefined): string | undefined {
  if (bundle === undefined) return undefined;
  try {
    return (JSON.parse(readFileSync(join(bundle, "config.json"), "utf8")) as OciSpec).linux.cgroupsPath;
  } catch {
    return undefined;
  }
}

/** A killed process takes a moment to leave its cgroup. */
async function removeCgroupInTime(path: string): Promise<void> {
  if (removeCgroup(path)) return;
  const deadline = performance.now() + deleteTimeoutMs;
  for (let waitMs = 1; ; waitMs = Math.min(waitMs * 2, 50)) {
    killCgroup(path);
    await Bun.sleep(waitMs);
    if (removeCgroup(path)) return;
    if (performance.now() > deadline)
      throw systemError(`cgroup ${path} is still in use by ${cgroupPids(path).join(", ")}`);
  }
}

function nowNs(): bigint {
  return BigInt(Date.now()) * 1_000_000n;
}
