/** One request: what it is about, and what it brings. */
import type { Claims } from "./access/tokens.ts";
import { RegistryFailure } from "./errors.ts";
import { checkRepository } from "./names.ts";

/** What a client wants to do with a repository, in the words of token scopes. */
export type Action = "pull" | "push" | "delete";

/** What a request is for; the first part of a handler's name. */
export type RouteKind =
  | "base"
  | "catalog"
  | "search"
  | "tags"
  | "referrers"
  | "manifest"
  | "blob"
  | "uploads"
  | "upload"
  | "other";

export interface Route {
  kind: RouteKind;
  /** Empty where the request is about none. */
  repository: string;
  /** Tag, digest or upload id; empty where there is none. */
  reference: string;
}

const bodyLimitMessage = (limitBytes: number) => `the body is larger than ${limitBytes} bytes`;

export class RegistryRequest {
  readonly method: string;
  readonly url: URL;
  readonly route: Route;
  /** Who asks; set by access control, `undefined` for anonymous. */
  user: string | undefined;
  /** What the token said that the request came with. */
  claims: Claims | undefined;

  constructor(
    readonly raw: Request,
    /** The client's address, for the log and for limits. */
    readonly address: string,
  ) {
    this.method = raw.method;
    this.url = urlOf(raw.url);
    this.route = routeOf(this.url.pathname);
  }

  get repository(): string {
    return this.route.repository;
  }

  get reference(): string {
    return this.route.reference;
  }

  header(name: string): string | undefined {
    return this.raw.headers.get(name) ?? undefined;
  }

  query(name: string): string | undefined {
    return this.url.searchParams.get(name) ?? undefined;
  }

  /** Length of the body as the client announced it; undefined where it sends in chunks. */
  get contentLength(): number | undefined {
    const text = this.header("content-length");
    if (text !== undefined) return Number(text);
    return this.raw.body === null ? 0 : undefined;
  }

  async *body(): AsyncGenerator<Uint8Array> {
    if (this.raw.body) for await (const chunk of this.raw.body) yield chunk as Uint8Array;
  }

  /** The whole body. Throws SIZE_INVALID (413) where it is longer than `limitBytes`. */
  async bytes(limitBytes: number): Promise<Buffer> {
    const tooLong = () => new RegistryFailure("SIZE_INVALID", { status: 413, message: bodyLimitMessage(limitBytes) });
    if ((this.contentLength ?? 0) > limitBytes) throw tooLong();
    const chunks: Uint8Array[] = [];
    let length = 0;
    for await (const chunk of this.body()) {
      length += chunk.length;
      if (length > limitBytes) throw tooLong();
      chunks.push(chunk);
    }
    const announced = this.header("content-length");
    if (announced !== undefined && Number(announced) !== length) throw new RegistryFailure("SIZE_INVALID");
    return Buffer.concat(chunks);
  }
}

/** What the route's repository has to allow for a request. */
export function actionOf({ method, route }: RegistryRequest): Action {
  if (method === "GET" || method === "HEAD") return route.kind === "upload" ? "push" : "pull";
  return method === "DELETE" && route.kind !== "upload" ? "delete" : "push";
}

/** The path alone counts where a client's Host header makes no URL. Throws NAME_INVALID where there is no path either. */
function urlOf(text: string): URL {
  const url = URL.parse(text) ?? URL.parse(text.replace(/^[a-z]+:\/\/[^/]*/, ""), "http://localhost");
  if (url === null) throw new RegistryFailure("NAME_INVALID");
  return url;
}

const fixed: Record<string, RouteKind> = {
  "/v2/": "base",
  "/v2": "base",
  "/v2/_catalog": "catalog",
  "/v1/search": "search",
};

/** Takes a path apart. Throws NAME_INVALID for a name that breaks the rules. */
function routeOf(path: string): Route {
  const kind = fixed[path];
  if (kind !== undefined) return { kind, repository: "", reference: "" };
  const other: Route = { kind: "other", repository: "", reference: "" };
  if (!path.startsWith("/v2/")) return other;
  const parts = path.slice(4).split("/");
  const of = (kind: RouteKind, words: number, reference: string): Route => {
    const repository = decode(parts.slice(0, parts.length - words).join("/"));
    checkRepository(repository);
    return { kind, repository, reference: decode(reference) };
  };
  const [third = "", second = "", last = ""] = [parts.at(-3), parts.at(-2), parts.at(-1)];
  if (third === "blobs" && second === "uploads") return last === "" ? of("uploads", 3, "") : of("upload", 3, last);
  if (second === "blobs" && last === "uploads") return of("uploads", 2, "");
  if (second === "blobs") return of("blob", 2, last);
  if (second === "manifests") return of("manifest", 2, last);
  if (second === "referrers") return of("referrers", 2, last);
  if (second === "tags" && last === "list") return of("tags", 2, "");
  return other;
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new RegistryFailure("NAME_INVALID");
  }
}
