/** GET /images/{name}/json and /images/{name}/history. */

import type { ConfigDocument } from "../distribution/documents.ts";
import { familiarString } from "../lib/reference.ts";
import type { ContainerConfig, ImageConfig, ImageHistoryResponseItem, ImageInspect } from "../wire/engine-api.ts";
import { topOf } from "./manifests.ts";
import type { ImageRecord } from "./record.ts";
import { noTime } from "./register.ts";
import type { ImageRooms } from "./rooms.ts";

const MISSING = "<missing>";

/** What the API shows of an image, with what only older versions of it do. */
export type InspectedImage = ImageInspect & {
  Parent: string;
  DockerVersion: string;
  Container?: string;
  ContainerConfig?: ContainerConfig;
};

/** The fields of a configuration that are an image's. One that was committed has all of its container's. */
const imageKeys = [
  "User",
  "ExposedPorts",
  "Env",
  "Entrypoint",
  "Cmd",
  "Volumes",
  "WorkingDir",
  "Labels",
  "StopSignal",
  "ArgsEscaped",
  "Healthcheck",
  "OnBuild",
  "Shell",
] as const;

function imageFields(config: ImageConfig): ImageConfig {
  const isEmpty = (value: unknown) =>
    !value || (typeof value === "object" && Object.keys(value as object).length === 0);
  return Object.fromEntries(imageKeys.map((key) => [key, config[key]]).filter(([, value]) => !isEmpty(value)));
}

/** The API's picture of an image. `config` is the image's whole config document. */
export function inspect(rooms: ImageRooms, record: ImageRecord, config: ConfigDocument): InspectedImage {
  const references = rooms.store.referencesOf(record.id);
  const { digest, mediaType, size } = topOf(rooms, record);
  return {
    Id: record.id,
    RepoTags: references.filter((reference) => reference.digest === undefined).map(familiarString),
    RepoDigests: references.filter((reference) => reference.digest !== undefined).map(familiarString),
    Parent: record.parent ?? "",
    Comment: config.comment ?? config.history?.at(-1)?.comment ?? "",
    Created: record.created || undefined,
    DockerVersion: config.docker_version ?? "",
    Author: config.author ?? "",
    ...(config.container ? { Container: config.container } : {}),
    ...(config.container_config ? { ContainerConfig: config.container_config } : {}),
    Config: imageFields(config.config ?? {}),
    Architecture: record.architecture,
    ...(record.variant ? { Variant: record.variant } : {}),
    Os: record.os,
    ...(record.osVersion ? { OsVersion: record.osVersion } : {}),
    Size: record.size,
    GraphDriver: rooms.graphDriver(record.diffIds),
    RootFS: { Type: "layers", ...(record.diffIds.length > 0 ? { Layers: record.diffIds } : {}) },
    Metadata: { LastTagTime: record.lastTagTime ?? noTime },
    Descriptor: { mediaType, digest, size },
  };
}

/** An image's steps, the last one first, those of the images it was committed upon by their names. Sizes are those of the layers that are here. */
export function history(rooms: ImageRooms, record: ImageRecord, config: ConfigDocument): ImageHistoryResponseItem[] {
  let layer = 0;
  const items = (config.history ?? []).map((entry): ImageHistoryResponseItem => {
    const diffId = entry.empty_layer ? undefined : record.diffIds[layer++];
    return {
      Id: MISSING,
      Created: Math.floor(Date.parse(entry.created ?? noTime) / 1000),
      CreatedBy: entry.created_by ?? "",
      Tags: [],
      Size: diffId === undefined ? 0 : rooms.layers.size(diffId),
      Comment: entry.comment ?? "",
    };
  });
  items.reverse();
  let image: ImageRecord | undefined = record;
  for (const item of items) {
    if (image === undefined) break;
    item.Id = image.id;
    item.Tags = rooms.store
      .referencesOf(image.id)
      .filter(({ digest }) => digest === undefined)
      .map(familiarString);
    image = rooms.store.byId(image.parent ?? "");
  }
  return items;
}
