/** Where a container's files are. */
import { join } from "node:path";
import { cgroupsPathOf } from "../runtime/resources.ts";
import type { ContainerSettings } from "./rooms.ts";

/** Bundle directory: config.json, the mounted root, conmon's files. Gone after a reboot. */
export const bundleDir = (settings: ContainerSettings, id: string) => join(settings.runRoot, "containers", id);

/** Directory of what outlives a reboot: the writable layer, logs, files mounted into /etc. */
export const containerDir = (settings: ContainerSettings, id: string) => join(settings.dataRoot, "containers", id);

export const logPath = (settings: ContainerSettings, id: string) => join(containerDir(settings, id), `${id}.log`);

/** A file that is mounted over one of the image's in /etc. */
export const etcFile = (settings: ContainerSettings, id: string, name: "hosts" | "hostname" | "resolv.conf") =>
  join(containerDir(settings, id), name);

/** The host's side of a shareable /dev/shm. */
export const shmDir = (settings: ContainerSettings, id: string) => join(bundleDir(settings, id), "shm");

/** The container's cgroup, as the OCI spec's cgroupsPath wants it. */
export const cgroupsPath = (settings: ContainerSettings, id: string, parent: string | undefined) =>
  cgroupsPathOf(id, parent || settings.cgroupParent, settings.systemdCgroup);
