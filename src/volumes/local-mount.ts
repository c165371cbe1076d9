/** What the local driver mounts for a volume that has options: a file system of the network, of a device, in memory, a bind. */
import { lookup } from "node:dns/promises";
import { isIPv4 } from "node:net";
import { SyscallError } from "../kernel/libc.ts";
import * as ms from "../kernel/mount.ts";
import { invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import { parseMemoryBytes } from "../lib/units.ts";
import { storageWorkers } from "../storage/worker-pool.ts";

/** `DriverOpts` of a volume. */
export type VolumeOptions = Readonly<Record<string, string>>;

const known = ["type", "device", "o", "size"];
const companions: Record<string, string[]> = { device: ["type"], type: ["device"], o: ["device", "type"] };

/** Throws invalidParameter in Docker's words for options that the local driver has not, or that need others. */
export function checkVolumeOptions(options: VolumeOptions): void {
  for (const name of Object.keys(options))
    if (!known.includes(name)) throw invalidParameter(`invalid option: "${name}"`);
  if (options.type === "cifs" && /^(?:[a-z]+:)?\/\/[^/]*:\d+(?:\/|$)/i.test(options.device ?? ""))
    throw invalidParameter("port not allowed in CIFS device URL, include 'port' in 'o='");
  if (options.size !== undefined && parseMemoryBytes(options.size) > 0)
    throw invalidParameter("quota size requested but no quota support");
  for (const name of Object.keys(companions))
    if (name in options)
      for (const needed of companions[name]!)
        if (!(needed in options)) throw invalidParameter(`missing required option: "${needed}"`);
}

/** Whether a volume with such options has to be mounted before it is used. */
export const needsMount = (options: VolumeOptions | null) => Boolean(options?.type || options?.device);

/** Flags of mount(8)'s options: set, or taken away again. */
const flags: Record<string, [flag: number, clears?: true]> = {
  defaults: [0],
  ro: [ms.MS_RDONLY],
  rw: [ms.MS_RDONLY, true],
  nosuid: [ms.MS_NOSUID],
  suid: [ms.MS_NOSUID, true],
  nodev: [ms.MS_NODEV],
  dev: [ms.MS_NODEV, true],
  noexec: [ms.MS_NOEXEC],
  exec: [ms.MS_NOEXEC, true],
  sync: [ms.MS_SYNCHRONOUS],
  async: [ms.MS_SYNCHRONOUS, true],
  dirsync: [ms.MS_DIRSYNC],
  remount: [ms.MS_REMOUNT],
  mand: [ms.MS_MANDLOCK],
  nomand: [ms.MS_MANDLOCK, true],
  noatime: [ms.MS_NOATIME],
  atime: [ms.MS_NOATIME, true],
  nodiratime: [ms.MS_NODIRATIME],
  diratime: [ms.MS_NODIRATIME, true],
  relatime: [ms.MS_RELATIME],
  norelatime: [ms.MS_RELATIME, true],
  strictatime: [ms.MS_STRICTATIME],
  nostrictatime: [ms.MS_STRICTATIME, true],
  bind: [ms.MS_BIND],
  rbind: [ms.MS_BIND | ms.MS_REC],
};
const propagations: Record<string, number> = {
  unbindable: ms.MS_UNBINDABLE,
  private: ms.MS_PRIVATE,
  slave: ms.MS_SLAVE,
  shared: ms.MS_SHARED,
};

interface MountOptions {
  flags: number;
  propagation: number;
  data: string;
}

function parseOptions(text: string): MountOptions {
  const parsed: MountOptions = { flags: 0, propagation: 0, data: "" };
  const data: string[] = [];
  for (const option of text.split(",")) {
    const flag = Object.hasOwn(flags, option) ? flags[option] : undefined;
    const kind = option.replace(/^r/, "");
    if (flag !== undefined) parsed.flags = flag[1] ? parsed.flags & ~flag[0] : parsed.flags | flag[0];
    else if (Object.hasOwn(propagations, kind))
      parsed.propagation |= propagations[kind]! | (kind === option ? 0 : ms.MS_REC);
    else if (option !== "") data.push(option);
  }
  parsed.data = data.join(",");
  return parsed;
}

/** Mounts what the options say at `path`. Throws in Docker's words; a password is not repeated. */
export async function mountVolume(options: VolumeOptions, path: string): Promise<void> {
  try {
    const { device, o } = await resolveAddresses(options);
    await mountLocal(options.type ?? "", device, path, parseOptions(o));
  } catch (thrown) {
    throw systemError(`error while mounting volume '${path}': ${messageOf(thrown)}`, thrown);
  }
}

async function mountLocal(
  type: string,
  device: string,
  path: string,
  { flags, propagation, data }: MountOptions,
): Promise<void> {
  const step = async (what: string, source: string, fstype: string, stepFlags: number, stepData: string) => {
    const errno = await mountAnywhere(source, path, fstype, stepFlags, stepData);
    if (errno === 0) return;
    const reason = new SyscallError("mount", errno).message.replace(/^mount: /, "");
    const told = [
      `mount ${source === "" ? "" : `${source}:`}${path}`,
      ...(stepFlags === 0 ? [] : [`flags: 0x${stepFlags.toString(16)}`]),
      ...(stepData === "" ? [] : [`data: ${stepData.replace(/password=[^,]*/, "password=********")}`]),
    ].join(", ");
    const hint = errno === ENODEV ? ` (this kernel has no file system ${JSON.stringify(type)})` : "";
    throw new Error(`failed to ${what}: ${told}: ${reason.slice(0, 1).toLowerCase()}${reason.slice(1)}${hint}`);
  };
  await step("mount local volume", device, type, flags, data);
  try {
    if (propagation !== 0) await step("mount local volume", "", "", propagation, "");
    // A bind takes no other flags at first.
    const kept = flags & ~(ms.MS_BIND | ms.MS_REC);
    if ((flags & ms.MS_BIND) !== 0 && kept !== 0)
      await step("mount local volume", "", "", kept | ms.MS_BIND | ms.MS_REMOUNT, "");
  } catch (thrown) {
    ms.unmount(path, true);
    throw thrown;
  }
}

const ENODEV = 19;
/** These are there at once, or not at all. */
const immediate = ["", "none", "bind", "tmpfs"];

/** mount(2); in a thread where a server or a disk may keep it waiting. Resolves to errno, or 0. */
async function mountAnywhere(
  source: string,
  target: string,
  fstype: string,
  flags: number,
  data: string,
): Promise<number> {
  if (!immediate.includes(fstype))
    return (await storageWorkers.run({ kind: "mount", source, target, fstype, flags, data })).errno;
  try {
    ms.mount(source, target, fstype, flags, data);
    return 0;
  } catch (thrown) {
    if (thrown instanceof SyscallError) return thrown.errno;
    throw thrown;
  }
}

/** The kernel resolves no names: those of the servers of nfs and cifs become addresses. */
async function resolveAddresses(options: VolumeOptions): Promise<{ device: string; o: string }> {
  const { type = "", device = "", o = "" } = options;
  if (device === "") throw new Error("missing device in volume options");
  if (type !== "nfs" && type !== "cifs") return { device, o };
  const address = /(?:^|,)addr=([^,]*)/.exec(o)?.[1] ?? "";
  if (address !== "" && !isIPv4(address))
    return { device, o: o.replace(`addr=${address}`, `addr=${await resolveName(address)}`) };
  const host = type === "cifs" ? (/^(?:[a-z]+:)?\/\/([^/]+)/i.exec(device)?.[1] ?? "") : "";
  if (host === "" || isIPv4(host)) return { device, o };
  return { device: device.replace(host, await resolveName(host)), o };
}

async function resolveName(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch {
    throw new Error(`error resolving passed in network volume address: lookup ${host}: no such host`);
  }
}
