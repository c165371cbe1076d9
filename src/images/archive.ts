/** The archive that `docker save` makes, read once from front to back: what is in it, by name, without files of its own. */

import { closeSync, openSync, readSync } from "node:fs";
import { Readable } from "node:stream";
import { createGunzip, createZstdDecompress } from "node:zlib";
import { layerTypeOf, mediaTypes } from "../distribution/media-types.ts";
import { messageOf, systemError } from "../lib/errors.ts";
import { readTar } from "../lib/tar.ts";
import type { ContentStore } from "../storage/content.ts";
import { formatOf, magicBytes } from "../storage/decompress.ts";
import { layerLimitBytes } from "../storage/layer-limit.ts";
import type { Hold } from "./garbage.ts";
import type { BlobRecord } from "./record.ts";

/** A member's place: small documents in memory, everything else in the content store. */
type Member = { bytes: Buffer } | SpooledBlob | { link: string };

/** A member that went into the content store. */
export interface SpooledBlob {
  digest: string;
  /** Bytes. */
  size: number;
  /** Its first bytes. */
  head: Buffer;
}

/** So many of a member's first bytes tell what it is. */
const HEAD_BYTES = 512;

/** Documents that name other members are read whole, to no more than this. */
const DOCUMENT_LIMIT_BYTES = 4 << 20;
const DOCUMENTS_LIMIT_BYTES = 64 << 20;
const MEMBER_LIMIT = 100_000;
const LINK_DEPTH = 8;
const documents = /^(?:manifest\.json|index\.json|oci-layout|repositories|[a-f0-9]{64}\/(?:json|VERSION))$/;
const blobName = /^blobs\/sha256\/([a-f0-9]{64})$/;

/** What an archive held. Names are looked up here and never become paths. */
export class SpooledArchive {
  readonly #members: Map<string, Member>;

  constructor(members: Map<string, Member>) {
    this.#members = members;
  }

  /** The text of one of the small documents, or undefined. */
  document(name: string): Buffer | undefined {
    const member = this.#find(name);
    return member && "bytes" in member ? member.bytes : undefined;
  }

  /** The blob that a name stands for, through links. Throws in the words of open(2) where there is none. */
  blob(name: string): SpooledBlob {
    const member = this.#find(name);
    if (!member || !("digest" in member)) throw systemError(`open ${name}: no such file or directory`);
    return member;
  }

  #find(name: string): Member | undefined {
    let path = normalPath(name);
    for (let depth = 0; depth < LINK_DEPTH && path !== undefined; depth++) {
      const member = this.#members.get(path);
      if (!member || !("link" in member)) return member;
      path = normalPath(member.link);
    }
    return undefined;
  }
}

/** A relative name without dots and doubled slashes; undefined where it leads out of the archive. */
function normalPath(name: string): string | undefined {
  const parts: string[] = [];
  for (const part of name.split("/")) {
    if (part === "..") {
      if (parts.pop() === undefined) return undefined;
    } else if (part !== "" && part !== ".") parts.push(part);
  }
  return parts.join("/");
}

export interface SpoolOptions {
  /** The `max-layer-size`. */
  limitBytes: number;
  /** Hears of each member that is new and may be a layer. */
  onLayer(layer: BlobRecord): void;
}

/**
 * Reads an archive, plain, gzip or zstd, to its end. Members go into the content store as they pass, and are held.
 * Throws for what is no archive, is cut off, or would fill the disk with what was never sent.
 */
export async function spoolArchive(
  source: AsyncIterable<Uint8Array>,
  content: ContentStore,
  hold: Hold,
  { limitBytes, onLayer }: SpoolOptions,
): Promise<SpooledArchive> {
  const counted = new CountedArchive(source, limitBytes);
  const members = new Map<string, Member>();
  let documentBytes = 0;
  for await (const { entry, body } of readTar(counted.chunks())) {
    const name = normalPath(entry.name);
    if (name === undefined || name === "") continue;
    if (members.size >= MEMBER_LIMIT) throw systemError(`the archive has more than ${MEMBER_LIMIT} members`);
    if (entry.type === "symlink") members.set(name, { link: linkTarget(name, entry.linkName) });
    else if (entry.type === "link") members.set(name, { link: entry.linkName });
    else if (entry.type === "file" && documents.test(name)) {
      documentBytes += entry.size;
      if (entry.size > DOCUMENT_LIMIT_BYTES || documentBytes > DOCUMENTS_LIMIT_BYTES)
        throw systemError(`${name}: ${entry.size} bytes is too long`);
      members.set(name, { bytes: Buffer.concat(await Array.fromAsync(body, (chunk) => Buffer.from(chunk))) });
    } else if (entry.type === "file")
      members.set(
        name,
        await spoolBlob(name, entry.size, counted.member(name, entry.size, body), content, hold, onLayer),
      );
  }
  return new SpooledArchive(members);
}

async function spoolBlob(
  name: string,
  size: number,
  body: AsyncIterable<Uint8Array>,
  content: ContentStore,
  hold: Hold,
  onLayer: (layer: BlobRecord) => void,
): Promise<SpooledBlob> {
  const hex = blobName.exec(name)?.[1];
  const digest = hex && `sha256:${hex}`;
  if (digest) {
    await hold.add(digest);
    // What is here has been verified, so the same bytes need not be written again.
    if (content.sizeOf(digest) === size) return { digest, size, head: readHead(content.pathOf(digest)) };
  }
  let head = Buffer.alloc(0);
  const tapped = (async function* () {
    for await (const chunk of body) {
      if (head.length < HEAD_BYTES) head = Buffer.concat([head, chunk.subarray(0, HEAD_BYTES - head.length)]);
      yield chunk;
    }
  })();
  const blob = await content.ingest(tapped, { digest, size });
  await hold.add(blob.digest);
  if (isLayer(head)) onLayer({ ...blob, mediaType: layerTypeOf(head) });
  return { ...blob, head };
}

function readHead(path: string): Buffer {
  const file = openSync(path, "r");
  try {
    const bytes = Buffer.alloc(HEAD_BYTES);
    return bytes.subarray(0, readSync(file, bytes, 0, HEAD_BYTES, 0));
  } finally {
    closeSync(file);
  }
}

/** Whether a blob that begins so is a tar archive, or compressed as one may be. */
function isLayer(head: Buffer): boolean {
  return layerTypeOf(head) !== mediaTypes.ociLayer || head.toString("latin1", 257, 262) === "ustar";
}

function linkTarget(name: string, target: string): string {
  return target.startsWith("/") ? target : `${name.slice(0, name.lastIndexOf("/") + 1)}${target}`;
}

/** An archive's bytes, decompressed, and what of them goes into members: never more. */
class CountedArchive {
  readonly #source: AsyncIterable<Uint8Array>;
  readonly #limitBytes: number;
  #received = 0;
  #decompressed = 0;
  #spooled = 0;

  constructor(source: AsyncIterable<Uint8Array>, limitBytes: number) {
    this.#source = source;
    this.#limitBytes = limitBytes;
  }

  async *chunks(): AsyncGenerator<Uint8Array> {
    for await (const chunk of decompressed(this.#compressed())) {
      this.#decompressed += chunk.length;
      // What is set is a limit of one layer; the default is one of all.
      const limitBytes = layerLimitBytes(0, this.#received);
      if (this.#decompressed > limitBytes) throw systemError(`the archive has more than ${limitBytes} bytes`);
      yield chunk;
    }
  }

  async *#compressed(): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.#source) {
      this.#received += chunk.length;
      yield chunk;
    }
  }

  /** A member's bytes. Throws where they are holes, which are as long as somebody says. */
  async *member(name: string, size: number, body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    if (this.#limitBytes > 0 && size > this.#limitBytes)
      throw systemError(`${name}: ${size} bytes are more than ${this.#limitBytes} (max-layer-size)`);
    for await (const chunk of body) {
      this.#spooled += chunk.length;
      if (this.#spooled > this.#decompressed) throw systemError(`${name}: sparse members are not supported`);
      yield chunk;
    }
  }
}

/** The archive inside gzip or zstd, or as it is. */
async function* decompressed(source: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const input = source[Symbol.asyncIterator]();
  let head = Buffer.alloc(0);
  while (head.length < magicBytes) {
    const { done, value } = await input.next();
    if (done === true) break;
    head = Buffer.concat([head, value]);
  }
  const rest = (async function* () {
    yield head;
    for (;;) {
      const { done, value } = await input.next();
      if (done === true) return;
      yield value;
    }
  })();
  try {
    const decompressor = decompressorFor(head);
    if (!decompressor) {
      yield* rest;
      return;
    }
    const stream = Readable.from(rest, { objectMode: false });
    stream.on("error", (thrown) => decompressor.destroy(thrown));
    yield* stream.pipe(decompressor);
  } catch (thrown) {
    throw systemError(isCutOff(thrown) ? "unexpected EOF" : messageOf(thrown));
  } finally {
    await input.return?.();
  }
}

function decompressorFor(head: Buffer) {
  const format = formatOf(head);
  if (format === "gzip") return createGunzip();
  return format === "zstd" ? createZstdDecompress() : undefined;
}

function isCutOff(thrown: unknown): boolean {
  return (thrown as { code?: string }).code === "Z_BUF_ERROR" || /unexpected end/.test(messageOf(thrown));
}
