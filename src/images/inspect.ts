/** GET /images/{name}/json and /images/{name}/history. */

import type { ConfigDocument } from "../distribution/documents.ts";
import { familiarString } from "../lib/reference.ts";
import type { ImageHistoryResponseItem, ImageInspect } from "../wire/engine-api.ts";
import { topOf } from "./manifests.ts";
import type { ImageRecord } from "./record.ts";
import { noTime } from "./register.ts";
import type { ImageRooms } from "./rooms.ts";

const MISSING = "<missing>";

/** The API's picture of an image. `config` is the image's whole config document. */
export function inspect(
  rooms: ImageRooms,
  record: ImageRecord,
  config: ConfigDocument,
): ImageInspect & { Parent: string; DockerVersion: string } {
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
    Config: config.config ?? {},
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

/** An image's steps, the last one first. Sizes are those of the layers that are here. */
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
  const top = items[0];
  if (top) {
    top.Id = record.id;
    top.Tags = rooms.store
      .referencesOf(record.id)
      .filter(({ digest }) => digest === undefined)
      .map(familiarString);
  }
  return items;
}
