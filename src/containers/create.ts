/** create: a container that can be started, from an image and what the request asks for. */
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { hostname as hostHostname } from "node:os";
import { join } from "node:path";
import { expectMove } from "../kernel/cgroups.ts";
import { invalidParameter, messageOf } from "../lib/errors.ts";
import { nowRfc3339Nano } from "../lib/time.ts";
import type { ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig } from "../wire/engine-api.ts";
import { announce } from "./announce.ts";
import { checkCreateRequest } from "./check-request.ts";
import { Container } from "./container.ts";
import { fillHostConfig } from "./fill-host-config.ts";
import { isOnDefaultNetwork, splitLink } from "./links.ts";
import { mergeConfig } from "./merge-config.ts";
import { resolveMounts } from "./mounts.ts";
import { generateName } from "./names.ts";
import { containerDir } from "./paths.ts";
import { type ContainerRecord, createdState } from "./record.ts";
import type { Rooms } from "./rooms.ts";

/** POST /containers/create */
export interface CreateRequest {
  /** With or without a leading slash; a name is made up where there is none. */
  name?: string;
  /** `os[/arch[/variant]]` */
  platform?: string;
  config: ContainerConfig;
  hostConfig: HostConfig;
  networkingConfig?: NetworkingConfig;
}

/**
 * Makes a container. Throws what Docker's daemon says of requests that cannot be: `No such image`, a name that is taken,
 * and everything of check-request.ts. Nothing is left behind where it throws.
 */
export async function createContainer(
  rooms: Rooms,
  request: CreateRequest,
): Promise<{ Id: string; Warnings: string[] }> {
  const { store, images, networks, rootfs, settings } = rooms;
  // Most are started at once.
  expectMove();
  const warnings = checkCreateRequest(request, settings.checkHost);
  const wanted = request.name?.replace(/^\//, "");
  if (request.name) store.checkName(wanted!);
  const image = images.get(request.config.Image ?? "", request.platform);

  const id = newId(rooms);
  const config = mergeConfig(request.config, image.config);
  const hostConfig = fillHostConfig(request.hostConfig, settings.hostConfigDefaults);
  const networkMode = hostConfig.NetworkMode ?? "bridge";
  if (networkMode === "container:")
    throw invalidParameter("Invalid network mode: invalid container format container:<name|id>");
  for (const mode of [networkMode, hostConfig.PidMode, hostConfig.IpcMode])
    if (mode?.startsWith("container:")) findOther(rooms, mode.slice("container:".length));
  // On other networks a link is a name, for whoever has it at the time.
  if (isOnDefaultNetwork(hostConfig)) for (const link of hostConfig.Links ?? []) findLinked(rooms, link);
  // Clients call the default network by a name of their own.
  const { default: onDefault, ...named } = request.networkingConfig?.EndpointsConfig ?? {};
  const endpoints: Record<string, EndpointSettings> = onDefault === undefined ? named : { bridge: onDefault, ...named };
  if (!networkMode.startsWith("container:") && !Object.hasOwn(endpoints, networkMode)) endpoints[networkMode] = {};
  networks.check(hostConfig, { EndpointsConfig: endpoints }, config);
  // A container on another's network has the other's host name: bundle.ts.
  if (!networkMode.startsWith("container:"))
    config.Hostname ||= networkMode === "host" || hostConfig.UTSMode === "host" ? hostHostname() : id.slice(0, 12);

  const [path = "", ...args] = [...(config.Entrypoint ?? []), ...(config.Cmd ?? [])];
  try {
    await rootfs.create(id, image.diffIds);
    writeFileSync(join(containerDir(settings, id), "diff", ".dockerenv"), "", { mode: 0o755 });
    // From here on nothing waits, so that a name that was free stays free and an image that was there stays.
    const name = wanted || generateName((candidate) => store.byName(candidate) !== undefined);
    store.checkName(name);
    images.get(image.id);
    const container = store.add(() => {
      const { mounts, details } = resolveMounts(config, hostConfig, {
        volumes: rooms.volumes,
        volumesFrom: (other) => findOther(rooms, other).record,
        layersOf: (reference) => mountedLayers(rooms, reference),
      });
      const record: ContainerRecord = {
        id,
        name,
        created: nowRfc3339Nano(),
        config,
        hostConfig,
        endpoints,
        imageId: image.id,
        platform: { os: image.os, architecture: image.architecture, variant: image.variant },
        diffIds: image.diffIds,
        path,
        args,
        mounts,
        ...(Object.keys(details).length > 0 && { mountDetails: details }),
        state: createdState(),
        restartCount: 0,
        manuallyStopped: false,
      };
      return new Container(record);
    });
    announce(rooms, container, "create");
    return { Id: id, Warnings: warnings };
  } catch (error) {
    await rootfs.remove(id);
    rooms.volumes.removeStrays();
    throw error;
  }
}

function findLinked({ store }: Rooms, link: string): void {
  const [target] = splitLink(link);
  try {
    store.find(target);
  } catch (error) {
    throw invalidParameter(`could not get container for ${target}: ${messageOf(error)}`);
  }
}

/** A container that a request names. That there is none is not a 404: clients take that for a missing image and pull it. */
function findOther({ store }: Rooms, nameOrId: string): Container {
  try {
    return store.find(nameOrId);
  } catch (error) {
    throw invalidParameter(messageOf(error));
  }
}

/** Layers of an image that a request mounts. That there is none is not a 404 either. */
export function mountedLayers({ images }: Rooms, reference: string): string[] {
  try {
    return images.get(reference).diffIds;
  } catch (error) {
    throw invalidParameter(messageOf(error));
  }
}

/** Anonymous volumes are named by 64 hexadecimal digits. */
export function isAnonymous(volumeName: string | undefined): boolean {
  return /^[0-9a-f]{64}$/.test(volumeName ?? "");
}

function newId(rooms: Rooms): string {
  for (;;) {
    const id = randomBytes(32).toString("hex");
    // An all-digit short id reads as a number where it becomes a host name.
    if (!/^\d{12}/.test(id) && rooms.store.byId(id) === undefined) return id;
  }
}
