/** Request bodies: JSON that is read whole and checked, archives that are passed on as they come. */
import type { IncomingMessage } from "node:http";
import { invalidParameter } from "../lib/errors.ts";
import { explainJsonFault } from "./json-syntax.ts";
import { readShape, type Shape } from "./shape.ts";

/** Far above what any client sends; an archive is no JSON and has no limit. */
export const jsonLimitBytes = 4 * 1024 * 1024;

/** The client went away in the middle of its request: there is nobody to answer. */
export class ClientGone extends Error {}

/** True where the request's head announces a body. */
export function hasBody({ headers }: IncomingMessage): boolean {
  const length = headers["content-length"];
  return headers["transfer-encoding"] !== undefined || (length !== undefined && length !== "0");
}

/**
 * The body as `shape`; undefined where there is none. Throws invalidParameter in Docker's sentences for another
 * content type, faulty JSON and values of the wrong type, and ClientGone where the body was cut off.
 */
export async function readJson<T>(request: IncomingMessage, shape: Shape<T>): Promise<T | undefined> {
  const {
    "content-type": contentType,
    "content-length": contentLength,
    "transfer-encoding": encoding,
  } = request.headers;
  const hasBody = encoding !== undefined || (contentLength !== undefined && contentLength !== "0");
  if (contentType !== undefined || hasBody) checkContentType(contentType ?? "");
  if (!hasBody) return undefined;
  const text = await readText(request, jsonLimitBytes);
  return text.trim() === "" ? undefined : readShape(shape, parseJson(text));
}

/** The value of a JSON text. Throws invalidParameter with what is wrong with it. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    const fault = explainJsonFault(text);
    if (fault !== undefined) throw invalidParameter(`invalid JSON: ${fault}`);
    if (cause instanceof SyntaxError) throw invalidParameter("unexpected content after JSON");
    throw invalidParameter("invalid JSON: exceeded max depth");
  }
}

function checkContentType(contentType: string): void {
  const type = contentType.split(";")[0]!.trim().toLowerCase();
  if (type === "application/json") return;
  if (type === "") throw invalidParameter(`malformed Content-Type header (${contentType}): mime: no media type`);
  if (type.endsWith("/"))
    throw invalidParameter(`malformed Content-Type header (${contentType}): mime: expected token after slash`);
  throw invalidParameter(`unsupported Content-Type header (${type}): must be 'application/json'`);
}

/** The whole body as text. Throws invalidParameter where it is longer than `limitBytes`, ClientGone where it is cut off. */
function readText(request: IncomingMessage, limitBytes: number): Promise<string> {
  return new Promise((resolve, reject) => {
    const chunks: Buffer[] = [];
    let length = 0;
    request.on("data", (chunk: Buffer) => {
      length += chunk.length;
      if (length > limitBytes) reject(invalidParameter(`request body is larger than ${limitBytes} bytes`));
      else chunks.push(chunk);
    });
    request.on("end", () => resolve((chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks)).toString("utf8")));
    request.on("error", () => reject(new ClientGone()));
    request.on("close", () => reject(new ClientGone()));
  });
}

/** The body's bytes as they come, with back-pressure. Throws ClientGone where the body is cut off. */
export async function* readStream(request: IncomingMessage): AsyncGenerator<Uint8Array> {
  try {
    // Whoever leaves early answers on the same connection: it has to outlive this.
    for await (const chunk of request.iterator({ destroyOnReturn: false })) yield chunk as Buffer;
  } catch {
    throw new ClientGone("unexpected EOF");
  }
  if (!request.complete) throw new ClientGone("unexpected EOF");
}
