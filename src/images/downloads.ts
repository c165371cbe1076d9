/** Layers on their way here: fetched once however many pulls want them, verified and unpacked as they come. */

import type { Descriptor } from "../distribution/documents.ts";
import { ConnectionError, RegistryError } from "../distribution/registry-errors.ts";
import { systemError } from "../lib/errors.ts";
import { shortId } from "../lib/reference.ts";
import type { ContentStore } from "../storage/content.ts";
import type { LayerStore } from "../storage/layers.ts";
import { MismatchError, storageWorkers } from "../storage/worker-pool.ts";
import { layerProgress, layerStatus, type ProgressMessage, type Report, throttle } from "./progress.ts";

/** Opens a blob's bytes from an offset on. */
export type OpenBlobAt = (offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;

export interface LayerRequest {
  blob: Descriptor;
  diffId: string;
  open: OpenBlobAt;
  report: Report;
  signal: AbortSignal | undefined;
}

interface Limits {
  maxConcurrentDownloads: number;
  maxDownloadAttempts: number;
}

/** So much of a blob has to arrive before failures before it are forgiven. */
const FORGIVING_BYTES = 1 << 20;
const RETRY_DELAY_MS = 500;
const PATIENCE_MS = 60_000;

export class LayerDownloads {
  readonly #content: ContentStore;
  readonly #layers: LayerStore;
  readonly #limits: () => Limits;
  readonly #transfers = new Map<string, Transfer>();
  /** By the blob's digest: each has one partial file. */
  readonly #lines = new Map<string, Promise<void>>();
  readonly #waiting: (() => void)[] = [];
  #running = 0;

  constructor(content: ContentStore, layers: LayerStore, limits: () => Limits) {
    this.#content = content;
    this.#layers = layers;
    this.#limits = limits;
  }

  /** Whether blob and layer are both here. */
  has(blob: Descriptor, diffId: string): boolean {
    return this.#layers.has(diffId) && this.#content.has(blob.digest);
  }

  /** Brings a layer here, blob and unpacked. Rejects at once when `signal` aborts; others go on with it. */
  async fetch(request: LayerRequest): Promise<void> {
    const key = `${request.blob.digest} ${request.diffId}`;
    let transfer = this.#transfers.get(key);
    if (!transfer || transfer.isAborted) {
      const fresh = new Transfer((signal, report) => this.#bring(request, signal, report));
      this.#transfers.set(key, fresh);
      const forget = () => {
        if (this.#transfers.get(key) === fresh) this.#transfers.delete(key);
      };
      fresh.outcome.then(forget, forget);
      transfer = fresh;
    }
    await transfer.join(request.report, request.signal);
  }

  /** Whether a blob is on its way. */
  isUnderWay(digest: string): boolean {
    return this.#lines.has(digest);
  }

  async #bring(request: LayerRequest, signal: AbortSignal, report: Report): Promise<void> {
    const { digest } = request.blob;
    // The same blob for another diff ID: one of the two is wrong, and the second to come finds out.
    for (let other = this.#lines.get(digest); other !== undefined; other = this.#lines.get(digest)) {
      await other.catch(() => undefined);
      signal.throwIfAborted();
    }
    const line = this.#content.has(digest)
      ? this.#unpackStored(request, signal, report)
      : this.#download(request, signal, report);
    this.#lines.set(digest, line);
    try {
      await line;
    } finally {
      this.#lines.delete(digest);
    }
    report(layerStatus(shortId(digest), "Pull complete"));
  }

  async #unpackStored({ blob, diffId }: LayerRequest, signal: AbortSignal, report: Report): Promise<void> {
    const id = shortId(blob.digest);
    report(layerStatus(id, "Download complete"));
    const isDue = throttle();
    const path = this.#content.pathOf(blob.digest);
    await this.#layers.unpack(
      { path },
      {
        diffId,
        signal,
        onProgress: (read) => {
          if (isDue(read, blob.size)) report(layerProgress(id, "Extracting", read, blob.size));
        },
      },
    );
  }

  async #download(request: LayerRequest, signal: AbortSignal, report: Report): Promise<void> {
    const { digest } = request.blob;
    if (this.#running >= this.#limits().maxConcurrentDownloads) report(layerStatus(shortId(digest), "Waiting"));
    await this.#enter(signal);
    const hasPart = this.#content.partialSize(digest) > 0;
    try {
      await this.#stream(request, signal, report).catch((thrown) => {
        if (!hasPart || !(thrown instanceof MismatchError)) throw thrown;
        // A part that a power failure spoiled is no reason to fail.
        this.#content.discardPartial(digest);
        return this.#stream(request, signal, report);
      });
    } catch (thrown) {
      // What came is worth keeping where the line alone failed, or the client left.
      const isLine = thrown instanceof ConnectionError || thrown instanceof RegistryError;
      if (!isLine && !signal.aborted) this.#content.discardPartial(digest);
      throw thrown instanceof MismatchError ? verificationFailed(digest) : thrown;
    } finally {
      this.#leave();
    }
  }

  /**
   * One pass: a worker unpacks the bytes as they come, keeps them, and hashes both. What an earlier attempt left comes
   * first.
   */
  async #stream({ blob, diffId, open }: LayerRequest, signal: AbortSignal, report: Report): Promise<void> {
    const { digest, size } = blob;
    const id = shortId(digest);
    const resumeFrom = Math.min(this.#content.partialSize(digest), size);
    const line = this.#resuming(blob, open, resumeFrom, signal, (message) => report(layerStatus(id, message)));
    const isDue = throttle();
    let received = resumeFrom;
    let isDownloaded = false;
    const chunks = async function* () {
      for await (const chunk of line) {
        received += chunk.length;
        if (isDue(received, size)) report(layerProgress(id, "Downloading", received, size));
        yield chunk;
      }
      isDownloaded = true;
      report(layerStatus(id, "Verifying Checksum"));
      report(layerStatus(id, "Download complete"));
    };
    const copyTo = { path: this.#content.partialPath(digest), resumeFrom, expected: { digest, size } };
    const isExtractDue = throttle();
    const { copy } = await this.#layers.unpack(chunks(), {
      diffId,
      signal,
      copyTo,
      onProgress: (read) => {
        // While the line is the slower one its bar is shown; afterwards what is left to unpack.
        if (isDownloaded && isExtractDue(read, size)) report(layerProgress(id, "Extracting", read, size));
      },
    });
    // The layer was here, or came by another blob.
    if (copy === undefined) await storageWorkers.run({ kind: "receive", copyTo }, { source: chunks(), signal });
    this.#content.completePartial(digest);
  }

  /** A blob's bytes from an offset to the last, over as many connections as it takes. */
  async *#resuming(
    blob: Descriptor,
    open: OpenBlobAt,
    start: number,
    signal: AbortSignal,
    say: (message: string) => void,
  ): AsyncGenerator<Uint8Array, undefined> {
    let offset = start;
    let failures = 0;
    let forgiven = start;
    while (offset < blob.size) {
      try {
        for await (const chunk of open(offset, signal)) {
          offset += chunk.length;
          if (offset > blob.size) throw verificationFailed(blob.digest);
          yield chunk;
        }
        if (offset < blob.size) throw new ConnectionError("unexpected EOF");
      } catch (thrown) {
        signal.throwIfAborted();
        if (offset - forgiven >= FORGIVING_BYTES) failures = 0;
        forgiven = offset;
        failures++;
        const waitMs = retryDelay(thrown, failures);
        if (waitMs === undefined || failures >= this.#limits().maxDownloadAttempts) throw thrown;
        const seconds = Math.ceil(waitMs / 1000);
        say(`Retrying in ${seconds} second${seconds === 1 ? "" : "s"}`);
        await sleep(waitMs, signal);
      }
    }
  }

  async #enter(signal: AbortSignal): Promise<void> {
    while (this.#running >= this.#limits().maxConcurrentDownloads) {
      await new Promise<void>((resolve) => {
        this.#waiting.push(resolve);
        signal.addEventListener("abort", () => resolve(), { once: true });
      });
      signal.throwIfAborted();
    }
    this.#running++;
  }

  #leave(): void {
    this.#running--;
    this.#waiting.shift()?.();
  }
}

function verificationFailed(digest: string): Error {
  return systemError(`filesystem layer verification failed for digest ${digest}`);
}

/** Milliseconds to wait before another attempt, or undefined where none would help. */
function retryDelay(thrown: unknown, failures: number): number | undefined {
  if (thrown instanceof ConnectionError) return RETRY_DELAY_MS * failures;
  if (!(thrown instanceof RegistryError) || (thrown.status < 500 && thrown.status !== 429)) return undefined;
  const waitMs = thrown.retryAfterMs ?? 2 * RETRY_DELAY_MS * failures;
  return waitMs <= PATIENCE_MS ? waitMs : undefined;
}

async function sleep(ms: number, signal: AbortSignal): Promise<void> {
  const aborted = Promise.withResolvers<void>();
  const onAbort = () => aborted.resolve();
  signal.addEventListener("abort", onAbort, { once: true });
  await Promise.race([Bun.sleep(ms), aborted.promise]);
  signal.removeEventListener("abort", onAbort);
  signal.throwIfAborted();
}

/** One layer under way, and all who wait for it. It is given up when the last of them leaves. */
class Transfer {
  readonly outcome: Promise<void>;
  readonly #abort = new AbortController();
  readonly #listeners = new Set<Report>();
  #last: ProgressMessage | undefined;

  constructor(work: (signal: AbortSignal, report: Report) => Promise<void>) {
    this.outcome = work(this.#abort.signal, (message) => {
      this.#last = message;
      for (const listener of this.#listeners) listener(message);
    });
  }

  get isAborted(): boolean {
    return this.#abort.signal.aborted;
  }

  async join(report: Report, signal: AbortSignal | undefined): Promise<void> {
    signal?.throwIfAborted();
    this.#listeners.add(report);
    if (this.#last) report(this.#last);
    const left = Promise.withResolvers<never>();
    const onAbort = () => left.reject(signal!.reason);
    signal?.addEventListener("abort", onAbort, { once: true });
    try {
      await Promise.race([this.outcome, left.promise]);
    } finally {
      signal?.removeEventListener("abort", onAbort);
      this.#listeners.delete(report);
      if (this.#listeners.size === 0) this.#abort.abort(new Error("context canceled"));
    }
  }
}
