/** `docker commit`, from the image's side: the parent with one layer on top, and another config. */
import { readFileSync } from "node:fs";
import { type ConfigDocument, type HistoryEntry, parseConfig } from "../distribution/documents.ts";
import { manifestFor, mediaTypes, ociLayerType } from "../distribution/media-types.ts";
import { familiarString } from "../lib/reference.ts";
import { nowRfc3339Nano } from "../lib/time.ts";
import { version } from "../lib/version.ts";
import type { PackedLayer } from "../storage/layers.ts";
import type { ContainerConfig, ImageConfig } from "../wire/engine-api.ts";
import { newName } from "./new-name.ts";
import { blobsOf } from "./record.ts";
import { register, withoutLayer } from "./register.ts";
import { announce, type ImageRooms } from "./rooms.ts";

export interface CommitTarget {
  /** Id of the image that the container was made of. */
  parent: string;
  /** Empty: the image gets no name. */
  repo: string;
  tag: string;
}

export interface CommitContents {
  author: string;
  comment: string;
  /** The command that history shows. */
  createdBy: string;
  config: ContainerConfig;
  /** Id of the container. */
  container: string;
  containerConfig: ContainerConfig;
  /** Makes the layer, and writes its archive to a new file: LayerStore.pack(). */
  pack: (copyTo: string) => Promise<PackedLayer>;
}

/** A commit whose parent is here and whose name is right. */
export interface PreparedCommit {
  /** Makes the image. `name` is empty where it has none. Throws what `pack` throws, and then nothing is kept. */
  commit(contents: CommitContents): Promise<{ imageId: string; name: string }>;
}

/** The layer that has nothing in it: two blocks of zeros. It is not counted as one. */
const emptyLayer = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef";

/** Checks all that can be before a container is frozen. Throws notFound for the parent, invalidParameter for the name. */
export function prepareCommit(rooms: ImageRooms, { parent, repo, tag }: CommitTarget): PreparedCommit {
  const references = repo === "" ? [] : [newName(repo, tag)];
  const base = rooms.store.resolve(parent);
  return {
    async commit(contents) {
      const hold = rooms.garbage.hold();
      const held = [...blobsOf(base), ...base.diffIds];
      const keep = async (digest: string) => {
        held.push(digest);
        await hold.add(digest);
      };
      try {
        await hold.add(...held);
        const document = parseConfig(readFileSync(rooms.content.pathOf(base.id)));
        let layer: PackedLayer | undefined;
        const blob = await rooms.content.adopt(async (path) => {
          layer = await contents.pack(path);
          await keep(layer.diffId);
          return layer.copy;
        });
        const isEmpty = layer!.diffId === emptyLayer;
        const layers = base.manifests.at(-1)!.layers.map((one) => ({ ...one, mediaType: ociLayerType(one.mediaType) }));
        if (!isEmpty) layers.push({ ...blob, mediaType: mediaTypes.ociLayer });

        const bytes = Buffer.from(JSON.stringify(childOf(document, contents, isEmpty ? [] : [layer!.diffId])));
        const config = await rooms.content.write(bytes);
        await keep(config.digest);
        const manifest = await rooms.content.write(manifestFor(config, layers));
        await keep(manifest.digest);
        const record = register(rooms, {
          id: config.digest,
          config: parseConfig(bytes),
          manifest: { ...manifest, mediaType: mediaTypes.ociManifest, layers, indexes: [] },
          references,
          isTagged: references.length > 0,
          parent: base.id,
        });
        const name = references.map(familiarString).join();
        if (name !== "") announce(rooms, "tag", record.id, name, record.labels);
        return { imageId: record.id, name };
      } catch (thrown) {
        throw withoutLayer(thrown);
      } finally {
        hold.release();
        await rooms.garbage.collect(held, held);
      }
    },
  };
}

/** The image's config: the parent's platform, layers and history, and what is new. */
function childOf(parent: ConfigDocument, contents: CommitContents, added: string[]): ConfigDocument {
  const { author, comment, config, container, containerConfig, createdBy } = contents;
  const created = nowRfc3339Nano();
  const step: HistoryEntry = {
    created,
    ...(createdBy === "" ? {} : { created_by: createdBy }),
    ...(author === "" ? {} : { author }),
    ...(comment === "" ? {} : { comment }),
    ...(added.length > 0 ? {} : { empty_layer: true }),
  };
  return {
    architecture: parent.architecture,
    ...(author === "" ? {} : { author }),
    config: config as ImageConfig,
    container,
    container_config: containerConfig,
    created,
    docker_version: version,
    history: [...(parent.history ?? []), step],
    os: parent.os,
    ...(parent["os.version"] ? { "os.version": parent["os.version"] } : {}),
    rootfs: { type: "layers", diff_ids: [...parent.rootfs.diff_ids, ...added] },
    ...(parent.variant ? { variant: parent.variant } : {}),
  };
}
