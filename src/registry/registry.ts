/** What a running registry is made of: what its handlers work with. */
import { mkdirSync } from "node:fs";
import { join } from "node:path";
import type { Logger } from "../lib/logger.ts";
import { StateDatabase } from "../state/database.ts";
import { ContentStore } from "../storage/content.ts";
import type { AccessControl } from "./access/access.ts";
import { accessFor } from "./access/open-access.ts";
import type { BlobStore } from "./blob-store.ts";
import { type CollectionResult, collectGarbage } from "./collect-garbage.ts";
import type { RegistryConfig } from "./config.ts";
import { DiskBlobs } from "./disk-blobs.ts";
import { RegistryFailure } from "./errors.ts";
import { Metadata } from "./metadata.ts";
import { Metrics } from "./metrics.ts";
import { PullThrough } from "./pull-through.ts";
import { Quotas } from "./quotas.ts";
import { Removals } from "./removals.ts";
import type { RegistryRequest } from "./request.ts";
import { S3Blobs } from "./s3-blobs.ts";
import { registrySchema } from "./schema.ts";
import { Uploads } from "./uploads.ts";

export class Registry {
  readonly config: RegistryConfig;
  readonly log: Logger;
  readonly metadata: Metadata;
  readonly blobs: BlobStore;
  readonly uploads: Uploads;
  /** Of a cache: what brings here what is not here yet. */
  readonly pullThrough: PullThrough | undefined;
  readonly removals = new Removals();
  readonly access: AccessControl;
  readonly metrics = new Metrics();
  readonly #quotas: Quotas;
  #collecting: Promise<CollectionResult> | undefined;

  constructor(config: RegistryConfig, log: Logger) {
    this.config = config;
    this.log = log;
    mkdirSync(config.root, { recursive: true, mode: 0o700 });
    this.metadata = new Metadata(new StateDatabase(join(config.root, "registry.db"), registrySchema));
    const { db } = this.metadata;
    this.access = accessFor(config.access, config.root, db, config.tls !== undefined);
    this.#quotas = new Quotas(db, config.quotas);
    this.blobs = config.s3
      ? new S3Blobs(config.s3)
      : new DiskBlobs(new ContentStore(join(config.root, "blobs"), ["sha256", "sha512"]));
    this.uploads = new Uploads({
      directory: join(config.root, "uploads"),
      metadata: this.metadata,
      blobs: this.blobs,
      removals: this.removals,
    });
    this.pullThrough = config.proxy && new PullThrough(config.proxy, this, join(config.root, "uploads"));
  }

  /** The row of a repository. Throws NAME_UNKNOWN where nothing was ever pushed to it. */
  repositoryId(name: string): number {
    const id = this.metadata.idOf(name);
    if (id === undefined) throw new RegistryFailure("NAME_UNKNOWN", { detail: { name } });
    return id;
  }

  /** Whether whoever asks may pull from another repository than the request's own. */
  mayPull(request: RegistryRequest, repository: string): Promise<boolean> {
    return this.access.may(request, repository, "pull");
  }

  /** Which repositories whoever asks may know of. */
  visibleRepositories(request: RegistryRequest): Promise<(repository: string) => boolean> {
    return this.access.visible(request);
  }

  /**
   * Asked before a blob of `size` bytes comes to the request's repository, and again when its digest is known. Throws
   * DENIED where there is no room for it.
   */
  admit(request: RegistryRequest, digest: string | undefined, size: number): void {
    this.#quotas.check(request.repository, digest, size);
  }

  /** Removes what nothing needs; one run at a time. */
  collectGarbage(): Promise<CollectionResult> {
    this.pullThrough?.forgetOld();
    this.#collecting ??= collectGarbage({ ...this, graceMs: this.config.garbageGraceMs })
      .then((result) => {
        this.metrics.collected(result);
        return result;
      })
      .finally(() => {
        this.#collecting = undefined;
      });
    return this.#collecting;
  }

  /** Throws where the registry could not store anything. */
  async check(): Promise<void> {
    if (this.blobs instanceof S3Blobs) await this.blobs.check();
  }

  close(): void {
    this.metadata.db.close();
  }
}
