/** list: what `ps` shows. */
import type { ContainerSummary, MountPoint, PortSummary } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { containerFilter, type Filters } from "./filters.ts";
import { statusText } from "./record.ts";
import type { Rooms } from "./rooms.ts";

/** GET /containers/json */
export interface ListQuery {
  all: boolean;
  /** Only the newest so many, running or not; 0 for no limit. */
  limit: number;
  /** Adds the sizes of the writable layer and of the whole root. */
  size: boolean;
  filters: Filters;
}

/** Filters that by themselves show containers that do not run. */
const showsStopped = ["status", "exited"];

/** The containers that match, newest first. */
export async function listContainers(rooms: Rooms, query: ListQuery): Promise<ContainerSummary[]> {
  const passes = containerFilter(rooms, query.filters);
  const all = query.all || query.limit > 0 || showsStopped.some((name) => query.filters.has(name));
  const found: Container[] = [];
  for (const container of rooms.store.all())
    if ((all || container.running || container.record.state.status === "restarting") && passes(container))
      found.push(container);
  found.sort((a, b) => (a.record.created < b.record.created ? 1 : -1));
  if (query.limit > 0) found.length = Math.min(found.length, query.limit);
  const nowMs = Date.now();
  const summaries = found.map((container) => summarise(rooms, container, nowMs));
  if (query.size)
    await Promise.all(
      found.map(async ({ id, record }, index) => {
        const summary = summaries[index]!;
        const writable = await rooms.rootfs.usage(id);
        if (writable > 0) summary.SizeRw = writable;
        summary.SizeRootFs = writable + rooms.rootfs.virtualSize(record.diffIds);
      }),
    );
  return summaries;
}

function summarise(rooms: Rooms, container: Container, nowMs: number): ContainerSummary {
  const { record, id } = container;
  const settings = rooms.networks.settingsOf(id, record.state.pid, record);
  return {
    Id: id,
    Names: [`/${record.name}`],
    Image: imageName(rooms, record.imageId, record.config.Image ?? ""),
    ImageID: record.imageId,
    Command: commandLine(record.path, record.args),
    Created: Math.floor(Date.parse(record.created) / 1000),
    Ports: portsOf(rooms, container),
    Labels: record.config.Labels ?? {},
    State: record.state.status,
    Status: statusText(record, nowMs),
    Health: {
      Status: record.state.health?.status ?? "none",
      FailingStreak: record.state.health?.failingStreak ?? 0,
    },
    HostConfig: { NetworkMode: record.hostConfig.NetworkMode ?? "bridge" },
    NetworkSettings: { Networks: settings.Networks ?? {} },
    Mounts: record.mounts as MountPoint[],
  };
}

/** The name it was created by, or the image's id where that name now means another image, or none. */
function imageName(rooms: Rooms, imageId: string, reference: string): string {
  return rooms.images.find(reference)?.id === imageId ? reference : imageId;
}

function commandLine(path: string, args: string[]): string {
  return [path, ...args.map((arg) => (/[\s"]/.test(arg) || arg === "" ? `'${arg}'` : arg))].join(" ");
}

function portsOf(rooms: Rooms, { record, id, running }: Container): PortSummary[] {
  const ports: PortSummary[] = [];
  if (!running) return ports;
  for (const [port, bindings] of Object.entries(rooms.networks.portsOf(id))) {
    const [number, protocol = "tcp"] = port.split("/");
    const common = { PrivatePort: Number(number), Type: protocol as PortSummary["Type"] };
    if (!bindings?.length) ports.push(common);
    for (const { HostIp, HostPort } of bindings ?? [])
      ports.push({ IP: HostIp, PrivatePort: common.PrivatePort, PublicPort: Number(HostPort), Type: common.Type });
  }
  if (ports.length === 0 && record.hostConfig.NetworkMode !== "host")
    for (const port of Object.keys(record.config.ExposedPorts ?? {})) {
      const [number, protocol = "tcp"] = port.split("/");
      ports.push({ PrivatePort: Number(number), Type: protocol as PortSummary["Type"] });
    }
  return ports;
}
