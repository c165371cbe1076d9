/** `/v2/NAME/blobs/DIGEST` (distribution-spec, "Pulling blobs", "Deleting Blobs"). */
import { RegistryFailure } from "./errors.ts";
import { checkDigest } from "./names.ts";
import type { Registry } from "./registry.ts";
import type { RegistryRequest } from "./request.ts";

export async function getBlob(registry: Registry, request: RegistryRequest): Promise<Response> {
  const { reference: digest, method } = request;
  checkDigest(digest);
  const id = registry.metadata.idOf(request.repository);
  let size = id === undefined ? undefined : registry.metadata.linkedSize(id, digest, method === "HEAD");
  const coming = size === undefined ? await registry.pullThrough?.bringBlob(request.repository, digest) : undefined;
  size ??= coming?.size ?? (id === undefined ? undefined : registry.metadata.linkedSize(id, digest));
  if (size === undefined && id === undefined) throw new RegistryFailure("NAME_UNKNOWN");
  if (size === undefined) throw new RegistryFailure("BLOB_UNKNOWN", { detail: { digest } });
  const headers: Record<string, string> = {
    "Content-Type": "application/octet-stream",
    "Docker-Content-Digest": digest,
    "Accept-Ranges": "bytes",
    "Cache-Control": "max-age=31536000",
    ETag: `"${digest}"`,
  };
  if (method === "HEAD") return new Response(null, { headers: { ...headers, "Content-Length": String(size) } });
  if (request.header("if-none-match") === headers.ETag) return new Response(null, { status: 304, headers });
  const elsewhere = coming ? undefined : registry.blobs.redirect(digest);
  if (elsewhere !== undefined) return new Response(null, { status: 307, headers: { ...headers, Location: elsewhere } });
  const range = rangeOf(request.header("range"), size);
  const { start, end } = range ?? { start: 0, end: size };
  headers["Content-Length"] = String(end - start);
  if (range) headers["Content-Range"] = `bytes ${start}-${end - 1}/${size}`;
  const body = coming ? coming.read(start, end) : await registry.blobs.body(digest, start, end);
  return new Response(body, { status: range ? 206 : 200, headers });
}

export function deleteBlob(registry: Registry, request: RegistryRequest): Response {
  const { reference: digest } = request;
  checkDigest(digest);
  const id = registry.repositoryId(request.repository);
  if (registry.metadata.hasLink(id, digest) && registry.metadata.isNeeded(id, digest))
    throw new RegistryFailure("DENIED", { message: "a manifest of the repository needs the blob: delete that first" });
  if (!registry.metadata.unlink(id, digest)) throw new RegistryFailure("BLOB_UNKNOWN", { detail: { digest } });
  return new Response(null, { status: 202 });
}

/**
 * The one range a client asks for (RFC 9110, 14.2), end exclusive; undefined for all. Several ranges are answered with
 * all, as servers may. Throws 416 for one that lies outside.
 */
function rangeOf(header: string | undefined, size: number): { start: number; end: number } | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header?.trim() ?? "");
  if (!match || (match[1] === "" && match[2] === "")) return undefined;
  const [first, last] = [match[1]!, match[2]!];
  const start = first === "" ? Math.max(0, size - Number(last)) : Number(first);
  const end = first === "" || last === "" ? size : Math.min(size, Number(last) + 1);
  if (start >= end) throw new RegistryFailure("RANGE_INVALID", { headers: { "Content-Range": `bytes */${size}` } });
  return { start, end };
}
