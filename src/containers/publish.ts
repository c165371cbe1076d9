/** Publishing and unpublishing ports of a container that exists; of one that runs at once, without touching it. */
import { conflict, invalidParameter } from "../lib/errors.ts";
import { parsePort, publishRequests } from "../networks/ports.ts";
import type { PublishedPort } from "../networks/record.ts";
import type { PortBinding, PortMap } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import type { Rooms } from "./rooms.ts";

/** A port to take back: a container's, or with `hostPort` that one of those that lead to it. */
interface Unwanted {
  protocol: string;
  containerPort: number;
  hostPort: number | undefined;
}

/**
 * Changes which ports are published. `added` has the form of HostConfig.PortBindings, `removed` are texts
 * `[HOST:]CONTAINER[/PROTOCOL]`. Nothing changes where one port cannot be had, or one to be removed is not published.
 */
export function changePublished(rooms: Rooms, container: Container, added: PortMap, removed: string[]): void {
  const { record, id } = container;
  const { hostConfig, config } = record;
  const mode = hostConfig.NetworkMode ?? "";
  if (mode === "host" || mode === "none" || mode.startsWith("container:"))
    throw conflict(`ports of container ${record.name} cannot be published: its network mode is ${mode}`);
  const unwanted = removed.map(parseUnwanted);
  const isUnwanted = (key: string, hostPort: string) => unwanted.some((one) => matches(one, key, hostPort));
  const running = container.running ? rooms.networks.portsOf(id) : (hostConfig.PortBindings ?? {});
  for (const [index, one] of unwanted.entries()) {
    const isThere = Object.entries(running).some(([key, bindings]) =>
      (bindings ?? []).some(({ HostPort = "" }) => matches(one, key, HostPort)),
    );
    if (!isThere) throw invalidParameter(`port ${removed[index]} of container ${record.name} is not published`);
  }
  const requests = publishRequests({}, { PortBindings: added });
  if (container.running)
    rooms.networks.changePorts(id, requests, ({ containerPort, protocol, hostPort }: PublishedPort) =>
      isUnwanted(`${containerPort}/${protocol}`, String(hostPort)),
    );
  const bindings: PortMap = {};
  for (const [key, present] of Object.entries(hostConfig.PortBindings ?? {})) {
    // A port that was found by the daemon has no number here: it goes with its container's.
    const kept = (present ?? []).filter(({ HostPort = "" }) =>
      HostPort === "" || HostPort === "0" || HostPort.includes("-")
        ? !unwanted.some((one) => matches({ ...one, hostPort: undefined }, key, ""))
        : !isUnwanted(key, HostPort),
    );
    if (kept.length > 0) bindings[key] = kept;
  }
  for (const [key, come] of Object.entries(added)) {
    const { port, protocol } = parsePort(key);
    const full = `${port}/${protocol}`;
    bindings[full] = [...((bindings[full] as PortBinding[] | undefined) ?? []), ...(come ?? [{}])];
    config.ExposedPorts = { ...config.ExposedPorts, [full]: {} };
  }
  hostConfig.PortBindings = bindings;
}

function parseUnwanted(text: string): Unwanted {
  const parts = text.split(":");
  const { port, protocol } = parsePort(parts.at(-1)!);
  const host = parts.at(-2);
  if (parts.length > 2 || (host !== undefined && !/^\d{1,5}$/.test(host)))
    throw invalidParameter(`invalid port to take back: ${text} (it is [HOST:]CONTAINER[/PROTOCOL])`);
  return { protocol, containerPort: port, hostPort: host === undefined ? undefined : Number(host) };
}

function matches({ protocol, containerPort, hostPort }: Unwanted, key: string, bound: string): boolean {
  const known = parsePort(key);
  return (
    known.protocol === protocol &&
    known.port === containerPort &&
    (hostPort === undefined || bound === String(hostPort))
  );
}
