/** A container's mounts: from -v, --mount, --tmpfs, --volumes-from and VOLUME to what inspect shows and the runtime mounts. */
import { mkdirSync, statSync } from "node:fs";
import { ST_NODEV, ST_NOEXEC, ST_NOSUID, ST_RDONLY, statfs } from "../kernel/files.ts";
import { readMounts } from "../kernel/mount.ts";
import { invalidParameter, systemError } from "../lib/errors.ts";
import { hostFacts } from "../runtime/host-facts.ts";
import type { OciMount } from "../runtime/oci.ts";
import type { RootfsStore } from "../storage/rootfs.ts";
import type { Volumes } from "../volumes/volumes.ts";
import type { ContainerConfig, HostConfig, Mount, MountPoint } from "../wire/engine-api.ts";
import type { MountStage } from "./mount-stage.ts";
import type { ContainerRecord, MountDetails } from "./record.ts";
import { cleanDestination, parseBind, parseVolumesFrom, tmpfsOptions } from "./volume-spec.ts";

/** What of a container's record its mounts are made of. */
export type MountedRecord = Pick<ContainerRecord, "id" | "mounts" | "hostConfig" | "mountDetails">;

/** The rooms that toOciMounts works with. */
export interface MountRooms {
  volumes: Pick<Volumes, "copyUp" | "mount" | "pathOf">;
  rootfs: Pick<RootfsStore, "mountImage">;
}

/** What resolveMounts asks others. */
export interface MountSources {
  volumes: Pick<Volumes, "create" | "pathOf">;
  /** The mounts of another container. Throws where there is none of that name. */
  volumesFrom(nameOrId: string): Pick<ContainerRecord, "mounts" | "mountDetails">;
  /** The layers of an image. Throws where there is none of that name. */
  layersOf(reference: string): string[];
}

function missingSource(path: string): Error {
  return invalidParameter(`invalid mount config for type "bind": bind source path does not exist: ${path}`);
}

const isThere = (path: string) => statSync(path, { throwIfNoEntry: false }) !== undefined;

function bindPoint(
  source: string,
  destination: string,
  mode: string,
  readOnly: boolean,
  propagation: string,
): MountPoint {
  return {
    Type: "bind",
    Source: source,
    Destination: destination,
    Mode: mode,
    RW: !readOnly,
    Propagation: propagation || "rprivate",
  };
}

function volumePoint(
  { volumes }: MountSources,
  request: Parameters<Volumes["create"]>[0],
  destination: string,
  mode: string,
  readOnly: boolean,
): MountPoint {
  const { Name, Mountpoint, Driver } = volumes.create(request);
  return {
    Type: "volume",
    Name,
    Source: Mountpoint,
    Destination: destination,
    Driver,
    Mode: mode,
    RW: !readOnly,
    Propagation: "",
  };
}

/** What inspect shows of a `--mount`. Makes its volume. Throws invalidParameter where a bind's source is not there. */
export function mountPoint(mount: Mount, sources: MountSources): MountPoint {
  const destination = cleanDestination(mount.Target ?? "");
  const readOnly = mount.ReadOnly ?? false;
  if (mount.Type === "tmpfs")
    return { Type: "tmpfs", Source: "", Destination: destination, Mode: "", RW: !readOnly, Propagation: "" };
  if (mount.Type === "bind") {
    const source = mount.Source ?? "";
    if (!mount.BindOptions?.CreateMountpoint && !isThere(source)) throw missingSource(source);
    return bindPoint(source, destination, "", readOnly, mount.BindOptions?.Propagation ?? "");
  }
  if (mount.Type === "image")
    return {
      Type: "image",
      Name: mount.Source ?? "",
      Source: "",
      Destination: destination,
      Mode: "",
      RW: false,
      Propagation: "",
    };
  const { Labels, DriverConfig } = mount.VolumeOptions ?? {};
  const request = { Name: mount.Source, Driver: DriverConfig?.Name, DriverOpts: DriverConfig?.Options, Labels };
  return volumePoint(sources, request, destination, "z", readOnly);
}

/**
 * The mounts of a new container, one at a destination: those of other containers, then -v, then --mount, then an
 * anonymous volume for each VOLUME that has nothing at its place yet. Makes the volumes that are missing. The request
 * has been checked. Throws invalidParameter where a source of --mount is not there.
 */
export function resolveMounts(
  config: ContainerConfig,
  hostConfig: HostConfig,
  sources: MountSources,
): { mounts: MountPoint[]; details: Record<string, MountDetails> } {
  const byDestination = new Map<string, MountPoint>();
  const details: Record<string, MountDetails> = {};
  const put = (point: MountPoint, more?: MountDetails) => {
    const destination = point.Destination ?? "";
    byDestination.set(destination, point);
    delete details[destination];
    if (more !== undefined) details[destination] = more;
  };

  for (const text of hostConfig.VolumesFrom ?? []) {
    const { container, readOnly } = parseVolumesFrom(text);
    const { mounts, mountDetails = {} } = sources.volumesFrom(container);
    for (const point of mounts)
      if (point.Type !== "tmpfs")
        put(readOnly ? { ...point, RW: false } : { ...point }, mountDetails[point.Destination ?? ""]);
  }
  for (const text of hostConfig.Binds ?? []) {
    const { type, source, destination, mode, readOnly, propagation } = parseBind(text);
    if (type === "bind") put(bindPoint(source, destination, mode, readOnly, propagation));
    else
      put(
        volumePoint(
          sources,
          { Name: source, Driver: hostConfig.VolumeDriver },
          destination,
          source === "" ? mode : mode || "z",
          readOnly,
        ),
      );
  }
  for (const mount of hostConfig.Mounts ?? []) put(mountPoint(mount, sources), detailsOf(mount, sources));
  const tmpfs = new Set(Object.keys(hostConfig.Tmpfs ?? {}).map(cleanDestination));
  for (const path of Object.keys(config.Volumes ?? {})) {
    const destination = cleanDestination(path);
    if (byDestination.has(destination) || tmpfs.has(destination)) continue;
    put(volumePoint(sources, { Driver: hostConfig.VolumeDriver }, destination, "", false));
  }
  return { mounts: [...byDestination.values()], details };
}

/** What of a `--mount` inspect has no field for. */
export function detailsOf(
  { Type, Source = "", VolumeOptions, ImageOptions }: Mount,
  sources: Pick<MountSources, "layersOf">,
) {
  const subpath = (Type === "image" ? ImageOptions : VolumeOptions)?.Subpath || undefined;
  const layers = Type === "image" ? sources.layersOf(Source) : undefined;
  return layers || subpath ? { ...(layers && { layers }), ...(subpath && { subpath }) } : undefined;
}

/**
 * Where on the host a bind, a volume or an image is that is mounted at a place. What has no path of its own is put on
 * `stage`. The volumes have been prepared.
 */
export async function sourceOf(
  { Type, Name = "", Source = "", Destination = "" }: MountPoint,
  { id, mountDetails = {} }: Pick<MountedRecord, "id" | "mountDetails">,
  { volumes, rootfs }: MountRooms,
  stage: Pick<MountStage, "bindSubpath" | "directory">,
): Promise<string> {
  if (Type === "bind") return Source;
  const { layers = [], subpath } = mountDetails[Destination] ?? {};
  let path: string;
  if (Type === "image") {
    path = stage.directory();
    await rootfs.mountImage(id, Buffer.from(Destination).toString("hex"), layers, path);
  } else path = volumes.pathOf(Name);
  return subpath === undefined ? path : stage.bindSubpath(path, subpath);
}

/** Throws where the mount that `path` is on does not pass mounts on as a propagation needs it. */
export function checkPropagation(path: string, propagation: string): void {
  if (!/shared|slave/.test(propagation)) return;
  const within = (mountPoint: string) => mountPoint === "/" || path === mountPoint || path.startsWith(`${mountPoint}/`);
  // The last of equally deep ones lies on top.
  let on = { mountPoint: "/", propagation: "private" as string };
  for (const entry of readMounts())
    if (within(entry.mountPoint) && entry.mountPoint.length >= on.mountPoint.length) on = entry;
  if (propagation.endsWith("shared") && !on.propagation.startsWith("shared"))
    throw systemError(`path ${path} is mounted on ${on.mountPoint} but it is not a shared mount`);
  if (propagation.endsWith("slave") && !/shared|slave/.test(on.propagation))
    throw systemError(`path ${path} is mounted on ${on.mountPoint} but it is not a shared or slave mount`);
}

/** Read-only also for what is mounted below, where the kernel can do that (5.12). */
function readOnlyOption(source: string, options: Mount["BindOptions"]): string {
  const [major, minor] = hostFacts().kernel;
  const canRecurse = major > 5 || (major === 5 && minor >= 12);
  if (options?.ReadOnlyForceRecursive && !canRecurse)
    throw invalidParameter("this host's kernel cannot mount recursively read-only (it needs 5.12)");
  // Nothing is mounted below a file, and crun before 1.9 cannot do it there.
  const recurse = canRecurse && !options?.ReadOnlyNonRecursive && !options?.NonRecursive;
  return recurse && statSync(source).isDirectory() ? "rro" : "ro";
}

/** What the runtime would take away again: how the source itself is mounted. */
function inheritedOptions(source: string): string[] {
  const { flags } = statfs(source);
  return [
    [ST_RDONLY, "ro"],
    [ST_NOSUID, "nosuid"],
    [ST_NODEV, "nodev"],
    [ST_NOEXEC, "noexec"],
  ].flatMap(([flag, option]) => ((flags & (flag as number)) === 0 ? [] : [option as string]));
}

function bindMount(point: MountPoint, options: Mount["BindOptions"]): OciMount {
  const propagation = point.Propagation || "rprivate";
  const source = point.Source ?? "";
  if (point.Type === "bind") checkPropagation(source, propagation);
  const mountOptions = [options?.NonRecursive ? "bind" : "rbind", propagation, ...inheritedOptions(source)];
  if (!point.RW) mountOptions.push(readOnlyOption(source, options));
  return { destination: point.Destination ?? "", type: "bind", source, options: mountOptions };
}

function tmpfsMount(destination: string, options: string): OciMount {
  return { destination, type: "tmpfs", source: "tmpfs", options: tmpfsOptions(options) };
}

/** The options of a `--mount type=tmpfs`, as those of `--tmpfs`. */
export function tmpfsOptionsOf(mount: Mount | undefined): string {
  const { SizeBytes, Mode, Options } = mount?.TmpfsOptions ?? {};
  const options = (Options ?? []).map((option) => option.join("="));
  if (mount?.ReadOnly) options.push("ro");
  if (Mode) options.push(`mode=${Mode.toString(8)}`);
  if (SizeBytes) options.push(`size=${SizeBytes}`);
  return options.join(",");
}

const mountsAsked = ({ Mounts }: HostConfig) =>
  new Map((Mounts ?? []).map((mount) => [cleanDestination(mount.Target ?? ""), mount]));

/**
 * Mounts volumes that have options for `holder`, and fills empty ones with what the image has at their place. `rootfs` is
 * the mounted root file system, or undefined where they are to be left as they are.
 */
export async function prepareVolumes(
  { mounts, hostConfig, mountDetails = {} }: MountedRecord,
  rootfs: string | undefined,
  holder: string,
  volumes: Pick<Volumes, "copyUp" | "mount">,
): Promise<void> {
  const asked = mountsAsked(hostConfig);
  for (const { Type, Name = "", Destination = "", Mode } of mounts) {
    if (Type !== "volume") continue;
    await volumes.mount(Name, holder);
    const isPart = mountDetails[Destination]?.subpath !== undefined;
    const keepsEmpty = isPart || asked.get(Destination)?.VolumeOptions?.NoCopy || Mode?.split(",").includes("nocopy");
    if (rootfs !== undefined && !keepsEmpty) await volumes.copyUp(Name, rootfs, Destination);
  }
}

const depth = (path: string) => path.split("/").length;

/**
 * What the runtime is to mount, what lies deeper later. Makes a bind's source where -v names one that is missing,
 * mounts and fills volumes (prepareVolumes), and puts on `stage` what has no path of its own. `rootfs` is the mounted root file system.
 * Throws invalidParameter where a source of --mount has gone, or cannot be propagated as asked.
 */
export async function toOciMounts(
  record: MountedRecord,
  rootfs: string,
  rooms: MountRooms,
  stage: Pick<MountStage, "bindSubpath" | "directory">,
): Promise<OciMount[]> {
  const { id, mounts, hostConfig } = record;
  const asked = mountsAsked(hostConfig);
  await prepareVolumes(record, rootfs, id, rooms.volumes);
  const result: OciMount[] = [];
  for (const point of mounts) {
    const destination = point.Destination ?? "";
    const mount = asked.get(destination);
    if (point.Type === "tmpfs") result.push(tmpfsMount(destination, tmpfsOptionsOf(mount)));
    else if (point.Type !== "bind") {
      result.push(bindMount({ ...point, Source: await sourceOf(point, record, rooms, stage) }, undefined));
    } else {
      const source = point.Source ?? "";
      if (!isThere(source)) {
        if (mount?.Type === "bind" && !mount.BindOptions?.CreateMountpoint) throw missingSource(source);
        mkdirSync(source, { recursive: true, mode: 0o755 });
      }
      result.push(bindMount(point, mount?.BindOptions));
    }
  }
  for (const [path, options] of Object.entries(hostConfig.Tmpfs ?? {}))
    result.push(tmpfsMount(cleanDestination(path), options));
  return result.sort((one, other) => depth(one.destination) - depth(other.destination));
}
