/** A cache of another registry: what is asked for and not here comes from there, and stays for a while. */
import { randomUUID } from "node:crypto";
import { closeSync, openSync, read, rmSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { certificatesFor } from "../distribution/certificates.ts";
import type { Endpoint } from "../distribution/endpoints.ts";
import { environmentProxies } from "../distribution/proxies.ts";
import { ConnectionError, RegistryError } from "../distribution/registry-errors.ts";
import { Repository } from "../distribution/repository.ts";
import { messageOf } from "../lib/errors.ts";
import type { Logger } from "../lib/logger.ts";
import { storageWorkers } from "../storage/worker-pool.ts";
import type { BlobStore } from "./blob-store.ts";
import { type ErrorCode, RegistryFailure } from "./errors.ts";
import { parseManifest, readManifest } from "./manifest-document.ts";
import type { Metadata } from "./metadata.ts";
import { isDigest } from "./names.ts";
import type { Removals } from "./removals.ts";

export interface ProxyOptions {
  /** `https://registry-1.docker.io` */
  url: string;
  /** How long something stays that nobody pulls. */
  ttlMs: number;
  /** Empty for an anonymous client. */
  username: string;
  password: string;
}

interface Stores {
  metadata: Metadata;
  blobs: BlobStore;
  removals: Removals;
  log: Logger;
}

/** A manifest that was asked for so lately need not be touched again. */
const touchMs = 3_600_000;
const chunkBytes = 1 << 20;
const readAt = promisify(read);
const attempts = 4;
const retryMs = 500;

export class PullThrough {
  readonly #options: ProxyOptions;
  readonly #endpoint: Endpoint;
  readonly #stores: Stores;
  readonly #directory: string;
  readonly #manifests = new Map<string, Promise<void>>();
  readonly #blobs = new Map<string, Promise<ComingBlob | undefined>>();

  /** Blobs on their way are files in `directory`, which is cleared at each start of what has no row. */
  constructor(options: ProxyOptions, stores: Stores, directory: string) {
    this.#options = options;
    this.#stores = stores;
    this.#directory = directory;
    const certificates = certificatesFor(new URL(options.url).host);
    this.#endpoint = { base: options.url, verify: true, isMirror: false, certificates, proxies: environmentProxies() };
  }

  /**
   * Sees to it that a manifest is here, if the other registry has it, and that a tag stands for what it stands for there.
   * What is here serves also where the other registry cannot be reached. Throws what that registry answered otherwise.
   */
  bringManifest(repository: string, reference: string): Promise<void> {
    const key = `${repository} ${reference}`;
    const known = this.#manifests.get(key);
    if (known) return known;
    const work = this.#bringManifest(repository, reference).finally(() => this.#manifests.delete(key));
    this.#manifests.set(key, work);
    return work;
  }

  async #bringManifest(repository: string, reference: string): Promise<void> {
    const { metadata, log } = this.#stores;
    const id = metadata.idOf(repository);
    const here = id === undefined ? undefined : metadata.manifest(id, reference);
    if (here && Date.now() - metadata.manifestTime(id!, here.digest) > touchMs)
      metadata.touchManifest(id!, here.digest);
    if (here && isDigest(reference)) return;
    const remote = this.#remote(repository);
    try {
      if (here && (await remote.manifestDigest(reference, undefined)) === here.digest) return;
      const { bytes, mediaType, digest } = await remote.manifest(reference, undefined);
      const document = readManifest(parseManifest(bytes), mediaType);
      const tag = isDigest(reference) ? undefined : reference;
      metadata.putManifest(metadata.ensure(repository), { ...document, digest, content: bytes }, tag, true);
    } catch (thrown) {
      const isGone = thrown instanceof RegistryError && thrown.status === 404;
      if (!here || isGone) throw failureOf(thrown, "MANIFEST_UNKNOWN");
      log.warn(`${repository}:${reference} is served as it was: ${messageOf(thrown)}`);
    }
  }

  /**
   * A blob on its way here, that can be read meanwhile; undefined where it has only to be linked, and is now.
   * Throws BLOB_UNKNOWN where the other registry has it not.
   */
  bringBlob(repository: string, digest: string): Promise<ComingBlob | undefined> {
    const key = `${repository} ${digest}`;
    const known = this.#blobs.get(key);
    if (known) return known;
    const coming = this.#bringBlob(repository, digest);
    this.#blobs.set(key, coming);
    const forget = () => this.#blobs.delete(key);
    coming.then((blob) => (blob?.done ?? Promise.resolve()).then(forget, forget), forget);
    return coming;
  }

  async #bringBlob(repository: string, digest: string): Promise<ComingBlob | undefined> {
    const { metadata, blobs, removals, log } = this.#stores;
    const remote = this.#remote(repository);
    try {
      const size = await remote.blobSize(digest, undefined);
      // Only now: else whoever makes up names fills the database.
      const id = metadata.ensure(repository);
      if (await this.#linkKnown(id, digest)) return undefined;
      const path = join(this.#directory, `coming-${randomUUID()}`);
      const coming = new ComingBlob(path, size, resuming(remote, digest, size), digest, async () => {
        const release = await removals.hold(digest);
        try {
          await blobs.adopt(digest, path);
          metadata.link(id, digest, size);
        } finally {
          release();
        }
      });
      coming.done.catch((thrown) => log.error(`${repository}@${digest} did not come: ${messageOf(thrown)}`));
      return coming;
    } catch (thrown) {
      throw failureOf(thrown, "BLOB_UNKNOWN");
    }
  }

  /** The bytes may be here for another repository. */
  async #linkKnown(repositoryId: number, digest: string): Promise<boolean> {
    const { metadata, blobs, removals } = this.#stores;
    const release = await removals.hold(digest);
    try {
      const facts = await blobs.stat(digest);
      if (facts) metadata.link(repositoryId, digest, facts.size);
      return facts !== undefined;
    } finally {
      release();
    }
  }

  /** Removes manifests that nobody has pulled for long; their blobs are garbage then. */
  forgetOld(): void {
    if (this.#options.ttlMs > 0) this.#stores.metadata.deleteManifestsBefore(Date.now() - this.#options.ttlMs);
  }

  #remote(repository: string): Repository {
    const { username, password } = this.#options;
    return new Repository(this.#endpoint, repository, username === "" ? {} : { username, password });
  }
}

/** A blob that is being written to a file, and can be read as far as it has come, by as many as like. */
export class ComingBlob {
  /** Bytes of the whole blob. */
  readonly size: number;
  /** Resolves when the blob is verified and stored; rejects where it is not. */
  readonly done: Promise<void>;
  readonly #path: string;
  /** One descriptor for all who read: the file is renamed or removed under them. */
  readonly #fd: number;
  /** Who needs the descriptor: each reader, and the writer until nobody new can come. */
  #users = 1;
  #written = 0;
  #isDone = false;
  #failure: Error | undefined;
  #progress = Promise.withResolvers<void>();

  constructor(
    path: string,
    size: number,
    source: AsyncIterable<Uint8Array>,
    digest: string,
    store: () => Promise<void>,
  ) {
    this.#path = path;
    this.size = size;
    this.#fd = openSync(path, "wx+", 0o600);
    this.done = this.#run(source, digest, store);
    const leave = () => setImmediate(() => this.#leave());
    this.done.then(leave, leave);
  }

  async #run(source: AsyncIterable<Uint8Array>, digest: string, store: () => Promise<void>): Promise<void> {
    const copyTo = { path: this.#path, resumeFrom: 0, expected: { digest, size: this.size } };
    const onProgress = (bytes: number) => {
      this.#written = bytes;
      this.#tell();
    };
    try {
      await storageWorkers.run({ kind: "receive", copyTo }, { source, onProgress });
      this.#isDone = true;
      this.#tell();
      await store();
    } catch (thrown) {
      this.#failure ??= thrown as Error;
      this.#tell();
      rmSync(this.#path, { force: true });
      throw thrown;
    }
  }

  #tell(): void {
    this.#progress.resolve();
    this.#progress = Promise.withResolvers();
  }

  /** Bytes from `start` up to and without `end`, as they come. Breaks off where they turn out to be wrong. */
  read(start: number, end: number): ReadableStream<Uint8Array> {
    this.#users++;
    let position = start;
    let isOver = false;
    const finish = () => {
      if (!isOver) this.#leave();
      isOver = true;
    };
    return new ReadableStream({
      pull: async (controller) => {
        while (position < end && position >= this.#readable() && !this.#failure && !isOver)
          await this.#progress.promise;
        // Nobody waits for it any more.
        if (isOver) return;
        if (position < end && position < this.#readable()) {
          const length = Math.min(end, this.#readable(), position + chunkBytes) - position;
          this.#users++;
          try {
            const { bytesRead, buffer } = await readAt(this.#fd, Buffer.allocUnsafeSlow(length), 0, length, position);
            position += bytesRead;
            if (!isOver) controller.enqueue(buffer.subarray(0, bytesRead));
          } catch (thrown) {
            finish();
            throw thrown;
          } finally {
            this.#leave();
          }
          return;
        }
        finish();
        if (position < end) controller.error(this.#failure);
        else controller.close();
      },
      cancel: finish,
    });
  }

  #leave(): void {
    if (--this.#users === 0) closeSync(this.#fd);
  }

  /** The last byte waits until all are verified: nobody gets to the end of something wrong. */
  #readable(): number {
    return this.#isDone ? this.size : Math.min(this.#written, this.size - 1);
  }
}

/** A blob's bytes, over several connections where one breaks. */
async function* resuming(remote: Repository, digest: string, size: number): AsyncGenerator<Uint8Array> {
  let offset = 0;
  for (let attempt = 1; offset < size; attempt++)
    try {
      for await (const chunk of remote.blob(digest, offset, undefined)) {
        offset += chunk.length;
        yield chunk;
      }
      if (offset < size) throw new ConnectionError("unexpected EOF");
    } catch (thrown) {
      if (attempt === attempts || !(thrown instanceof ConnectionError)) throw thrown;
      await Bun.sleep(retryMs * attempt);
    }
}

/** What our client is told of the other registry's answer. */
function failureOf(thrown: unknown, missing: ErrorCode): Error {
  if (thrown instanceof RegistryFailure) return thrown;
  if (!(thrown instanceof RegistryError))
    return new RegistryFailure("UNAVAILABLE", { message: `the registry behind cannot be used: ${messageOf(thrown)}` });
  const { status } = thrown;
  if (status === 404) return new RegistryFailure(missing);
  if (status === 401 || status === 403) return new RegistryFailure("DENIED");
  if (status === 429) return new RegistryFailure("TOOMANYREQUESTS");
  return new RegistryFailure("UNAVAILABLE", { message: `the registry behind answers ${status}` });
}
