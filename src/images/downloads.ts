/** Layers on their way here: fetched once however many pulls want them, verified and unpacked as they come. */

import type { Descriptor } from "../distribution/documents.ts";
import { ConnectionError, RegistryError } from "../distribution/registry-errors.ts";
import { retryDelay, sleep } from "../distribution/retry.ts";
import { systemError } from "../lib/errors.ts";
import { shortId } from "../lib/reference.ts";
import type { ContentStore } from "../storage/content.ts";
import type { LayerStore } from "../storage/layers.ts";
import { MismatchError, storageWorkers } from "../storage/worker-pool.ts";
import { layerProgress, layerStatus, type Report, throttle } from "./progress.ts";
import { Slots } from "./slots.ts";
import { Transfers } from "./transfer.ts";

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

export class LayerDownloads {
  readonly #content: ContentStore;
  readonly #layers: LayerStore;
  readonly #limits: () => Limits;
  readonly #transfers = new Transfers();
  /** By the blob's digest: each has one partial file. */
  readonly #lines = new Map<string, Promise<void>>();
  readonly #slots: Slots;

  constructor(content: ContentStore, layers: LayerStore, limits: () => Limits) {
    this.#content = content;
    this.#layers = layers;
    this.#limits = limits;
    this.#slots = new Slots(() => limits().maxConcurrentDownloads);
  }

  /** Whether blob and layer are both here. */
  has(blob: Descriptor, diffId: string): boolean {
    return this.#layers.has(diffId) && this.#content.has(blob.digest);
  }

  /** Brings a layer here, blob and unpacked. Rejects at once when `signal` aborts; others go on with it. */
  async fetch(request: LayerRequest): Promise<void> {
    const key = `${request.blob.digest} ${request.diffId}`;
    await this.#transfers.join(
      key,
      (signal, report) => this.#bring(request, signal, report),
      request.report,
      request.signal,
    );
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
    if (this.#slots.isFull) report(layerStatus(shortId(digest), "Waiting"));
    await this.#slots.enter(signal);
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
      this.#slots.leave();
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
}

function verificationFailed(digest: string): Error {
  return systemError(`filesystem layer verification failed for digest ${digest}`);
}
