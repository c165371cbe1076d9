/** Blobs on their way to registries: sent once however many pushes want them in the same repository. */
import type { Repository } from "../distribution/repository.ts";
import type { ContentStore } from "../storage/content.ts";
import { layerProgress, layerStatus, type Report, throttle } from "./progress.ts";
import type { BlobRecord } from "./record.ts";
import { Slots } from "./slots.ts";
import { Transfers } from "./transfer.ts";

export interface UploadRequest {
  blob: BlobRecord;
  repository: Repository;
  /** The repository's name with its server: who else pushes the same blob there waits for this upload. */
  destination: string;
  /** Repositories on the same server that may have the blob. */
  mountFrom: string[];
  /** What the blob is called in messages. */
  id: string;
  report: Report;
  signal: AbortSignal;
}

export class BlobUploads {
  readonly #content: ContentStore;
  readonly #slots: Slots;
  readonly #transfers = new Transfers();

  /** `limit`: how many blobs may be on their way at once; 0 is none. */
  constructor(content: ContentStore, limit: () => number) {
    this.#content = content;
    this.#slots = new Slots(limit);
  }

  /** Brings a blob into a repository. Rejects at once when `signal` aborts; others go on with it. */
  async push(request: UploadRequest): Promise<void> {
    const key = `${request.destination}@${request.blob.digest}`;
    await this.#transfers.join(
      key,
      (signal, report) => this.#send(request, signal, report),
      request.report,
      request.signal,
    );
  }

  async #send({ blob, repository, mountFrom, id }: UploadRequest, signal: AbortSignal, report: Report): Promise<void> {
    if (this.#slots.isFull) report(layerStatus(id, "Waiting"));
    await this.#slots.enter(signal);
    try {
      const { digest, size } = blob;
      const path = this.#content.pathOf(digest);
      const open = (offset: number, length: number) =>
        Bun.file(path)
          .slice(offset, offset + length)
          .stream();
      const isDue = throttle();
      const outcome = await repository.upload(
        { digest, size, open },
        {
          mountFrom,
          onProgress: (sent) => {
            if (isDue(sent, size)) report(layerProgress(id, "Pushing", sent, size));
          },
          onRetry: (waitMs) => {
            const seconds = Math.ceil(waitMs / 1000);
            report(layerStatus(id, `Retrying in ${seconds} second${seconds === 1 ? "" : "s"}`));
          },
          signal,
        },
      );
      report(layerStatus(id, wordFor(outcome)));
    } finally {
      this.#slots.leave();
    }
  }
}

function wordFor(outcome: Awaited<ReturnType<Repository["upload"]>>): string {
  if (typeof outcome === "object") return `Mounted from ${outcome.mountedFrom}`;
  return outcome === "existed" ? "Layer already exists" : "Pushed";
}
