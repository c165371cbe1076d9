/**
 * What older versions of the API have otherwise (Engine API, version history). The rooms know only the newest one:
 * requests of older clients are brought up to it, answers to them are brought down.
 */

import type { InspectedImage } from "../images/images.ts";
import { invalidParameter } from "../lib/errors.ts";
import type {
  ContainerInspectResponse,
  ContainerSummary,
  EventMessage,
  HostConfig,
  ImageInspect,
  ImageSummary,
  NetworkingConfig,
  SystemInfo,
} from "../wire/engine-api.ts";
import type { Filters } from "./query.ts";
import type { CreateBody } from "./request-shapes.ts";

/** POST /containers/create: what the body of a client of `minor` means today. Changes `body`. */
export function upgradeCreateBody(body: CreateBody, minor: number): void {
  const host: HostConfig = (body.HostConfig ??= {});
  if (minor < 25) host.AutoRemove = false;
  if (minor < 40) {
    host.IpcMode ||= "shareable";
    for (const { BindOptions } of host.Mounts ?? []) if (BindOptions) delete BindOptions.NonRecursive;
  }
  if (minor < 41) host.CgroupnsMode ||= "host";
  if (minor < 42) for (const { BindOptions } of host.Mounts ?? []) if (BindOptions) delete BindOptions.CreateMountpoint;
  if (minor < 44) {
    if (body.Healthcheck) delete body.Healthcheck.StartInterval;
    for (const mount of host.Mounts ?? []) {
      if (mount.Type !== "bind") continue;
      if (mount.BindOptions?.ReadOnlyNonRecursive || mount.BindOptions?.ReadOnlyForceRecursive)
        throw invalidParameter("BindOptions.ReadOnlyNonRecursive and ReadOnlyForceRecursive need API v1.44 or newer");
      if (mount.ReadOnly) mount.BindOptions = { ...mount.BindOptions, ReadOnlyNonRecursive: true };
    }
  }
  if ((host.PidsLimit ?? 0) <= 0) delete host.PidsLimit;
  moveMacAddress(body, host);
}

/** Until 1.43 a MAC address was the container's; it means its first network's. */
function moveMacAddress(body: CreateBody, host: HostConfig): void {
  const { MacAddress: address } = body;
  delete body.MacAddress;
  if (!address) return;
  const mode = host.NetworkMode || "default";
  if (mode === "none" || mode === "host" || mode.startsWith("container:"))
    throw invalidParameter("conflicting options: mac-address and the network mode");
  const networking: NetworkingConfig = (body.NetworkingConfig ??= {});
  const endpoints = (networking.EndpointsConfig ??= {});
  const endpoint = Object.hasOwn(endpoints, mode) ? endpoints[mode]! : {};
  endpoints[mode] = endpoint;
  if (endpoint.MacAddress && endpoint.MacAddress !== address)
    throw invalidParameter(
      "the container-wide MAC address must match the endpoint-specific MAC address for the main network, or be left empty",
    );
  endpoint.MacAddress = address;
}

/** GET /containers/{id}/json for a client of `minor`. */
export function downgradeInspect(container: ContainerInspectResponse, minor: number): ContainerInspectResponse {
  if (minor >= 52) return container;
  const networks = container.NetworkSettings?.Networks ?? {};
  const bridge = networks.bridge ?? {};
  const settings = {
    Bridge: "",
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: bridge.EndpointID ?? "",
    Gateway: bridge.Gateway ?? "",
    GlobalIPv6Address: bridge.GlobalIPv6Address ?? "",
    GlobalIPv6PrefixLen: bridge.GlobalIPv6PrefixLen ?? 0,
    IPAddress: bridge.IPAddress ?? "",
    IPPrefixLen: bridge.IPPrefixLen ?? 0,
    IPv6Gateway: bridge.IPv6Gateway ?? "",
    MacAddress: bridge.MacAddress ?? "",
    ...container.NetworkSettings,
  };
  return { ...container, NetworkSettings: settings };
}

/** GET /containers/json for a client of `minor`. */
export function downgradeSummaries(containers: ContainerSummary[], minor: number): ContainerSummary[] {
  if (minor >= 52) return containers;
  for (const container of containers) {
    delete container.Health;
    if (minor < 48) delete container.ImageManifestDescriptor;
    if (minor < 46 && container.HostConfig) delete container.HostConfig.Annotations;
  }
  return containers;
}

/** GET /images/json for a client of `minor`. */
export function downgradeImages(images: ImageSummary[], minor: number): ImageSummary[] {
  if (minor >= 44) return images;
  return images.map((image) => ({ ...image, VirtualSize: image.Size }));
}

/** Fields of an image's configuration until 1.49, with what they were where the image says nothing of them. */
const emptyImageConfig = {
  Hostname: "",
  Domainname: "",
  User: "",
  AttachStdin: false,
  AttachStdout: false,
  AttachStderr: false,
  Tty: false,
  OpenStdin: false,
  StdinOnce: false,
  Env: null,
  Cmd: null,
  Image: "",
  Volumes: null,
  WorkingDir: "",
  Entrypoint: null,
  OnBuild: null,
  Labels: null,
};

/** GET /images/{name}/json for a client of `minor`. */
export function downgradeImage(image: ImageInspect | InspectedImage, minor: number): ImageInspect {
  const old: Partial<InspectedImage> & { VirtualSize?: number } = { ...image };
  if (minor >= 45) {
    delete old.Container;
    delete old.ContainerConfig;
  } else {
    // docker-compose 1 reads it of every image, also of those that no container was committed to.
    old.ContainerConfig ??= (image.Config ?? {}) as InspectedImage["ContainerConfig"];
  }
  if (minor >= 52) return old as ImageInspect;
  old.Parent ??= "";
  old.DockerVersion ??= "";
  if (minor < 50 && image.Config) old.Config = { ...emptyImageConfig, ...image.Config } as ImageInspect["Config"];
  if (minor < 44) old.VirtualSize = image.Size ?? 0;
  return old as ImageInspect;
}

/** GET /events: containers' and images' events had their actor's main features on top until 1.51. */
export function downgradeEvent(event: EventMessage, minor: number): EventMessage {
  if (minor >= 52 || (event.Type !== "container" && event.Type !== "image")) return event;
  const { image } = event.Actor?.Attributes ?? {};
  return {
    status: event.Action,
    id: event.Actor?.ID,
    ...(event.Type === "container" && image !== undefined && { from: image }),
    ...event,
  } as EventMessage;
}

/** GET /info for a client of `minor`. */
export function downgradeInfo(info: SystemInfo, minor: number): SystemInfo {
  const old: Record<string, unknown> = { ...info };
  if (minor < 50) Object.assign(old, { BridgeNfIptables: true, BridgeNfIp6tables: true });
  if (minor < 49)
    for (const commit of ["ContainerdCommit", "RuncCommit", "InitCommit"] as const)
      old[commit] = { ...info[commit], Expected: info[commit]?.ID ?? "" };
  if (minor < 44)
    old.RegistryConfig = {
      AllowNondistributableArtifactsCIDRs: null,
      AllowNondistributableArtifactsHostnames: null,
      ...info.RegistryConfig,
    };
  if (minor < 42) Object.assign(old, { KernelMemory: false, ClusterStore: "", ClusterAdvertise: "" });
  if (minor < 25)
    old.SecurityOptions = (info.SecurityOptions ?? []).map((option) => option.replace(/^name=|,.*$/g, ""));
  return old;
}

/** POST /volumes/prune took named volumes, too, until 1.41. */
export function upgradeVolumePrune(filters: Filters, minor: number): void {
  if (minor < 42 && !filters.has("all")) filters.set("all", ["true"]);
}

/** POST /images/create and others: a platform counts from `minor` on. */
export function platformOf(platform: string | undefined, minor: number, since: number): string | undefined {
  return minor < since ? undefined : platform;
}
