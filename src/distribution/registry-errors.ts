/** What registries and the way to them can answer instead of content. */
import { BrigError } from "../lib/errors.ts";

/** The server could not be reached, or broke off. Another attempt or another server may help. */
export class ConnectionError extends BrigError {
  constructor(
    message: string,
    /** Whether the server had answered before the line broke: then the same request may well succeed. */
    readonly wasReached = false,
  ) {
    super("system", message);
  }
}

/** A registry's answer with a status of 400 or more (distribution-spec, "Error Codes"). */
export class RegistryError extends BrigError {
  constructor(
    readonly status: number,
    /** `MANIFEST_UNKNOWN` and so on; empty where the registry gave none. */
    readonly code: string,
    message: string,
    /** As the registry asked for with Retry-After. */
    readonly retryAfterMs: number | undefined,
  ) {
    super("system", message);
  }
}

const TEXT_LIMIT = 1024;
const codeOfStatus: Record<number, string> = { 401: "UNAUTHORIZED", 403: "DENIED", 429: "TOOMANYREQUESTS" };
/** For answers without a body, as those to HEAD: what registries themselves say with the code. */
const messageOfCode: Record<string, string> = {
  UNAUTHORIZED: "authentication required",
  DENIED: "requested access to the resource is denied",
  TOOMANYREQUESTS: "too many requests",
};

/** Makes an error of a refusal, in the words of Docker's client of registries. */
export function registryError(response: Response, body: string): RegistryError {
  const { status, headers } = response;
  const make = (code: string, message: string) =>
    new RegistryError(status, code, message, parseRetryAfter(headers.get("retry-after")));
  if (status >= 500)
    return make("", `received unexpected HTTP status: ${status} ${response.statusText || "Server Error"}`);
  const challenge = headers.get("www-authenticate") ?? "";
  if (/error="?insufficient_scope/.test(challenge))
    return make("DENIED", "denied: requested access to the resource is denied");
  const errors = errorsIn(body);
  if (errors.length > 0) {
    const [first] = errors as [RegistryWord];
    return make(first.code, errors.map(sayWord).join("; ").slice(0, TEXT_LIMIT));
  }
  const code = codeOfStatus[status] ?? "";
  const text = (headers.get("content-type") ?? "").includes("html") ? "" : body.trim() || messageOfCode[code];
  return make(
    code,
    `${code === "" ? "unknown" : code.toLowerCase()}: ${text?.slice(0, TEXT_LIMIT) || `HTTP status ${status}`}`,
  );
}

interface RegistryWord {
  code: string;
  message: string;
}

function sayWord({ code, message }: RegistryWord): string {
  return `${code.toLowerCase().replaceAll("_", " ")}: ${message}`;
}

function errorsIn(body: string): RegistryWord[] {
  try {
    const { errors } = JSON.parse(body) as { errors?: unknown };
    if (!Array.isArray(errors)) return [];
    return errors
      .filter((error) => typeof error?.code === "string")
      .map((error) => ({ code: error.code, message: typeof error.message === "string" ? error.message : "" }));
  } catch {
    return [];
  }
}

/** Milliseconds from seconds or a date. */
function parseRetryAfter(value: string | null): number | undefined {
  if (value === null) return undefined;
  const ms = /^\d+$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now();
  return Number.isFinite(ms) && ms > 0 ? ms : undefined;
}
