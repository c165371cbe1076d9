/**
 * A small S3 server in memory: path-style buckets, Signature Version 4, ranges, multipart uploads, listing by pages. None
 * of those that can be installed here both checks signatures and lists by pages.
 */
import { createHash, createHmac } from "node:crypto";

export const s3Credentials = { accessKeyId: "AKIDTEST", secretAccessKey: "secret/of+the/test", region: "eu-test-1" };

interface StoredObject {
  bytes: Uint8Array;
  modified: Date;
}

export class S3Server {
  readonly objects = new Map<string, StoredObject>();
  readonly #uploads = new Map<string, Map<number, Uint8Array>>();
  readonly requests: string[] = [];
  /** Answers in the server's place where it returns something. */
  misbehave: (request: Request) => Response | undefined = () => undefined;
  readonly #server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    maxRequestBodySize: 1 << 30,
    fetch: (request) => this.#answer(request),
  });

  get endpoint(): string {
    return `http://127.0.0.1:${this.#server.port}`;
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const url = new URL(request.url);
    this.requests.push(`${request.method} ${url.pathname}${url.search}`);
    const other = this.misbehave(request);
    if (other) return other;
    if (!isSigned(request, url)) return failure(403, "SignatureDoesNotMatch");
    const [, bucket = "", ...rest] = decodeURIComponent(url.pathname).split("/");
    if (bucket !== "registry") return failure(404, "NoSuchBucket");
    const key = rest.join("/");
    const query = url.searchParams;
    if (key === "") return this.#list(query);
    switch (request.method) {
      case "PUT":
        return this.#put(key, query, new Uint8Array(await request.arrayBuffer()));
      case "POST":
        return this.#post(key, query, await request.text());
      case "DELETE":
        this.objects.delete(key);
        return new Response(null, { status: 204 });
      default:
        return this.#get(key, request);
    }
  }

  #put(key: string, query: URLSearchParams, bytes: Uint8Array): Response {
    const upload = query.get("uploadId");
    const etag = `"${createHash("md5").update(bytes).digest("hex")}"`;
    if (upload === null) this.objects.set(key, { bytes, modified: new Date() });
    else if (!this.#uploads.has(upload)) return failure(404, "NoSuchUpload");
    else this.#uploads.get(upload)!.set(Number(query.get("partNumber")), bytes);
    return new Response(null, { headers: { ETag: etag } });
  }

  #post(key: string, query: URLSearchParams, body: string): Response {
    if (query.has("uploads")) {
      const id = crypto.randomUUID();
      this.#uploads.set(id, new Map());
      return xml(
        `<InitiateMultipartUploadResult><Bucket>registry</Bucket><Key>${key}</Key><UploadId>${id}</UploadId></InitiateMultipartUploadResult>`,
      );
    }
    const parts = this.#uploads.get(query.get("uploadId") ?? "");
    if (!parts) return failure(404, "NoSuchUpload");
    const numbers = [...body.matchAll(/<PartNumber>(\d+)<\/PartNumber>/g)].map(([, number]) => Number(number));
    const chosen = numbers.map((number) => parts.get(number));
    if (chosen.some((part) => part === undefined)) return failure(400, "InvalidPart");
    if (chosen.slice(0, -1).some((part) => part!.length < 5 << 20)) return failure(400, "EntityTooSmall");
    this.objects.set(key, { bytes: Buffer.concat(chosen as Uint8Array[]), modified: new Date() });
    this.#uploads.delete(query.get("uploadId")!);
    return xml(`<CompleteMultipartUploadResult><Key>${key}</Key><ETag>"x"</ETag></CompleteMultipartUploadResult>`);
  }

  #get(key: string, request: Request): Response {
    const object = this.objects.get(key);
    if (!object) return failure(404, "NoSuchKey");
    const { bytes, modified } = object;
    const headers: Record<string, string> = { ETag: '"x"', "Last-Modified": modified.toUTCString() };
    if (request.method === "HEAD")
      return new Response(null, { headers: { ...headers, "Content-Length": String(bytes.length) } });
    const range = /^bytes=(\d+)-(\d*)$/.exec(request.headers.get("range") ?? "");
    if (!range) return new Response(bytes, { headers });
    const start = Number(range[1]);
    const end = range[2] === "" ? bytes.length : Math.min(bytes.length, Number(range[2]) + 1);
    headers["Content-Range"] = `bytes ${start}-${end - 1}/${bytes.length}`;
    return new Response(bytes.subarray(start, end), { status: 206, headers });
  }

  #list(query: URLSearchParams): Response {
    const prefix = query.get("prefix") ?? "";
    const after = query.get("continuation-token") ?? query.get("start-after") ?? "";
    const limit = Number(query.get("max-keys") ?? 1000);
    const keys = [...this.objects.keys()].filter((key) => key.startsWith(prefix) && key > after).sort();
    const page = keys.slice(0, limit);
    const contents = page.map((key) => {
      const { bytes, modified } = this.objects.get(key)!;
      return `<Contents><Key>${key}</Key><LastModified>${modified.toISOString()}</LastModified><ETag>"x"</ETag><Size>${bytes.length}</Size><StorageClass>STANDARD</StorageClass></Contents>`;
    });
    const isTruncated = keys.length > page.length;
    const next = isTruncated ? `<NextContinuationToken>${page.at(-1)}</NextContinuationToken>` : "";
    return xml(
      `<ListBucketResult><Name>registry</Name><Prefix>${prefix}</Prefix><KeyCount>${page.length}</KeyCount><MaxKeys>${limit}</MaxKeys><IsTruncated>${isTruncated}</IsTruncated>${next}${contents.join("")}</ListBucketResult>`,
    );
  }
}

const xml = (body: string, status = 200) =>
  new Response(`<?xml version="1.0" encoding="UTF-8"?>\n${body}`, {
    status,
    headers: { "Content-Type": "application/xml" },
  });

const failure = (status: number, code: string) =>
  xml(`<Error><Code>${code}</Code><Message>${code}</Message></Error>`, status);

/** Signature Version 4, in the header or, of presigned addresses, in the query. */
function isSigned(request: Request, url: URL): boolean {
  const query = new URLSearchParams(url.search);
  const header = request.headers.get("authorization") ?? "";
  const isPresigned = query.has("X-Amz-Signature");
  const field = (name: string) => new RegExp(`${name}=([^,\\s]+)`).exec(header)?.[1] ?? "";
  const signature = isPresigned ? query.get("X-Amz-Signature") : field("Signature");
  const credential = isPresigned ? query.get("X-Amz-Credential")! : field("Credential");
  const signedHeaders = isPresigned ? query.get("X-Amz-SignedHeaders")! : field("SignedHeaders");
  const time = isPresigned ? query.get("X-Amz-Date")! : (request.headers.get("x-amz-date") ?? "");
  const [key, ...scope] = credential.split("/");
  if (
    key !== s3Credentials.accessKeyId ||
    scope.join("/") !== `${time.slice(0, 8)}/${s3Credentials.region}/s3/aws4_request`
  )
    return false;
  query.delete("X-Amz-Signature");
  const encode = (text: string) =>
    encodeURIComponent(text).replace(/[!'()*]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase()}`);
  const canonicalQuery = [...query]
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
  const canonicalHeaders = signedHeaders
    .split(";")
    .map((name) => `${name}:${(name === "host" ? url.host : (request.headers.get(name) ?? "")).trim()}\n`)
    .join("");
  const payload = isPresigned ? "UNSIGNED-PAYLOAD" : (request.headers.get("x-amz-content-sha256") ?? "");
  const canonical = [request.method, url.pathname, canonicalQuery, canonicalHeaders, signedHeaders, payload].join("\n");
  const toSign = ["AWS4-HMAC-SHA256", time, scope.join("/"), createHash("sha256").update(canonical).digest("hex")];
  const hmac = (secret: string | Buffer, text: string) => createHmac("sha256", secret).update(text).digest();
  const signing = scope.reduce<string | Buffer>(
    (secret, part) => hmac(secret, part),
    `AWS4${s3Credentials.secretAccessKey}`,
  );
  return hmac(signing, toSign.join("\n")).toString("hex") === signature;
}
