/** `--mount` and `-v`. */
import { resolve } from "node:path";
import { parseBool, parseInteger } from "../lib/flags.ts";
import { parseMemoryBytes } from "../lib/units.ts";
import type { Mount } from "../wire/engine-api.ts";
import { parseCsvRow } from "./csv.ts";
import { cut } from "./key-values.ts";

/** Keys that mean true where they have no value. */
const switches = new Set(["readonly", "ro", "volume-nocopy", "bind-nonrecursive"]);
const kinds = ["bind", "volume", "image", "tmpfs"];
const optionsOf = {
  bind: "BindOptions",
  volume: "VolumeOptions",
  image: "ImageOptions",
  tmpfs: "TmpfsOptions",
} as const;

/** Reads one `--mount`. Throws with docker's sentences. */
export function parseMount(text: string): Mount {
  const mount: Mount = { Type: "volume" };
  let recursion = "";
  for (const field of parseCsvRow(text)) {
    const [name, given] = cut(field);
    const key = name.toLowerCase();
    if (given === undefined && !switches.has(key)) throw new Error(`invalid field '${field}' must be a key=value pair`);
    if (key === "bind-recursive") recursion = given!;
    setField(mount, key, given ?? "true", field);
  }
  setRecursion(mount, recursion);
  if (!mount.Target) throw new Error("target is required");
  if (mount.Source === "") delete mount.Source;
  if (mount.ReadOnly === false) delete mount.ReadOnly;
  for (const kind of kinds) {
    if (mount.Type !== kind && mount[optionsOf[kind as keyof typeof optionsOf]] !== undefined) {
      throw new Error(`cannot mix '${kind}-*' options with mount type '${mount.Type}'`);
    }
  }
  return mount;
}

function setField(mount: Mount, key: string, value: string, field: string): void {
  const switched = () => orRefuse(() => parseBool(value), key, value);
  const bind = () => (mount.BindOptions ??= {});
  const volume = () => (mount.VolumeOptions ??= { DriverConfig: {} });
  switch (key) {
    case "type":
      mount.Type = value.toLowerCase() as NonNullable<Mount["Type"]>;
      break;
    case "source":
    case "src":
      mount.Source = value === "." || value.startsWith("./") || value.startsWith("../") ? resolve(value) : value;
      break;
    case "target":
    case "dst":
    case "destination":
      mount.Target = value;
      break;
    case "readonly":
    case "ro":
      mount.ReadOnly = switched();
      break;
    case "consistency":
      mount.Consistency = value.toLowerCase();
      break;
    case "bind-propagation":
      bind().Propagation = value.toLowerCase() as NonNullable<NonNullable<Mount["BindOptions"]>["Propagation"]>;
      break;
    case "bind-nonrecursive":
      if (switched()) bind().NonRecursive = true;
      else bind();
      break;
    case "bind-recursive":
      break;
    case "volume-subpath":
      volume().Subpath = value;
      break;
    case "volume-nocopy":
      if (switched()) volume().NoCopy = true;
      else volume();
      break;
    case "volume-label":
      setPair((volume().Labels ??= {}), value);
      break;
    case "volume-driver":
      volume().DriverConfig!.Name = value;
      break;
    case "volume-opt":
      setPair((volume().DriverConfig!.Options ??= {}), value);
      break;
    case "image-subpath":
      (mount.ImageOptions ??= {}).Subpath = value;
      break;
    case "tmpfs-size":
      (mount.TmpfsOptions ??= {}).SizeBytes = orRefuse(() => parseMemoryBytes(value), key, value);
      break;
    case "tmpfs-mode":
      (mount.TmpfsOptions ??= {}).Mode = orRefuse(() => parseOctal(value), key, value);
      break;
    default:
      throw new Error(`unexpected key '${key}' in '${field}'`);
  }
}

function setRecursion(mount: Mount, recursion: string): void {
  if (recursion === "") return;
  const demand = (holds: boolean, what: string) => {
    if (!holds)
      throw new Error(`option 'bind-recursive=${recursion}' requires '${what}' to be specified in conjunction`);
  };
  switch (recursion) {
    case "enabled":
      return;
    case "disabled":
      (mount.BindOptions ??= {}).NonRecursive = true;
      return;
    case "writable":
      (mount.BindOptions ??= {}).ReadOnlyNonRecursive = true;
      demand(mount.ReadOnly === true, "readonly");
      return;
    case "readonly":
      (mount.BindOptions ??= {}).ReadOnlyForceRecursive = true;
      demand(mount.ReadOnly === true, "readonly");
      demand(mount.BindOptions.Propagation === "rprivate", "bind-propagation=rprivate");
      return;
    default:
      throw new Error(
        `invalid value for bind-recursive: ${recursion} (must be "enabled", "disabled", "writable", or "readonly")`,
      );
  }
}

function setPair(record: Record<string, string>, text: string): void {
  const [key, value] = cut(text);
  record[key] = value ?? "";
}

function parseOctal(text: string): number {
  if (!/^[0-7]{1,11}$/.test(text)) throw new Error("not octal");
  return Number(parseInteger(`0o${text}`, "ParseUint", 32));
}

function orRefuse<T>(work: () => T, key: string, value: string): T {
  try {
    return work();
  } catch {
    throw new Error(`invalid value for ${key}: ${value}`);
  }
}

/** What a `-v` asks for: something to bind, or an anonymous volume. */
export type VolumeOption = { bind: string } | { anonymous: string };

/** Reads one `-v`; a source that begins with a dot is a path from here. Throws with docker's sentences. */
export function parseVolume(text: string): VolumeOption {
  if (text === "") throw new Error("invalid empty volume spec");
  if (text.length <= 2) return { anonymous: text };
  // A single letter and a colon are a drive of Windows, whatever this machine is.
  const sections = text.replaceAll(/(^|:)([A-Za-z]):/g, "$1$2\0").split(":");
  if (sections.includes("")) throw new Error(`invalid spec: ${text}: empty section between colons`);
  if (sections.length > 3) throw new Error(`invalid spec: ${text}: too many colons`);
  if (sections.length === 1) return { anonymous: text };
  if (!text.startsWith(".")) return { bind: text };
  const [source, rest] = cut(text, ":");
  return { bind: `${resolve(source)}:${rest ?? ""}` };
}
