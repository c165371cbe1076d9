/** The registry's HTTP face: each request passes here, and each failure becomes an answer. */
import { readFileSync } from "node:fs";
import { messageOf } from "../lib/errors.ts";
import { Guard, tokenPath } from "./access/guard.ts";
import { deleteUpload, getUpload, patchUpload, postUpload, putUpload } from "./blob-uploads.ts";
import { deleteBlob, getBlob } from "./blobs.ts";
import { RegistryFailure } from "./errors.ts";
import { listReferrers, listRepositories, listTags } from "./listings.ts";
import { deleteManifest, getManifest, putManifest } from "./manifests.ts";
import type { Registry } from "./registry.ts";
import { RegistryRequest, type RouteKind } from "./request.ts";
import { searchRepositories } from "./search.ts";

type Handler = (registry: Registry, request: RegistryRequest) => Response | Promise<Response>;
type Method = "GET" | "HEAD" | "POST" | "PUT" | "PATCH" | "DELETE";

/** What can be done with what. HEAD is as GET. */
const handlers: Partial<Record<RouteKind, Partial<Record<Method, Handler>>>> = {
  base: { GET: () => Response.json({}) },
  catalog: { GET: listRepositories },
  search: { GET: searchRepositories },
  tags: { GET: listTags },
  referrers: { GET: listReferrers },
  manifest: { GET: getManifest, PUT: putManifest, DELETE: deleteManifest },
  blob: { GET: getBlob, DELETE: deleteBlob },
  uploads: { POST: postUpload },
  upload: { GET: getUpload, PATCH: patchUpload, PUT: putUpload, DELETE: deleteUpload },
};

/** Seconds without a byte after which a connection is closed. */
const idleSeconds = 120;

export class RegistryServer {
  readonly #registry: Registry;
  #server: Bun.Server<undefined>;
  readonly #metrics: Bun.Server<undefined> | undefined;

  /** Listens. Throws where the address is taken, or a certificate cannot be read. */
  constructor(registry: Registry) {
    this.#registry = registry;
    this.#server = this.#listen(registry.config.port);
    this.#metrics = registry.config.metrics && this.#serveMetrics(registry.config.metrics);
  }

  /** `address:port` */
  get address(): string {
    const { hostname = "", port } = this.#server;
    return `${hostname.includes(":") ? `[${hostname}]` : hostname}:${port}`;
  }

  #listen(port: number): Bun.Server<undefined> {
    const { hostname, tls } = this.#registry.config;
    return Bun.serve({
      hostname,
      port,
      // For reload(): old and new listen at once.
      reusePort: tls !== undefined,
      idleTimeout: idleSeconds,
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      fetch: (raw, server) => this.#answer(raw, server.requestIP(raw)?.address ?? ""),
      error: (thrown) => this.#failure(thrown, "GET"),
      ...(tls && {
        tls: {
          cert: readFileSync(tls.cert, "utf8"),
          key: readFileSync(tls.key, "utf8"),
          ...(tls.clientCa !== undefined && {
            ca: readFileSync(tls.clientCa, "utf8"),
            requestCert: true,
            rejectUnauthorized: true,
          }),
        },
      }),
    });
  }

  /** `address:port` of the numbers for Prometheus. */
  get metricsAddress(): string | undefined {
    return this.#metrics && `${this.#metrics.hostname}:${this.#metrics.port}`;
  }

  #serveMetrics(listen: { hostname: string; port: number }): Bun.Server<undefined> {
    return Bun.serve({
      ...listen,
      fetch: (request) => {
        const { pathname } = new URL(request.url);
        if (pathname === "/health") return new Response("ok\n");
        if (pathname !== "/metrics") return new Response("page not found\n", { status: 404 });
        const headers = { "Content-Type": "text/plain; version=0.0.4" };
        return new Response(this.#registry.metrics.text(this.#registry), { headers });
      },
    });
  }

  /** Takes new certificates from the files. Connections go on with the old ones. Throws where they cannot be read. */
  async reload(): Promise<void> {
    if (this.#registry.config.tls === undefined) return;
    const old = this.#server;
    this.#server = this.#listen(old.port!);
    await old.stop();
  }

  /** Takes no more requests, and resolves when those under way have their answers, or `patienceMs` are over. */
  async stop(patienceMs: number): Promise<void> {
    await Promise.race([this.#server.stop(), Bun.sleep(patienceMs)]);
    await this.#server.stop(true);
    await this.#metrics?.stop(true);
  }

  async #answer(raw: Request, address: string): Promise<Response> {
    const begun = performance.now();
    let request: RegistryRequest | undefined;
    let response: Response;
    try {
      request = new RegistryRequest(raw, address);
      response = await this.#dispatch(request);
    } catch (thrown) {
      response = this.#failure(thrown, raw.method);
    }
    response.headers.set("Docker-Distribution-Api-Version", "registry/2.0");
    const seconds = (performance.now() - begun) / 1000;
    this.#registry.metrics.observe(raw.method, request?.route.kind ?? "other", response.status, seconds);
    if (this.#registry.config.accessLog)
      this.#registry.log.info(`${raw.method} ${request?.url.pathname ?? raw.url}`, {
        status: response.status,
        ms: Math.round(performance.now() - begun),
        client: address,
        user: request?.user,
      });
    return response;
  }

  async #dispatch(request: RegistryRequest): Promise<Response> {
    const { access, config } = this.#registry;
    const { method, route } = request;
    await access.authorize(request);
    if (request.url.pathname === tokenPath && access instanceof Guard) return access.answerTokenRequest(request);
    const known = handlers[route.kind];
    if (known === undefined) throw new RegistryFailure("UNSUPPORTED", { status: 404, message: "page not found" });
    const handler = known[(method === "HEAD" ? "GET" : method) as Method];
    if (handler === undefined)
      throw new RegistryFailure("UNSUPPORTED", { headers: { Allow: Object.keys(known).join(", ") } });
    const isWrite = method !== "GET" && method !== "HEAD";
    if (config.readOnly && isWrite) throw new RegistryFailure("UNSUPPORTED", { message: "the registry is read-only" });
    if (config.proxy && isWrite)
      throw new RegistryFailure("UNSUPPORTED", { message: `the registry is a cache of ${config.proxy.url}` });
    if (!config.deletes && method === "DELETE" && route.kind !== "upload") throw new RegistryFailure("UNSUPPORTED");
    return handler(this.#registry, request);
  }

  #failure(thrown: unknown, method: string): Response {
    if (thrown instanceof RegistryFailure) return thrown.response(method);
    const isFull = /ENOSPC|no space left/i.test(messageOf(thrown));
    this.#registry.log.error(messageOf(thrown));
    return new RegistryFailure(isFull ? "UNAVAILABLE" : "UNKNOWN", {
      message: isFull ? "no space left on the registry's disk" : "internal error",
    }).response(method);
  }
}
