/** `/v2/NAME/manifests/REFERENCE` (distribution-spec, "Pulling manifests", "Pushing Manifests", "Deleting"). */

import { RegistryFailure } from "./errors.ts";
import { parseManifest, readManifest } from "./manifest-document.ts";
import { checkDigest, isDigest, isTag } from "./names.ts";
import type { Registry } from "./registry.ts";
import type { RegistryRequest } from "./request.ts";

/** Larger ones are refused by every registry (distribution-spec, "Pushing Manifests"). */
const manifestLimitBytes = 4 << 20;

export async function getManifest(registry: Registry, request: RegistryRequest): Promise<Response> {
  const wanted = reference(request);
  await registry.pullThrough?.bringManifest(request.repository, wanted);
  const manifest = registry.metadata.manifest(registry.repositoryId(request.repository), wanted);
  if (manifest === undefined)
    throw new RegistryFailure("MANIFEST_UNKNOWN", {
      detail: { name: request.repository, reference: request.reference },
    });
  const headers = {
    "Content-Type": manifest.mediaType,
    "Content-Length": String(manifest.content.length),
    "Docker-Content-Digest": manifest.digest,
    ETag: `"${manifest.digest}"`,
  };
  if (request.header("if-none-match") === headers.ETag) return new Response(null, { status: 304, headers });
  return new Response(request.method === "HEAD" ? null : (manifest.content as Uint8Array<ArrayBuffer>), { headers });
}

export async function putManifest(registry: Registry, request: RegistryRequest): Promise<Response> {
  const { metadata } = registry;
  const wanted = reference(request);
  const content = await request.bytes(manifestLimitBytes);
  const algorithm = wanted.startsWith("sha512:") ? "sha512" : "sha256";
  const digest = `${algorithm}:${new Bun.CryptoHasher(algorithm).update(content).digest("hex")}`;
  if (isDigest(wanted) && wanted !== digest)
    throw new RegistryFailure("DIGEST_INVALID", { detail: { digest: wanted, computed: digest } });
  const document = readManifest(parseManifest(content), request.header("content-type") ?? "");
  const id = metadata.ensure(request.repository);
  const missing = metadata.putManifest(id, { ...document, digest, content }, isDigest(wanted) ? undefined : wanted);
  if (missing !== undefined) throw new RegistryFailure("MANIFEST_BLOB_UNKNOWN", { detail: { digest: missing } });
  return new Response(null, {
    status: 201,
    headers: {
      Location: `/v2/${request.repository}/manifests/${digest}`,
      "Docker-Content-Digest": digest,
      ...(document.subject === undefined ? {} : { "OCI-Subject": document.subject }),
    },
  });
}

export function deleteManifest(registry: Registry, request: RegistryRequest): Response {
  const id = registry.repositoryId(request.repository);
  const wanted = reference(request);
  const isGone = isDigest(wanted)
    ? registry.metadata.deleteManifest(id, wanted)
    : registry.metadata.deleteTag(id, wanted);
  if (!isGone) throw new RegistryFailure("MANIFEST_UNKNOWN", { detail: { reference: wanted } });
  return new Response(null, { status: 202 });
}

/** The tag or digest of the path. Throws where it is neither. */
function reference({ reference: text }: RegistryRequest): string {
  if (text.includes(":")) checkDigest(text);
  else if (!isTag(text)) throw new RegistryFailure("TAG_INVALID", { detail: { tag: text.slice(0, 200) } });
  return text;
}
