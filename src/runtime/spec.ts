/** config.json: from what the API was asked for to what the OCI runtime is told. */
import { invalidParameter } from "../lib/errors.ts";
import type { ContainerConfig, HostConfig } from "../wire/engine-api.ts";
import { containerCapabilities } from "./capabilities.ts";
import { defaultMaskedPaths, defaultMounts, defaultReadonlyPaths, withMounts } from "./default-mounts.ts";
import { containerDevices } from "./devices.ts";
import type { HostFacts } from "./host-facts.ts";
import type { OciCapabilities, OciMount, OciNamespace, OciProcess, OciSeccomp, OciSpec } from "./oci.ts";
import { containerResources } from "./resources.ts";
import { containerRlimits, type Ulimit } from "./rlimits.ts";
import { compileProfile, defaultSeccomp, parseProfile } from "./seccomp.ts";
import { filterAnnotation, seccompFilter } from "./seccomp-filter.ts";
import { parseSecurityOptions, type SecurityOptions } from "./security-options.ts";
import { checkSysctls } from "./sysctls.ts";
import type { ResolvedUser } from "./user.ts";

/** Everything a container's spec is made of. */
export interface SpecInput {
  id: string;
  hostname: string;
  domainname: string;
  /** Where the root file system is mounted on the host. */
  rootfs: string;
  args: string[];
  /** Complete: see containerEnvironment. */
  env: string[];
  cwd: string;
  user: ResolvedUser;
  tty: boolean;
  config: ContainerConfig;
  hostConfig: HostConfig;
  /** Binds, volumes, tmpfs, /etc/hosts and so on, resolved and in the order they are to be mounted. */
  mounts: OciMount[];
  /** A path joins that namespace; "host" shares the host's; absent makes a new one. */
  namespaces: { network?: string; pid?: string; ipc?: string; uts?: "host"; cgroup?: "host" };
  /** True where `namespaces.network` was made for this container, false where it is another container's. */
  ownsNetwork: boolean;
  /** A directory of the host to be /dev/shm; else it is a tmpfs of the container's own. */
  shmPath?: string;
  /** See cgroupsPathOf. */
  cgroupsPath: string;
  /** The init program on the host, where the container is to have one. */
  initPath?: string;
  defaultUlimits: readonly Ulimit[];
  /** The daemon's seccomp-profile: `builtin`, `unconfined`, or a profile as JSON. */
  defaultSeccompProfile: string;
  /** The daemon's no-new-privileges. */
  defaultNoNewPrivileges: boolean;
  host: HostFacts;
}

const initInContainer = "/sbin/docker-init";
const defaultShmSizeBytes = 64 * 2 ** 20;

/** The capabilities of a process: others than root get none to begin with, but may gain the bounded ones by exec. */
function capabilitiesFor(names: string[], uid: number): OciCapabilities {
  const active = uid === 0 ? names : [];
  return { bounding: names, effective: active, permitted: active, inheritable: [], ambient: [] };
}

/** Primary group first, so that the runtime drops its own supplementary groups even where there are no others. */
const ociUser = ({ uid, gid, additionalGids }: ResolvedUser) => ({
  uid,
  gid,
  additionalGids: [gid, ...additionalGids],
});

function oomScoreAdjFor(asked: number, host: HostFacts): number | undefined {
  if (asked >= host.oomScoreAdj || host.capabilities.includes("CAP_SYS_RESOURCE")) return asked;
  if (asked === 0) return undefined;
  throw invalidParameter(
    `cannot set the OOM score adjustment to ${asked}: this daemon's own is ${host.oomScoreAdj} and it may not go lower (it lacks CAP_SYS_RESOURCE)`,
  );
}

function appArmorFor({ appArmor }: SecurityOptions, host: HostFacts): string | undefined {
  if (appArmor === undefined || appArmor === "") return undefined;
  if (host.appArmor) return appArmor;
  // Compose files name these two everywhere, also where there is no AppArmor to be loosened or tightened.
  if (appArmor === "unconfined" || appArmor === "docker-default") return undefined;
  throw invalidParameter(`cannot apply the AppArmor profile ${appArmor}: AppArmor is not enabled on this host`);
}

/** Compiles the filter that most containers get, so that the first of them need not wait for it: some 20 ms. */
export function prepareFilter(input: Pick<SpecInput, "host" | "defaultSeccompProfile">): void {
  const capabilities = containerCapabilities({}, input.host.capabilities);
  const seccomp = seccompFor({ ...input, hostConfig: {} }, parseSecurityOptions([]), capabilities);
  if (seccomp !== undefined) seccompFilter(seccomp);
}

type SeccompInput = Pick<SpecInput, "host" | "hostConfig" | "defaultSeccompProfile">;

function seccompFor(input: SeccompInput, options: SecurityOptions, capabilities: string[]): OciSeccomp | undefined {
  const profile = options.seccomp ?? (input.hostConfig.Privileged ? "unconfined" : input.defaultSeccompProfile);
  if (profile === "unconfined") return undefined;
  const facts = { capabilities, machine: input.host.machine, kernel: input.host.kernel };
  return profile === "builtin" || profile === "" ? defaultSeccomp(facts) : compileProfile(parseProfile(profile), facts);
}

function namespacesFor(namespaces: SpecInput["namespaces"]): OciNamespace[] {
  const list: OciNamespace[] = [{ type: "mount" }];
  for (const type of ["network", "uts", "pid", "ipc", "cgroup"] as const) {
    const choice = namespaces[type];
    if (choice === undefined) list.push({ type });
    else if (choice !== "host") list.push({ type, path: choice });
  }
  return list;
}

/** Settings that let anybody in the container ping and listen below 1024: its network is its own. */
const ownNetworkSysctls = {
  "net.ipv4.ip_unprivileged_port_start": "0",
  "net.ipv4.ping_group_range": "0 2147483647",
};

function sysctlsFor(input: SpecInput): Record<string, string> {
  const asked = input.hostConfig.Sysctls ?? {};
  checkSysctls(asked, {
    network: input.namespaces.network === "host",
    ipc: input.namespaces.ipc === "host",
    uts: input.namespaces.uts === "host",
  });
  return {
    ...(input.ownsNetwork && ownNetworkSysctls),
    ...(input.domainname !== "" && input.namespaces.uts !== "host" && { "kernel.domainname": input.domainname }),
    ...asked,
  };
}

function mountsFor(input: SpecInput): OciMount[] {
  const { hostConfig, namespaces } = input;
  const shmPath = input.shmPath ?? (hostConfig.IpcMode === "none" ? "none" : undefined);
  const defaults = defaultMounts({
    privileged: hostConfig.Privileged ?? false,
    shmSize: hostConfig.ShmSize || defaultShmSizeBytes,
    shmPath: shmPath ?? (namespaces.ipc === "host" ? "/dev/shm" : undefined),
  });
  const own = [...input.mounts];
  if (input.initPath !== undefined)
    own.push({
      destination: initInContainer,
      type: "bind",
      source: input.initPath,
      options: ["bind", "ro", "rprivate"],
    });
  return withMounts(defaults, own);
}

/** What the process of a container and that of an exec have in common; the rest is their own. */
function confinedProcess(
  input: SpecInput | ExecInput,
  options: SecurityOptions,
  capabilities: string[],
  own: { args: string[]; height: number | undefined; width: number | undefined; apparmorProfile: string | undefined },
): OciProcess {
  const { hostConfig, host } = input;
  const { args, height, width, apparmorProfile } = own;
  const mayRaiseLimits = host.capabilities.includes("CAP_SYS_RESOURCE");
  const oomScoreAdj = oomScoreAdjFor(hostConfig.OomScoreAdj ?? 0, host);
  return {
    terminal: input.tty,
    ...(input.tty && height && width && { consoleSize: { height, width } }),
    user: ociUser(input.user),
    args,
    env: input.env,
    cwd: input.cwd || "/",
    capabilities: capabilitiesFor(capabilities, input.user.uid),
    rlimits: containerRlimits(
      hostConfig.Ulimits ?? [],
      input.defaultUlimits,
      mayRaiseLimits ? undefined : host.rlimits,
    ),
    noNewPrivileges: options.noNewPrivileges ?? input.defaultNoNewPrivileges,
    ...(oomScoreAdj !== undefined && { oomScoreAdj }),
    ...(apparmorProfile !== undefined && { apparmorProfile }),
  };
}

function processFor(input: SpecInput, options: SecurityOptions, capabilities: string[]): OciProcess {
  const { hostConfig, host } = input;
  const [height, width] = hostConfig.ConsoleSize ?? [];
  return confinedProcess(input, options, capabilities, {
    args: input.initPath === undefined ? input.args : [initInContainer, "--", ...input.args],
    height,
    width,
    apparmorProfile: hostConfig.Privileged ? undefined : appArmorFor(options, host),
  });
}

function annotationsFor(hostConfig: HostConfig, seccomp: OciSeccomp | undefined): Record<string, string> {
  const annotations = { ...hostConfig.Annotations };
  // A filter that came from the client would take the place of the container's own.
  delete annotations[filterAnnotation];
  const filter = seccomp && seccompFilter(seccomp);
  if (filter !== undefined) annotations[filterAnnotation] = filter;
  return annotations;
}

/**
 * The spec of a container. Looks at the host only for device nodes (--device, privileged, block devices).
 * Throws invalidParameter where something asked for is not there or not allowed on this host.
 */
export function buildSpec(input: SpecInput): OciSpec {
  const { hostConfig, host } = input;
  const options = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  const capabilities = containerCapabilities(hostConfig, host.capabilities);
  const { devices, rules } = containerDevices(hostConfig);
  const seccomp = seccompFor(input, options, capabilities);
  const bare = hostConfig.Privileged || options.systemPathsUnconfined;
  return {
    ociVersion: "1.0.2",
    process: processFor(input, options, capabilities),
    root: { path: input.rootfs, readonly: hostConfig.ReadonlyRootfs ?? false },
    ...(input.namespaces.uts !== "host" && { hostname: input.hostname }),
    mounts: mountsFor(input),
    annotations: annotationsFor(hostConfig, seccomp),
    linux: {
      namespaces: namespacesFor(input.namespaces),
      devices,
      cgroupsPath: input.cgroupsPath,
      resources: containerResources(hostConfig, rules),
      sysctl: sysctlsFor(input),
      ...(seccomp && { seccomp }),
      maskedPaths: bare ? [] : (hostConfig.MaskedPaths ?? defaultMaskedPaths(host.cpuCount)),
      readonlyPaths: bare ? [] : (hostConfig.ReadonlyPaths ?? defaultReadonlyPaths),
    },
  };
}

/** What a process beside a container's first one is made of. */
export interface ExecInput {
  args: string[];
  /** Complete: the container's own environment with the exec's over it. */
  env: string[];
  cwd: string;
  user: ResolvedUser;
  tty: boolean;
  consoleSize?: [height: number, width: number];
  privileged: boolean;
  /** Of the container. */
  hostConfig: HostConfig;
  defaultNoNewPrivileges: boolean;
  defaultUlimits: readonly Ulimit[];
  host: HostFacts;
}

/** The process of an exec: confined as the container is, or, privileged, with every capability. */
export function buildExecProcess(input: ExecInput): OciProcess {
  const { hostConfig, host } = input;
  const [height, width] = input.consoleSize ?? [];
  const options = parseSecurityOptions(hostConfig.SecurityOpt ?? []);
  const capabilities = containerCapabilities(input.privileged ? { Privileged: true } : hostConfig, host.capabilities);
  const isFree = hostConfig.Privileged || (input.privileged && host.appArmor);
  const apparmorProfile = isFree ? undefined : appArmorFor(options, host);
  return confinedProcess(input, options, capabilities, { args: input.args, height, width, apparmorProfile });
}
