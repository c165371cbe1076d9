/**
 * The kinds of failure a room can report. `api/errors.ts` is the one place that turns a kind into an HTTP status.
 * The message is what the client sees, so it is Docker's sentence wherever clients match on it.
 */
export type ErrorKind =
  | "notModified" // 304
  | "invalidParameter" // 400
  | "unauthorized" // 401
  | "forbidden" // 403
  | "notFound" // 404
  | "conflict" // 409
  | "system" // 500
  | "notImplemented" // 501
  | "unavailable"; // 503

/** An error with a kind. Anything else that is thrown counts as `system`. */
export class BrigError extends Error {
  constructor(
    readonly kind: ErrorKind,
    message: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
    this.name = "BrigError";
  }
}

export const notModified = (message = "") => new BrigError("notModified", message);
export const invalidParameter = (message: string) => new BrigError("invalidParameter", message);
export const unauthorized = (message: string) => new BrigError("unauthorized", message);
export const forbidden = (message: string) => new BrigError("forbidden", message);
export const notFound = (message: string) => new BrigError("notFound", message);
export const conflict = (message: string) => new BrigError("conflict", message);
export const systemError = (message: string, cause?: unknown) => new BrigError("system", message, { cause });
export const notImplemented = (message: string) => new BrigError("notImplemented", message);
export const unavailable = (message: string) => new BrigError("unavailable", message);

/** The sentence to show for anything that was thrown. */
export function messageOf(thrown: unknown): string {
  return thrown instanceof Error ? thrown.message : String(thrown);
}
