/** inspect: all that is known of a container. */
import type { ContainerConfig, ContainerInspectResponse } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { shownHealth } from "./health.ts";
import { shownLinks } from "./links.ts";
import { etcFile, logPath } from "./paths.ts";
import type { Rooms } from "./rooms.ts";

/** GET /containers/{id}/json */
export async function inspectContainer(
  rooms: Rooms,
  container: Container,
  { size }: { size: boolean },
): Promise<ContainerInspectResponse> {
  const { record, id } = container;
  const { state } = record;
  const { settings } = rooms;
  const health = shownHealth(container);
  const writable = size ? await rooms.rootfs.usage(id) : 0;
  return {
    Id: id,
    Created: record.created,
    Path: record.path,
    Args: record.args,
    State: {
      Status: state.status,
      Running: container.running || state.status === "restarting",
      Paused: state.status === "paused",
      Restarting: state.status === "restarting",
      OOMKilled: state.oomKilled,
      Dead: state.status === "dead",
      Pid: state.pid,
      ExitCode: state.exitCode,
      Error: state.error,
      StartedAt: state.startedAt,
      FinishedAt: state.finishedAt,
      ...(health === undefined ? {} : { Health: health }),
    },
    Image: record.imageId,
    ResolvConfPath: etcFile(settings, id, "resolv.conf"),
    HostnamePath: etcFile(settings, id, "hostname"),
    HostsPath: etcFile(settings, id, "hosts"),
    LogPath: record.hostConfig.LogConfig?.Type === "none" ? "" : logPath(settings, id),
    Name: `/${record.name}`,
    RestartCount: record.restartCount,
    Driver: rooms.rootfs.graphDriver(id, record.diffIds).Name,
    Platform: record.platform.os,
    MountLabel: "",
    ProcessLabel: "",
    AppArmorProfile: "",
    ExecIDs: runningExecs(container),
    HostConfig: { ...record.hostConfig, Links: shownLinks(record) as string[] },
    GraphDriver: rooms.rootfs.graphDriver(id, record.diffIds),
    ...(size ? { SizeRw: writable, SizeRootFs: writable + rooms.rootfs.virtualSize(record.diffIds) } : {}),
    Mounts: record.mounts,
    Config: completeConfig(record.config),
    NetworkSettings: rooms.networks.settingsOf(id, state.pid, record),
  };
}

function runningExecs({ execs }: Container): string[] | null {
  const ids = [...execs].filter(({ running }) => running).map(({ id }) => id);
  return ids.length === 0 ? null : ids;
}

/** The configuration with every field that clients expect to find, in Docker's order. */
export function completeConfig(config: ContainerConfig): ContainerConfig {
  const { ExposedPorts, Healthcheck, ArgsEscaped, NetworkDisabled, StopSignal, StopTimeout, Shell } = config;
  return {
    Hostname: config.Hostname ?? "",
    Domainname: config.Domainname ?? "",
    User: config.User ?? "",
    AttachStdin: config.AttachStdin ?? false,
    AttachStdout: config.AttachStdout ?? false,
    AttachStderr: config.AttachStderr ?? false,
    ...(ExposedPorts ? { ExposedPorts } : {}),
    Tty: config.Tty ?? false,
    OpenStdin: config.OpenStdin ?? false,
    StdinOnce: config.StdinOnce ?? false,
    Env: config.Env ?? [],
    Cmd: config.Cmd ?? (null as never),
    ...(Healthcheck ? { Healthcheck } : {}),
    ...(ArgsEscaped ? { ArgsEscaped } : {}),
    Image: config.Image ?? "",
    Volumes: config.Volumes ?? (null as never),
    WorkingDir: config.WorkingDir ?? "",
    Entrypoint: config.Entrypoint ?? (null as never),
    ...(NetworkDisabled ? { NetworkDisabled } : {}),
    OnBuild: config.OnBuild ?? null,
    Labels: config.Labels ?? {},
    ...(StopSignal ? { StopSignal } : {}),
    ...(StopTimeout !== undefined && StopTimeout !== null ? { StopTimeout } : {}),
    ...(Shell ? { Shell } : {}),
  };
}
