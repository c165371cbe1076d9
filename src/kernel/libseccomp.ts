/** System-call filters, compiled by libseccomp.so.2 in this process. It is there wherever an OCI runtime is. */
import { dlopen, type Pointer } from "bun:ffi";
import { closeSync, fstatSync, readSync } from "node:fs";
import { bindLibc, check, cstring } from "./libc.ts";

/** One condition on an argument. `op` as in seccomp.h's enum scmp_compare; for MASKED_EQ `a` is the mask, `b` the value. */
export interface ArgumentCondition {
  index: number;
  op: number;
  a: bigint;
  b: bigint;
}

/** A call is answered with `action` (SCMP_ACT_… as a number) where all conditions hold. */
export interface FilterRule {
  name: string;
  action: number;
  conditions: ArgumentCondition[];
}

export interface FilterRequest {
  defaultAction: number;
  /** libseccomp's names (x86_64, x86, …) of those beside the native one. */
  architectures: string[];
  rules: FilterRule[];
}

const conditionBytes = 24;
const unknownCall = -1;
const EEXIST = 17;

function open() {
  return dlopen("libseccomp.so.2", {
    seccomp_init: { args: ["u32"], returns: "ptr" },
    seccomp_release: { args: ["ptr"], returns: "void" },
    seccomp_arch_resolve_name: { args: ["ptr"], returns: "u32" },
    seccomp_arch_add: { args: ["ptr", "u32"], returns: "i32" },
    seccomp_syscall_resolve_name: { args: ["ptr"], returns: "i32" },
    seccomp_rule_add_array: { args: ["ptr", "u32", "i32", "u32", "ptr"], returns: "i32" },
    seccomp_export_bpf: { args: ["ptr", "i32"], returns: "i32" },
  }).symbols;
}
type Libseccomp = ReturnType<typeof open>;

let opened: Libseccomp | "missing" | undefined;

function libseccomp(): Libseccomp | undefined {
  if (opened === undefined)
    try {
      opened = open();
    } catch {
      opened = "missing";
    }
  return opened === "missing" ? undefined : opened;
}

const libc = bindLibc({ memfd_create: { args: ["ptr", "u32"], returns: "i32" } });

/** struct scmp_arg_cmp, one after the other. */
function pack(conditions: ArgumentCondition[]): Buffer {
  const packed = Buffer.alloc(Math.max(conditions.length, 1) * conditionBytes);
  conditions.forEach(({ index, op, a, b }, at) => {
    packed.writeUInt32LE(index, at * conditionBytes);
    packed.writeUInt32LE(op, at * conditionBytes + 4);
    packed.writeBigUInt64LE(a, at * conditionBytes + 8);
    packed.writeBigUInt64LE(b, at * conditionBytes + 16);
  });
  return packed;
}

function fill(lib: Libseccomp, filter: Pointer, { defaultAction, architectures, rules }: FilterRequest): boolean {
  for (const name of architectures) {
    const token = lib.seccomp_arch_resolve_name(cstring(name));
    if (token === 0) return false;
    const result = lib.seccomp_arch_add(filter, token);
    if (result < 0 && result !== -EEXIST) return false;
  }
  for (const { name, action, conditions } of rules) {
    // libseccomp refuses a rule that says what the default says.
    if (action === defaultAction) continue;
    const call = lib.seccomp_syscall_resolve_name(cstring(name));
    if (call === unknownCall) continue;
    if (lib.seccomp_rule_add_array(filter, action, call, conditions.length, pack(conditions)) < 0) return false;
  }
  return true;
}

function exported(lib: Libseccomp, filter: Pointer): Buffer | undefined {
  const fd = check(libc.memfd_create(cstring("seccomp"), 1), "memfd_create");
  try {
    if (lib.seccomp_export_bpf(filter, fd) < 0) return undefined;
    const program = Buffer.alloc(fstatSync(fd).size);
    readSync(fd, program, 0, program.length, 0);
    return program;
  } finally {
    closeSync(fd);
  }
}

/**
 * The filter as the kernel takes it (struct sock_filter[]), or undefined where libseccomp is missing or refuses a
 * part of it. Calls that libseccomp does not know are left out: they get the default action. Takes up to 20 ms.
 */
export function compileFilter(request: FilterRequest): Buffer | undefined {
  const lib = libseccomp();
  if (lib === undefined) return undefined;
  const filter = lib.seccomp_init(request.defaultAction) as Pointer | null;
  if (filter === null) return undefined;
  try {
    return fill(lib, filter, request) ? exported(lib, filter) : undefined;
  } finally {
    lib.seccomp_release(filter);
  }
}
