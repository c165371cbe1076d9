/** One repository on one server, by the Distribution API (distribution-spec, "Pull"). */
import { systemError } from "../lib/errors.ts";
import { sha256Of } from "../lib/reference.ts";
import { manifestLimitBytes, parseJson } from "./documents.ts";
import type { Endpoint } from "./endpoints.ts";
import { type HttpRequest, readAtMost, readBody, send } from "./http.ts";
import { acceptedManifests } from "./media-types.ts";
import { Authorizer, type Credentials } from "./registry-auth.ts";
import { ConnectionError, RegistryError, registryError } from "./registry-errors.ts";

const ERROR_LIMIT_BYTES = 64 << 10;
const TAGS_LIMIT_BYTES = 4 << 20;
const ATTEMPTS = 3;
/** A server that asks for more patience gets its error passed on. */
const PATIENCE_MS = 10_000;

/** A manifest or index as it came. */
export interface FetchedManifest {
  bytes: Uint8Array;
  /** From the header, without parameters. */
  mediaType: string;
  /** Of the bytes. */
  digest: string;
}

export class Repository {
  readonly #base: string;
  readonly #verify: boolean;
  readonly #ping: string;
  readonly #authorizer: Authorizer;

  constructor(endpoint: Endpoint, path: string, credentials: Credentials) {
    this.#base = `${endpoint.base}/v2/${path}`;
    this.#ping = `${endpoint.base}/v2/`;
    this.#verify = endpoint.verify;
    this.#authorizer = new Authorizer(endpoint.isMirror ? {} : credentials, path, endpoint.verify);
  }

  /** Fetches a manifest by tag or digest. A digest is verified. */
  async manifest(tagOrDigest: string, signal: AbortSignal | undefined): Promise<FetchedManifest> {
    const { bytes, response } = await this.#patiently(signal, async () => {
      const response = await this.#get(`/manifests/${tagOrDigest}`, { Accept: acceptedManifests }, signal);
      return { response, bytes: await readAtMost(response, manifestLimitBytes) };
    });
    const digest = sha256Of(bytes);
    if (tagOrDigest.includes(":") && digest !== tagOrDigest)
      throw systemError(`manifest verification failed for digest ${tagOrDigest}`);
    return { bytes, mediaType: (response.headers.get("content-type") ?? "").split(";")[0]!.trim(), digest };
  }

  /** A blob's bytes from an offset on. Neither length nor digest is verified here. */
  async *blob(digest: string, offset: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const headers: Record<string, string> = offset > 0 ? { Range: `bytes=${offset}-` } : {};
    const response = await this.#get(`/blobs/${digest}`, headers, signal);
    // A server that knows no ranges sends all of it again.
    let skip = response.status === 206 ? 0 : offset;
    if (response.status === 206 && !(response.headers.get("content-range") ?? "").startsWith(`bytes ${offset}-`))
      throw new ConnectionError(`Get "${response.url}": the registry sent another range than the one asked for`);
    for await (const chunk of readBody(response)) {
      if (skip < chunk.length) yield skip === 0 ? chunk : chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
    }
  }

  /** A whole blob of at most `limitBytes`, verified. */
  async smallBlob(digest: string, limitBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const bytes = await this.#patiently(signal, async () =>
      readAtMost(await this.#get(`/blobs/${digest}`, {}, signal), limitBytes),
    );
    if (sha256Of(bytes) !== digest) throw systemError(`image config verification failed for digest ${digest}`);
    return bytes;
  }

  /** All tags of the repository. */
  async tags(signal: AbortSignal | undefined): Promise<string[]> {
    const bytes = await this.#patiently(signal, async () =>
      readAtMost(await this.#get("/tags/list", {}, signal), TAGS_LIMIT_BYTES),
    );
    const answer = parseJson(bytes, "the list of tags") as { tags?: unknown };
    return Array.isArray(answer?.tags) ? answer.tags.filter((tag) => typeof tag === "string") : [];
  }

  /** Does small work again where the server asks for patience, or the line broke. */
  async #patiently<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
    for (let attempt = 1; ; attempt++) {
      try {
        return await work();
      } catch (thrown) {
        const waitMs = delayAfter(thrown);
        if (attempt === ATTEMPTS || waitMs === undefined || waitMs > PATIENCE_MS) throw thrown;
        await Bun.sleep(waitMs);
        signal?.throwIfAborted();
      }
    }
  }

  async #get(path: string, headers: Record<string, string>, signal: AbortSignal | undefined): Promise<Response> {
    const request = (): HttpRequest => ({
      url: this.#base + path,
      headers: { ...headers, ...this.#authorizer.headers() },
      verify: this.#verify,
      signal,
    });
    let response = await this.#send(request());
    if (response.status === 401) {
      const challenge = response.headers.get("www-authenticate") ?? "";
      const body = await readText(response);
      if (!(await this.#authorizer.answer(challenge, signal))) throw registryError(response, body);
      response = await this.#send(request());
    }
    if (!response.ok) throw registryError(response, await readText(response));
    return response;
  }

  /** Where nothing answers, the error names the root of the API, as Docker's does. */
  async #send(request: HttpRequest): Promise<Response> {
    try {
      return await send(request);
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError)) throw thrown;
      throw new ConnectionError(thrown.message.replace(request.url, this.#ping));
    }
  }
}

function delayAfter(thrown: unknown): number | undefined {
  if (thrown instanceof ConnectionError) return thrown.wasReached ? 0 : undefined;
  return thrown instanceof RegistryError ? thrown.retryAfterMs : undefined;
}

/** The text of a refusal; an endless one counts as none. */
async function readText(response: Response): Promise<string> {
  try {
    return new TextDecoder().decode(await readAtMost(response, ERROR_LIMIT_BYTES));
  } catch {
    return "";
  }
}
