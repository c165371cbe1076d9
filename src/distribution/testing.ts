/** A registry in memory that misbehaves on purpose, for tests of what a real one cannot be brought to do. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { sha256Of } from "../lib/reference.ts";

/** Uploads and blobs as the specification has them, and what a test makes of it. */
export class HostileRegistry {
  readonly blobs = new Map<string, Buffer>();
  /** By tag or digest. */
  readonly manifests = new Map<string, Buffer>();
  readonly uploads = new Map<string, Buffer>();
  readonly seen: string[] = [];
  /** Bytes of an upload after which the line is cut, once each. */
  cuts: number[] = [];
  /** Whether what came before a cut is kept. */
  keepsParts = true;
  /** Answers a request in its own way; false leaves it to the registry. */
  misbehave: (request: IncomingMessage, response: ServerResponse) => boolean = () => false;
  location = (path: string) => path;
  readonly #server: Server = createServer((request, response) => {
    // Clients that leave in the middle are what some tests are about.
    this.#handle(request, response).catch(() => undefined);
  });
  #last = 0;

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  stop(): void {
    this.#server.closeAllConnections();
    this.#server.close();
  }

  count(method: string): number {
    return this.seen.filter((line) => line.startsWith(`${method} `)).length;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on("error", () => undefined);
    this.seen.push(`${request.method} ${request.url} ${request.headers["content-range"] ?? ""}`.trim());
    if (this.misbehave(request, response)) return;
    const url = new URL(request.url!, "http://registry");
    const id = /uploads\/(.+)$/.exec(url.pathname)?.[1];
    const refuse = (status: number, code: string) =>
      response
        .writeHead(status, { "content-type": "application/json" })
        .end(JSON.stringify({ errors: [{ code, message: code }] }));
    if (url.pathname === "/v2/") return void response.end();
    if (url.pathname.includes("/manifests/")) {
      this.manifests.set(url.pathname.split("/").at(-1)!, await bytesOf(request));
      return void response.writeHead(201).end();
    }
    if (request.method === "HEAD")
      return void response.writeHead(this.blobs.has(url.pathname.split("/").at(-1)!) ? 200 : 404).end();
    if (request.method === "POST") {
      if (url.searchParams.get("from") === "has/it") return void response.writeHead(201).end();
      const fresh = String(++this.#last);
      this.uploads.set(fresh, Buffer.alloc(0));
      return void response
        .writeHead(202, { location: this.location(`/v2/app/blobs/uploads/${fresh}?state=a%2Fb`) })
        .end();
    }
    const upload = this.uploads.get(id ?? "");
    if (upload === undefined) return void refuse(404, "BLOB_UPLOAD_UNKNOWN");
    const here = { location: this.location(`/v2/app/blobs/uploads/${id}?state=a%2Fb`) };
    const range = (bytes: Buffer) => `0-${Math.max(0, bytes.length - 1)}`;
    if (request.method === "GET") return void response.writeHead(204, { ...here, range: range(upload) }).end();
    if (request.method === "DELETE") {
      this.uploads.delete(id!);
      return void response.writeHead(204).end();
    }
    const from = /^(\d+)-/.exec(request.headers["content-range"] ?? "")?.[1];
    if (from !== undefined && Number(from) !== upload.length) return void refuse(416, "RANGE_INVALID");
    const whole = await this.#receive(request, upload, id!);
    if (whole === undefined) return;
    if (request.method === "PATCH") return void response.writeHead(202, { ...here, range: range(whole) }).end();
    const digest = url.searchParams.get("digest")!;
    if (url.searchParams.get("state") !== "a/b") return void refuse(400, "BLOB_UPLOAD_INVALID");
    if (sha256Of(whole) !== digest) return void refuse(400, "DIGEST_INVALID");
    this.uploads.delete(id!);
    this.blobs.set(digest, whole);
    response.writeHead(201, { "docker-content-digest": digest }).end();
  }

  /** The upload with the body of the request; undefined where the line was cut. */
  async #receive(request: IncomingMessage, before: Buffer, id: string): Promise<Buffer | undefined> {
    const chunks = [before];
    let length = before.length;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      const cut = this.cuts[0];
      if (cut !== undefined && length + chunk.length > cut) {
        this.cuts.shift();
        chunks.push(chunk.subarray(0, cut - length));
        if (this.keepsParts) this.uploads.set(id, Buffer.concat(chunks));
        request.socket.destroy();
        return undefined;
      }
      chunks.push(chunk);
      length += chunk.length;
    }
    const whole = Buffer.concat(chunks);
    this.uploads.set(id, whole);
    return whole;
  }
}

async function bytesOf(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
  return Buffer.concat(chunks);
}
