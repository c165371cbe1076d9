/** Layers on their way here: fetched once however many pulls want them, verified and unpacked as they come. */

import type { Descriptor } from "../distribution/documents.ts";
import { ConnectionError, RegistryError } from "../distribution/registry-errors.ts";
import { systemError } from "../lib/errors.ts";
import { shortId } from "../lib/reference.ts";
import type { ContentStore } from "../storage/content.ts";
import type { LayerStore } from "../storage/layers.ts";
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

  async #bring({ blob, diffId, open }: LayerRequest, signal: AbortSignal, report: Report): Promise<void> {
    const id = shortId(blob.digest);
    if (this.#content.has(blob.digest)) {
      await this.#unpackStored(blob, diffId, signal, report);
      return;
    }
    if (this.#running >= this.#limits().maxConcurrentDownloads) report(layerStatus(id, "Waiting"));
    await this.#enter(signal);
    try {
      await this.#stream({ blob, diffId, open }, signal, report);
    } finally {
      this.#leave();
    }
    report(layerStatus(id, "Pull complete"));
  }

  async #unpackStored(blob: Descriptor, diffId: string, signal: AbortSignal, report: Report): Promise<void> {
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
    report(layerStatus(id, "Pull complete"));
  }

  /** One pass: the line feeds the blob's file and hash, and the same chunks go on to be unpacked. */
  async #stream(
    { blob, diffId, open }: Pick<LayerRequest, "blob" | "diffId" | "open">,
    signal: AbortSignal,
    report: Report,
  ): Promise<void> {
    const id = shortId(blob.digest);
    const file = this.#content.open({ digest: blob.digest, size: blob.size });
    const isDue = throttle();
    let received = 0;
    let isDownloaded = false;
    const line = this.#resuming(blob, open, signal, (message) => report(layerStatus(id, message)));
    let lineError: unknown;
    const pass = async () => {
      const { done, value } = await line.next().catch((thrown) => {
        lineError = thrown;
        throw thrown;
      });
      if (done === true) return undefined;
      file.write(value);
      received += value.length;
      if (isDue(received, blob.size)) report(layerProgress(id, "Downloading", received, blob.size));
      return value;
    };
    const drain = async () => {
      while ((await pass()) !== undefined);
      report(layerStatus(id, "Verifying Checksum"));
      try {
        file.commit();
      } catch {
        throw systemError(`filesystem layer verification failed for digest ${blob.digest}`);
      }
      isDownloaded = true;
      report(layerStatus(id, "Download complete"));
    };
    try {
      if (this.#layers.has(diffId)) {
        await drain();
        return;
      }
      const isExtractDue = throttle();
      const chunks = async function* () {
        for (let chunk = await pass(); chunk !== undefined; chunk = await pass()) yield chunk;
        await drain();
      };
      try {
        await this.#layers.unpack(chunks(), {
          diffId,
          signal,
          onProgress: (read) => {
            // While the line is the slower one its bar is shown; afterwards what is left to unpack.
            if (isDownloaded && isExtractDue(read, blob.size)) report(layerProgress(id, "Extracting", read, blob.size));
          },
        });
      } catch (thrown) {
        signal.throwIfAborted();
        if (lineError !== undefined) throw lineError;
        // A blob that is not what it should be explains best why it does not unpack.
        if (!this.#content.has(blob.digest)) await drain();
        throw thrown;
      }
      if (!this.#content.has(blob.digest)) await drain();
    } finally {
      file.discard();
      await line.return(undefined);
    }
  }

  /** A blob's bytes from first to last, over as many connections as it takes. */
  async *#resuming(
    blob: Descriptor,
    open: OpenBlobAt,
    signal: AbortSignal,
    say: (message: string) => void,
  ): AsyncGenerator<Uint8Array, undefined> {
    let offset = 0;
    let failures = 0;
    let forgiven = 0;
    for (;;) {
      try {
        for await (const chunk of open(offset, signal)) {
          offset += chunk.length;
          if (offset > blob.size) throw systemError(`filesystem layer verification failed for digest ${blob.digest}`);
          yield chunk;
        }
        if (offset === blob.size) return;
        throw new ConnectionError("unexpected EOF");
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
