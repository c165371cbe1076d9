/** Whichever server has a repository: mirrors first, and in the clear last. */
import { endpointsFor } from "../distribution/endpoints.ts";
import type { Credentials } from "../distribution/registry-auth.ts";
import { ConnectionError } from "../distribution/registry-errors.ts";
import { Repository } from "../distribution/repository.ts";
import { BrigError } from "../lib/errors.ts";
import type { Reference } from "../lib/reference.ts";
import type { ImageRooms } from "./rooms.ts";

/** Asks one server after the other; the last one's error is the one that is told. */
export async function fromAny<T>(
  rooms: ImageRooms,
  reference: Reference,
  request: { auth?: Credentials; signal?: AbortSignal },
  ask: (repository: Repository) => Promise<T>,
): Promise<T> {
  let last: unknown;
  for (const endpoint of endpointsFor(reference.domain, rooms.settings())) {
    // Whoever speaks TLS has answered: going on in the clear is for those who do not.
    if (last !== undefined && endpoint.base.startsWith("http:") && !endpoint.isMirror)
      if (!(last instanceof ConnectionError)) break;
    try {
      return await ask(new Repository(endpoint, reference.path, request.auth ?? {}));
    } catch (thrown) {
      request.signal?.throwIfAborted();
      // The image was there, but not what was asked for: no other server has a better one.
      if (thrown instanceof BrigError && thrown.kind === "notFound") throw thrown;
      last = thrown;
    }
  }
  throw last;
}
