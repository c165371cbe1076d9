/** The one place where what went wrong becomes a status and a body. */
import { BrigError, type ErrorKind, messageOf } from "../lib/errors.ts";

const statusOf: Record<ErrorKind, number> = {
  notModified: 304,
  invalidParameter: 400,
  unauthorized: 401,
  forbidden: 403,
  notFound: 404,
  conflict: 409,
  system: 500,
  notImplemented: 501,
  unavailable: 503,
};

export interface ErrorAnswer {
  status: number;
  message: string;
  /** True where nobody meant this to happen: it belongs in the log, with its stack. */
  unexpected: boolean;
}

/** What a client is told of anything that was thrown. */
export function answerFor(thrown: unknown): ErrorAnswer {
  if (thrown instanceof BrigError) {
    return { status: statusOf[thrown.kind], message: thrown.message, unexpected: thrown.kind === "system" };
  }
  return { status: 500, message: messageOf(thrown), unexpected: true };
}
