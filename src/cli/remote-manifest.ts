/** Registries, asked by the command line itself: for `manifest`. */
import { credentialsFor, registryKey } from "../client/credentials.ts";
import { configLimitBytes, parseConfig, parseManifest } from "../distribution/documents.ts";
import { originsOf } from "../distribution/endpoints.ts";
import { isImageConfigType, mediaTypes } from "../distribution/media-types.ts";
import { environmentProxies } from "../distribution/proxies.ts";
import { ConnectionError, RegistryError } from "../distribution/registry-errors.ts";
import { type FetchedManifest, Repository } from "../distribution/repository.ts";
import { canonicalString, familiarString, parseReference, type Reference, withDefaultTag } from "../lib/reference.ts";
import { type CliContext, StatusError } from "./command.ts";
import type { ListedManifest } from "./manifest-store.ts";

/** The repositories that a reference may mean, the one with TLS first; in the clear only where `insecure`. */
async function repositoriesOf(
  ctx: CliContext,
  reference: Reference,
  insecure: boolean,
  actions: string,
): Promise<Repository[]> {
  const settings = {
    registryMirrors: [],
    insecureRegistries: insecure ? [reference.domain] : [],
    maxConcurrentDownloads: 1,
    maxConcurrentUploads: 1,
    maxDownloadAttempts: 1,
    proxies: environmentProxies(),
  };
  const credentials = (await credentialsFor(ctx.configFile, registryKey(reference.domain))) ?? {};
  // Loopback is no exception here, as in docker's command line.
  return originsOf(reference.domain, settings)
    .filter(({ base }) => insecure || base.startsWith("https:"))
    .map((endpoint) => new Repository({ ...endpoint, verify: !insecure }, reference.path, credentials, actions));
}

/** Does something at whichever of a reference's servers answers. */
export async function atRegistry<T>(
  ctx: CliContext,
  reference: Reference,
  insecure: boolean,
  actions: string,
  work: (repository: Repository) => Promise<T>,
): Promise<T> {
  let last: unknown;
  for (const repository of await repositoriesOf(ctx, reference, insecure, actions)) {
    try {
      // Whoever does not speak TLS is to be found out at once, and not after all attempts at an upload.
      await repository.ping(undefined);
    } catch (thrown) {
      last = thrown;
      if (thrown instanceof ConnectionError) continue;
      break;
    }
    return work(repository);
  }
  throw last;
}

/** One image as its registry has it, or each image of a list. Throws `no such manifest: …`. */
export async function fetchManifests(
  ctx: CliContext,
  name: string,
  insecure: boolean,
): Promise<{ images: ListedManifest[]; isList: boolean }> {
  const reference = withDefaultTag(parseReference(name));
  try {
    return await atRegistry(ctx, reference, insecure, "pull", async (repository) => {
      const top = await repository.manifest(reference.digest ?? reference.tag!, undefined);
      const document = parseManifest(top.bytes, top.mediaType, familiarString(reference));
      if (document.kind === "manifest")
        return { images: [await listed(repository, canonicalString(reference), top)], isList: false };
      const images: ListedManifest[] = [];
      for (const { digest, platform } of document.manifests) {
        const image = await listed(
          repository,
          `${canonicalString({ ...reference, digest: undefined })}@${digest}`,
          await repository.manifest(digest, undefined),
        );
        images.push(platform === undefined ? image : { ...image, Descriptor: { ...image.Descriptor, platform } });
      }
      return { images, isList: true };
    });
  } catch (thrown) {
    if (thrown instanceof ConnectionError && thrown.message.includes(" dial tcp"))
      throw new StatusError(`failed to configure transport: error pinging v2 registry: ${thrown.message}`, 1);
    if (thrown instanceof ConnectionError || (thrown instanceof RegistryError && thrown.status === 404))
      throw new StatusError(`no such manifest: ${canonicalString(reference)}`, 1);
    throw thrown;
  }
}

async function listed(repository: Repository, Ref: string, manifest: FetchedManifest): Promise<ListedManifest> {
  const { bytes, mediaType, digest } = manifest;
  const document = parseManifest(bytes, mediaType, Ref);
  if (document.kind === "index") throw new StatusError(`${Ref} is a manifest list`, 1);
  const { config } = document;
  const content = JSON.parse(new TextDecoder().decode(bytes)) as object;
  const isKnown = isImageConfigType(config.mediaType) && config.size <= configLimitBytes;
  const image = isKnown ? parseConfig(await repository.smallBlob(config.digest, config.size, undefined)) : undefined;
  const platform = image && {
    architecture: image.architecture,
    os: image.os,
    ...(image["os.version"] ? { "os.version": image["os.version"] } : {}),
    ...(image.variant ? { variant: image.variant } : {}),
  };
  return {
    Ref,
    Descriptor: { mediaType, digest, size: bytes.length, ...(platform ? { platform } : {}) },
    Raw: Buffer.from(bytes).toString("base64"),
    ...(mediaType === mediaTypes.dockerManifest ? { SchemaV2Manifest: content } : { OCIManifest: content }),
  };
}

/** The list's JSON as docker's command line writes it: indented by three, fields in its order; and its type. */
export function listDocument(images: ListedManifest[]): { text: string; mediaType: string } {
  const areOci = images.every(({ Descriptor: { mediaType } }) => mediaType === mediaTypes.ociManifest);
  const mediaType = areOci ? mediaTypes.ociIndex : mediaTypes.dockerList;
  const manifests = images.map(({ Descriptor: { mediaType, size, digest, platform } }) => ({
    mediaType,
    size,
    digest,
    platform: {
      architecture: platform?.architecture ?? "",
      os: platform?.os ?? "",
      ...(platform?.["os.version"] ? { "os.version": platform["os.version"] } : {}),
      ...(platform?.["os.features"] ? { "os.features": platform["os.features"] } : {}),
      ...(platform?.variant ? { variant: platform.variant } : {}),
    },
  }));
  return { text: JSON.stringify({ schemaVersion: 2, mediaType, manifests }, null, 3), mediaType };
}
