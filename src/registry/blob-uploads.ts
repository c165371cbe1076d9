/** `/v2/NAME/blobs/uploads/` (distribution-spec, "Pushing blobs"). */
import { RegistryFailure } from "./errors.ts";
import { checkDigest } from "./names.ts";
import type { Registry } from "./registry.ts";
import type { RegistryRequest } from "./request.ts";

/** After so many bytes it is asked again whether there is room. */
const admitBytes = 16 << 20;

/** Begins an upload; or takes the whole blob, where the digest is named; or takes it from another repository. */
export async function postUpload(registry: Registry, request: RegistryRequest): Promise<Response> {
  const { repository } = request;
  const mount = request.query("mount");
  if (mount !== undefined) {
    checkDigest(mount);
    if (await mountBlob(registry, request, mount, request.query("from"))) return created(repository, mount);
  }
  const digest = request.query("digest");
  if (digest !== undefined) checkDigest(digest);
  const id = registry.metadata.ensure(repository);
  const upload = registry.uploads.begin(id);
  if (digest === undefined) return progress(request, upload, 0, 202);
  try {
    await append(registry, request, upload, id);
    await commit(registry, request, upload, id, digest);
  } catch (thrown) {
    // Nobody knows its id.
    await registry.uploads.cancel(upload, id).catch(() => undefined);
    throw thrown;
  }
  return created(repository, digest);
}

export async function getUpload(registry: Registry, request: RegistryRequest): Promise<Response> {
  const size = registry.uploads.size(request.reference, registry.repositoryId(request.repository));
  return progress(request, request.reference, size, 204);
}

export async function patchUpload(registry: Registry, request: RegistryRequest): Promise<Response> {
  const id = registry.repositoryId(request.repository);
  return progress(request, request.reference, await append(registry, request, request.reference, id), 202);
}

export async function putUpload(registry: Registry, request: RegistryRequest): Promise<Response> {
  const { repository, reference } = request;
  const digest = request.query("digest") ?? "";
  checkDigest(digest);
  const id = registry.repositoryId(repository);
  registry.uploads.size(reference, id);
  if (request.contentLength !== 0) await append(registry, request, reference, id);
  await commit(registry, request, reference, id, digest);
  return created(repository, digest);
}

export async function deleteUpload(registry: Registry, request: RegistryRequest): Promise<Response> {
  await registry.uploads.cancel(request.reference, registry.repositoryId(request.repository));
  return new Response(null, { status: 204 });
}

/** Whether the blob could be had from another repository that the client may read. */
async function mountBlob(
  registry: Registry,
  request: RegistryRequest,
  digest: string,
  from: string | undefined,
): Promise<boolean> {
  const { metadata, removals } = registry;
  const homes = metadata.homesOf(digest).filter(({ repository }) => from === undefined || repository === from);
  for (const { repository, size } of homes) {
    if (!(await registry.mayPull(request, repository))) continue;
    const release = await removals.hold(digest);
    try {
      if (metadata.homesOf(digest).length === 0) return false;
      registry.admit(request, digest, size);
      metadata.link(metadata.ensure(request.repository), digest, size);
      return true;
    } finally {
      release();
    }
  }
  return false;
}

/** Appends the body. Throws RANGE_INVALID where it does not follow upon what has come. */
async function append(registry: Registry, request: RegistryRequest, upload: string, id: number): Promise<number> {
  const size = registry.uploads.size(upload, id);
  const range = request.header("content-range");
  const announced = request.contentLength;
  let length = announced;
  if (range !== undefined) {
    const match = /^(?:bytes[ =])?(\d+)-(\d+)(?:\/.*)?$/.exec(range);
    const [start, end] = [Number(match?.[1] ?? Number.NaN), Number(match?.[2] ?? Number.NaN)];
    if (start !== size) throw new RegistryFailure("RANGE_INVALID", { headers: progressHeaders(request, upload, size) });
    length ??= end - start + 1;
    if (end - start + 1 !== length) throw new RegistryFailure("SIZE_INVALID");
  }
  try {
    registry.admit(request, request.query("digest"), size + (length ?? 0));
    const chunks = announced === undefined ? admitted(registry, request, size) : request.body();
    return await registry.uploads.append(upload, id, { chunks, length }, request.raw.signal);
  } catch (thrown) {
    // For what has no room there shall be none taken either.
    if (thrown instanceof RegistryFailure && thrown.code === "DENIED")
      await registry.uploads.cancel(upload, id).catch(() => undefined);
    throw thrown;
  }
}

/** The body of a request that does not say how long it is, as long as there is room for it. */
async function* admitted(registry: Registry, request: RegistryRequest, before: number): AsyncGenerator<Uint8Array> {
  let [size, asked] = [before, before];
  for await (const chunk of request.body()) {
    size += chunk.length;
    if (size - asked >= admitBytes) {
      registry.admit(request, request.query("digest"), size);
      asked = size;
    }
    yield chunk;
  }
}

async function commit(
  registry: Registry,
  request: RegistryRequest,
  upload: string,
  id: number,
  digest: string,
): Promise<void> {
  await registry.uploads.commit(upload, id, digest, (size) => registry.admit(request, digest, size));
}

function created(repository: string, digest: string): Response {
  const headers = { Location: `/v2/${repository}/blobs/${digest}`, "Docker-Content-Digest": digest };
  return new Response(null, { status: 201, headers });
}

function progress(request: RegistryRequest, upload: string, size: number, status: number): Response {
  return new Response(null, { status, headers: progressHeaders(request, upload, size) });
}

/** How far an upload is: `Range` names the last byte, and so says 0-0 also where there is none. */
function progressHeaders({ repository }: RegistryRequest, upload: string, size: number): Record<string, string> {
  return {
    Location: `/v2/${repository}/blobs/uploads/${upload}`,
    Range: `0-${Math.max(0, size - 1)}`,
    "Docker-Upload-UUID": upload,
  };
}
