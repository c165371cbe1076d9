/** Control groups of all three layouts: cgroups(7), and Documentation/admin-guide/cgroup-v2.rst of the kernel. */
import { mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { messageOf } from "../lib/errors.ts";
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, mount, readMounts } from "./mount.ts";
import { sendSignal } from "./process.ts";

const cgroupRoot = "/sys/fs/cgroup";
const SIGKILL = 9;

/** `v2`: one hierarchy. `v1`: one per controller. `hybrid`: v1 with an empty v2 beside it for systemd. */
export type CgroupMode = "v1" | "hybrid" | "v2";

/** One mounted hierarchy. `controllers` is empty for the v2 side of hybrid and for named ones. */
interface Hierarchy {
  mountPoint: string;
  version: 1 | 2;
  controllers: string[];
}

let known: Hierarchy[] | undefined;

function hierarchies(): Hierarchy[] {
  known ??= readMounts()
    .filter((entry) => entry.fstype.startsWith("cgroup") && entry.mountPoint.startsWith(cgroupRoot))
    .map((entry) =>
      entry.fstype === "cgroup2"
        ? { mountPoint: entry.mountPoint, version: 2, controllers: v2Controllers(entry.mountPoint) }
        : { mountPoint: entry.mountPoint, version: 1, controllers: entry.superOptions.filter(isController) },
    );
  return known;
}

function isController(option: string): boolean {
  return controllersOfKernel().has(option);
}

/** /proc/cgroups: controller → number of its hierarchy, 0 where none is mounted (or v2 has it). Only enabled ones. */
function controllersOfKernel(): Map<string, number> {
  const found = new Map<string, number>();
  for (const line of readFileSync("/proc/cgroups", "utf8").split("\n")) {
    const [name, hierarchy, , enabled] = line.split("\t");
    if (name && !name.startsWith("#") && enabled === "1") found.set(name, Number(hierarchy));
  }
  return found;
}

function v2Controllers(mountPoint: string): string[] {
  try {
    return readFileSync(join(mountPoint, "cgroup.controllers"), "utf8").trim().split(" ").filter(Boolean);
  } catch {
    return [];
  }
}

/** Which layout this machine has. Throws where no cgroup file system is mounted at all. */
export function cgroupMode(): CgroupMode {
  const all = hierarchies();
  if (all.some((one) => one.version === 2 && one.mountPoint === cgroupRoot)) return "v2";
  if (all.length === 0) throw new Error(`no cgroup file system is mounted below ${cgroupRoot}`);
  return all.some((one) => one.version === 2) ? "hybrid" : "v1";
}

/** All controllers that containers can use, whichever hierarchy they live in. */
export function cgroupControllers(): Set<string> {
  return new Set(hierarchies().flatMap((one) => one.controllers));
}

/**
 * Mounts the v1 hierarchies that exist (this process is in one of their cgroups) but that are mounted nowhere, and those
 * of controllers that the v2 side of a hybrid layout still holds: crun refuses to start containers for either. Also
 * hugetlb, which it always looks for. Nothing to do on v2. Returns one sentence for each that could not be mounted.
 */
export function mountMissingHierarchies(): string[] {
  known = undefined;
  if (cgroupMode() === "v2") return [];
  const mounted = new Set(hierarchies().flatMap((one) => (one.version === 1 ? one.controllers : [])));
  const heldByV2 = new Set(hierarchies().flatMap((one) => (one.version === 2 ? one.controllers : [])));
  const problems: string[] = [];
  for (const [name, hierarchy] of controllersOfKernel()) {
    if (mounted.has(name) || (hierarchy === 0 && name !== "hugetlb" && !heldByV2.has(name))) continue;
    const target = join(cgroupRoot, name);
    try {
      mkdirSync(target, { recursive: true });
      mount(name, target, "cgroup", MS_NOSUID | MS_NODEV | MS_NOEXEC, name);
    } catch (error) {
      problems.push(`cgroup controller ${name} is not available: ${messageOf(error)}`);
      try {
        rmdirSync(target);
      } catch {} // Something is in it: then it was there before.
    }
  }
  known = undefined;
  return problems;
}

/** The directory of a cgroup in each hierarchy, whether it exists or not. `path` begins with a slash. */
export function cgroupDirectories(path: string): string[] {
  if (!path.startsWith("/") || path === "/" || path.split("/").includes("..")) {
    throw new Error(`not a cgroup path: ${path}`);
  }
  return hierarchies().map((one) => join(one.mountPoint, path));
}

/** The directory where a controller's files of a cgroup are, or undefined where the controller is not available. */
export function controllerDirectory(controller: string, path: string): string | undefined {
  const home = hierarchies().find((one) => one.controllers.includes(controller));
  return home === undefined ? undefined : join(home.mountPoint, path);
}

/** All processes in a cgroup and below it. Empty where the cgroup is gone. */
export function cgroupPids(path: string): number[] {
  const pids = new Set<number>();
  // Each process is in one cgroup of every hierarchy: the one that the runtime surely uses is enough.
  for (const pid of pidsBelow(processDirectory(path))) pids.add(pid);
  return [...pids];
}

function processDirectory(path: string): string {
  if (cgroupMode() === "v2") return join(cgroupRoot, path);
  const directory =
    controllerDirectory("pids", path) ?? controllerDirectory("freezer", path) ?? controllerDirectory("memory", path);
  return directory ?? cgroupDirectories(path)[0]!;
}

function* pidsBelow(directory: string): Generator<number> {
  let text: string;
  try {
    text = readFileSync(join(directory, "cgroup.procs"), "utf8");
  } catch {
    return;
  }
  // A process of a foreign pid namespace shows as 0.
  for (const line of text.split("\n")) if (Number(line) > 0) yield Number(line);
  for (const child of childrenOf(directory)) yield* pidsBelow(child);
}

function childrenOf(directory: string): string[] {
  try {
    return readdirSync(directory, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => join(directory, entry.name));
  } catch {
    return [];
  }
}

let moving = false;

/**
 * To be called a few milliseconds before a process is moved into a cgroup. The kernel lets the first move after a pause
 * wait for a grace period of RCU, 3 to 18 ms, and those that follow at once for none. So we move ourselves to where we
 * are, which changes nothing, in a thread of its own, and that wait passes while other things are done.
 */
export function expectMove(): void {
  const processes = moving ? undefined : ownProcesses();
  if (processes === undefined) return;
  moving = true;
  // r+: a file that is not there is not to be made.
  writeFile(processes, String(process.pid), { flag: "r+" })
    .catch(() => {}) // Then the move itself waits.
    .finally(() => {
      moving = false;
    });
}

/** cgroup.procs of a cgroup that this process is in: cgroups(7), /proc/[pid]/cgroup. */
function ownProcesses(): string | undefined {
  const home = hierarchies().find((one) => one.version === 2) ?? hierarchies()[0];
  if (home === undefined) return undefined;
  const controllers = home.version === 2 ? "" : home.controllers.join(",");
  const line = readFileSync("/proc/self/cgroup", "utf8")
    .split("\n")
    .find((one) => one.split(":")[1] === controllers);
  return line && join(home.mountPoint, line.split(":").slice(2).join(":"), "cgroup.procs");
}

/** Kills every process in a cgroup and below, also a frozen one. They may take a moment to be gone. */
export function killCgroup(path: string): void {
  if (cgroupMode() === "v2") {
    try {
      writeFileSync(join(cgroupRoot, path, "cgroup.kill"), "1");
      return;
    } catch {} // Before Linux 5.14 there is no such file.
  }
  // A fork may slip in between reading and killing; its children are seen in the next round.
  for (let round = 0; round < 10; round++) {
    const pids = cgroupPids(path);
    if (pids.length === 0) return;
    for (const pid of pids) sendSignal(pid, SIGKILL);
    if (round === 0) setFrozen(path, false);
  }
}

/**
 * Removes a cgroup and those below it from every hierarchy. Returns false where one is still in use, which a moment
 * after the last process was killed is usual: call again. One that is not there counts as removed.
 */
export function removeCgroup(path: string): boolean {
  let gone = true;
  for (const directory of cgroupDirectories(path)) gone = removeTree(directory) && gone;
  return gone;
}

function removeTree(directory: string): boolean {
  for (let attempt = 0; ; attempt++) {
    try {
      rmdirSync(directory);
      return true;
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code === "ENOENT") return true;
      if ((code !== "EBUSY" && code !== "ENOTEMPTY") || attempt > 0) return false;
    }
    // rmdir first: nearly always there is nothing below, and reading the directory costs more.
    for (const child of childrenOf(directory)) if (!removeTree(child)) return false;
  }
}

/** Freezes or thaws all processes of a cgroup. Returns false where the cgroup or the freezer is not there. */
export function setFrozen(path: string, frozen: boolean): boolean {
  const v2 = cgroupMode() === "v2";
  const directory = v2 ? join(cgroupRoot, path) : controllerDirectory("freezer", path);
  if (directory === undefined) return false;
  try {
    if (v2) writeFileSync(join(directory, "cgroup.freeze"), frozen ? "1" : "0");
    else writeFileSync(join(directory, "freezer.state"), frozen ? "FROZEN" : "THAWED");
    return true;
  } catch {
    return false;
  }
}

/** Whether the cgroup's processes are frozen; `pending` while some still run. False where it is gone. */
export function frozenState(path: string): boolean | "pending" {
  try {
    if (cgroupMode() === "v2") {
      const events = readFileSync(join(cgroupRoot, path, "cgroup.events"), "utf8");
      if (events.includes("frozen 1")) return true;
      return readFileSync(join(cgroupRoot, path, "cgroup.freeze"), "utf8").startsWith("1") ? "pending" : false;
    }
    const directory = controllerDirectory("freezer", path);
    if (directory === undefined) return false;
    const state = readFileSync(join(directory, "freezer.state"), "utf8").trim();
    return state === "FROZEN" ? true : state === "FREEZING" ? "pending" : false;
  } catch {
    return false;
  }
}
