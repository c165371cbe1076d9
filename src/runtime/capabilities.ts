/** Which capabilities a container gets: Docker's default set, what --cap-add and --cap-drop make of it, privileged. */
import { readFileSync } from "node:fs";
import { invalidParameter } from "../lib/errors.ts";

/** Every capability of Linux; a name's place is its number (linux/capability.h). */
export const allCapabilities = (
  "CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE NET_BIND_SERVICE " +
  "NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT SYS_ADMIN " +
  "SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP MAC_OVERRIDE " +
  "MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE"
)
  .split(" ")
  .map((name) => `CAP_${name}`);

/** What a container has when nobody says otherwise; 0xa80425fb as a mask. */
export const defaultCapabilities =
  "CHOWN DAC_OVERRIDE FSETID FOWNER MKNOD NET_RAW SETGID SETUID SETFCAP SETPCAP NET_BIND_SERVICE SYS_CHROOT KILL AUDIT_WRITE"
    .split(" ")
    .map((name) => `CAP_${name}`);

const everything = "ALL";

/** The names in a mask as /proc/<pid>/status prints it (hexadecimal). */
export function capabilitiesOfMask(hexadecimal: string): string[] {
  const mask = BigInt(`0x${hexadecimal}`);
  return allCapabilities.filter((_, number) => (mask >> BigInt(number)) & 1n);
}

let ownCapabilities: string[] | undefined;

/** What this process may hand on: its own permitted set. Read once, for the daemon's set never grows. */
export function availableCapabilities(): string[] {
  if (ownCapabilities === undefined) {
    const status = readFileSync("/proc/self/status", "utf8");
    ownCapabilities = capabilitiesOfMask(/^CapPrm:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0");
  }
  return ownCapabilities;
}

/**
 * Brings names to the form the API stores: upper case with CAP_, or ALL.
 * Throws invalidParameter for a name that is no capability, or one this daemon does not have itself.
 */
export function normaliseCapabilities(
  names: readonly string[],
  field: "CapAdd" | "CapDrop",
  available: readonly string[],
): string[] {
  return names.map((given) => {
    const upper = given.toUpperCase();
    if (upper === everything || upper === `CAP_${everything}`) return everything;
    const name = upper.startsWith("CAP_") ? upper : `CAP_${upper}`;
    if (!allCapabilities.includes(name)) throw invalidParameter(`invalid ${field}: unknown capability: "${name}"`);
    if (field === "CapAdd" && !available.includes(name))
      throw invalidParameter(
        `invalid ${field}: capability not supported by your kernel or not available in the current environment: "${name}"`,
      );
    return name;
  });
}

/** What a container's capabilities are made of; HostConfig has these fields. */
export interface CapabilityRequest {
  Privileged?: boolean;
  CapAdd?: readonly string[];
  CapDrop?: readonly string[];
}

/**
 * The container's capabilities, in the kernel's order, never more than `available`.
 * ALL in CapAdd is everything but what is dropped; ALL in CapDrop is only what is added; privileged is everything.
 * Throws as normaliseCapabilities does.
 */
export function containerCapabilities(request: CapabilityRequest, available: readonly string[]): string[] {
  const added = normaliseCapabilities(request.CapAdd ?? [], "CapAdd", available);
  const dropped = normaliseCapabilities(request.CapDrop ?? [], "CapDrop", available);
  const granted = new Set<string>();
  const grant = (names: readonly string[]) => {
    for (const name of names) granted.add(name);
  };
  if (request.Privileged) grant(available);
  else if (added.includes(everything)) grant(available.filter((name) => !dropped.includes(name)));
  else if (dropped.includes(everything)) grant(added);
  else {
    grant(defaultCapabilities.filter((name) => !dropped.includes(name)));
    grant(added);
  }
  return allCapabilities.filter((name) => granted.has(name) && available.includes(name));
}
