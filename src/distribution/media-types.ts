/** The kinds of documents and layers a registry or archive holds (OCI image-spec media-types, Docker schema 2). */

export const mediaTypes = {
  dockerManifest: "application/vnd.docker.distribution.manifest.v2+json",
  dockerList: "application/vnd.docker.distribution.manifest.list.v2+json",
  dockerSchema1: "application/vnd.docker.distribution.manifest.v1+json",
  dockerSchema1Signed: "application/vnd.docker.distribution.manifest.v1+prettyjws",
  dockerConfig: "application/vnd.docker.container.image.v1+json",
  dockerLayer: "application/vnd.docker.image.rootfs.diff.tar",
  ociManifest: "application/vnd.oci.image.manifest.v1+json",
  ociIndex: "application/vnd.oci.image.index.v1+json",
  ociConfig: "application/vnd.oci.image.config.v1+json",
  ociLayer: "application/vnd.oci.image.layer.v1.tar",
} as const;

/** What a request for a manifest says it understands. Schema 1 is left out on purpose. */
export const acceptedManifests = [
  mediaTypes.ociIndex,
  mediaTypes.ociManifest,
  mediaTypes.dockerList,
  mediaTypes.dockerManifest,
].join(", ");

export const isIndexType = (type: string) => type === mediaTypes.ociIndex || type === mediaTypes.dockerList;
export const isManifestType = (type: string) => type === mediaTypes.ociManifest || type === mediaTypes.dockerManifest;

/** Layers that are not to be copied to other registries than their own. */
export const isForeignLayerType = (type: string) =>
  type.startsWith("application/vnd.docker.image.rootfs.foreign.") ||
  type.startsWith("application/vnd.oci.image.layer.nondistributable.");
export const isUncompressedLayerType = (type: string) =>
  type === mediaTypes.ociLayer || type === mediaTypes.dockerLayer;

/** Whether a container can be run from what a config of that type describes. Some builders leave it out. */
export const isImageConfigType = (type: string) =>
  type === mediaTypes.dockerConfig ||
  type === mediaTypes.ociConfig ||
  type === "" ||
  type === "text/html" ||
  type === "application/octet-stream";

/** The kind of a layer that came without one, by its first four bytes. */
export function layerTypeOf(head: Buffer): string {
  if (head[0] === 0x1f && head[1] === 0x8b) return `${mediaTypes.ociLayer}+gzip`;
  return head.length >= 4 && head.readUInt32LE(0) === ZSTD_MAGIC ? `${mediaTypes.ociLayer}+zstd` : mediaTypes.ociLayer;
}

/** The OCI's name for a layer of an image of Docker's. */
export function ociLayerType(type: string): string {
  if (!type.startsWith(mediaTypes.dockerLayer)) return type;
  return `${mediaTypes.ociLayer}${type.slice(mediaTypes.dockerLayer.length).replace(".gzip", "+gzip").replace(".zstd", "+zstd")}`;
}

/** Frame magic of RFC 8878. */
export const ZSTD_MAGIC = 0xfd2fb528;

interface Blob {
  digest: string;
  size: number;
}

/** A manifest for an image that came without one; the same bytes for the same blobs. */
export function manifestFor(config: Blob, layers: (Blob & { mediaType: string })[]): Buffer {
  const descriptor = (mediaType: string, { digest, size }: Blob) => ({ mediaType, digest, size });
  return Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: descriptor(mediaTypes.ociConfig, config),
      layers: layers.map((layer) => descriptor(layer.mediaType, layer)),
    }),
  );
}
