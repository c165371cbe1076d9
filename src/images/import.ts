/** `docker import`: an image of one layer out of the archive of a root file system. */

import { type ConfigDocument, parseConfig } from "../distribution/documents.ts";
import { readAtMost, readBody, send } from "../distribution/http.ts";
import { layerTypeOf, manifestFor, mediaTypes } from "../distribution/media-types.ts";
import { BrigError, invalidParameter } from "../lib/errors.ts";
import { familiarString } from "../lib/reference.ts";
import { version } from "../lib/version.ts";
import { applyChanges } from "./changes.ts";
import { newName } from "./new-name.ts";
import { hostPlatform, parsePlatform } from "./platform.ts";
import { layerProgress, type Report, throttle } from "./progress.ts";
import type { ImageRecord } from "./record.ts";
import { register, withoutLayer } from "./register.ts";
import { announce, type ImageRooms } from "./rooms.ts";

export interface ImportRequest {
  /** The archive's bytes, or a URL to fetch them from. */
  source: AsyncIterable<Uint8Array> | string;
  /** Empty or missing: the image gets no name. */
  repo?: string;
  tag?: string;
  message?: string;
  platform?: string;
  /** Dockerfile instructions. */
  changes?: string[];
  signal?: AbortSignal;
}

const ERROR_LIMIT_BYTES = 64 << 10;

/** Imports an archive, plain, gzip or zstd, and returns the image. */
export async function importTar(rooms: ImageRooms, request: ImportRequest, report: Report): Promise<ImageRecord> {
  const { signal } = request;
  const references = request.repo ? [newName(request.repo, request.tag)] : [];
  const { os, architecture, variant } = request.platform ? parsePlatform(request.platform) : hostPlatform();
  if (os !== "linux") throw invalidParameter("operating system is not supported");
  const runConfig = applyChanges({}, request.changes ?? []);
  const source =
    typeof request.source === "string" ? await download(rooms, request.source, report, signal) : request.source;

  const hold = rooms.garbage.hold();
  const made: string[] = [];
  const keep = async (digest: string) => {
    made.push(digest);
    await hold.add(digest);
  };
  try {
    let head = Buffer.alloc(0);
    const chunks = async function* () {
      for await (const chunk of source) {
        signal?.throwIfAborted();
        if (head.length < 4) head = Buffer.concat([head, chunk.subarray(0, 4)]);
        yield chunk;
      }
    };
    let diffId = "";
    const blob = await rooms.content.adopt(async (path) => {
      const unpacked = await rooms.layers.unpack(chunks(), {
        copyTo: { path, resumeFrom: 0 },
        ...(signal && { signal }),
      });
      diffId = unpacked.diffId;
      await keep(diffId);
      await keep(unpacked.copy!.digest);
      return unpacked.copy!;
    });
    const layer = { ...blob, mediaType: layerTypeOf(head) };

    const created = new Date().toISOString();
    const comment = request.message || `Imported from ${typeof request.source === "string" ? request.source : "-"}`;
    const document: ConfigDocument = {
      created,
      architecture,
      os,
      ...(variant ? { variant } : {}),
      comment,
      docker_version: version,
      config: runConfig,
      rootfs: { type: "layers", diff_ids: [diffId] },
      history: [{ created, comment }],
    };
    const bytes = Buffer.from(JSON.stringify(document));
    const config = await rooms.content.write(bytes);
    await keep(config.digest);
    const manifest = await rooms.content.write(manifestFor(config, [layer]));
    await keep(manifest.digest);
    const record = register(rooms, {
      id: config.digest,
      config: parseConfig(bytes),
      manifest: { ...manifest, mediaType: mediaTypes.ociManifest, layers: [layer], indexes: [] },
      references,
      isTagged: true,
    });
    for (const reference of references) announce(rooms, "tag", record.id, familiarString(reference), record.labels);
    announce(rooms, "import", record.id, record.id, record.labels);
    report({ status: record.id });
    return record;
  } catch (thrown) {
    signal?.throwIfAborted();
    throw withoutLayer(thrown);
  } finally {
    hold.release();
    await rooms.garbage.collect(made, made);
  }
}

async function download(
  rooms: ImageRooms,
  text: string,
  report: Report,
  signal: AbortSignal | undefined,
): Promise<AsyncIterable<Uint8Array>> {
  const url = URL.parse(/^[a-z]+:\/\//i.test(text) ? text : `http://${text}`);
  if (!url || !["http:", "https:"].includes(url.protocol)) throw invalidParameter(`invalid URL: ${text}`);
  const response = await send({ url: url.href, verify: true, proxies: rooms.settings().proxies, signal });
  if (!response.ok) {
    const body = new TextDecoder().decode(await readAtMost(response, ERROR_LIMIT_BYTES)).trim();
    const message = `failed to GET ${url.href} with status ${response.status} ${response.statusText}: ${body}`;
    throw new BrigError(response.status === 404 ? "notFound" : "system", message);
  }
  report({ status: `Downloading from ${url.href}` });
  const total = Number(response.headers.get("content-length") ?? 0);
  return counted(readBody(response), total, report);
}

async function* counted(source: AsyncIterable<Uint8Array>, total: number, report: Report): AsyncGenerator<Uint8Array> {
  const isDue = throttle();
  let read = 0;
  for await (const chunk of source) {
    read += chunk.length;
    if (isDue(read, total)) report(layerProgress("", "Importing", read, total));
    yield chunk;
  }
}
