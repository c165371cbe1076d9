/** Checks what a client asks of a new container before anything is made. Sentences are Docker's. */
import { invalidParameter, systemError } from "../lib/errors.ts";
import { parseSignal } from "../lib/signals.ts";
import { normaliseCapabilities } from "../runtime/capabilities.ts";
import { parseProfile } from "../runtime/seccomp.ts";
import { parseSecurityOptions } from "../runtime/security-options.ts";
import type { ContainerConfig, HostConfig, RestartPolicy } from "../wire/engine-api.ts";
import { checkLogConfig } from "./check-log-config.ts";
import { checkModes } from "./check-modes.ts";
import { checkResources, type ResourceHost } from "./check-resources.ts";

export { fillHostConfig, type HostConfigDefaults } from "./fill-host-config.ts";

import { checkMount, checkTmpfs, cleanDestination, parseBind, parseVolumesFrom } from "./volume-spec.ts";

/** What of the body of POST /containers/create is checked here. */
export interface CheckedRequest {
  config: ContainerConfig;
  hostConfig: HostConfig;
}

/** What of the host and the daemon a request is checked against. */
export interface CheckHost extends ResourceHost {
  /** The capabilities this daemon can hand on. */
  capabilities: readonly string[];
  appArmor: boolean;
  /** Names of the OCI runtimes that are configured. */
  runtimes: readonly string[];
  defaultLogDriver: string;
}

const nanosPerMs = 1_000_000;

function checkHealth({
  Interval,
  Timeout,
  StartPeriod,
  StartInterval,
  Retries,
}: NonNullable<ContainerConfig["Healthcheck"]>) {
  for (const [name, value = 0] of Object.entries({ Interval, Timeout, StartPeriod, StartInterval }))
    if (value !== 0 && value < nanosPerMs) throw invalidParameter(`${name} in Healthcheck cannot be less than 1ms`);
  if ((Retries ?? 0) < 0) throw invalidParameter("Retries in Healthcheck cannot be negative");
}

function checkConfig(config: ContainerConfig): void {
  const { WorkingDir, Env, StopSignal, Healthcheck } = config;
  if (WorkingDir && (!WorkingDir.startsWith("/") || WorkingDir.includes("\0")))
    throw invalidParameter(`the working directory '${WorkingDir}' is invalid, it needs to be an absolute path`);
  for (const entry of Env ?? [])
    if (entry === "" || entry.startsWith("=") || entry.includes("\0"))
      throw invalidParameter(`invalid environment variable: ${entry}`);
  for (const [field, text] of Object.entries({ Hostname: config.Hostname, Domainname: config.Domainname }))
    if (text && (text.length > 64 || /[\0\n\s/]/.test(text)))
      throw invalidParameter(`invalid ${field.toLowerCase()}: ${JSON.stringify(text)}`);
  for (const list of [config.Cmd, config.Entrypoint])
    if (list?.some((word) => word.includes("\0"))) throw invalidParameter("invalid command: it contains a NUL byte");
  if (StopSignal) parseSignal(StopSignal);
  if (Healthcheck) checkHealth(Healthcheck);
}

/** Checks a restart policy. Throws invalidParameter. */
export function checkRestartPolicy({ Name = "", MaximumRetryCount = 0 }: RestartPolicy): void {
  const invalid = (why: string) => invalidParameter(`invalid restart policy: ${why}`);
  if (!["", "no", "always", "unless-stopped", "on-failure"].includes(Name))
    throw invalid(`unknown policy '${Name}'; use one of 'no', 'always', 'on-failure', or 'unless-stopped'`);
  if (Name !== "on-failure" && MaximumRetryCount !== 0)
    throw invalid("maximum retry count can only be used with 'on-failure'");
  if (MaximumRetryCount < 0) throw invalid("maximum retry count cannot be negative");
}

function checkSecurity(hostConfig: HostConfig, host: CheckHost): void {
  normaliseCapabilities(hostConfig.CapAdd ?? [], "CapAdd", host.capabilities);
  normaliseCapabilities(hostConfig.CapDrop ?? [], "CapDrop", host.capabilities);
  const { seccomp, appArmor } = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  if (seccomp !== undefined && seccomp !== "builtin" && seccomp !== "unconfined") parseProfile(seccomp);
  if (appArmor && !host.appArmor && appArmor !== "unconfined" && appArmor !== "docker-default")
    throw invalidParameter(`cannot apply the AppArmor profile ${appArmor}: AppArmor is not enabled on this host`);
}

function checkMounts(config: ContainerConfig, hostConfig: HostConfig): void {
  const taken = new Set<string>();
  const take = (path: string) => {
    const destination = cleanDestination(path);
    if (taken.has(destination)) throw invalidParameter(`Duplicate mount point: ${path}`);
    taken.add(destination);
  };
  for (const mount of hostConfig.Mounts ?? []) checkMount(mount);
  for (const bind of hostConfig.Binds ?? []) take(parseBind(bind).destination);
  for (const { Target = "" } of hostConfig.Mounts ?? []) take(Target);
  for (const [destination, options] of Object.entries(hostConfig.Tmpfs ?? {})) {
    checkTmpfs(destination, options);
    take(destination);
  }
  for (const from of hostConfig.VolumesFrom ?? []) parseVolumesFrom(from);
  for (const destination of Object.keys(config.Volumes ?? {}))
    if (!destination.startsWith("/") || cleanDestination(destination) === "/" || destination.includes("\0"))
      throw invalidParameter(`invalid mount path: '${destination}' mount path must be absolute`);
}

/**
 * Checks a request to create a container, and takes out of its hostConfig what this host cannot do.
 * Returns a warning for each of those. Throws with Docker's sentence for what is wrong. The network
 * mode, ports and addresses are checked by networks/; names of other containers and volumes, and paths of the host,
 * where they are used.
 */
export function checkCreateRequest(request: CheckedRequest, host: CheckHost): string[] {
  const { config, hostConfig } = request;
  const warnings: string[] = [];
  checkConfig(config);
  checkRestartPolicy(hostConfig.RestartPolicy ?? {});
  if (hostConfig.AutoRemove && !["", "no"].includes(hostConfig.RestartPolicy?.Name ?? ""))
    throw invalidParameter("can't create 'AutoRemove' container with restart policy");
  checkModes(config, hostConfig, warnings);
  checkResources(hostConfig, host, warnings);
  checkSecurity(hostConfig, host);
  checkMounts(config, hostConfig);
  checkLogConfig(hostConfig.LogConfig ?? {}, host.defaultLogDriver);
  if (hostConfig.Annotations && "" in hostConfig.Annotations)
    throw invalidParameter("invalid Annotations: the empty string is not permitted as an annotation key");
  if (hostConfig.Runtime && !host.runtimes.includes(hostConfig.Runtime))
    throw invalidParameter(`unknown or invalid runtime name: ${hostConfig.Runtime}`);
  if (hostConfig.Isolation && hostConfig.Isolation !== "default")
    throw systemError(`Invalid isolation: "${hostConfig.Isolation}" - linux only supports 'default'`);
  if (Object.keys(hostConfig.StorageOpt ?? {}).length > 0)
    throw systemError("--storage-opt is supported only for overlay over xfs with 'pquota' mount option");
  return warnings;
}
