/** The Engine API from a client's side: versions, errors, bodies, streams. */
import type { Endpoint } from "./host.ts";
import { HttpConnection, type ResponseHead } from "./http.ts";
import { connectProcess, connectSocket } from "./transport.ts";

/** Values of a query; undefined and empty strings are left out, an array gives the key several times. */
export type Query = Record<string, string | number | boolean | string[] | undefined>;

/** What a request has besides its method and path. */
export interface RequestOptions {
  query?: Query;
  /** Sent as JSON. */
  json?: unknown;
  /** Sent as it is; an iterable goes in chunks. */
  body?: Uint8Array | AsyncIterable<Uint8Array>;
  headers?: Record<string, string>;
  /** Ends the request, and whatever of its answer is still to come. */
  signal?: AbortSignal;
}

/** An answer below 400. Its body must be read, or discarded. */
export interface EngineResponse {
  status: number;
  header(name: string): string | undefined;
  body(): AsyncGenerator<Uint8Array>;
  text(): Promise<string>;
  json<T>(): Promise<T>;
  /** Closes the connection without reading on. */
  discard(): void;
}

/** A connection that has become a stream in both directions: attach, exec. */
export interface HijackedStream {
  /** `application/vnd.docker.multiplexed-stream`, or `…raw-stream`; empty where an old engine does not say. */
  mediaType: string;
  read(): AsyncGenerator<Uint8Array>;
  write(bytes: Uint8Array): Promise<void>;
  closeWrite(): void;
  close(): void;
}

/** The engine refused. `message` is ready to be shown; `reason` is the engine's own sentence. */
export class EngineError extends Error {
  override readonly name = "EngineError";
  constructor(
    readonly status: number,
    readonly reason: string,
  ) {
    super(`Error response from daemon: ${reason}`);
  }
}

/** No engine could be reached, or it went away. */
export class ConnectionError extends Error {
  override readonly name = "ConnectionError";
}

/** The API version this client is written for. */
export const clientApiVersion = "1.50";

/** Settings of a client. */
export interface ClientOptions {
  endpoint: Endpoint;
  /** Headers of config.json, sent with every request. */
  headers: Record<string, string>;
  /** DOCKER_API_VERSION: used as it is, nothing is negotiated. */
  apiVersion?: string;
  /** Called where nothing answers; true when an engine was started and it is worth another try. */
  startEngine?: () => Promise<boolean>;
}

const errorBodyLimitBytes = 1 << 20;

/**
 * A client of one engine. It speaks its own version at once and steps down when the engine answers that it knows
 * only older ones: an engine of the same age costs no extra round trip.
 */
export class EngineClient {
  readonly #options: ClientOptions;
  readonly #idle: HttpConnection[] = [];
  #version: string;
  /** The version is the engine's word, or the user's; not just hope. */
  #versionKnown: boolean;
  #engineVersion: string | undefined;

  constructor(options: ClientOptions) {
    this.#options = options;
    this.#version = (options.apiVersion || clientApiVersion).replace(/^v/, "");
    this.#versionKnown = Boolean(options.apiVersion);
  }

  /** The engine's address as the user would write it. */
  get host(): string {
    return this.#options.endpoint.host;
  }

  /** The version that requests are sent with; the engine's word after the first answer. */
  get apiVersion(): string {
    return this.#version;
  }

  /** The highest version the engine knows, after the first answer. */
  get engineApiVersion(): string | undefined {
    return this.#engineVersion;
  }

  /** Whether the version in use is at least the given one. */
  atLeast(version: string): boolean {
    return compareVersions(this.#version, version) >= 0;
  }

  /** Finds out the engine's version, where that is not known yet. */
  async negotiate(): Promise<void> {
    if (this.#versionKnown) return;
    const { connection, head } = await this.#exchange("HEAD", "/_ping", {});
    this.#learn(head);
    this.#idle.push(connection);
  }

  /** Sends a request. Throws EngineError for an answer of 400 and above, ConnectionError where none comes. */
  async request(method: string, path: string, options: RequestOptions = {}): Promise<EngineResponse> {
    if (options.body !== undefined && !(options.body instanceof Uint8Array)) await this.negotiate();
    const { connection, head } = await this.#exchangeVersioned(method, path, options);
    const body = () =>
      this.#readBody(connection, head, method, () => {
        if (options.signal?.aborted !== true) this.#idle.push(connection);
      });
    const text = async () => {
      const parts: Uint8Array[] = [];
      for await (const part of body()) parts.push(part);
      return Buffer.concat(parts).toString("utf8");
    };
    return {
      status: head.status,
      header: (name) => head.headers.get(name.toLowerCase()),
      body,
      text,
      json: async <T>() => JSON.parse(await text()) as T,
      discard: () => connection.close(),
    };
  }

  /** Sends a request and gives the answer's JSON. */
  async json<T>(method: string, path: string, options: RequestOptions = {}): Promise<T> {
    const response = await this.request(method, path, options);
    return response.json<T>();
  }

  /** Sends a request whose answer holds nothing of interest. Returns its status. */
  async call(method: string, path: string, options: RequestOptions = {}): Promise<number> {
    const response = await this.request(method, path, options);
    await response.text();
    return response.status;
  }

  /** Sends a request and gives the values of an answer that is a sequence of JSON values, one a line. */
  async *jsonStream<T>(method: string, path: string, options: RequestOptions = {}): AsyncGenerator<T> {
    const response = await this.request(method, path, options);
    const decoder = new TextDecoder();
    let rest = "";
    for await (const bytes of response.body()) {
      rest += decoder.decode(bytes, { stream: true });
      const lines = rest.split("\n");
      rest = lines.pop()!;
      for (const line of lines) if (line.trim() !== "") yield JSON.parse(line) as T;
    }
    if (rest.trim() !== "") yield JSON.parse(rest) as T;
  }

  /** Posts a request that turns its connection into a stream. */
  async hijack(path: string, options: RequestOptions = {}): Promise<HijackedStream> {
    const headers = { ...options.headers, Connection: "Upgrade", Upgrade: "tcp" };
    const { connection, head } = await this.#exchangeVersioned("POST", path, { ...options, headers });
    if (head.status !== 101 && head.status !== 200) {
      connection.close();
      throw new Error(`unable to upgrade to tcp, received ${head.status}`);
    }
    return {
      mediaType: head.headers.get("content-type") ?? "",
      read: () => connection.readRaw(),
      write: (bytes) => connection.writeRaw(bytes),
      closeWrite: () => connection.closeWrite(),
      close: () => connection.close(),
    };
  }

  /** A connection as it is, with nothing sent yet; for `system dial-stdio`. */
  rawConnection(): Promise<HttpConnection> {
    return this.#connect("GET", "/");
  }

  async #exchangeVersioned(method: string, path: string, options: RequestOptions) {
    for (;;) {
      const tried = this.#version;
      const { connection, head } = await this.#exchange(method, `/v${tried}${path}`, options);
      this.#learn(head);
      if (head.status < 400) return { connection, head };
      const reason = await this.#readRefusal(connection, head, method);
      const limit = /is too new\. Maximum supported API version is (\d+\.\d+)/.exec(reason)?.[1];
      const replayable = options.body === undefined || options.body instanceof Uint8Array;
      if (limit !== undefined && replayable && !this.#options.apiVersion && compareVersions(limit, tried) < 0) {
        this.#version = limit;
        continue;
      }
      throw new EngineError(head.status, reason);
    }
  }

  /** One request on one connection, its head answered. */
  async #exchange(method: string, target: string, options: RequestOptions) {
    const query = encodeQuery(options.query);
    const body = options.json === undefined ? options.body : Buffer.from(JSON.stringify(options.json));
    const headers: Record<string, string> = {
      Host: this.#hostHeader(),
      "User-Agent": "Brig-Client/0.1.0 (linux)",
      ...this.#options.headers,
      ...(options.json === undefined ? {} : { "Content-Type": "application/json" }),
      ...options.headers,
    };
    for (;;) {
      const reused = this.#idle.pop();
      const connection = reused ?? (await this.#connect(method, target + query));
      const abort = () => connection.close();
      options.signal?.addEventListener("abort", abort, { once: true });
      try {
        options.signal?.throwIfAborted();
        const [, head] = await Promise.all([
          // An engine may refuse before it has read the whole body: its answer counts, not the broken pipe.
          connection.send(method, target + query, headers, body).catch((error: Error) => {
            if (!/broken pipe|EPIPE|ECONNRESET/.test(error.message)) throw error;
          }),
          connection.readHead(),
        ]);
        return { connection, head };
      } catch (error) {
        connection.close();
        // An idle connection may have been closed by the engine meanwhile; a fresh one tells the truth.
        if (reused !== undefined && (body === undefined || body instanceof Uint8Array)) continue;
        options.signal?.throwIfAborted();
        throw this.#lost(method, target + query, error as Error);
      }
    }
  }

  async *#readBody(connection: HttpConnection, head: ResponseHead, method: string, reusable: () => void) {
    try {
      yield* connection.readBody(head, method, reusable);
    } catch (error) {
      throw new ConnectionError((error as Error).message, { cause: error });
    }
  }

  async #readRefusal(connection: HttpConnection, head: ResponseHead, method: string): Promise<string> {
    const parts: Uint8Array[] = [];
    let size = 0;
    for await (const part of this.#readBody(connection, head, method, () => this.#idle.push(connection))) {
      parts.push(part);
      size += part.length;
      if (size > errorBodyLimitBytes) break;
    }
    const text = Buffer.concat(parts).toString("utf8").trim();
    try {
      const parsed: unknown = JSON.parse(text);
      if (typeof parsed === "object" && parsed !== null && "message" in parsed) return String(parsed.message).trim();
    } catch {
      // Not every server in between speaks JSON.
    }
    return text || `request returned ${head.reason || head.status} for API route; check if the server supports it`;
  }

  #learn(head: ResponseHead): void {
    const version = head.headers.get("api-version");
    if (version === undefined || !/^\d+\.\d+$/.test(version)) return;
    this.#engineVersion = version;
    if (this.#versionKnown) return;
    this.#versionKnown = true;
    if (compareVersions(version, this.#version) < 0) this.#version = version;
  }

  #hostHeader(): string {
    const { address, host } = this.#options.endpoint;
    return "hostname" in address ? host.slice("tcp://".length) : "api.moby.localhost";
  }

  async #connect(method: string, target: string): Promise<HttpConnection> {
    const { address, isDefault } = this.#options.endpoint;
    if ("ssh" in address) return new HttpConnection(connectProcess(address.ssh));
    try {
      return new HttpConnection(await connectSocket(address));
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      const nobodyThere = code === "ENOENT" || code === "ECONNREFUSED";
      if (nobodyThere && isDefault && (await this.#options.startEngine?.()) === true) {
        return new HttpConnection(await connectSocket(address));
      }
      throw this.#unreachable(method, target, error as NodeJS.ErrnoException);
    }
  }

  #unreachable(method: string, target: string, error: NodeJS.ErrnoException): ConnectionError {
    if (error.code === "ENOENT" || error.code === "ECONNREFUSED") {
      return new ConnectionError(`Cannot connect to the Docker daemon at ${this.host}. Is the docker daemon running?`);
    }
    if (error.code === "EACCES") {
      const path = this.host.replace(/^unix:\/\//, "");
      return new ConnectionError(
        `permission denied while trying to connect to the Docker daemon socket at ${this.host}: ` +
          `${this.#attempt(method, target)}: dial unix ${path}: connect: permission denied`,
      );
    }
    if (error.code === "ENOTFOUND") {
      const { address } = this.#options.endpoint;
      const hostname = "hostname" in address ? address.hostname : "";
      return this.#lost(method, target, new Error(`dial tcp: lookup ${hostname}: no such host`));
    }
    return this.#lost(method, target, error);
  }

  #lost(method: string, target: string, error: Error): ConnectionError {
    return new ConnectionError(`error during connect: ${this.#attempt(method, target)}: ${error.message}`, {
      cause: error,
    });
  }

  /** The request as Go's client names it in its errors. */
  #attempt(method: string, target: string): string {
    const { address, host } = this.#options.endpoint;
    const scheme = "tls" in address ? "https" : "http";
    const authority = "unix" in address ? encodeURIComponent(address.unix) : host.replace(/^\w+:\/\//, "");
    return `${method[0]}${method.slice(1).toLowerCase()} "${scheme}://${authority}${target}"`;
  }
}

/** Below zero where `a` is older than `b`. */
export function compareVersions(a: string, b: string): number {
  const [majorA = 0, minorA = 0] = a.split(".").map(Number);
  const [majorB = 0, minorB = 0] = b.split(".").map(Number);
  return majorA - majorB || minorA - minorB;
}

function encodeQuery(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value === undefined || value === "") continue;
    for (const one of Array.isArray(value) ? value : [value]) {
      parameters.append(name, typeof one === "boolean" ? (one ? "1" : "0") : String(one));
    }
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}
