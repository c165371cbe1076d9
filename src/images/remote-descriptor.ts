/** GET /distribution/{name}/json: what a name stands for in its registry, without pulling it. */
import { configLimitBytes, parseConfig, parseManifest } from "../distribution/documents.ts";
import { isImageConfigType } from "../distribution/media-types.ts";
import type { Credentials } from "../distribution/registry-auth.ts";
import { RegistryError } from "../distribution/registry-errors.ts";
import type { Repository } from "../distribution/repository.ts";
import { notFound } from "../lib/errors.ts";
import { familiarString, parseReference, withDefaultTag } from "../lib/reference.ts";
import type { OCIPlatform } from "../wire/engine-api.ts";
import { fromAny } from "./from-any.ts";
import type { ImageRooms } from "./rooms.ts";

/** The API's DistributionInspect. */
export interface DistributionInspect {
  Descriptor: { mediaType: string; digest: string; size: number };
  Platforms: OCIPlatform[];
}

/** Throws in Docker's words where the registry has it not, or does not say. */
export async function remoteDescriptor(
  rooms: ImageRooms,
  name: string,
  request: { auth?: Credentials; signal?: AbortSignal },
): Promise<DistributionInspect> {
  const reference = withDefaultTag(parseReference(name));
  try {
    return await fromAny(rooms, reference, request, async (repository) => {
      const { bytes, mediaType, digest } = await repository.manifest(
        reference.digest ?? reference.tag!,
        request.signal,
      );
      const Descriptor = { mediaType, digest, size: bytes.length };
      return { Descriptor, Platforms: await platformsOf(repository, bytes, mediaType, name, request.signal) };
    });
  } catch (thrown) {
    if (thrown instanceof RegistryError && thrown.code === "MANIFEST_UNKNOWN")
      throw notFound(`manifest for ${familiarString(reference)} not found: ${thrown.message}`);
    throw thrown;
  }
}

async function platformsOf(
  repository: Repository,
  bytes: Uint8Array,
  mediaType: string,
  name: string,
  signal: AbortSignal | undefined,
): Promise<OCIPlatform[]> {
  const document = parseManifest(bytes, mediaType, name);
  if (document.kind === "index")
    return document.manifests.flatMap(({ platform }) => (platform === undefined ? [] : [platform]));
  const { digest, size, mediaType: configType } = document.config;
  if (!isImageConfigType(configType) || size > configLimitBytes) return [];
  const { architecture, os, variant } = parseConfig(await repository.smallBlob(digest, size, signal));
  return [{ architecture, os, ...(variant ? { variant } : {}) }];
}
