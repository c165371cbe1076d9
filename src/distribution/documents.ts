/** Manifests, indexes and image configs: taken apart and checked, since they come from strangers. */
import { systemError } from "../lib/errors.ts";
import { isSha256 } from "../lib/reference.ts";
import type { ContainerConfig, HealthConfig, ImageConfig, OCIPlatform } from "../wire/engine-api.ts";
import { isIndexType, isManifestType, mediaTypes } from "./media-types.ts";

/** Registries refuse larger manifests, and so do we (distribution-spec, "Pushing Manifests"). */
export const manifestLimitBytes = 4 << 20;
/** Configs hold the history of a build; nobody has seen one of a megabyte. */
export const configLimitBytes = 8 << 20;
/** overlayfs stacks at most 500 lower directories. */
const layerLimit = 500;
const platformLimit = 1000;

/** A blob by its digest (OCI image-spec, descriptor.md). */
export interface Descriptor {
  mediaType: string;
  digest: string;
  /** Bytes. */
  size: number;
  annotations?: Record<string, string>;
  platform?: OCIPlatform;
  /** Where else than in the registry the blob is, for layers that registries must not have. */
  urls?: string[];
}

export interface Manifest {
  kind: "manifest";
  config: Descriptor;
  layers: Descriptor[];
}

export interface Index {
  kind: "index";
  manifests: Descriptor[];
}

/** One line of an image's history (OCI image-spec, config.md). */
export interface HistoryEntry {
  created?: string;
  created_by?: string;
  author?: string;
  comment?: string;
  empty_layer?: boolean;
}

/** An image's config, of what we use. */
export interface ConfigDocument {
  architecture: string;
  os: string;
  "os.version"?: string;
  variant?: string;
  /** RFC 3339. */
  created?: string;
  author?: string;
  comment?: string;
  docker_version?: string;
  /** Id of the container it was committed from, and that one's configuration. */
  container?: string;
  container_config?: ContainerConfig;
  config?: ImageConfig;
  rootfs: { type: string; diff_ids: string[] };
  history?: HistoryEntry[];
}

type Json = Record<string, unknown>;

/** Parses JSON. Throws with Go's opening words, which people know from Docker. */
export function parseJson(bytes: Uint8Array | string, what: string): unknown {
  try {
    return JSON.parse(typeof bytes === "string" ? bytes : new TextDecoder().decode(bytes));
  } catch (thrown) {
    throw systemError(`error unmarshalling content: ${what} is not JSON: ${(thrown as Error).message}`);
  }
}

/**
 * Takes a manifest or index apart. `mediaType` is what it was announced as; its own word counts for more.
 * Throws for schema 1, other kinds of document and wrong shapes.
 */
export function parseManifest(bytes: Uint8Array, mediaType: string, name: string): Manifest | Index {
  const document = asObject(parseJson(bytes, "the manifest"), "manifest");
  const type = typeof document.mediaType === "string" && document.mediaType !== "" ? document.mediaType : mediaType;
  if (document.schemaVersion === 1 || type === mediaTypes.dockerSchema1 || type === mediaTypes.dockerSchema1Signed)
    throw systemError(
      `Docker Image Format v1 and Docker Image manifest version 2, schema 1 support has been removed. Suggest the author of ${name} to upgrade the image to the OCI Format or Docker Image manifest v2, schema 2. More information at https://docs.docker.com/go/deprecated-image-specs/`,
    );
  if (document.schemaVersion !== 2) throw systemError(`unsupported manifest schema version of ${name}`);
  if (isIndexType(type) || (!isManifestType(type) && Array.isArray(document.manifests)))
    return { kind: "index", manifests: asDescriptors(document.manifests, platformLimit, "manifests") };
  if (!isManifestType(type) && document.config === undefined)
    throw systemError(`unsupported manifest media type: ${type || "none"}`);
  return {
    kind: "manifest",
    config: asDescriptor(document.config, "config"),
    layers: asDescriptors(document.layers, layerLimit, "layers"),
  };
}

/** Takes an image's config apart and checks every field that Brig reads. */
export function parseConfig(bytes: Uint8Array): ConfigDocument {
  const document = asObject(parseJson(bytes, "the image's configuration"), "image configuration");
  const rootfs = document.rootfs;
  const ids = isObject(rootfs) ? (rootfs.diff_ids ?? []) : undefined;
  if (!Array.isArray(ids) || ids.length > layerLimit || !ids.every(isSha256))
    throw systemError("invalid rootfs in image configuration");
  return {
    ...document,
    architecture: asText(document.architecture),
    os: asText(document.os) || "linux",
    config: asImageConfig(document.config),
    rootfs: { type: "layers", diff_ids: ids },
    history: asHistory(document.history),
  };
}

function asHistory(value: unknown): HistoryEntry[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value) || !value.every(isObject)) throw wrong("history");
  return value.map((entry) => ({
    created: optionalText(entry.created),
    created_by: optionalText(entry.created_by),
    author: optionalText(entry.author),
    comment: optionalText(entry.comment),
    empty_layer: entry.empty_layer === true,
  }));
}

function asImageConfig(value: unknown): ImageConfig {
  if (value === undefined || value === null) return {};
  const config = asObject(value, "config");
  for (const key of ["Env", "Cmd", "Entrypoint", "OnBuild", "Shell"]) checkTexts(config[key], key);
  for (const key of ["User", "WorkingDir", "StopSignal"])
    if (config[key] !== undefined && config[key] !== null && typeof config[key] !== "string") throw wrong(key);
  for (const key of ["ExposedPorts", "Volumes"])
    if (config[key] !== undefined && config[key] !== null && !isObject(config[key])) throw wrong(key);
  const labels = config.Labels;
  if (labels !== undefined && labels !== null)
    if (!isObject(labels) || !Object.values(labels).every((label) => typeof label === "string")) throw wrong("Labels");
  checkHealthcheck(config.Healthcheck);
  return config as ImageConfig;
}

function checkHealthcheck(value: unknown): void {
  if (value === undefined || value === null) return;
  const healthcheck = asObject(value, "Healthcheck");
  checkTexts(healthcheck.Test, "Healthcheck.Test");
  const numbers: (keyof HealthConfig)[] = ["Interval", "Timeout", "Retries", "StartPeriod", "StartInterval"];
  for (const key of numbers)
    if (healthcheck[key] !== undefined && typeof healthcheck[key] !== "number") throw wrong(`Healthcheck.${key}`);
}

function checkTexts(value: unknown, field: string): void {
  if (value === undefined || value === null) return;
  if (!Array.isArray(value) || !value.every((item) => typeof item === "string")) throw wrong(field);
}

function asDescriptors(value: unknown, limit: number, field: string): Descriptor[] {
  if (value === undefined || value === null) return [];
  if (!Array.isArray(value)) throw wrong(field);
  if (value.length > limit) throw systemError(`manifest has too many ${field}: ${value.length}, at most ${limit}`);
  return value.map((item) => asDescriptor(item, field));
}

function asDescriptor(value: unknown, field: string): Descriptor {
  const descriptor = asObject(value, field);
  const { digest, size, annotations, platform, urls } = descriptor;
  if (!isSha256(digest)) throw systemError("invalid checksum digest format");
  if (typeof size !== "number" || !Number.isSafeInteger(size) || size < 0) throw wrong(`${field}.size`);
  return {
    mediaType: asText(descriptor.mediaType),
    digest,
    size,
    ...(isObject(annotations) ? { annotations: textsOf(annotations) } : {}),
    ...(isObject(platform) ? { platform: asPlatform(platform) } : {}),
    ...(isTexts(urls) && urls.length > 0 ? { urls } : {}),
  };
}

function asPlatform(platform: Json): OCIPlatform {
  return {
    architecture: asText(platform.architecture),
    os: asText(platform.os),
    ...(typeof platform["os.version"] === "string" ? { "os.version": platform["os.version"] } : {}),
    ...(isTexts(platform["os.features"]) ? { "os.features": platform["os.features"] } : {}),
    ...(typeof platform.variant === "string" && platform.variant !== "" ? { variant: platform.variant } : {}),
  };
}

function textsOf(object: Json): Record<string, string> {
  return Object.fromEntries(
    Object.entries(object).filter((entry): entry is [string, string] => typeof entry[1] === "string"),
  );
}

const isObject = (value: unknown): value is Json =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isTexts = (value: unknown): value is string[] =>
  Array.isArray(value) && value.every((item) => typeof item === "string");
const asText = (value: unknown) => (typeof value === "string" ? value : "");
const optionalText = (value: unknown) => (typeof value === "string" && value !== "" ? value : undefined);
const wrong = (field: string) => systemError(`error unmarshalling content: wrong type of ${field}`);

function asObject(value: unknown, what: string): Json {
  if (!isObject(value)) throw systemError(`error unmarshalling content: ${what} is not an object`);
  return value;
}
