/** GET /images/search: the search of Docker Hub, and of registries that have the same. */
import { askInTurn, type Endpoint, type ImageSettings, originsOf } from "../distribution/endpoints.ts";
import { readAtMost, send } from "../distribution/http.ts";
import type { Credentials } from "../distribution/registry-auth.ts";
import { invalidParameter, systemError } from "../lib/errors.ts";

export interface SearchResult {
  star_count: number;
  is_official: boolean;
  name: string;
  is_automated: boolean;
  description: string;
}

export interface SearchQuery {
  term: string;
  /** 1 to 100; 25 where it is not given. */
  limit: number | undefined;
  filters: Map<string, string[]>;
  auth?: Credentials;
  signal?: AbortSignal;
}

const defaultLimit = 25;
const answerLimitBytes = 4 << 20;
const knownFilters = new Set(["is-automated", "is-official", "stars"]);
const hub = "https://index.docker.io";

/** Throws in Docker's words for wrong filters and limits, and where the registry does not answer as it should. */
export async function search(settings: ImageSettings, query: SearchQuery): Promise<SearchResult[]> {
  const keep = filterOf(query.filters);
  const limit = query.limit || defaultLimit;
  if (limit < 1 || limit > 100) throw invalidParameter(`limit ${limit} is outside the range of [1, 100]`);
  if (/^https?:\/\//.test(query.term))
    throw invalidParameter(
      'invalid repository name: repository name (e.g., "registry.example.com/myrepo") must not contain a scheme',
    );
  const { domain, term } = splitTerm(query.term);
  const found = await askInTurn(endpointsOf(domain, settings), (endpoint) => searchAt(endpoint, term, limit, query));
  return found.filter(keep);
}

/** `quay.io/term` is for another server than Docker Hub's. */
function splitTerm(text: string): { domain: string; term: string } {
  const slash = text.indexOf("/");
  const first = text.slice(0, Math.max(0, slash));
  if (slash < 0 || !(/[.:]/.test(first) || first === "localhost")) return { domain: "docker.io", term: stripped(text) };
  const isHub = first === "docker.io" || first === "index.docker.io";
  return isHub
    ? { domain: "docker.io", term: stripped(text.slice(slash + 1)) }
    : { domain: first, term: text.slice(slash + 1) };
}

const stripped = (term: string) => term.replace(/^library\//, "");

function endpointsOf(domain: string, settings: ImageSettings): Endpoint[] {
  const endpoints = originsOf(domain, settings);
  return domain === "docker.io" ? endpoints.map((endpoint) => ({ ...endpoint, base: hub })) : endpoints;
}

async function searchAt(
  { base, verify, certificates, proxies }: Endpoint,
  term: string,
  limit: number,
  { auth = {}, signal }: SearchQuery,
): Promise<SearchResult[]> {
  const { username, password = "", identitytoken, registrytoken } = auth;
  const headers: Record<string, string> = {};
  if (username && !identitytoken && !registrytoken)
    headers.Authorization = `Basic ${Buffer.from(`${username}:${password}`).toString("base64")}`;
  const url = `${base}/v1/search?q=${encodeURIComponent(term)}&n=${limit}`;
  const response = await send({ url, headers, verify, certificates, proxies, signal });
  if (response.status !== 200) {
    await response.body?.cancel();
    throw systemError(`Unexpected status code ${response.status}`);
  }
  return resultsIn(new TextDecoder().decode(await readAtMost(response, answerLimitBytes))).slice(0, limit);
}

function resultsIn(text: string): SearchResult[] {
  let answer: unknown;
  try {
    answer = JSON.parse(text);
  } catch {
    throw systemError("error decoding registry search results");
  }
  const results = (answer as { results?: unknown } | null)?.results;
  if (!Array.isArray(results)) return [];
  return results
    .filter((result): result is Record<string, unknown> => typeof result === "object" && result !== null)
    .map((result) => ({
      star_count: typeof result.star_count === "number" ? result.star_count : 0,
      is_official: result.is_official === true,
      name: textOf(result.name),
      is_automated: false,
      description: textOf(result.description),
    }));
}

const textOf = (value: unknown) => (typeof value === "string" ? value : "");

function filterOf(filters: Map<string, string[]>): (result: SearchResult) => boolean {
  for (const name of filters.keys()) if (!knownFilters.has(name)) throw invalidParameter(`invalid filter '${name}'`);
  const isAutomated = booleanFilter(filters, "is-automated");
  const isOfficial = booleanFilter(filters, "is-official");
  let stars = 0;
  for (const value of filters.get("stars") ?? []) {
    if (!/^[+-]?\d+$/.test(value))
      throw invalidParameter(
        `invalid filter 'stars=${value}': strconv.Atoi: parsing ${JSON.stringify(value)}: invalid syntax`,
      );
    stars = Math.max(stars, Number(value));
  }
  return (result) =>
    (isAutomated === undefined || result.is_automated === isAutomated) &&
    (isOfficial === undefined || result.is_official === isOfficial) &&
    result.star_count >= stars;
}

function booleanFilter(filters: Map<string, string[]>, name: string): boolean | undefined {
  const values = filters.get(name);
  if (values === undefined || values.length === 0) return undefined;
  const [value = ""] = values;
  if (values.length === 1 && ["1", "true"].includes(value)) return true;
  if (values.length === 1 && ["0", "false"].includes(value)) return false;
  throw invalidParameter(`invalid filter '${name}=[${values.join(" ")}]'`);
}
