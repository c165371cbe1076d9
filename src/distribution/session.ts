/** Requests to one server of registries' API, authorized as it asks for. */
import type { Endpoint } from "./endpoints.ts";
import { type HttpRequest, readAtMost, send } from "./http.ts";
import { Authorizer, type Credentials } from "./registry-auth.ts";
import { ConnectionError, RegistryError, registryError } from "./registry-errors.ts";

const ERROR_LIMIT_BYTES = 64 << 10;
const ATTEMPTS = 3;
/** A server that asks for more patience gets its error passed on. */
const PATIENCE_MS = 10_000;

export interface RegistryRequest extends Pick<HttpRequest, "method" | "headers" | "body" | "patienceMs" | "signal"> {
  /** Below the root of the API, `/library/alpine/tags/list`, or a whole URL that the server has given. */
  path: string;
  /** What has to be granted beyond the session's own scopes. */
  extraScope?: string;
}

export class RegistrySession {
  /** The root of the API: `https://registry-1.docker.io/v2`. */
  readonly #root: string;
  readonly #endpoint: Endpoint;
  readonly #authorizer: Authorizer;

  /** `scopes` are what tokens are asked for: `repository:library/alpine:pull`. Mirrors are not sent anybody's password. */
  constructor(endpoint: Endpoint, credentials: Credentials, scopes: string[]) {
    this.#root = `${endpoint.base}/v2`;
    this.#endpoint = endpoint;
    this.#authorizer = new Authorizer(endpoint.isMirror ? {} : credentials, scopes, endpoint);
  }

  /**
   * The answer to a request, whose body is to be read or cancelled. Throws a RegistryError for a refusal, in
   * registries' own words, and a ConnectionError where there is no answer.
   */
  async request(request: RegistryRequest): Promise<Response> {
    const { extraScope, signal } = request;
    const url = this.#urlOf(request.path);
    const isOurs = url.origin === new URL(this.#root).origin;
    let header = isOurs ? await this.#authorizer.header(extraScope, signal) : undefined;
    let response = await this.#send(url, request, header);
    if (response.status === 401 && isOurs) {
      const challenge = response.headers.get("www-authenticate") ?? "";
      const body = await readText(response);
      if (!(await this.#authorizer.answer(challenge, header, extraScope, signal))) throw registryError(response, body);
      header = await this.#authorizer.header(extraScope, signal);
      response = await this.#send(url, request, header);
    }
    if (response.status >= 400) throw registryError(response, await readText(response));
    return response;
  }

  /** Nothing that came by TLS goes on in the clear, whatever a server behind a proxy takes its own address for. */
  #urlOf(path: string): URL {
    if (path.startsWith("/")) return new URL(this.#root + path);
    const root = new URL(this.#root);
    const url = new URL(path);
    if (root.protocol === "https:" && url.host === root.host) url.protocol = "https:";
    return url;
  }

  async #send(url: URL, request: RegistryRequest, authorization: string | undefined): Promise<Response> {
    const { path: _, extraScope: __, ...rest } = request;
    const { verify, certificates, proxies } = this.#endpoint;
    const headers = { ...request.headers, ...(authorization === undefined ? {} : { Authorization: authorization }) };
    try {
      return await send({ ...rest, url: url.href, headers, verify, certificates, proxies });
    } catch (thrown) {
      if (!(thrown instanceof ConnectionError) || thrown.wasReached) throw thrown;
      // Where nothing answers, the error names the root of the API, as Docker's does.
      throw new ConnectionError(thrown.message.replace(/^[A-Z][a-z]+ "[^"]*"/, `Get "${this.#root}/"`));
    }
  }
}

/** Does small work again where the server asks for patience, or the line broke. */
export async function patiently<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
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
