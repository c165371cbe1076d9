/** `-v`, `--mount` and `--volumes-from` as the API carries them, read and checked. */
import { posix } from "node:path";
import { invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import type { Mount } from "../wire/engine-api.ts";

/** One of HostConfig.Binds. */
export interface BindSpec {
  type: "bind" | "volume";
  /** Host path or volume name; empty for an anonymous volume. */
  source: string;
  destination: string;
  /** The options as given. */
  mode: string;
  readOnly: boolean;
  /** Empty where none was given. */
  propagation: string;
  noCopy: boolean;
}

const propagations = new Set(["private", "rprivate", "shared", "rshared", "slave", "rslave"]);
const consistencies = new Set(["consistent", "cached", "delegated", "default"]);

interface ParsedMode {
  readOnly: boolean;
  propagation: string;
  noCopy: boolean;
}

/** Reads the options after the second colon; each kind at most once. Undefined where they are none. */
function parseMode(mode: string): ParsedMode | undefined {
  const parsed: ParsedMode = { readOnly: false, propagation: "", noCopy: false };
  if (mode === "") return parsed;
  const seen = new Set<string>();
  for (const option of mode.split(",")) {
    const kind =
      option === "ro" || option === "rw"
        ? "access"
        : option === "z" || option === "Z"
          ? "label"
          : option === "nocopy"
            ? "copy"
            : propagations.has(option)
              ? "propagation"
              : consistencies.has(option)
                ? "consistency"
                : undefined;
    if (kind === undefined || seen.has(kind)) return undefined;
    seen.add(kind);
    if (option === "ro") parsed.readOnly = true;
    if (kind === "copy") parsed.noCopy = true;
    if (kind === "propagation") parsed.propagation = option;
  }
  return parsed;
}

/** The place of a mount, without `..`, `//` or a slash at its end. */
export function cleanDestination(path: string): string {
  const clean = posix.normalize(path);
  return clean.length > 1 && clean.endsWith("/") ? clean.slice(0, -1) : clean;
}

function checkDestination(path: string): void {
  if (!path.startsWith("/")) throw invalidParameter(`invalid mount path: '${path}' mount path must be absolute`);
  if (cleanDestination(path) === "/") throw invalidParameter("invalid specification: destination can't be '/'");
  if (path.includes("\0")) throw invalidParameter(`invalid mount path: ${JSON.stringify(path)}`);
}

/** Reads `[SOURCE:]DESTINATION[:OPTIONS]`. Throws with Docker's sentences for what is none. */
export function parseBind(text: string): BindSpec {
  const invalid = (why?: string) =>
    systemError(`invalid volume specification: '${text}'${why === undefined ? "" : `: ${why}`}`);
  const parts = text.split(":");
  if (parts.length > 3 || text === "" || parts[0] === "") throw invalid();
  const [first = "", second, mode = ""] = parts;
  if (second === "") throw invalid();
  const source = second === undefined ? "" : first;
  const destination = second ?? first;
  const type = source.startsWith("/") ? "bind" : "volume";
  const parsed = parseMode(mode);
  if (parsed === undefined) throw systemError(`invalid mode: ${mode}`);
  const invalidMount = (why: string) => invalid(`invalid mount config for type "${type}": ${why}`);
  try {
    checkDestination(destination);
  } catch (thrown) {
    throw invalidMount(messageOf(thrown));
  }
  if (type === "volume" && parsed.propagation !== "") throw invalidMount("field BindOptions must not be specified");
  if (type === "bind" && parsed.noCopy) throw invalidMount("field VolumeOptions must not be specified");
  return {
    type,
    source: type === "bind" ? cleanDestination(source) : source,
    destination: cleanDestination(destination),
    mode,
    ...parsed,
  };
}

const maxTmpfsMode = 0o7777;

/** Whether a relative path leads to something below. */
const isWithin = (subpath: string) =>
  subpath === "" ||
  !(subpath.startsWith("/") || /^\.\.(\/|$)/.test(posix.normalize(subpath)) || subpath.includes("\0"));

/** Checks one of HostConfig.Mounts in itself; whether its source is there is another question. Throws invalidParameter. */
export function checkMount(mount: Mount): void {
  const type = mount.Type ?? "";
  const invalid = (why: string) => invalidParameter(`invalid mount config for type "${type}": ${why}`);
  const options = {
    BindOptions: "bind",
    ImageOptions: "image",
    TmpfsOptions: "tmpfs",
    VolumeOptions: "volume",
  } as const;
  if (type !== "bind" && type !== "volume" && type !== "tmpfs" && type !== "image") throw invalid("mount type unknown");
  if (!mount.Target) throw invalid("field Target must not be empty");
  try {
    checkDestination(mount.Target);
  } catch (thrown) {
    throw invalid(messageOf(thrown));
  }
  for (const [field, owner] of Object.entries(options))
    if (owner !== type && mount[field as keyof typeof options] != null)
      throw invalidParameter(`${field} must not be specified on mount type "${type}"`);

  if (type === "bind") {
    if (!mount.Source) throw invalid("field Source must not be empty");
    if (!mount.Source.startsWith("/") || mount.Source.includes("\0"))
      throw invalid(`invalid mount path: '${mount.Source}' mount path must be absolute`);
    const { Propagation, ReadOnlyNonRecursive, ReadOnlyForceRecursive, NonRecursive } = mount.BindOptions ?? {};
    if (Propagation && !propagations.has(Propagation)) throw invalid(`invalid propagation mode: ${Propagation}`);
    if (ReadOnlyNonRecursive && !mount.ReadOnly)
      throw invalid("mount must be set to read-only when using ReadOnlyNonRecursive");
    if (ReadOnlyForceRecursive) {
      if (ReadOnlyNonRecursive) throw invalid("ReadOnlyForceRecursive and ReadOnlyNonRecursive cannot both be set");
      if (!mount.ReadOnly || NonRecursive || (Propagation && Propagation !== "rprivate"))
        throw invalid("ReadOnlyForceRecursive requires a read-only, recursive mount with propagation rprivate");
    }
  } else if (type === "volume") {
    if (!mount.Source && mount.ReadOnly) throw invalid("must not set ReadOnly mode when using anonymous volumes");
    if (!isWithin(mount.VolumeOptions?.Subpath ?? ""))
      throw invalid("subpath must be a relative path within the volume");
  } else if (type === "image") {
    if (!mount.Source) throw invalid("field Source must not be empty");
    if (!isWithin(mount.ImageOptions?.Subpath ?? "")) throw invalid("subpath must be a relative path within the image");
  } else {
    if (mount.Source) throw invalid("field Source must not be specified");
    const { SizeBytes = 0, Mode = 0 } = mount.TmpfsOptions ?? {};
    if (SizeBytes < 0) throw invalid("size must be non-negative");
    if (Mode < 0 || Mode > maxTmpfsMode) throw invalid(`invalid mode: ${Mode}`);
  }
}

/** Checks the place of one of HostConfig.Tmpfs. Throws invalidParameter. */
export function checkTmpfs(destination: string, options: string): void {
  checkDestination(destination);
  tmpfsOptions(options);
}

const tmpfsFlags = new Set(
  (
    "defaults rw ro async sync dirsync suid nosuid dev nodev exec noexec atime noatime diratime nodiratime relatime " +
    "norelatime strictatime nostrictatime private rprivate shared rshared slave rslave unbindable runbindable bind rbind"
  ).split(" "),
);
const tmpfsSettings = new Set(["mode", "uid", "gid", "size", "nr_inodes", "nr_blocks", "mpol"]);
/** Flags of one kind: the later one wins. */
const opposites: Record<string, string> = {
  rw: "ro",
  ro: "rw",
  suid: "nosuid",
  nosuid: "suid",
  dev: "nodev",
  nodev: "dev",
  exec: "noexec",
  noexec: "exec",
};

/**
 * The mount options of a tmpfs: noexec, nosuid, nodev unless `options` (of --tmpfs) say otherwise.
 * Throws invalidParameter with Docker's sentence for an option it has not.
 */
export function tmpfsOptions(options: string): string[] {
  const result = new Map<string, string>(["noexec", "nosuid", "nodev", "rprivate"].map((name) => [name, name]));
  for (const option of options === "" ? [] : options.split(",")) {
    const name = option.split("=", 1)[0]!;
    const isSetting = option.includes("=") && tmpfsSettings.has(name);
    if (!isSetting && !tmpfsFlags.has(option)) throw invalidParameter(`invalid tmpfs option "${option}"`);
    const opposite = opposites[name];
    if (opposite !== undefined) result.delete(opposite);
    result.set(name, option);
  }
  result.delete("defaults");
  return [...result.values()];
}

/** Reads one of HostConfig.VolumesFrom: `CONTAINER[:ro|rw|z…]`. Throws invalidParameter. */
export function parseVolumesFrom(text: string): { container: string; mode: string; readOnly: boolean } {
  const colon = text.indexOf(":");
  const container = colon < 0 ? text : text.slice(0, colon);
  const mode = colon < 0 ? "rw" : text.slice(colon + 1);
  if (container === "") throw invalidParameter(`invalid name or ID supplied: ""`);
  const parsed = parseMode(mode);
  if (parsed === undefined) throw invalidParameter(`invalid mode: ${mode}`);
  return { container, mode, readOnly: parsed.readOnly };
}
