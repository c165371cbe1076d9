/** One repository on one server, by the Distribution API (distribution-spec, "Pull" and "Push"). */
import { systemError } from "../lib/errors.ts";
import { sha256Of } from "../lib/reference.ts";
import { manifestLimitBytes, parseJson } from "./documents.ts";
import type { Endpoint } from "./endpoints.ts";
import { readAtMost, readBody } from "./http.ts";
import { acceptedManifests } from "./media-types.ts";
import type { Credentials } from "./registry-auth.ts";
import { ConnectionError, RegistryError } from "./registry-errors.ts";
import { patiently, RegistrySession } from "./session.ts";
import { BlobUpload, type UploadOptions, type UploadOutcome, type UploadSource } from "./upload.ts";

const TAGS_LIMIT_BYTES = 4 << 20;
/** A registry checks all that a manifest names before it answers. */
const PUT_PATIENCE_MS = 120_000;

/** A manifest or index as it came. */
export interface FetchedManifest {
  bytes: Uint8Array;
  /** From the header, without parameters. */
  mediaType: string;
  /** Of the bytes. */
  digest: string;
}

export class Repository {
  readonly #path: string;
  readonly #session: RegistrySession;

  /** `actions` are what tokens are asked for: `pull`, or `pull,push`. */
  constructor(endpoint: Endpoint, path: string, credentials: Credentials, actions = "pull") {
    this.#path = path;
    this.#session = new RegistrySession(endpoint, credentials, [`repository:${path}:${actions}`]);
  }

  /** Fetches a manifest by tag or digest. A digest is verified. */
  async manifest(tagOrDigest: string, signal: AbortSignal | undefined): Promise<FetchedManifest> {
    const { bytes, response } = await patiently(signal, async () => {
      const response = await this.#get(`/manifests/${tagOrDigest}`, { Accept: acceptedManifests }, signal);
      return { response, bytes: await readAtMost(response, manifestLimitBytes) };
    });
    const digest = sha256Of(bytes);
    if (tagOrDigest.includes(":") && digest !== tagOrDigest)
      throw systemError(`manifest verification failed for digest ${tagOrDigest}`);
    return { bytes, mediaType: (response.headers.get("content-type") ?? "").split(";")[0]!.trim(), digest };
  }

  /** The digest a tag stands for, without fetching the manifest; undefined where the registry does not say. */
  async manifestDigest(tag: string, signal: AbortSignal | undefined): Promise<string | undefined> {
    const response = await patiently(signal, () =>
      this.#session.request({
        method: "HEAD",
        path: `/${this.#path}/manifests/${tag}`,
        headers: { Accept: acceptedManifests },
        signal,
      }),
    );
    return response.headers.get("docker-content-digest") ?? undefined;
  }

  /** Bytes of a blob. Throws where the registry does not have it, or does not say. */
  async blobSize(digest: string, signal: AbortSignal | undefined): Promise<number> {
    const response = await patiently(signal, () =>
      this.#session.request({ method: "HEAD", path: `/${this.#path}/blobs/${digest}`, signal }),
    );
    const size = Number(response.headers.get("content-length") ?? Number.NaN);
    if (!Number.isSafeInteger(size)) throw systemError(`the registry does not say how long ${digest} is`);
    return size;
  }

  /** A blob's bytes from an offset on. Neither length nor digest is verified here. */
  async *blob(digest: string, offset: number, signal: AbortSignal | undefined): AsyncGenerator<Uint8Array> {
    const headers: Record<string, string> = offset > 0 ? { Range: `bytes=${offset}-` } : {};
    const response = await this.#get(`/blobs/${digest}`, headers, signal);
    // A server that knows no ranges sends all of it again.
    let skip = response.status === 206 ? 0 : offset;
    if (response.status === 206 && !(response.headers.get("content-range") ?? "").startsWith(`bytes ${offset}-`))
      throw new ConnectionError(`Get "${response.url}": the registry sent another range than the one asked for`);
    for await (const chunk of readBody(response)) {
      if (skip < chunk.length) yield skip === 0 ? chunk : chunk.subarray(skip);
      skip = Math.max(0, skip - chunk.length);
    }
  }

  /** A whole blob of at most `limitBytes`, verified. */
  async smallBlob(digest: string, limitBytes: number, signal: AbortSignal | undefined): Promise<Uint8Array> {
    const bytes = await patiently(signal, async () =>
      readAtMost(await this.#get(`/blobs/${digest}`, {}, signal), limitBytes),
    );
    if (sha256Of(bytes) !== digest) throw systemError(`image config verification failed for digest ${digest}`);
    return bytes;
  }

  /** All tags of the repository. */
  async tags(signal: AbortSignal | undefined): Promise<string[]> {
    const bytes = await patiently(signal, async () =>
      readAtMost(await this.#get("/tags/list", {}, signal), TAGS_LIMIT_BYTES),
    );
    const answer = parseJson(bytes, "the list of tags") as { tags?: unknown };
    return Array.isArray(answer?.tags) ? answer.tags.filter((tag) => typeof tag === "string") : [];
  }

  /** Finds out whether the server can be reached, and proves who we are. Throws where either fails. */
  async ping(signal: AbortSignal | undefined): Promise<void> {
    try {
      const response = await patiently(signal, () => this.#session.request({ path: "/", signal }));
      await response.body?.cancel();
    } catch (thrown) {
      // What is asked for next tells more of whatever else is wrong.
      if (!(thrown instanceof RegistryError) || thrown.status === 401) throw thrown;
    }
  }

  /** Brings a blob here, unless it is here already or can be had from another repository of the server. */
  upload(source: UploadSource, options: UploadOptions): Promise<UploadOutcome> {
    return new BlobUpload(this.#session, this.#path, source, options).run();
  }

  /** Stores a manifest or index under a tag or its digest. Throws where the registry takes it for something else. */
  async putManifest(
    tagOrDigest: string,
    { bytes, mediaType, digest }: FetchedManifest,
    signal: AbortSignal | undefined,
  ): Promise<void> {
    const response = await patiently(signal, () =>
      this.#session.request({
        method: "PUT",
        path: `/${this.#path}/manifests/${tagOrDigest}`,
        headers: { "Content-Type": mediaType },
        body: bytes,
        patienceMs: PUT_PATIENCE_MS,
        signal,
      }),
    );
    await response.body?.cancel();
    const stored = response.headers.get("docker-content-digest") ?? digest;
    if (stored !== digest) throw systemError(`the registry stored manifest ${digest} as ${stored}`);
  }

  #get(path: string, headers: Record<string, string>, signal: AbortSignal | undefined): Promise<Response> {
    return this.#session.request({ path: `/${this.#path}${path}`, headers, signal });
  }
}
