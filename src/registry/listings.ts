/** Lists: tags, repositories, referrers (distribution-spec, "Content Discovery"). */
import { mediaTypes } from "../distribution/media-types.ts";
import { RegistryFailure } from "./errors.ts";
import { checkDigest } from "./names.ts";
import type { Registry } from "./registry.ts";
import type { RegistryRequest } from "./request.ts";

/** What a list without `n` holds at most; a Link leads on. */
const pageLimit = 10_000;
/** A page of referrers is an index, and no larger than one may be. */
const referrersLimitBytes = 4 << 20;

export async function listTags(registry: Registry, request: RegistryRequest): Promise<Response> {
  const name = request.repository;
  const id = registry.repositoryId(name);
  if (!registry.metadata.hasManifests(id)) throw new RegistryFailure("NAME_UNKNOWN", { detail: { name } });
  const { items, headers } = await page(request, (last, limit) => registry.metadata.tags(id, last, limit));
  return Response.json({ name, tags: items }, { headers });
}

export async function listRepositories(registry: Registry, request: RegistryRequest): Promise<Response> {
  const visible = await registry.visibleRepositories(request);
  const { items, headers } = await page(request, async (last, limit) => {
    const found: string[] = [];
    for await (const name of registry.metadata.repositories(last)) {
      if (visible(name)) found.push(name);
      if (found.length === limit) break;
    }
    return found;
  });
  return Response.json({ repositories: items }, { headers });
}

/** One page of a list that `read` gives in order, and one more to know whether there is another. */
async function page(
  request: RegistryRequest,
  read: (last: string, limit: number) => string[] | Promise<string[]>,
): Promise<{ items: string[]; headers: Record<string, string> }> {
  const text = request.query("n");
  if (text !== undefined && !/^\d{1,9}$/.test(text))
    throw new RegistryFailure("PAGINATION_NUMBER_INVALID", { detail: { n: text.slice(0, 20) } });
  const count = Math.min(text === undefined ? pageLimit : Number(text), pageLimit);
  if (count === 0) return { items: [], headers: {} };
  const found = await read(request.query("last") ?? "", count + 1);
  const items = found.slice(0, count);
  if (found.length <= count) return { items, headers: {} };
  const next = new URLSearchParams({ n: String(count), last: items.at(-1)! });
  return { items, headers: { Link: `<${request.url.pathname}?${next}>; rel="next"` } };
}

export function listReferrers(registry: Registry, request: RegistryRequest): Response {
  checkDigest(request.reference);
  const id = registry.metadata.idOf(request.repository);
  const wanted = request.query("artifactType");
  const last = request.query("last") ?? "";
  const all = id === undefined ? [] : registry.metadata.referrers(id, request.reference, last, referrersLimitBytes);
  const manifests = wanted === undefined ? all : all.filter(({ artifactType }) => artifactType === wanted);
  const headers: Record<string, string> = { "Content-Type": mediaTypes.ociIndex };
  if (wanted !== undefined) headers["OCI-Filters-Applied"] = "artifactType";
  const end = all.at(-1)?.digest;
  if (end !== undefined && registry.metadata.hasReferrersBehind(id!, request.reference, end)) {
    const next = new URLSearchParams({ ...(wanted !== undefined && { artifactType: wanted }), last: end });
    headers.Link = `<${request.url.pathname}?${next}>; rel="next"`;
  }
  return new Response(JSON.stringify({ schemaVersion: 2, mediaType: mediaTypes.ociIndex, manifests }), { headers });
}
