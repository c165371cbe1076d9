/** HTTP/1.1 as a client of one server needs it: requests, answers, chunks, and connections that become raw streams. */
import type { Transport } from "./transport.ts";

/** An answer's status and headers (names in lower case). */
export interface ResponseHead {
  status: number;
  reason: string;
  headers: Map<string, string>;
}

const headLimitBytes = 1 << 20;
/** A chunk that is longer is not copied to be sent with what stands around it. */
const joinedBytes = 64 * 1024;
const crlf = Buffer.from("\r\n");

/** One connection; carries one request at a time. Throws Error("EOF") where the server goes away before its answer. */
export class HttpConnection {
  readonly #transport: Transport;
  #rest: Uint8Array = new Uint8Array(0);

  constructor(transport: Transport) {
    this.#transport = transport;
  }

  /** Sends one request; a body that is an iterable goes in chunks. */
  async send(
    method: string,
    target: string,
    headers: Record<string, string>,
    body: Uint8Array | AsyncIterable<Uint8Array> | undefined,
  ): Promise<void> {
    let head = `${method} ${target} HTTP/1.1\r\n`;
    for (const [name, value] of Object.entries(headers)) head += `${name}: ${value.replaceAll(/[\r\n]/g, " ")}\r\n`;
    if (body instanceof Uint8Array) {
      const start = Buffer.from(`${head}Content-Length: ${body.length}\r\n\r\n`);
      await this.#transport.write(Buffer.concat([start, body]));
    } else if (body === undefined) {
      const length = method === "POST" || method === "PUT" ? "Content-Length: 0\r\n" : "";
      await this.#transport.write(Buffer.from(`${head}${length}\r\n`));
    } else {
      await this.#transport.write(Buffer.from(`${head}Transfer-Encoding: chunked\r\n\r\n`));
      for await (const chunk of body) {
        if (chunk.length === 0) continue;
        const length = Buffer.from(`${chunk.length.toString(16)}\r\n`);
        if (chunk.length < joinedBytes) await this.#transport.write(Buffer.concat([length, chunk, crlf]));
        else for (const part of [length, chunk, crlf]) await this.#transport.write(part);
      }
      await this.#transport.write(Buffer.from("0\r\n\r\n"));
    }
  }

  /** Reads the head of an answer; interim answers but 101 are skipped. */
  async readHead(): Promise<ResponseHead> {
    for (;;) {
      let end = indexOfHeadEnd(this.#rest);
      while (end < 0) {
        if (this.#rest.length > headLimitBytes) throw new Error("the server's headers are too long");
        if (!(await this.#fill())) throw new Error("EOF");
        end = indexOfHeadEnd(this.#rest);
      }
      const lines = Buffer.from(this.#rest.buffer, this.#rest.byteOffset, end).toString("latin1").split("\r\n");
      this.#rest = this.#rest.subarray(end + 4);
      const status = /^HTTP\/1\.[01] (\d{3}) ?(.*)$/.exec(lines[0]!);
      if (status === null) throw new Error(`malformed HTTP response ${JSON.stringify(lines[0])}`);
      const headers = new Map<string, string>();
      for (const line of lines.slice(1)) {
        const colon = line.indexOf(":");
        if (colon > 0) headers.set(line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim());
      }
      const code = Number(status[1]);
      if (code >= 200 || code === 101) return { status: code, reason: status[2]!, headers };
    }
  }

  /** The answer's body. When it was read to its end, `reusable` tells whether the connection can carry more. */
  async *readBody(head: ResponseHead, method: string, reusable: () => void): AsyncGenerator<Uint8Array> {
    const keep = () => {
      if (head.headers.get("connection")?.toLowerCase() !== "close") reusable();
    };
    if (method === "HEAD" || head.status === 204 || head.status === 304) return keep();
    if (head.headers.get("transfer-encoding")?.toLowerCase() === "chunked") {
      yield* this.#readChunks();
      return keep();
    }
    const length = head.headers.get("content-length");
    if (length === undefined) {
      yield* this.readRaw();
      return;
    }
    let left = Number(length);
    while (left > 0) {
      if (this.#rest.length === 0 && !(await this.#fill())) throw new Error("unexpected EOF");
      const bytes = this.#rest.subarray(0, left);
      this.#rest = this.#rest.subarray(bytes.length);
      left -= bytes.length;
      yield bytes;
    }
    keep();
  }

  /** Everything that comes until the server closes: a hijacked connection, or a body without length. */
  async *readRaw(): AsyncGenerator<Uint8Array> {
    for (;;) {
      if (this.#rest.length === 0 && !(await this.#fill())) return;
      const bytes = this.#rest;
      this.#rest = bytes.subarray(bytes.length);
      yield bytes;
    }
  }

  writeRaw(bytes: Uint8Array): Promise<void> {
    return this.#transport.write(bytes);
  }

  closeWrite(): void {
    this.#transport.closeWrite();
  }

  close(): void {
    this.#transport.close();
  }

  async #fill(): Promise<boolean> {
    const bytes = await this.#transport.read();
    if (bytes === undefined) return false;
    this.#rest = this.#rest.length === 0 ? bytes : Buffer.concat([this.#rest, bytes]);
    return true;
  }

  async #readLine(): Promise<string> {
    for (;;) {
      const end = this.#rest.indexOf(10);
      if (end >= 0) {
        const line = Buffer.from(this.#rest.buffer, this.#rest.byteOffset, end).toString("latin1").trimEnd();
        this.#rest = this.#rest.subarray(end + 1);
        return line;
      }
      if (this.#rest.length > headLimitBytes) throw new Error("malformed chunked encoding");
      if (!(await this.#fill())) throw new Error("unexpected EOF");
    }
  }

  async *#readChunks(): AsyncGenerator<Uint8Array> {
    for (;;) {
      const size = (await this.#readLine()).split(";")[0]!.trim();
      if (!/^[\da-fA-F]{1,12}$/.test(size)) throw new Error("malformed chunked encoding");
      let left = Number.parseInt(size, 16);
      if (left === 0) {
        while ((await this.#readLine()) !== "");
        return;
      }
      while (left > 0) {
        if (this.#rest.length === 0 && !(await this.#fill())) throw new Error("unexpected EOF");
        const bytes = this.#rest.subarray(0, left);
        this.#rest = this.#rest.subarray(bytes.length);
        left -= bytes.length;
        yield bytes;
      }
      if ((await this.#readLine()) !== "") throw new Error("malformed chunked encoding");
    }
  }
}

function indexOfHeadEnd(bytes: Uint8Array): number {
  return Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).indexOf("\r\n\r\n");
}
