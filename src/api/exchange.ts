/** One request and its answer. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { hasBody, readJson } from "./body.ts";
import { ClientStream } from "./client-stream.ts";
import type { Shape } from "./shape.ts";
import { tunnelAfterBody } from "./tunnel.ts";

/** What an answer can be written to: node's response, or the bare connection once an upgrade was asked for. */
type Outlet = { response: ServerResponse } | { socket: Duplex; head: Uint8Array };

const reasons: Record<number, string> = {
  200: "OK",
  400: "Bad Request",
  401: "Unauthorized",
  403: "Forbidden",
  404: "Not Found",
  409: "Conflict",
  500: "Internal Server Error",
  501: "Not Implemented",
  503: "Service Unavailable",
};

/** How long a client may go on sending a body that has been refused. */
const unreadPatienceMs = 1000;

/** Connections that carry no HTTP any more. */
export const takenOver = new WeakSet<object>();

export class Exchange {
  #query: URLSearchParams | undefined;
  #gone: AbortController | undefined;
  #answered = false;
  readonly #outlet: Outlet;
  readonly #headers: OutgoingHttpHeaders;

  /** `headers` go with every answer. */
  constructor(
    readonly request: IncomingMessage,
    /** What stands for `{name}` in the route. */
    readonly name: string,
    /** Minor number of the client's API version. */
    readonly minor: number,
    readonly queryText: string,
    outlet: Outlet,
    headers: OutgoingHttpHeaders,
  ) {
    this.#outlet = outlet;
    this.#headers = headers;
  }

  get query(): URLSearchParams {
    return (this.#query ??= new URLSearchParams(this.queryText));
  }

  /** True once the status has left. */
  get answered(): boolean {
    return this.#answered;
  }

  /** Aborted when the client goes away before its answer is complete. */
  get clientGone(): AbortSignal {
    if (!this.#gone) {
      const gone = new AbortController();
      this.#gone = gone;
      const stream = "response" in this.#outlet ? this.#outlet.response : this.#outlet.socket;
      if (stream.destroyed) gone.abort();
      else stream.once("close", () => gone.abort());
    }
    return this.#gone.signal;
  }

  /** The request's JSON body as `shape`; undefined where it is empty. */
  body<T>(shape: Shape<T>): Promise<T | undefined> {
    return readJson(this.request, shape);
  }

  /** A JSON answer, with a line's end as Docker's. */
  json(status: number, value: unknown): void {
    this.#send(status, "application/json", `${JSON.stringify(value)}\n`);
  }

  text(status: number, text: string, headers?: OutgoingHttpHeaders): void {
    this.#send(status, "text/plain; charset=utf-8", text, headers);
  }

  /** An answer without a body. */
  empty(status: number, extra?: OutgoingHttpHeaders): void {
    this.#answered = true;
    if ("response" in this.#outlet) {
      const headers = { ...this.#headers, ...extra, ...(status === 200 && { "Content-Length": 0 }) };
      this.#outlet.response.writeHead(status, headers);
      this.#outlet.response.end();
    } else this.#send(status, undefined, "", extra);
  }

  #send(status: number, contentType: string | undefined, body: string, extra?: OutgoingHttpHeaders): void {
    this.#answered = true;
    const headers: OutgoingHttpHeaders = { ...this.#headers, ...extra };
    if (contentType !== undefined) headers["Content-Type"] = contentType;
    headers["Content-Length"] = Buffer.byteLength(body);
    if ("response" in this.#outlet) {
      const { response } = this.#outlet;
      // What of a body has not been read by now would be taken for the next request.
      const isUnread = hasBody(this.request) && !this.request.complete;
      if (isUnread) headers.Connection = "close";
      response.writeHead(status, headers);
      if (isUnread) endAfterBody(this.request, response, body);
      else response.end(this.request.method === "HEAD" ? undefined : body);
      return;
    }
    headers.Connection = "close";
    this.#outlet.socket.end(`${headOf(`${status} ${reasons[status] ?? "Error"}`, headers)}${body}`);
  }

  /** Begins an answer whose body comes bit by bit; the status leaves at once. */
  stream(contentType: string | undefined, status = 200, extra?: OutgoingHttpHeaders): ClientStream {
    this.#answered = true;
    if (!("response" in this.#outlet)) return this.takeOver(contentType ?? "application/octet-stream");
    const { response } = this.#outlet;
    const headers = { ...this.#headers, ...extra };
    if (contentType !== undefined) headers["Content-Type"] = contentType;
    response.writeHead(status, headers);
    response.flushHeaders();
    return new ClientStream(response, this.request);
  }

  /**
   * Makes the connection a stream in both directions: after `101 UPGRADED` where the client asked for that, else
   * after `200 OK`.
   */
  takeOver(contentType: string): ClientStream {
    this.#answered = true;
    if ("response" in this.#outlet) {
      const { socket } = this.request;
      takenOver.add(socket);
      socket.write(headOf("200 OK", { "Content-Type": "application/vnd.docker.raw-stream" }));
      // Input comes as a body without an end, or after the body, as dockerode sends it.
      if (this.request.headers["transfer-encoding"] !== undefined) return new ClientStream(socket, this.request);
      return new ClientStream(socket, tunnelAfterBody(this.request) ? socket : undefined);
    }
    const { socket, head } = this.#outlet;
    // A body nobody has asked for would keep back what follows it.
    this.request.resume();
    if (head.length > 0) socket.unshift(head);
    const headers = { ...this.#headers, "Content-Type": contentType, Connection: "Upgrade", Upgrade: "tcp" };
    socket.write(headOf("101 UPGRADED", headers));
    return new ClientStream(socket, socket);
  }

  /** The bare connection and what came with the request's head; undefined where no upgrade was asked for. */
  get upgrade(): { socket: Duplex; head: Uint8Array } | undefined {
    return "socket" in this.#outlet ? this.#outlet : undefined;
  }

  /** To be called by whoever answers on the bare connection itself. */
  markAnswered(): void {
    this.#answered = true;
  }

  /** Ends the connection without a word: the answer has begun, and cannot be completed. */
  abandon(): void {
    if ("response" in this.#outlet) this.#outlet.response.destroy();
    else this.#outlet.socket.destroy();
  }
}

/** Answers a client that is still sending: hung up on now, it would report that, and not read why. */
function endAfterBody(request: IncomingMessage, response: ServerResponse, body: string): void {
  response.write(body);
  const end = () => {
    clearTimeout(timer);
    response.end();
  };
  const timer = setTimeout(end, unreadPatienceMs);
  request.once("end", end);
  request.once("close", end);
  request.resume();
}

function headOf(status: string, headers: OutgoingHttpHeaders): string {
  let head = `HTTP/1.1 ${status}\r\n`;
  for (const [name, value] of Object.entries(headers)) head += `${name}: ${value}\r\n`;
  return `${head}\r\n`;
}
