/** Every error that a client of the registry can see (distribution-spec, "Error Codes"). */

const table = {
  BLOB_UNKNOWN: [404, "blob unknown to registry"],
  BLOB_UPLOAD_INVALID: [400, "blob upload invalid"],
  BLOB_UPLOAD_UNKNOWN: [404, "blob upload unknown to registry"],
  DENIED: [403, "requested access to the resource is denied"],
  DIGEST_INVALID: [400, "provided digest did not match uploaded content"],
  MANIFEST_BLOB_UNKNOWN: [404, "manifest references a manifest or blob unknown to registry"],
  MANIFEST_INVALID: [400, "manifest invalid"],
  MANIFEST_UNKNOWN: [404, "manifest unknown to registry"],
  NAME_INVALID: [400, "invalid repository name"],
  NAME_UNKNOWN: [404, "repository name not known to registry"],
  PAGINATION_NUMBER_INVALID: [400, "invalid number of results requested"],
  RANGE_INVALID: [416, "invalid content range"],
  SIZE_INVALID: [400, "provided length did not match content length"],
  TAG_INVALID: [400, "invalid tag"],
  TOOMANYREQUESTS: [429, "too many requests"],
  UNAUTHORIZED: [401, "authentication required"],
  UNAVAILABLE: [503, "service unavailable"],
  UNKNOWN: [500, "unknown error"],
  UNSUPPORTED: [405, "the operation is unsupported"],
} as const satisfies Record<string, readonly [number, string]>;

export type ErrorCode = keyof typeof table;

/** What differs from one failure to the next. */
export interface FailureOptions {
  /** What exactly is wrong; shown as `detail`. */
  detail?: unknown;
  /** Where the code alone does not say it. */
  status?: number;
  /** Replaces the code's own sentence. */
  message?: string;
  headers?: Record<string, string>;
}

/** A refusal with a code of the specification. */
export class RegistryFailure extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly headers: Record<string, string>;
  readonly #detail: unknown;

  constructor(code: ErrorCode, { detail, status, message, headers = {} }: FailureOptions = {}) {
    const [usualStatus, sentence] = table[code];
    super(message ?? sentence);
    this.name = "RegistryFailure";
    this.code = code;
    this.status = status ?? usualStatus;
    this.headers = headers;
    this.#detail = detail;
  }

  /** The answer to whoever asked; nothing but the headers for HEAD. */
  response(method: string): Response {
    const error = { code: this.code, message: this.message, detail: this.#detail };
    const body = method === "HEAD" ? null : `${JSON.stringify({ errors: [error] })}\n`;
    return new Response(body, {
      status: this.status,
      headers: { "Content-Type": "application/json", ...this.headers },
    });
  }
}
