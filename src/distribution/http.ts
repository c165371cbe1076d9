/** HTTP to strangers: limits on time, redirects and length, and errors that say what failed. */
import { connect } from "node:net";
import { messageOf } from "../lib/errors.ts";
import { ConnectionError } from "./registry-errors.ts";

const DIAL_TIMEOUT_MS = 5_000;
const HEADERS_TIMEOUT_MS = 30_000;
const STALL_TIMEOUT_MS = 60_000;
const REDIRECT_LIMIT = 10;
const redirects = new Set([301, 302, 303, 307, 308]);

export interface HttpRequest {
  url: string;
  method?: "GET" | "HEAD" | "POST";
  headers?: Record<string, string>;
  body?: string;
  /** Whether certificates are checked. */
  verify: boolean;
  signal: AbortSignal | undefined;
}

/**
 * Sends a request and follows redirects; Authorization goes no further than the origin it was meant for.
 * Throws a ConnectionError where the server cannot be reached, is silent for too long, or sends us in circles.
 */
export async function send(request: HttpRequest): Promise<Response> {
  const headers: Record<string, string> = { "User-Agent": "brig", "Accept-Encoding": "identity", ...request.headers };
  let { url } = request;
  for (let hop = 0; hop <= REDIRECT_LIMIT; hop++) {
    const response = await sendOnce(url, { ...request, headers });
    const location = response.headers.get("location");
    if (!redirects.has(response.status) || location === null) return response;
    await response.body?.cancel();
    const next = new URL(location, url);
    if (next.protocol !== "https:" && next.protocol !== "http:")
      throw new ConnectionError(`Get "${url}": unsupported protocol scheme "${next.protocol.slice(0, -1)}"`);
    if (next.origin !== new URL(url).origin) delete headers.Authorization;
    url = next.href;
  }
  throw new ConnectionError(`Get "${request.url}": stopped after ${REDIRECT_LIMIT} redirects`);
}

async function sendOnce(url: string, request: HttpRequest): Promise<Response> {
  const late = new AbortController();
  const signals = request.signal ? [request.signal, late.signal] : [late.signal];
  const timer = setTimeout(() => late.abort(new Error("timeout awaiting response headers")), HEADERS_TIMEOUT_MS);
  const dial = new Dial(url);
  try {
    const answer = fetch(url, {
      method: request.method ?? "GET",
      headers: request.headers,
      body: request.body,
      redirect: "manual",
      signal: AbortSignal.any(signals),
      tls: { rejectUnauthorized: request.verify },
      // Bun's own limit is on the whole answer, and a layer may take an hour; stalls are found in readBody().
      timeout: false,
    } as BunFetchRequestInit);
    return await Promise.race([answer, dial.failure]);
  } catch (thrown) {
    request.signal?.throwIfAborted();
    late.abort();
    throw new ConnectionError(`Get "${url}": ${await dial.explain(thrown)}`);
  } finally {
    clearTimeout(timer);
    dial.close();
  }
}

/** Servers that have answered lately need no second connection to find out whether they can be reached. */
const reached = new Map<string, number>();
const REACHED_MS = 300_000;

/**
 * A connection beside the request's own that only finds out whether the server can be reached: fetch() neither tells
 * why it failed nor has a limit for connecting alone.
 */
class Dial {
  /** Rejects when the server cannot be reached; never resolves. */
  readonly failure: Promise<never>;
  #reason: string | undefined;
  #close = () => {};

  constructor(url: string) {
    const { hostname, port, protocol, host } = new URL(url);
    const proxied = ["HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"].some((name) => process.env[name]);
    this.failure = new Promise((_, reject) => {
      if (proxied || (reached.get(host) ?? 0) > Date.now() - REACHED_MS) return;
      const address = hostname.replace(/^\[|\]$/g, "");
      const portNumber = Number(port) || (protocol === "http:" ? 80 : 443);
      const socket = connect({ host: address, port: portNumber });
      const fail = (reason: string) => {
        this.#reason ??= reason;
        this.close();
        reject(new Error(this.#reason));
      };
      const timer = setTimeout(() => fail(`dial tcp ${host}: i/o timeout`), DIAL_TIMEOUT_MS);
      this.#close = () => {
        clearTimeout(timer);
        socket.destroy();
      };
      socket.on("connect", () => {
        if (reached.size > 1000) reached.clear();
        reached.set(host, Date.now());
        this.close();
      });
      socket.on("error", (thrown: NodeJS.ErrnoException) => fail(dialSentence(thrown, address, portNumber)));
    });
    // Nobody listens any more once the request itself has failed.
    this.failure.catch(() => undefined);
  }

  /** Why the request failed, with the dial's reason if it has one or will have one at once. */
  async explain(thrown: unknown): Promise<string> {
    if (this.#reason === undefined && isConnectFailure(thrown))
      await Promise.race([this.failure, Bun.sleep(250)]).catch(() => undefined);
    return this.#reason ?? fetchSentence(thrown) ?? messageOf(thrown).split(". For more information")[0]!;
  }

  close(): void {
    this.#close();
  }
}

function isConnectFailure(thrown: unknown): boolean {
  const { code = "" } = thrown as { code?: string };
  return ["ConnectionRefused", "FailedToOpenSocket", "ENOTFOUND", "ECONNREFUSED"].includes(code);
}

function fetchSentence(thrown: unknown): string | undefined {
  const { code = "" } = thrown as { code?: string };
  if (code === "ECONNREFUSED" || code === "ConnectionRefused") return "connect: connection refused";
  const failed = "tls: failed to verify certificate: x509: ";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `${failed}certificate is not valid for this name`;
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID")
    return `${failed}certificate has expired or is not yet valid`;
  if (/SELF_SIGNED|UNABLE_TO_(?:GET_ISSUER|VERIFY)/.test(code))
    return `${failed}certificate signed by unknown authority`;
  return undefined;
}

function dialSentence(thrown: NodeJS.ErrnoException, host: string, port: number): string {
  switch (thrown.code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "DNS_ENOTFOUND":
      return `dial tcp: lookup ${host}: no such host`;
    case "ECONNREFUSED":
      return `dial tcp ${host}:${port}: connect: connection refused`;
    case "ENETUNREACH":
      return `dial tcp ${host}:${port}: connect: network is unreachable`;
    case "EHOSTUNREACH":
      return `dial tcp ${host}:${port}: connect: no route to host`;
    default:
      return `dial tcp ${host}:${port}: ${thrown.message}`;
  }
}

/** An answer's bytes as they come. Throws a ConnectionError when the line breaks or is silent for too long. */
export async function* readBody(response: Response): AsyncGenerator<Uint8Array> {
  if (!response.body) return;
  const reader = response.body.getReader();
  let isOver = false;
  try {
    for (;;) {
      const { done, value } = await readOrStall(reader, response.url);
      if (done) break;
      yield value;
    }
    isOver = true;
  } finally {
    if (!isOver) reader.cancel().catch(() => undefined);
  }
}

async function readOrStall(
  reader: Pick<ReadableStreamDefaultReader<Uint8Array>, "read">,
  url: string,
): Promise<{ done: true; value?: undefined } | { done: false; value: Uint8Array }> {
  let timer: Timer | undefined;
  const stalled = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new ConnectionError(`Get "${url}": no data for ${STALL_TIMEOUT_MS / 1000} seconds`)),
      STALL_TIMEOUT_MS,
    );
  });
  try {
    return (await Promise.race([reader.read(), stalled])) as { done: false; value: Uint8Array };
  } catch (thrown) {
    if (thrown instanceof ConnectionError || (thrown as Error).name === "AbortError") throw thrown;
    throw new ConnectionError(`Get "${url}": ${messageOf(thrown)}`, true);
  } finally {
    clearTimeout(timer);
  }
}

/** A whole answer of at most `limitBytes`. Throws where it is longer. */
export async function readAtMost(response: Response, limitBytes: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of readBody(response)) {
    length += chunk.length;
    if (length > limitBytes)
      throw new ConnectionError(`Get "${response.url}": answer is longer than ${limitBytes} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
