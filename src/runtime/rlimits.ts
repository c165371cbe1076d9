/** Resource limits of a process: the API's ulimits, the daemon's own limits, and what the runtime is told. */
import { invalidParameter } from "../lib/errors.ts";
import type { Resources } from "../wire/engine-api.ts";
import type { OciRlimit, RawJson } from "./oci.ts";

/** -1 is no limit. */
export interface Rlimit {
  soft: number;
  hard: number;
}

export type Ulimit = NonNullable<Resources["Ulimits"]>[number];

const unlimited = -1;
/** RLIM_INFINITY, which no number holds exactly and runc takes no other way. */
const infinity = (JSON as unknown as { rawJSON(text: string): RawJson }).rawJSON("18446744073709551615");

const toOci = (limit: number) => (limit === unlimited ? infinity : limit);

/** The names of ulimits, and the line of /proc/<pid>/limits each is on. */
const lineOf: Record<string, string> = {
  as: "Max address space",
  core: "Max core file size",
  cpu: "Max cpu time",
  data: "Max data size",
  fsize: "Max file size",
  locks: "Max file locks",
  memlock: "Max locked memory",
  msgqueue: "Max msgqueue size",
  nice: "Max nice priority",
  nofile: "Max open files",
  nproc: "Max processes",
  rss: "Max resident set",
  rtprio: "Max realtime priority",
  rttime: "Max realtime timeout",
  sigpending: "Max pending signals",
  stack: "Max stack size",
};

/** Reads the text of /proc/<pid>/limits. */
export function readRlimits(text: string): Map<string, Rlimit> {
  const limits = new Map<string, Rlimit>();
  const parse = (value: string) => (value === "unlimited" ? unlimited : Number(value));
  for (const [name, title] of Object.entries(lineOf)) {
    const match = new RegExp(`^${title}\\s+(\\S+)\\s+(\\S+)`, "m").exec(text);
    if (match !== null) limits.set(name, { soft: parse(match[1]!), hard: parse(match[2]!) });
  }
  return limits;
}

/** Checks ulimits a user asks for. Throws invalidParameter with Docker's sentences. */
export function checkUlimits(ulimits: readonly Ulimit[]): void {
  for (const { Name = "", Soft = 0, Hard = 0 } of ulimits) {
    if (!Object.hasOwn(lineOf, Name)) throw invalidParameter(`invalid ulimit type: ${Name}`);
    if (!Number.isSafeInteger(Soft) || !Number.isSafeInteger(Hard) || Soft < unlimited || Hard < unlimited)
      throw invalidParameter(`invalid ulimit ${Name}: limits are whole numbers, or -1 for none`);
    if (isMore(Soft, Hard))
      throw invalidParameter(`ulimit soft limit must be less than or equal to hard limit: ${Soft} > ${Hard}`);
  }
}

const isMore = (one: number, other: number) => other !== unlimited && (one === unlimited || one > other);
const least = (one: number, other: number) => (isMore(one, other) ? other : one);

/**
 * The limits of a container: what it asks for, then the daemon's defaults; all others are inherited.
 * A default above what the host lets this daemon hand on (`own`) is lowered to that; `own` is undefined where the
 * daemon may raise limits. Throws invalidParameter where the container itself asks for more.
 */
export function containerRlimits(
  asked: readonly Ulimit[],
  defaults: readonly Ulimit[],
  own: ReadonlyMap<string, Rlimit> | undefined,
): OciRlimit[] {
  const byName = new Map<string, Rlimit>();
  for (const { Name = "", Soft = 0, Hard = 0 } of defaults) {
    const most = own?.get(Name)?.hard ?? unlimited;
    byName.set(Name, { soft: least(Soft, most), hard: least(Hard, most) });
  }
  for (const { Name = "", Soft = 0, Hard = 0 } of asked) {
    const most = own?.get(Name)?.hard ?? unlimited;
    if (isMore(Hard, most))
      throw invalidParameter(
        `cannot set ulimit ${Name} to ${Hard === unlimited ? "unlimited" : Hard}: this daemon's own hard limit is ${most} and it may not raise it (it lacks CAP_SYS_RESOURCE)`,
      );
    byName.set(Name, { soft: Soft, hard: Hard });
  }
  return [...byName].map(([name, { soft, hard }]) => ({
    type: `RLIMIT_${name.toUpperCase()}`,
    soft: toOci(soft),
    hard: toOci(hard),
  }));
}
