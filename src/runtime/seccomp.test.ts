import { expect, test } from "bun:test";
import { defaultCapabilities } from "./capabilities.ts";
import { compileProfile, defaultSeccomp, parseProfile } from "./seccomp.ts";

const facts = { capabilities: defaultCapabilities, machine: "amd64", kernel: [6, 1] as const };
const allowed = (capabilities: string[]) =>
  new Set(
    defaultSeccomp({ ...facts, capabilities })
      .syscalls.filter(({ action, args }) => action === "SCMP_ACT_ALLOW" && args === undefined)
      .flatMap(({ names }) => names),
  );

test("what makes namespaces, mounts or reaches the kernel's insides needs a capability", () => {
  const plain = allowed(defaultCapabilities);
  const guarded = [
    "mount",
    "unshare",
    "setns",
    "clone",
    "clone3",
    "bpf",
    "keyctl",
    "add_key",
    "io_uring_setup",
    "reboot",
  ];
  for (const name of [...guarded, "kexec_load", "userfaultfd", "open_by_handle_at", "socket", "personality"])
    expect(plain.has(name)).toBe(false);
  const admin = allowed([...defaultCapabilities, "CAP_SYS_ADMIN"]);
  for (const name of ["mount", "unshare", "setns", "clone", "clone3", "bpf"]) expect(admin.has(name)).toBe(true);
  for (const name of ["keyctl", "io_uring_setup", "kexec_load"]) expect(admin.has(name)).toBe(false);
});

test("clone without namespaces, clone3 as if it did not exist, no AF_VSOCK", () => {
  const rules = defaultSeccomp(facts).syscalls;
  expect(rules.find(({ names }) => names.includes("clone"))?.args).toEqual([
    { index: 0, value: 0x7e020000, valueTwo: 0, op: "SCMP_CMP_MASKED_EQ" },
  ]);
  expect(rules.find(({ names }) => names.includes("clone3"))).toEqual({
    names: ["clone3"],
    action: "SCMP_ACT_ERRNO",
    errnoRet: 38,
  });
  expect(rules.find(({ names }) => names.includes("socket"))?.args).toEqual([
    { index: 0, value: 40, op: "SCMP_CMP_NE" },
  ]);
});

test("ptrace only from 4.8 on, or with its capability", () => {
  const names = (kernel: [number, number], capabilities: string[]) =>
    defaultSeccomp({ ...facts, kernel, capabilities }).syscalls[0]!.names;
  expect(names([4, 7], [])).not.toContain("ptrace");
  expect(names([4, 8], [])).toContain("ptrace");
  expect(names([4, 7], ["CAP_SYS_PTRACE"])).toContain("ptrace");
});

test("a profile in Docker's format", () => {
  const profile = parseProfile(
    JSON.stringify({
      defaultAction: "SCMP_ACT_ERRNO",
      archMap: [
        { architecture: "SCMP_ARCH_AARCH64", subArchitectures: ["SCMP_ARCH_ARM"] },
        { architecture: "SCMP_ARCH_X86_64", subArchitectures: ["SCMP_ARCH_X86"] },
      ],
      syscalls: [
        { names: ["read"], action: "SCMP_ACT_ALLOW", args: [], comment: "x", includes: {}, excludes: {} },
        { name: "mount", action: "SCMP_ACT_ALLOW", includes: { caps: ["CAP_SYS_ADMIN"] } },
        { names: ["clone"], action: "SCMP_ACT_ALLOW", excludes: { caps: ["CAP_SYS_ADMIN"] } },
        { names: ["a"], action: "SCMP_ACT_ALLOW", includes: { arches: ["arm64"] } },
        { names: ["b"], action: "SCMP_ACT_ALLOW", excludes: { arches: ["amd64"] } },
        { names: ["c"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "6.2" } },
        { names: ["d"], action: "SCMP_ACT_ALLOW", includes: { minKernel: "4.8" } },
      ],
    }),
  );
  const compiled = compileProfile(profile, facts)!;
  expect(compiled.architectures).toEqual(["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]);
  expect(compiled.syscalls.flatMap(({ names }) => names)).toEqual(["read", "clone", "d"]);
  expect(compileProfile({}, facts)).toBeUndefined();
});

test("what is no profile", () => {
  for (const text of [
    "{",
    "[]",
    "3",
    '{"syscalls":{}}',
    '{"syscalls":[null]}',
    '{"syscalls":[{"names":[1],"action":"x"}]}',
  ])
    expect(() => parseProfile(text)).toThrow("Decoding seccomp profile failed");
  expect(() => parseProfile('{"architectures":["a"],"archMap":[{"architecture":"b"}]}')).toThrow(
    "both 'architectures'",
  );
});
