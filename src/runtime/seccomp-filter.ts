/**
 * Seccomp filters compiled ahead. crun takes a ready program in an annotation, and is spared the compiling of the same
 * profile for every container, which is more than half of its time. Other runtimes read the spec's own section, which
 * is always there too.
 */
import { type ArgumentCondition, compileFilter, type FilterRule } from "../kernel/libseccomp.ts";
import type { OciSeccomp, OciSyscallRule } from "./oci.ts";

/** crun(1): the program in base64. */
export const filterAnnotation = "run.oci.seccomp_bpf_data";

const eperm = 1;
/** seccomp.h's actions; those that carry a number have it in the low half. */
const actions: Record<string, number> = {
  SCMP_ACT_KILL: 0x00000000,
  SCMP_ACT_KILL_THREAD: 0x00000000,
  SCMP_ACT_TRAP: 0x00030000,
  SCMP_ACT_ERRNO: 0x00050000,
  SCMP_ACT_TRACE: 0x7ff00000,
  SCMP_ACT_LOG: 0x7ffc0000,
  SCMP_ACT_ALLOW: 0x7fff0000,
  SCMP_ACT_KILL_PROCESS: 0x80000000,
};
const carriesNumber = new Set(["SCMP_ACT_ERRNO", "SCMP_ACT_TRACE"]);

const comparisons = ["NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"].map((name) => `SCMP_CMP_${name}`);

function actionOf(name: string, errnoRet: number | undefined): number | undefined {
  const action = actions[name];
  return action === undefined || !carriesNumber.has(name) ? action : action + ((errnoRet ?? eperm) & 0xffff);
}

/** Undefined where an operator is unknown or a number is too large to be exact. */
function conditionsOf(args: OciSyscallRule["args"]): ArgumentCondition[] | undefined {
  const conditions: ArgumentCondition[] = [];
  for (const { index, op, value, valueTwo = 0 } of args ?? []) {
    const comparison = comparisons.indexOf(op) + 1;
    if (comparison === 0 || ![index, value, valueTwo].every((number) => Number.isSafeInteger(number) && number >= 0))
      return undefined;
    conditions.push({ index, op: comparison, a: BigInt(value), b: BigInt(valueTwo) });
  }
  return conditions;
}

function compile(seccomp: OciSeccomp): string | undefined {
  // A listener's notifications, and flags, are the runtime's business.
  if (seccomp.listenerPath !== undefined || seccomp.flags?.length) return undefined;
  const defaultAction = actionOf(seccomp.defaultAction, seccomp.defaultErrnoRet);
  if (defaultAction === undefined) return undefined;
  const rules: FilterRule[] = [];
  for (const rule of seccomp.syscalls) {
    const action = actionOf(rule.action, rule.errnoRet);
    const conditions = conditionsOf(rule.args);
    if (action === undefined || conditions === undefined) return undefined;
    // libseccomp takes one condition for an argument: several are alternatives, as in every runtime.
    const isAlternatives = new Set(conditions.map(({ index }) => index)).size < conditions.length;
    const sets = isAlternatives ? conditions.map((condition) => [condition]) : [conditions];
    for (const name of rule.names) for (const set of sets) rules.push({ name, action, conditions: set });
  }
  const architectures = seccomp.architectures.map((name) => name.replace(/^SCMP_ARCH_/, "").toLowerCase());
  return compileFilter({ defaultAction, architectures, rules })?.toString("base64");
}

/** Profiles differ by capabilities and --security-opt only: a handful is all there is on a machine. */
const cacheLimit = 32;
const cache = new Map<string, string | undefined>();

/**
 * The program for a profile, in base64; undefined where it must be left to the runtime.
 * The first time for a profile takes some 20 ms, every other none.
 */
export function seccompFilter(seccomp: OciSeccomp): string | undefined {
  const key = JSON.stringify(seccomp);
  if (!cache.has(key)) {
    if (cache.size >= cacheLimit) cache.delete(cache.keys().next().value!);
    cache.set(key, compile(seccomp));
  }
  return cache.get(key);
}
