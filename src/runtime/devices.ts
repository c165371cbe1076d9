/** Devices of the host inside a container: which nodes are made, and which the device cgroup lets through. */
import { lstatSync, readdirSync, realpathSync, type Stats, statSync } from "node:fs";
import { join } from "node:path";
import { splitDevice } from "../kernel/files.ts";
import { invalidParameter } from "../lib/errors.ts";
import type { DeviceMapping, Resources } from "../wire/engine-api.ts";
import type { OciDevice, OciDeviceRule, OciResources, OciThrottle } from "./oci.ts";

const permissionMask = 0o7777;

const numbersIn = (stats: Stats) => splitDevice(BigInt(stats.rdev));

function toDevice(path: string, stats: Stats): OciDevice | undefined {
  if (!stats.isCharacterDevice() && !stats.isBlockDevice()) return undefined;
  return {
    path,
    type: stats.isBlockDevice() ? "b" : "c",
    ...numbersIn(stats),
    fileMode: stats.mode & permissionMask,
    uid: stats.uid,
    gid: stats.gid,
  };
}

const isMissing = (thrown: unknown) => (thrown as NodeJS.ErrnoException).code === "ENOENT";

/** Every device node below a directory. What vanishes meanwhile is passed over; symlinks and other mounts' pts are not followed. */
function devicesBelow(directory: string, at: string, skip: ReadonlySet<string>): OciDevice[] {
  const found: OciDevice[] = [];
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) {
      if (!skip.has(path)) found.push(...devicesBelow(path, join(at, entry.name), skip));
    } else if (entry.isCharacterDevice() || entry.isBlockDevice()) {
      const stats = lstatSync(path, { throwIfNoEntry: false });
      const device = stats && toDevice(join(at, entry.name), stats);
      if (device) found.push(device);
    }
  }
  return found;
}

/** These are mounts of their own in every container. */
const notInherited = new Set([
  "/dev/pts",
  "/dev/shm",
  "/dev/mqueue",
  "/dev/fd",
  "/dev/.udev",
  "/dev/.lxc",
  "/dev/.lxd-mounts",
]);

/** All of the host's devices, for a privileged container. /dev/console is left out: the runtime makes the container's own. */
export function allHostDevices(): OciDevice[] {
  return devicesBelow("/dev", "/dev", notInherited).filter(({ path }) => path !== "/dev/console");
}

function checkAccess(access: string): void {
  if (!/^[rwm]+$/.test(access) || new Set(access).size !== access.length)
    throw invalidParameter(`invalid device permissions: ${access}`);
}

/** One --device: the node, or all nodes below the directory, that its path leads to, symlinks followed. */
function mappedDevices({ PathOnHost = "", PathInContainer = "", CgroupPermissions = "" }: DeviceMapping) {
  const access = CgroupPermissions || "rwm";
  const target = PathInContainer || PathOnHost;
  checkAccess(access);
  let devices: OciDevice[];
  try {
    const path = realpathSync(PathOnHost);
    const stats = statSync(path);
    if (stats.isDirectory()) devices = devicesBelow(path, target, new Set());
    else devices = [toDevice(target, stats)].filter((device) => device !== undefined);
  } catch (thrown) {
    throw invalidParameter(
      `error gathering device information while adding custom device "${PathOnHost}": ${isMissing(thrown) ? "no such file or directory" : (thrown as Error).message}`,
    );
  }
  if (devices.length === 0)
    throw invalidParameter(
      `error gathering device information while adding custom device "${PathOnHost}": not a device node`,
    );
  const rules = devices.map(
    ({ type, major, minor }): OciDeviceRule => ({ allow: true, type: type === "b" ? "b" : "c", major, minor, access }),
  );
  return { devices, rules };
}

const rulePattern = /^([acb]) ([0-9]{1,10}|\*):([0-9]{1,10}|\*) ([rwm]{1,3})$/;

/** Reads one --device-cgroup-rule: `c 1:* rwm`. Throws invalidParameter with Docker's sentence. */
export function parseDeviceRule(text: string): OciDeviceRule {
  const match = rulePattern.exec(text);
  if (match === null) throw invalidParameter(`invalid device cgroup rule format: '${text}'`);
  const number = (digits: string) => (digits === "*" ? undefined : Number(digits));
  const [, type, major, minor, access] = match as unknown as [string, "a" | "c" | "b", string, string, string];
  return {
    allow: true,
    type,
    ...(number(major) !== undefined && { major: number(major) }),
    ...(number(minor) !== undefined && { minor: number(minor) }),
    access,
  };
}

/**
 * The rules every container has besides those the runtime brings itself (null, zero, full, random, urandom, tty,
 * console, ptmx, pts, and mknod of anything): none but those.
 */
const defaultRules: readonly OciDeviceRule[] = [{ allow: false, access: "rwm" }];

/**
 * The nodes and cgroup rules of a container. Reads the host's /dev.
 * Throws invalidParameter for a device that is not there, or rules and permissions that are none.
 */
export function containerDevices(request: {
  Privileged?: boolean;
  Devices?: readonly DeviceMapping[];
  DeviceCgroupRules?: readonly string[];
}): { devices: OciDevice[]; rules: OciDeviceRule[] } {
  const byPath = new Map<string, OciDevice>();
  const rules: OciDeviceRule[] = [...defaultRules];
  if (request.Privileged) {
    rules.push({ allow: true, access: "rwm" });
    for (const device of allHostDevices()) byPath.set(device.path, device);
  }
  for (const mapping of request.Devices ?? []) {
    // A privileged container has all there is: only a new name needs a node.
    const mapped = mappedDevices(mapping);
    for (const device of mapped.devices) byPath.set(device.path, device);
    if (!request.Privileged) rules.push(...mapped.rules);
  }
  if (!request.Privileged) rules.push(...(request.DeviceCgroupRules ?? []).map(parseDeviceRule));
  return { devices: [...byPath.values()], rules };
}

function numbersOf(path: string): { major: number; minor: number } {
  const stats = statSync(path, { throwIfNoEntry: false });
  if (stats === undefined) throw invalidParameter(`no such device: "${path}"`);
  if (!stats.isBlockDevice()) throw invalidParameter(`not a block device: "${path}"`);
  return numbersIn(stats);
}

/** Weights and rates of block devices, paths turned into numbers. Undefined where nothing is asked for. */
export function containerBlockIo(resources: Resources): OciResources["blockIO"] {
  const throttles = (list: Resources["BlkioDeviceReadBps"]): OciThrottle[] | undefined =>
    list?.length ? list.map(({ Path = "", Rate = 0 }) => ({ ...numbersOf(Path), rate: Rate })) : undefined;
  const weightDevice = resources.BlkioWeightDevice?.map(({ Path = "", Weight = 0 }) => ({
    ...numbersOf(Path),
    weight: Weight,
  }));
  const asked = Object.entries({
    weight: resources.BlkioWeight || undefined,
    weightDevice: weightDevice?.length ? weightDevice : undefined,
    throttleReadBpsDevice: throttles(resources.BlkioDeviceReadBps),
    throttleWriteBpsDevice: throttles(resources.BlkioDeviceWriteBps),
    throttleReadIOPSDevice: throttles(resources.BlkioDeviceReadIOps),
    throttleWriteIOPSDevice: throttles(resources.BlkioDeviceWriteIOps),
  }).filter(([, value]) => value !== undefined);
  return asked.length > 0 ? Object.fromEntries(asked) : undefined;
}
