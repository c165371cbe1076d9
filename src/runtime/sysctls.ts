/** Which kernel settings a container may have: those its own namespaces keep in. */
import { invalidParameter } from "../lib/errors.ts";

const ipcSysctls = new Set([
  "kernel.msgmax",
  "kernel.msgmnb",
  "kernel.msgmni",
  "kernel.sem",
  "kernel.shmall",
  "kernel.shmmax",
  "kernel.shmmni",
  "kernel.shm_rmid_forced",
]);

/**
 * Checks the settings a container asks for against the namespaces it shares with the host.
 * Throws invalidParameter for a setting that would change the host.
 */
export function checkSysctls(
  sysctls: Readonly<Record<string, string>>,
  shares: { network: boolean; ipc: boolean; uts: boolean },
): void {
  for (const [given, value] of Object.entries(sysctls)) {
    const name = given.replaceAll("/", ".");
    if (!/^[a-z0-9_]+(\.[A-Za-z0-9_*-]+)+$/.test(name) || value.includes("\0"))
      throw invalidParameter(`sysctl '${given}=${value}' is not allowed`);
    if (ipcSysctls.has(name) || name.startsWith("fs.mqueue.")) {
      if (shares.ipc) throw invalidParameter(`sysctl "${given}" is not allowed in the hosts ipc namespace`);
    } else if (name.startsWith("net.")) {
      if (shares.network) throw invalidParameter(`sysctl "${given}" not allowed in host network namespace`);
    } else if (name === "kernel.domainname" || name === "kernel.hostname") {
      if (name === "kernel.hostname")
        throw invalidParameter(`sysctl "${given}" conflicts with the OCI field "hostname"`);
      if (shares.uts) throw invalidParameter(`sysctl "${given}" is not allowed in the hosts uts namespace`);
    } else throw invalidParameter(`sysctl "${given}" is not in a separate kernel namespace`);
  }
}
