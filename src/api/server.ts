/** The HTTP face: from a request to its route, and from what its handler throws to an answer. */
import { createServer, type IncomingMessage, type Server, type ServerOptions, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { Duplex } from "node:stream";
import { messageOf } from "../lib/errors.ts";
import { ClientGone } from "./body.ts";
import { containerRoutes } from "./containers.ts";
import { answerFor } from "./errors.ts";
import { Exchange, takenOver } from "./exchange.ts";
import { execRoutes } from "./exec.ts";
import { imageRoutes } from "./images.ts";
import { networkRoutes } from "./networks.ts";
import { registryRoutes } from "./registries.ts";
import type { ApiRooms } from "./rooms.ts";
import { type Match, Router } from "./router.ts";
import { systemRoutes } from "./system.ts";
import { unservedRoutes } from "./unserved.ts";
import { newestVersion } from "./versions.ts";
import { volumeRoutes } from "./volumes.ts";

/** Of all headers of a request together; images' registry credentials are the largest there are. */
const headersLimitBytes = 64 * 1024;
/** For a connection's next request. Clients keep theirs open between commands. */
const keepAliveTimeoutMs = 300_000;
/** For a request's headers, so that a silent client does not hold a connection for ever. */
const headersTimeoutMs = 60_000;

/** A server's certificate, and whether its clients need one that `ca` has signed. */
export interface TlsContext {
  cert: Buffer;
  key: Buffer;
  ca?: Buffer;
  requestCert: boolean;
  rejectUnauthorized: boolean;
}

/** What answers requests; `listen` gives it connections. */
export class Api {
  readonly #rooms: ApiRooms;
  readonly #router: Router;
  readonly #headers: Record<string, string>;

  constructor(rooms: ApiRooms) {
    this.#rooms = rooms;
    this.#router = new Router([
      ...systemRoutes(rooms),
      ...containerRoutes(rooms),
      ...execRoutes(rooms),
      ...imageRoutes(rooms),
      ...registryRoutes(rooms),
      ...networkRoutes(rooms),
      ...volumeRoutes(rooms),
      ...unservedRoutes,
    ]);
    this.#headers = {
      "Api-Version": newestVersion,
      "Docker-Experimental": "false",
      Ostype: "linux",
      Server: `Brig/${rooms.version} (linux)`,
    };
  }

  /** A server of node's for this API, not listening yet; with TLS where it is given a certificate. */
  createServer(tls?: TlsContext): Server {
    const options: ServerOptions & { shouldUpgradeCallback(request: IncomingMessage): boolean } = {
      maxHeaderSize: headersLimitBytes,
      keepAliveTimeout: keepAliveTimeoutMs,
      headersTimeout: headersTimeoutMs,
      // An image may take hours to come.
      requestTimeout: 0,
      // Many HTTP clients offer an upgrade to TLS or HTTP/2 with any request: all but the hijacking routes ignore it.
      shouldUpgradeCallback: (request) => this.#hijacks(request),
    };
    const serve = (request: IncomingMessage, response: ServerResponse) => void this.#serve(request, { response });
    const server = tls ? createTlsServer({ ...options, ...tls }, serve) : createServer(options, serve);
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) => {
      socket.on("error", () => {});
      void this.#serve(request, { socket, head });
    });
    server.on("clientError", (_error, socket) => {
      // What a client sends after a request that was answered with the bare connection is none of HTTP's business.
      if (takenOver.has(socket)) return;
      if (socket.writable) socket.end("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n");
      else socket.destroy();
    });
    return server;
  }

  #hijacks(request: IncomingMessage): boolean {
    try {
      const { path } = splitUrl(request.url ?? "");
      return this.#router.match(request.method ?? "", path)?.route.hijacks === true;
    } catch {
      return false;
    }
  }

  async #serve(request: IncomingMessage, outlet: { response: ServerResponse } | { socket: Duplex; head: Uint8Array }) {
    const { path, query } = splitUrl(request.url ?? "");
    // Its absence would end the process when a client hangs up in the middle of its request.
    request.on("error", () => {});
    let match: Match | undefined;
    let exchange = new Exchange(request, "", 0, query, outlet, this.#headers);
    try {
      match = this.#router.match(request.method ?? "", path);
      if (match === undefined) {
        if (request.method === "OPTIONS") exchange.empty(200);
        else exchange.json(404, { message: "page not found" });
        return;
      }
      exchange = new Exchange(request, match.name, match.minor, query, outlet, this.#headers);
      await match.route.handle(exchange);
    } catch (thrown) {
      this.#fail(exchange, thrown, `${request.method} ${path}`);
    }
  }

  #fail(exchange: Exchange, thrown: unknown, what: string): void {
    if (thrown instanceof ClientGone) {
      exchange.abandon();
      return;
    }
    const { status, message, unexpected } = answerFor(thrown);
    // That a client went away in the middle is no trouble of ours, whatever it was that noticed.
    if (unexpected && !exchange.request.socket.destroyed) {
      this.#rooms.log.error(`Handler for ${what} returned error: ${message}`);
      if (thrown instanceof Error && thrown.stack) this.#rooms.log.debug(thrown.stack);
    } else this.#rooms.log.debug(`Handler for ${what} returned ${status}: ${message}`);
    try {
      if (exchange.answered) exchange.abandon();
      else if (status === 304) exchange.empty(304);
      else exchange.json(status, { message });
    } catch (failure) {
      this.#rooms.log.debug(`No answer to ${what}: ${messageOf(failure)}`);
      exchange.abandon();
    }
  }
}

function splitUrl(url: string): { path: string; query: string } {
  const mark = url.indexOf("?");
  return mark < 0 ? { path: url, query: "" } : { path: url.slice(0, mark), query: url.slice(mark + 1) };
}
