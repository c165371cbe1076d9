/** From a seccomp profile, the default one or a user's in Docker's format, to what the OCI runtime is given. */
import { invalidParameter, messageOf } from "../lib/errors.ts";
import type { OciSeccomp, OciSyscallArgument, OciSyscallRule } from "./oci.ts";
import { type ArgumentTest, defaultProfile } from "./seccomp-profile.ts";

/** What the rules of a profile depend on. */
export interface SeccompFacts {
  /** Of the container. */
  capabilities: readonly string[];
  /** As the API names it: amd64, arm64. */
  machine: string;
  kernel: readonly [major: number, minor: number];
}

const eperm = 1;
const allow = "SCMP_ACT_ALLOW";
const refuse = "SCMP_ACT_ERRNO";

/** The native architecture first, then those whose programs the same kernel also runs. */
const architecturesOf: Record<string, string[]> = {
  amd64: ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
  arm64: ["SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"],
};

const isSince = (kernel: readonly [number, number], since: readonly [number, number]) =>
  kernel[0] > since[0] || (kernel[0] === since[0] && kernel[1] >= since[1]);

function toArgument({ index, op, value, mask }: ArgumentTest): OciSyscallArgument {
  if (op === "masked==") return { index, value: mask!, valueTwo: value, op: "SCMP_CMP_MASKED_EQ" };
  return { index, value, op: op === "==" ? "SCMP_CMP_EQ" : "SCMP_CMP_NE" };
}

/**
 * The default profile for one container. All calls that are let through whatever their arguments are in one rule:
 * the runtime's time for compiling grows with the rules.
 */
export function defaultSeccomp(facts: SeccompFacts): OciSeccomp {
  const unconditional = new Set<string>();
  const rules: OciSyscallRule[] = [];
  for (const group of defaultProfile) {
    if (group.capability !== undefined && !facts.capabilities.includes(group.capability)) continue;
    if (group.withoutCapability !== undefined && facts.capabilities.includes(group.withoutCapability)) continue;
    if (group.machines !== undefined && !group.machines.includes(facts.machine)) continue;
    if (group.sinceKernel !== undefined && !isSince(facts.kernel, group.sinceKernel)) continue;
    const names = group.calls.split(" ");
    if (group.errno !== undefined) rules.push({ names, action: refuse, errnoRet: group.errno });
    else if (group.tests === undefined) for (const name of names) unconditional.add(name);
    else for (const tests of group.tests) rules.push({ names, action: allow, args: tests.map(toArgument) });
  }
  return {
    defaultAction: refuse,
    defaultErrnoRet: eperm,
    architectures: architecturesOf[facts.machine] ?? [],
    syscalls: [{ names: [...unconditional], action: allow }, ...rules],
  };
}

/** A condition of Docker's profile format. */
export interface ProfileFilter {
  caps?: string[];
  arches?: string[];
  minKernel?: string;
}

/** Docker's profile format: the OCI section, with conditions and a map of architectures. */
export interface SeccompProfile {
  defaultAction?: string;
  defaultErrnoRet?: number;
  architectures?: string[] | null;
  archMap?: { architecture: string; subArchitectures?: string[] | null }[] | null;
  flags?: string[];
  listenerPath?: string;
  listenerMetadata?: string;
  syscalls?:
    | {
        name?: string;
        names?: string[] | null;
        action: string;
        errnoRet?: number | null;
        args?: OciSyscallArgument[] | null;
        includes?: ProfileFilter;
        excludes?: ProfileFilter;
      }[]
    | null;
}

const isNames = (value: unknown) =>
  value === undefined || value === null || (Array.isArray(value) && value.every((name) => typeof name === "string"));
const isNumber = (value: unknown) => value === undefined || value === null || Number.isInteger(value);

function checkShape(profile: SeccompProfile): void {
  const wrong = (field: string) => invalidParameter(`Decoding seccomp profile failed: ${field} has the wrong type`);
  if (typeof profile !== "object" || profile === null || Array.isArray(profile)) throw wrong("the profile");
  if (!isNames(profile.architectures)) throw wrong("architectures");
  if (!isNames(profile.flags)) throw wrong("flags");
  if (!isNumber(profile.defaultErrnoRet)) throw wrong("defaultErrnoRet");
  for (const list of ["archMap", "syscalls"] as const)
    if (profile[list] !== undefined && profile[list] !== null && !Array.isArray(profile[list])) throw wrong(list);
  for (const entry of profile.archMap ?? [])
    if (typeof entry?.architecture !== "string" || !isNames(entry.subArchitectures)) throw wrong("archMap");
  for (const rule of profile.syscalls ?? []) {
    if (typeof rule !== "object" || rule === null || typeof rule.action !== "string") throw wrong("syscalls");
    if (!isNames(rule.names) || !isNumber(rule.errnoRet)) throw wrong("syscalls");
    if (rule.args !== undefined && rule.args !== null && !Array.isArray(rule.args)) throw wrong("syscalls.args");
    for (const filter of [rule.includes, rule.excludes])
      if (filter !== undefined && filter !== null && !(isNames(filter.caps) && isNames(filter.arches)))
        throw wrong("syscalls.includes or syscalls.excludes");
  }
}

/** Reads a profile in Docker's format. Throws invalidParameter where it is none. */
export function parseProfile(text: string): SeccompProfile {
  let profile: SeccompProfile;
  try {
    profile = JSON.parse(text) as SeccompProfile;
  } catch (thrown) {
    throw invalidParameter(`Decoding seccomp profile failed: ${messageOf(thrown)}`);
  }
  checkShape(profile);
  if (profile.architectures?.length && profile.archMap?.length)
    throw invalidParameter(
      "both 'architectures' and 'archMap' are specified in the seccomp profile, use either 'architectures' or 'archMap'",
    );
  for (const rule of profile.syscalls ?? [])
    if (rule.name && rule.names?.length)
      throw invalidParameter(
        "both 'name' and 'names' are specified in the seccomp profile, use either 'name' or 'names'",
      );
  return profile;
}

function parseKernel(version: string): [number, number] {
  const match = /^(\d+)\.(\d+)$/.exec(version);
  if (match === null) throw invalidParameter(`invalid kernel version in the seccomp profile: ${version}`);
  return [Number(match[1]), Number(match[2])];
}

/**
 * A user's profile for one container: rules whose conditions do not hold are left out.
 * Returns undefined for an empty profile, which means no confinement.
 */
export function compileProfile(profile: SeccompProfile, facts: SeccompFacts): OciSeccomp | undefined {
  if (!profile.defaultAction && !profile.syscalls?.length) return undefined;
  const native = architecturesOf[facts.machine]?.[0];
  const mapped = profile.archMap?.find((entry) => entry.architecture === native);
  const holds = (rule: NonNullable<SeccompProfile["syscalls"]>[number]) => {
    const { includes, excludes } = rule;
    const has = (capability: string) => facts.capabilities.includes(capability);
    if (excludes?.arches?.includes(facts.machine) || excludes?.caps?.some(has)) return false;
    if (excludes?.minKernel && isSince(facts.kernel, parseKernel(excludes.minKernel))) return false;
    if (includes?.arches?.length && !includes.arches.includes(facts.machine)) return false;
    if (includes?.minKernel && !isSince(facts.kernel, parseKernel(includes.minKernel))) return false;
    return includes?.caps?.every(has) ?? true;
  };
  return {
    defaultAction: profile.defaultAction ?? "",
    ...(profile.defaultErrnoRet != null && { defaultErrnoRet: profile.defaultErrnoRet }),
    architectures: mapped ? [mapped.architecture, ...(mapped.subArchitectures ?? [])] : (profile.architectures ?? []),
    ...(profile.flags && { flags: profile.flags }),
    ...(profile.listenerPath && { listenerPath: profile.listenerPath }),
    ...(profile.listenerMetadata && { listenerMetadata: profile.listenerMetadata }),
    syscalls: (profile.syscalls ?? []).filter(holds).map((rule) => ({
      names: rule.name ? [rule.name] : (rule.names ?? []),
      action: rule.action,
      ...(rule.errnoRet != null && { errnoRet: rule.errnoRet }),
      ...(rule.args?.length && { args: rule.args }),
    })),
  };
}
