/** connect and disconnect: a container's networks, while it runs and while it does not. */
import { processStartTime } from "../kernel/process.ts";
import { BrigError, forbidden, invalidParameter, notFound } from "../lib/errors.ts";
import { hostsWithAddresses } from "../networks/files.ts";
import type { LiveContainer, NetworkedContainer } from "../networks/networks.ts";
import { keptFdsStart } from "../runtime/conmon.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { ownAddresses } from "./bundle.ts";
import type { Container } from "./container.ts";
import { changeEtcFile } from "./etc-files.ts";
import type { Rooms } from "./rooms.ts";

/**
 * POST /networks/{id}/connect. A container that does not run is on the network from its next start.
 * Throws what Docker's daemon says of networks that a container cannot have beside those it has.
 */
export function connectContainer(
  rooms: Rooms,
  container: Container,
  nameOrId: string,
  settings: EndpointSettings,
): Promise<void> {
  return container.lock.run(async () => {
    const { record } = container;
    const { name } = rooms.networks.resolve(nameOrId);
    checkAlive(container);
    checkSharing(container);
    const mode = record.hostConfig.NetworkMode ?? "";
    if (name === "host" || "host" in record.endpoints)
      throw forbidden("container cannot be disconnected from host network or connected to host network");
    if ((name === "none" || "none" in record.endpoints) && Object.keys(record.endpoints).length > 0)
      throw invalidParameter(
        "container cannot be connected to multiple networks with one of the networks in private (none) mode",
      );
    const subject = networked(container);
    const known = keyOf(rooms, container, name);
    if (known !== undefined) throw forbidden(`endpoint with name ${record.name} already exists in network ${name}`);
    rooms.networks.checkConnect(subject, name, settings);
    if (container.running) rooms.networks.connect(subject, record.state.pid, name, settings);
    record.endpoints[name] = settings;
    // Docker's: a container that has left its only network belongs to the next one it comes to.
    if (keyOf(rooms, container, mode) === undefined && Object.keys(record.endpoints).length === 1)
      record.hostConfig.NetworkMode = name;
    rooms.store.save(container);
    if (container.running) renewEtcFiles(rooms, container);
  });
}

/**
 * POST /networks/{id}/disconnect. Throws where the container is not on it. Of a container that does not run, and with
 * `force`, the network may be one that is not there any more.
 */
export function disconnectContainer(
  rooms: Rooms,
  container: Container,
  nameOrId: string,
  force: boolean,
): Promise<void> {
  return container.lock.run(async () => {
    const { record, id } = container;
    const name = nameOf(rooms, nameOrId);
    if (name === undefined && container.running && !force) throw notFound(`network ${nameOrId} not found`);
    checkAlive(container);
    const key = keyOf(rooms, container, name ?? nameOrId);
    if (key === undefined)
      throw forbidden(
        container.running
          ? `container ${id} is not connected to network ${name ?? nameOrId}`
          : `container ${id} is not connected to the network ${name ?? nameOrId}`,
      );
    if (name === "host")
      throw forbidden("container cannot be disconnected from host network or connected to host network");
    if (container.running && name !== undefined) {
      // Before: a daemon that is killed in between adds what is missing when it is back, and takes nothing away.
      renewHosts(rooms, container, name);
      rooms.networks.disconnect(id, record.state.pid, name);
    }
    delete record.endpoints[key];
    rooms.store.save(container);
  });
}

function nameOf({ networks }: Rooms, nameOrId: string): string | undefined {
  try {
    return networks.resolve(nameOrId).name;
  } catch (error) {
    if (error instanceof BrigError && error.kind === "notFound") return undefined;
    throw error;
  }
}

/** What a running container has in /etc follows its networks; what somebody has written there himself stays. */
export function renewEtcFiles(rooms: Rooms, container: Container): void {
  renewHosts(rooms, container);
  const renewal = rooms.networks.resolvConfOf(networked(container));
  if (renewal === undefined) return;
  const { before, now } = renewal;
  changeEtcFile(rooms, container.id, "resolv.conf", (content) => (before.includes(content) ? now : content));
}

/** `leaving`: a network the container is still on. */
function renewHosts(rooms: Rooms, { id, record }: Container, leaving = ""): void {
  const { Networks = {} } = rooms.networks.settingsOf(id, record.state.pid, record);
  const { [leaving]: left, ...kept } = Networks;
  const names = { hostname: record.config.Hostname ?? "", domainname: record.config.Domainname ?? "" };
  const gone = left === undefined ? [] : ownAddresses({ left });
  changeEtcFile(rooms, id, "hosts", (content) =>
    hostsWithAddresses(content, names, { gone, come: ownAddresses(kept) }),
  );
}

/** A container as its networks know it. */
export function networked({ id, record: { name, config, hostConfig } }: Container): NetworkedContainer {
  return { containerId: id, name, config, hostConfig };
}

/** A container that runs while the daemon starts, as its networks know it. */
export function liveOnNetworks(container: Container): LiveContainer {
  const { pid, conmonPid } = container.record.state;
  const keeper = { pid: conmonPid, startTime: processStartTime(conmonPid) ?? 0, firstFd: keptFdsStart };
  return { ...networked(container), pid, keeper };
}

/** Under which name or id a container asked for a network; undefined where it did not. */
function keyOf(rooms: Rooms, { record }: Container, name: string): string | undefined {
  return Object.keys(record.endpoints).find((key) => key === name || nameOf(rooms, key) === name);
}

function checkAlive({ record, id }: Container): void {
  const { status } = record.state;
  if (status === "removing" || status === "dead")
    throw forbidden(`container ${id} is marked for removal and cannot be connected or disconnected to the network`);
}

function checkSharing({ record }: Container): void {
  const mode = record.hostConfig.NetworkMode ?? "";
  if (mode.startsWith("container:") || mode === "host")
    throw forbidden(
      "container sharing network namespace with another container or host cannot be connected to any other network",
    );
}
