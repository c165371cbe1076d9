/** Where the registry's blobs are: what every implementation promises. */

export interface BlobFacts {
  /** Bytes. */
  size: number;
  /** ms since 1970 at which it came. */
  storedAt: number;
}

/**
 * Keeps blobs by digest, once for all repositories.
 *
 * - A blob that is there is whole and is what its digest says: it comes as a complete, verified file, and appears at
 *   once or not at all, whatever is killed in between.
 * - To adopt a blob that is there already changes nothing but its time.
 * - A body that is being read can be read to its end, also when the blob is removed meanwhile.
 * - `digest` is always one that names.ts lets pass, so that it can become part of a path.
 */
export interface BlobStore {
  /** Undefined where the blob is not here. */
  stat(digest: string): Promise<BlobFacts | undefined>;
  /** Bytes from `start` up to and without `end`, as the body of an answer. The blob must be here. */
  body(digest: string, start: number, end: number): Promise<Blob | ReadableStream<Uint8Array>>;
  /** Where a client may fetch the blob by itself, or undefined where it has to come through the registry. */
  redirect(digest: string): string | undefined;
  /** Takes over the file at `path`, which is gone then. */
  adopt(digest: string, path: string): Promise<void>;
  /** One that is not here is no error. */
  remove(digest: string): Promise<void>;
  /** All blobs, in no order. */
  list(): AsyncIterable<BlobFacts & { digest: string }>;
}
