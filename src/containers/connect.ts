/** connect and disconnect: a container's networks, while it runs and while it does not. */
import { readFileSync, writeFileSync } from "node:fs";
import { processStartTime } from "../kernel/process.ts";
import { forbidden, invalidParameter } from "../lib/errors.ts";
import type { LiveContainer, NetworkedContainer } from "../networks/networks.ts";
import { keptFdsStart } from "../runtime/conmon.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import type { Container } from "./container.ts";
import { etcFile } from "./paths.ts";
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
    if (container.running) {
      const resolvConf = rooms.networks.connect(subject, record.state.pid, name, settings);
      if (resolvConf !== undefined) renewResolvConf(rooms, container, resolvConf);
    }
    record.endpoints[name] = settings;
    // Docker's: a container that has left its only network belongs to the next one it comes to.
    if (keyOf(rooms, container, mode) === undefined && Object.keys(record.endpoints).length === 1)
      record.hostConfig.NetworkMode = name;
    rooms.store.save(container);
  });
}

/** POST /networks/{id}/disconnect. Throws where the container is not on it. */
export function disconnectContainer(rooms: Rooms, container: Container, nameOrId: string): Promise<void> {
  return container.lock.run(async () => {
    const { record, id } = container;
    const { name } = rooms.networks.resolve(nameOrId);
    checkAlive(container);
    const key = keyOf(rooms, container, name);
    if (key === undefined) throw forbidden(`container ${id} is not connected to network ${name}`);
    if (name === "host")
      throw forbidden("container cannot be disconnected from host network or connected to host network");
    if (container.running) rooms.networks.disconnect(id, record.state.pid, name);
    delete record.endpoints[key];
    rooms.store.save(container);
  });
}

/** In place, because it is mounted in the container. What somebody has written there himself stays. */
function renewResolvConf({ settings }: Rooms, { id }: Container, { was, is }: { was: string; is: string }): void {
  const path = etcFile(settings, id, "resolv.conf");
  if (readFileSync(path, "utf8") === was) writeFileSync(path, is);
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
  return Object.keys(record.endpoints).find((key) => {
    if (key === name) return true;
    try {
      return rooms.networks.resolve(key).name === name;
    } catch {
      return false;
    }
  });
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
