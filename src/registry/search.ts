/** `/v1/search`: what `docker search` asks. */
import type { Registry } from "./registry.ts";
import type { RegistryRequest } from "./request.ts";

const defaultLimit = 25;
const mostLimit = 100;
const descriptionKey = "org.opencontainers.image.description";

export async function searchRepositories(registry: Registry, request: RegistryRequest): Promise<Response> {
  const query = (request.query("q") ?? "").trim().toLowerCase().slice(0, 255);
  const asked = Number(request.query("n") ?? defaultLimit);
  const limit = Number.isInteger(asked) && asked > 0 ? Math.min(asked, mostLimit) : defaultLimit;
  const visible = await registry.visibleRepositories(request);
  const found = await registry.metadata.search(query, limit, visible);
  const results = found.map(({ name, annotations }) => ({
    name,
    description: (JSON.parse(annotations) as Record<string, string>)[descriptionKey] ?? "",
    star_count: 0,
    is_official: false,
    is_automated: false,
  }));
  return Response.json({ num_pages: 1, num_results: results.length, page: 1, page_size: limit, query, results });
}
