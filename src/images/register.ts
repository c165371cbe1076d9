/** The last step of pull, load and import: the rows that make blobs and layers an image. */

import type { ConfigDocument } from "../distribution/documents.ts";
import { BrigError, messageOf } from "../lib/errors.ts";
import type { Reference } from "../lib/reference.ts";
import { type ImageRecord, type ManifestRecord, withManifest } from "./record.ts";
import type { ImageRooms } from "./rooms.ts";

/** How the API says "never". */
export const noTime = "0001-01-01T00:00:00Z";

export interface NewImage {
  id: string;
  config: ConfigDocument;
  manifest: ManifestRecord;
  references: Reference[];
  /** Digest of the index or manifest that the references stand for; the manifest's where it is not given. */
  target?: string;
  /** Whether a person gave it its tag just now; a pull does not count. */
  isTagged: boolean;
  /** The image it was made upon. */
  parent?: string;
}

/** What went wrong with the one layer of an import or a commit: nobody needs to be told that it was a layer. */
export function withoutLayer(thrown: unknown): BrigError {
  const message = messageOf(thrown).replace(/^failed to register layer: /, "");
  return new BrigError(thrown instanceof BrigError ? thrown.kind : "system", message, { cause: thrown });
}

/** Writes an image's rows. All its blobs and layers must be here. */
export function register(rooms: ImageRooms, image: NewImage): ImageRecord {
  const { id, config, manifest, references } = image;
  const known = rooms.store.byId(id);
  const diffIds = config.rootfs.diff_ids;
  const record = withManifest(
    known ?? {
      id,
      architecture: config.architecture,
      os: config.os,
      ...(config["os.version"] ? { osVersion: config["os.version"] } : {}),
      ...(config.variant ? { variant: config.variant } : {}),
      created: config.created ?? "",
      diffIds,
      size: diffIds.reduce((sum, diffId) => sum + rooms.layers.size(diffId), 0),
      ...(image.parent === undefined ? {} : { parent: image.parent }),
      labels: config.config?.Labels ?? {},
      manifests: [],
    },
    manifest,
  );
  if (image.isTagged) record.lastTagTime = new Date().toISOString();
  rooms.store.put(record, references, image.target ?? manifest.digest);
  return record;
}
