/** Bringing a blob into a repository (distribution-spec, "Pushing blobs"), over as many connections as it takes. */
import { systemError } from "../lib/errors.ts";
import { ConnectionError, RegistryError } from "./registry-errors.ts";
import { retryDelay, sleep } from "./retry.ts";
import type { RegistryRequest, RegistrySession } from "./session.ts";

/** A blob that is here. */
export interface UploadSource {
  digest: string;
  /** Bytes. */
  size: number;
  /** `length` bytes from an offset on; may be called again for the same ones. */
  open(offset: number, length: number): AsyncIterable<Uint8Array>;
}

export interface UploadOptions {
  /** Other repositories on the same server that may have the blob; the first of them are asked. */
  mountFrom?: string[];
  /** Bytes that have left for the registry. */
  onProgress?: (sent: number) => void;
  /** Before another attempt. */
  onRetry?: (waitMs: number) => void;
  signal: AbortSignal;
}

/** How the blob came to be there. */
export type UploadOutcome = "existed" | "uploaded" | { mountedFrom: string };

/** Blobs up to this size go with the request that ends the upload. */
const SINGLE_LIMIT_BYTES = 1 << 20;
/** Once the line has broken so much is sent at a time: some registries keep only what came with a whole request. */
const CHUNK_BYTES = 16 << 20;
const ATTEMPTS = 5;
const MOUNT_ATTEMPTS = 3;
/** How often an upload that the registry has forgotten is begun anew. */
const RESTARTS = 2;
/** So much more than ever has to arrive before failures are forgiven. */
const FORGIVING_BYTES = 1 << 20;
/** A registry may read and store all of a blob again before it answers. */
const STORE_PATIENCE_MS = 600_000;
const CANCEL_PATIENCE_MS = 5_000;

const octets = { "Content-Type": "application/octet-stream" };

/** One blob's upload. */
export class BlobUpload {
  readonly #session: RegistrySession;
  /** `/library/alpine/blobs/`. */
  readonly #blobs: string;
  readonly #source: UploadSource;
  readonly #options: UploadOptions;
  /** Where the registry wants the next request; undefined where there is no upload. */
  #location: string | undefined;
  /** Bytes that the registry has. */
  #offset = 0;
  #hasBroken = false;
  readonly #mountFrom: string[];

  constructor(session: RegistrySession, path: string, source: UploadSource, options: UploadOptions) {
    this.#session = session;
    this.#blobs = `/${path}/blobs/`;
    this.#source = source;
    this.#options = options;
    this.#mountFrom = (options.mountFrom ?? []).slice(0, MOUNT_ATTEMPTS);
  }

  /** Brings the blob there. Throws when `signal` aborts, and what the registry says in the end. */
  async run(): Promise<UploadOutcome> {
    const { signal, onRetry } = this.#options;
    let failures = 0;
    let restarts = 0;
    let furthest = 0;
    for (;;) {
      try {
        return await this.#attempt();
      } catch (thrown) {
        if (signal.aborted) {
          void this.#cancel();
          throw thrown;
        }
        if (this.#offset - furthest >= FORGIVING_BYTES) failures = 0;
        furthest = Math.max(furthest, this.#offset);
        failures++;
        const isLost = this.#location !== undefined && isForgotten(thrown, this.#hasBroken);
        if (isLost) {
          this.#location = undefined;
          restarts++;
        }
        const waitMs = isLost ? 0 : retryDelay(thrown, failures);
        if (waitMs === undefined || failures >= ATTEMPTS || restarts > RESTARTS) {
          void this.#cancel();
          throw thrown;
        }
        this.#hasBroken = true;
        if (waitMs > 0) onRetry?.(waitMs);
        await sleep(waitMs, signal);
      }
    }
  }

  async #attempt(): Promise<UploadOutcome> {
    // Later attempts ask as well: the answer to a last request may be all that was lost.
    if (await this.#isThere()) return this.#hasBroken ? "uploaded" : "existed";
    if (this.#location !== undefined && this.#hasBroken) await this.#findOffset();
    while (this.#location === undefined && this.#mountFrom.length > 0) {
      const from = this.#mountFrom.shift()!;
      if (await this.#mount(from)) return { mountedFrom: from };
    }
    if (this.#location === undefined) {
      this.#offset = 0;
      this.#location = locationOf(await this.#ask({ method: "POST", path: `${this.#blobs}uploads/` }));
    }
    const { size } = this.#source;
    if (this.#offset === 0 && size <= SINGLE_LIMIT_BYTES) await this.#finish(size);
    else {
      while (this.#offset < size) await this.#patch();
      await this.#finish(0);
    }
    return "uploaded";
  }

  async #isThere(): Promise<boolean> {
    try {
      await this.#ask({ method: "HEAD", path: this.#blobs + this.#source.digest });
      return true;
    } catch (thrown) {
      if (thrown instanceof RegistryError && thrown.status === 404) return false;
      throw thrown;
    }
  }

  /**
   * Tries to take the blob from another repository. A registry that does not may begin an upload instead, which is then
   * the one that is gone on with.
   */
  async #mount(from: string): Promise<boolean> {
    const query = new URLSearchParams({ mount: this.#source.digest, from });
    try {
      const path = `${this.#blobs}uploads/?${query}`;
      const response = await this.#ask({ method: "POST", path, extraScope: `repository:${from}:pull` });
      if (response.status === 201) return true;
      this.#offset = 0;
      this.#location = locationOf(response);
    } catch (thrown) {
      this.#options.signal.throwIfAborted();
      // Not to be allowed to read there is no reason to fail here.
      if (thrown instanceof ConnectionError) throw thrown;
    }
    return false;
  }

  /** Asks how much has arrived. Where the registry does not know the upload is begun anew. */
  async #findOffset(): Promise<void> {
    try {
      const response = await this.#ask({ method: "GET", path: this.#location! });
      const received = receivedBy(response);
      this.#location =
        received === undefined || received > this.#source.size ? undefined : locationOf(response, this.#location);
      this.#offset = received ?? 0;
    } catch (thrown) {
      if (!(thrown instanceof RegistryError) || retryDelay(thrown, 1) !== undefined) throw thrown;
      this.#location = undefined;
    }
  }

  /** Sends what is left, or one chunk of it. */
  async #patch(): Promise<void> {
    const left = this.#source.size - this.#offset;
    const length = this.#hasBroken ? Math.min(CHUNK_BYTES, left) : left;
    const isPart = this.#offset > 0 || length < left;
    const response = await this.#ask({
      method: "PATCH",
      path: this.#location!,
      headers: { ...octets, ...(isPart ? { "Content-Range": `${this.#offset}-${this.#offset + length - 1}` } : {}) },
      body: this.#body(this.#offset, length),
      patienceMs: STORE_PATIENCE_MS,
    });
    const received = receivedBy(response) ?? this.#offset + length;
    if (received <= this.#offset || received > this.#offset + length)
      throw systemError(`the registry says it has ${received} bytes of ${this.#source.digest}, which cannot be`);
    this.#location = locationOf(response, this.#location);
    this.#offset = received;
  }

  /** Ends the upload with its last `length` bytes. */
  async #finish(length: number): Promise<void> {
    const { digest } = this.#source;
    const location = this.#location!;
    const response = await this.#ask({
      method: "PUT",
      // Put on by hand: the rest of the query is the registry's own, and signed perhaps.
      path: `${location}${location.includes("?") ? "&" : "?"}digest=${encodeURIComponent(digest)}`,
      ...(length > 0 ? { headers: octets, body: this.#body(0, length) } : {}),
      patienceMs: STORE_PATIENCE_MS,
    });
    this.#location = undefined;
    const stored = response.headers.get("docker-content-digest") || digest;
    if (stored !== digest) throw systemError(`the registry stored blob ${digest} as ${stored}`);
  }

  #body(offset: number, length: number) {
    const open = () => counted(this.#source.open(offset, length), offset, this.#options.onProgress);
    return { length, open };
  }

  /** Tells the registry that nothing more comes. Nobody waits for it. */
  async #cancel(): Promise<void> {
    if (this.#location === undefined) return;
    const signal = AbortSignal.timeout(CANCEL_PATIENCE_MS);
    const request = { method: "DELETE" as const, path: this.#location, signal };
    await this.#session
      .request(request)
      .then((response) => response.body?.cancel())
      .catch(() => undefined);
  }

  async #ask(request: Omit<RegistryRequest, "signal">): Promise<Response> {
    const response = await this.#session.request({ ...request, signal: this.#options.signal });
    await response.body?.cancel();
    return response;
  }
}

/** Whether the registry has lost the upload, or made something else of it, and it may go better from the beginning. */
function isForgotten(thrown: unknown, hasBroken: boolean): boolean {
  if (!(thrown instanceof RegistryError)) return false;
  if (thrown.status === 404) return thrown.code !== "NAME_UNKNOWN";
  return thrown.status === 416 || (hasBroken && /^(?:BLOB_UPLOAD|DIGEST|RANGE|SIZE)_/.test(thrown.code));
}

/** Where an upload goes on. The location may be relative, and is the old one where none is given. */
function locationOf(response: Response, before?: string): string {
  const given = response.headers.get("location") ?? before;
  const url = given === undefined ? undefined : URL.parse(given, response.url);
  if (url?.protocol !== "http:" && url?.protocol !== "https:")
    throw systemError("the registry began an upload without saying where it goes on");
  return url.href;
}

/** How many bytes the registry has, from its `Range: 0-99`. Nothing, and one byte, are both `0-0`: taken for nothing. */
function receivedBy(response: Response): number | undefined {
  const last = /^(?:bytes=)?0-(\d+)$/.exec(response.headers.get("range") ?? "")?.[1];
  if (last === undefined) return undefined;
  return last === "0" ? 0 : Number(last) + 1;
}

async function* counted(
  bytes: AsyncIterable<Uint8Array>,
  start: number,
  onProgress: ((sent: number) => void) | undefined,
): AsyncGenerator<Uint8Array> {
  let sent = start;
  for await (const chunk of bytes) {
    yield chunk;
    sent += chunk.length;
    onProgress?.(sent);
  }
}
