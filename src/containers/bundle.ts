/** The OCI bundle of a run: files over the image's /etc, namespaces, mounts, and the spec that names them. */
import { mkdirSync, writeFileSync } from "node:fs";
import { MS_NODEV, MS_NOEXEC, MS_NOSUID, mount } from "../kernel/mount.ts";
import { conflict, systemError } from "../lib/errors.ts";
import { hostHostsFile, hostnameFile, hostsFile } from "../networks/files.ts";
import type { Sandbox } from "../networks/networks.ts";
import { containerEnvironment } from "../runtime/environment.ts";
import { hostFacts } from "../runtime/host-facts.ts";
import type { OciMount, OciSpec } from "../runtime/oci.ts";
import { buildSpec } from "../runtime/spec.ts";
import { resolveUser } from "../runtime/user.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { type ContainerLink, linkEnvironment, linkLines, linksOf } from "./links.ts";
import type { MountStage } from "./mount-stage.ts";
import { toOciMounts } from "./mounts.ts";
import { cgroupsPath, etcFile, shmDir } from "./paths.ts";
import type { ContainerRecord } from "./record.ts";
import type { Rooms } from "./rooms.ts";

/** Writes what the container finds mounted and returns its spec. `rootfs` is the mounted root, `sandbox` its own network, if it has one. `stage` is to stay until the runtime has made the container. */
export async function buildBundle(
  rooms: Rooms,
  container: Container,
  rootfs: string,
  sandbox: Sandbox | undefined,
  stage: MountStage,
): Promise<OciSpec> {
  const { record, id } = container;
  const { config, hostConfig } = record;
  const { settings } = rooms;
  const user = resolveUser(rootfs, config.User ?? "", hostConfig.GroupAdd ?? []);
  const partner = networkPartner(rooms, record);
  const hostname = (partner?.record ?? record).config.Hostname ?? "";
  const tty = config.Tty ?? false;
  const useInit = hostConfig.Init ?? settings.init;
  const links = linksOf(rooms, record);
  if (partner === undefined) writeEtcFiles(rooms, record, sandbox, links);
  return buildSpec({
    id,
    hostname,
    domainname: config.Domainname ?? "",
    rootfs,
    args: [record.path, ...record.args],
    env: containerEnvironment([...linkEnvironment(links), ...(config.Env ?? [])], { hostname, home: user.home, tty }),
    cwd: config.WorkingDir || "/",
    user,
    tty,
    config,
    hostConfig,
    mounts: [...etcMounts(rooms, record, partner ?? container), ...(await toOciMounts(record, rootfs, rooms, stage))],
    namespaces: {
      network: partner === undefined ? (sandbox?.namespacePath ?? "host") : namespaceOf(partner, "net"),
      pid: namespace(rooms, hostConfig.PidMode, "pid"),
      ipc: namespace(rooms, hostConfig.IpcMode, "ipc"),
      uts: hostConfig.UTSMode === "host" ? "host" : undefined,
      cgroup: hostConfig.CgroupnsMode === "host" ? "host" : undefined,
    },
    ownsNetwork: partner === undefined && sandbox?.namespacePath !== undefined,
    shmPath: shmPath(rooms, record),
    cgroupsPath: cgroupsPath(settings, id, hostConfig.CgroupParent),
    initPath: useInit ? settings.initPath : undefined,
    defaultUlimits: settings.ulimits,
    defaultSeccompProfile: settings.seccompProfile,
    defaultNoNewPrivileges: settings.noNewPrivileges,
    host: hostFacts(),
  });
}

/** The running container whose network this one shares (`container:X`). Throws where it does not run. */
function networkPartner(rooms: Rooms, record: ContainerRecord): Container | undefined {
  const mode = record.hostConfig.NetworkMode ?? "";
  return mode.startsWith("container:") ? runningPartner(rooms, mode.slice("container:".length), "network") : undefined;
}

function runningPartner(rooms: Rooms, nameOrId: string, kind: string): Container {
  const partner = rooms.store.find(nameOrId);
  if (!partner.running) throw conflict(`cannot join ${kind} namespace of a non running container: ${partner.id}`);
  return partner;
}

const namespaceOf = ({ record }: Container, kind: string) => `/proc/${record.state.pid}/ns/${kind}`;

/** A namespace path, "host", or undefined for one of its own. */
function namespace(rooms: Rooms, mode: string | undefined, kind: "pid" | "ipc"): string | undefined {
  if (mode === "host") return "host";
  if (!mode?.startsWith("container:")) return undefined;
  return namespaceOf(runningPartner(rooms, mode.slice("container:".length), kind), kind);
}

/** The host directory that is to be /dev/shm, made where the container shares its own. */
function shmPath(rooms: Rooms, { id, hostConfig }: ContainerRecord): string | undefined {
  const mode = hostConfig.IpcMode ?? "";
  if (mode.startsWith("container:")) {
    const { id: donor, record } = runningPartner(rooms, mode.slice("container:".length), "ipc");
    if (record.hostConfig.IpcMode !== "shareable")
      throw systemError(
        `failed to join IPC namespace: container ${donor}: non-shareable IPC (hint: use IpcMode:shareable for the donor container)`,
      );
    return shmDir(rooms.settings, donor);
  }
  if (mode !== "shareable") return undefined;
  const path = shmDir(rooms.settings, id);
  mkdirSync(path, { recursive: true });
  mount("shm", path, "tmpfs", MS_NOSUID | MS_NOEXEC | MS_NODEV, `mode=1777,size=${hostConfig.ShmSize ?? 64 << 20}`);
  return path;
}

/** The addresses of a container that runs, as its /etc/hosts has them. */
export function ownAddresses(endpoints: Record<string, EndpointSettings>): string[] {
  return Object.values(endpoints).flatMap(({ IPAddress, GlobalIPv6Address }) =>
    [IPAddress, GlobalIPv6Address].flatMap((address) => address || []),
  );
}

function writeEtcFiles(
  rooms: Rooms,
  { id, config, hostConfig }: ContainerRecord,
  sandbox: Sandbox | undefined,
  links: ContainerLink[],
): void {
  const { settings, networks } = rooms;
  const hostNetwork = sandbox?.namespacePath === undefined;
  const hostname = config.Hostname ?? "";
  const domainname = config.Domainname ?? "";
  writeFileSync(
    etcFile(settings, id, "hosts"),
    hostsFile({
      hostname,
      domainname,
      addresses: ownAddresses(sandbox?.endpoints ?? {}),
      extraHosts: hostConfig.ExtraHosts ?? [],
      hostGateways: networks.hostGateways,
      links: linkLines(links),
      base: hostNetwork ? hostHostsFile() : undefined,
    }),
  );
  writeFileSync(etcFile(settings, id, "hostname"), hostnameFile(hostname));
  writeFileSync(etcFile(settings, id, "resolv.conf"), sandbox?.resolvConf ?? "");
}

/** Binds of `owner`'s files over /etc, but not over what the container mounts there itself. */
function etcMounts(rooms: Rooms, record: ContainerRecord, owner: Container): OciMount[] {
  const options = ["rbind", record.hostConfig.ReadonlyRootfs ? "ro" : "rw", "rprivate"];
  const taken = new Set(record.mounts.map(({ Destination }) => Destination));
  return (["resolv.conf", "hostname", "hosts"] as const)
    .map((name) => ({
      destination: `/etc/${name}`,
      type: "bind",
      source: etcFile(rooms.settings, owner.id, name),
      options,
    }))
    .filter(({ destination }) => !taken.has(destination));
}
