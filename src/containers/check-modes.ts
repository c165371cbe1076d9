/** Checks which namespaces a container shares and with whom, and what cannot be asked for together. Sentences are Docker's. */
import { invalidParameter, systemError } from "../lib/errors.ts";
import { checkSysctls } from "../runtime/sysctls.ts";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";

/** The container named by `container:NAME`; "" where none is named, undefined for another mode. */
export function sharedContainer(mode: string | undefined): string | undefined {
  return mode?.startsWith("container:") ? mode.slice("container:".length) : undefined;
}

const hasEntries = (value: object | null | undefined) => value != null && Object.keys(value).length > 0;

/** Checks the namespace modes, but for the network's, and what hangs on them. Throws invalidParameter. */
export function checkModes(config: ContainerConfig, hostConfig: HostConfig, warnings: string[]): void {
  const { IpcMode = "", PidMode = "", UTSMode = "", CgroupnsMode = "", UsernsMode = "" } = hostConfig;
  if (!["", "none", "private", "shareable", "host"].includes(IpcMode) && !sharedContainer(IpcMode))
    throw invalidParameter(`invalid IPC mode: ${IpcMode}`);
  if (PidMode !== "" && PidMode !== "host" && !sharedContainer(PidMode))
    throw invalidParameter(`invalid PID mode: ${PidMode}`);
  if (UTSMode !== "" && UTSMode !== "host") throw invalidParameter(`invalid UTS mode: ${UTSMode}`);
  if (UTSMode === "host" && config.Hostname) throw invalidParameter("conflicting options: hostname and the UTS mode");
  if (!["", "private", "host"].includes(CgroupnsMode))
    throw invalidParameter(`invalid cgroup namespace mode: ${CgroupnsMode}`);
  if (!["", "host", "private"].includes(UsernsMode)) throw invalidParameter(`invalid USER mode: ${UsernsMode}`);
  if (hostConfig.NetworkMode === "host" && hasEntries(hostConfig.PortBindings))
    warnings.push("Published ports are discarded when using host network mode");
  for (const link of hostConfig.Links ?? [])
    if (!/^[^:]+(:[^:]+)?$/.test(link)) throw systemError(`bad format for links: ${link}`);
  checkSysctls(hostConfig.Sysctls ?? {}, {
    network: hostConfig.NetworkMode === "host",
    ipc: IpcMode === "host",
    uts: UTSMode === "host",
  });
}
