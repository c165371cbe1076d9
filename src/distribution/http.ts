/** HTTP to strangers: limits on time, redirects and length, and errors that say what failed. */
import { connect } from "node:net";
import { getCACertificates } from "node:tls";
import { messageOf } from "../lib/errors.ts";
import type { Certificates } from "./certificates.ts";
import { noProxies, type ProxySettings, proxyFor } from "./proxies.ts";
import { ConnectionError } from "./registry-errors.ts";

const DIAL_TIMEOUT_MS = 5_000;
const HEADERS_TIMEOUT_MS = 30_000;
const STALL_TIMEOUT_MS = 60_000;
const REDIRECT_LIMIT = 10;
const redirects = new Set([301, 302, 303, 307, 308]);

/** Bytes that are not held in memory: read anew for each attempt, as fast as the line takes them. */
export interface StreamedBody {
  /** Bytes. */
  length: number;
  open(): AsyncIterable<Uint8Array>;
}

export interface HttpRequest {
  url: string;
  method?: "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";
  headers?: Record<string, string>;
  body?: string | Uint8Array | StreamedBody;
  /** Whether certificates are checked. */
  verify: boolean;
  certificates?: Certificates | undefined;
  /** None where it is not given. */
  proxies?: ProxySettings;
  /** How long an answer may take to begin, once all is sent; 30 seconds where it is not given. */
  patienceMs?: number;
  signal: AbortSignal | undefined;
}

/**
 * Sends a request and follows redirects; Authorization goes no further than the origin it was meant for.
 * Throws a ConnectionError where the server cannot be reached, is silent for too long, or sends us in circles.
 */
export async function send(request: HttpRequest): Promise<Response> {
  const headers: Record<string, string> = { "User-Agent": "brig", "Accept-Encoding": "identity", ...request.headers };
  let current = { ...request, headers };
  for (let hop = 0; hop <= REDIRECT_LIMIT; hop++) {
    const response = await sendOnce(current);
    const location = response.headers.get("location");
    if (!redirects.has(response.status) || location === null) return response;
    await response.body?.cancel();
    const next = URL.parse(location, current.url);
    if (next?.protocol !== "https:" && next?.protocol !== "http:")
      throw new ConnectionError(
        `${say(current)}: unsupported protocol scheme in redirect to "${location.slice(0, 200)}"`,
      );
    if (next.origin !== new URL(current.url).origin) delete headers.Authorization;
    current = { ...current, url: next.href };
    // As in Go: only these two ask for the same request once more.
    if (response.status < 307 && current.method !== "HEAD") {
      current.method = "GET";
      delete current.body;
      delete headers["Content-Type"];
    }
  }
  throw new ConnectionError(`${say(request)}: stopped after ${REDIRECT_LIMIT} redirects`);
}

/** A request in an error's words, as Go begins them: `Head "https://…"`. */
function say({ method = "GET", url }: HttpRequest): string {
  return `${method[0]}${method.slice(1).toLowerCase()} "${url}"`;
}

async function sendOnce(request: HttpRequest): Promise<Response> {
  const url = new URL(request.url);
  const { signal, body, patienceMs = HEADERS_TIMEOUT_MS } = request;
  const late = new Deadline();
  const proxy = proxyFor(url, request.proxies ?? noProxies);
  const dial = new Dial(proxy === undefined ? url : new URL(proxy), proxy !== undefined);
  const isStreamed = typeof body === "object" && "open" in body;
  late.in(patienceMs, "timeout awaiting response headers");
  try {
    const answer = fetch(request.url, {
      method: request.method ?? "GET",
      headers: isStreamed ? { ...request.headers, "Content-Length": String(body.length) } : request.headers,
      body: isStreamed ? streamOf(body, late, patienceMs) : body,
      redirect: "manual",
      signal: signal ? AbortSignal.any([signal, late.signal]) : late.signal,
      tls: tlsOf(request),
      ...(proxy === undefined ? {} : { proxy }),
      // Bun's own limit is on the whole exchange, and a layer may take an hour; stalls are found by ourselves.
      timeout: false,
    } as BunFetchRequestInit);
    return await Promise.race([answer, dial.failure]);
  } catch (thrown) {
    signal?.throwIfAborted();
    const wasReached = isBrokenLine(thrown) && !late.signal.aborted;
    const reason = late.signal.aborted ? messageOf(late.signal.reason) : await dial.explain(thrown, request);
    late.abort();
    throw new ConnectionError(`${say(request)}: ${reason}`, wasReached);
  } finally {
    late.clear();
    dial.close();
  }
}

/** Aborts when it is not moved on in time. */
class Deadline {
  readonly #abort = new AbortController();
  readonly signal = this.#abort.signal;
  #timer: Timer | undefined;

  in(ms: number, reason: string): void {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#abort.abort(new Error(reason)), ms);
  }

  abort(): void {
    this.#abort.abort();
  }

  clear(): void {
    clearTimeout(this.#timer);
  }
}

/** The body as fetch() takes it: asked for more only when what was there has left. */
function streamOf(body: StreamedBody, late: Deadline, patienceMs: number): ReadableStream<Uint8Array> {
  const source = body.open()[Symbol.asyncIterator]();
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        late.in(STALL_TIMEOUT_MS, `the server took no data for ${STALL_TIMEOUT_MS / 1000} seconds`);
        const { done, value } = await source.next();
        if (done !== true) return controller.enqueue(value);
        late.in(patienceMs, "timeout awaiting response headers");
        controller.close();
      },
      async cancel() {
        await source.return?.();
      },
    },
    { highWaterMark: 0 },
  );
}

function tlsOf({ verify, certificates }: HttpRequest) {
  const { authorities = [], clients = [] } = certificates ?? {};
  return {
    rejectUnauthorized: verify,
    ...(authorities.length > 0 ? { ca: [...getCACertificates("default"), ...authorities] } : {}),
    ...(clients.length > 0
      ? { cert: clients.map(({ certificate }) => certificate), key: clients.map(({ key }) => key) }
      : {}),
  };
}

/** Servers that have answered lately need no second connection to find out whether they can be reached. */
const reached = new Map<string, number>();
const REACHED_MS = 300_000;

/**
 * A connection beside the request's own that only finds out whether the server, or the proxy to it, can be reached:
 * fetch() neither tells why it failed nor has a limit for connecting alone.
 */
class Dial {
  /** Rejects when the server cannot be reached; never resolves. */
  readonly failure: Promise<never>;
  readonly #host: string;
  #reason: string | undefined;
  #close = () => {};

  constructor({ hostname, port, protocol, host }: URL, isProxy: boolean) {
    this.#host = host;
    this.failure = new Promise((_, reject) => {
      if (this.hasReached) return;
      const address = hostname.replace(/^\[|\]$/g, "");
      const portNumber = Number(port) || (protocol === "http:" ? 80 : 443);
      const socket = connect({ host: address, port: portNumber });
      const fail = (reason: string) => {
        this.#reason ??= (isProxy ? "proxyconnect tcp: " : "") + reason;
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

  /** Whether somebody has answered there lately. */
  get hasReached(): boolean {
    return (reached.get(this.#host) ?? 0) > Date.now() - REACHED_MS;
  }

  /** Why the request failed, with the dial's reason if it has one or will have one at once. */
  async explain(thrown: unknown, request: HttpRequest): Promise<string> {
    if (isConnectFailure(thrown)) {
      // Whatever was known of it is no longer so.
      reached.delete(this.#host);
      if (this.#reason === undefined) await Promise.race([this.failure, Bun.sleep(250)]).catch(() => undefined);
    }
    return this.#reason ?? (await fetchSentence(thrown, request));
  }

  close(): void {
    this.#close();
  }
}

function isBrokenLine(thrown: unknown): boolean {
  const { code = "" } = thrown as { code?: string };
  return ["ECONNRESET", "EPIPE", "ConnectionClosed"].includes(code);
}

function isConnectFailure(thrown: unknown): boolean {
  const { code = "" } = thrown as { code?: string };
  return ["ConnectionRefused", "FailedToOpenSocket", "ENOTFOUND", "ECONNREFUSED"].includes(code);
}

async function fetchSentence(thrown: unknown, request: HttpRequest): Promise<string> {
  const { code = "" } = thrown as { code?: string };
  if (code === "ECONNREFUSED" || code === "ConnectionRefused")
    return `dial tcp ${new URL(request.url).host}: connect: connection refused`;
  if (isBrokenLine(thrown)) return "EOF";
  const failed = "tls: failed to verify certificate: x509: ";
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return `${failed}certificate is not valid for this name`;
  if (code === "CERT_HAS_EXPIRED" || code === "CERT_NOT_YET_VALID")
    return `${failed}certificate has expired or is not yet valid`;
  if (/SELF_SIGNED|UNABLE_TO_(?:GET_ISSUER|VERIFY)/.test(code))
    return `${failed}certificate signed by unknown authority`;
  if (code === "EPROTO")
    return (await speaksPlainHttp(request))
      ? "http: server gave HTTP response to HTTPS client"
      : "remote error: tls: handshake failure";
  return messageOf(thrown).split(". For more information")[0]!;
}

/** Whether who refuses to speak TLS answers without it. */
async function speaksPlainHttp({ url, verify, proxies }: HttpRequest): Promise<boolean> {
  const { host } = new URL(url);
  // Where nothing is verified the next attempt finds out.
  if (!verify || proxyFor(new URL(url), proxies ?? noProxies) !== undefined) return false;
  try {
    const signal = AbortSignal.timeout(2_000);
    const response = await fetch(`http://${host}/v2/`, { method: "HEAD", redirect: "manual", signal });
    // What servers of TLS say to those who speak without.
    return response.status !== 400;
  } catch {
    return false;
  }
}

function dialSentence(thrown: NodeJS.ErrnoException, host: string, port: number): string {
  const address = `${host.includes(":") ? `[${host}]` : host}:${port}`;
  switch (thrown.code) {
    case "ENOTFOUND":
    case "EAI_AGAIN":
    case "DNS_ENOTFOUND":
      return `dial tcp: lookup ${host}: no such host`;
    case "ECONNREFUSED":
      return `dial tcp ${address}: connect: connection refused`;
    case "ENETUNREACH":
      return `dial tcp ${address}: connect: network is unreachable`;
    case "EHOSTUNREACH":
      return `dial tcp ${address}: connect: no route to host`;
    default:
      return `dial tcp ${address}: ${thrown.message}`;
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
