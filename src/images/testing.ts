/** What the tests of this room share: a store in a temporary directory, and images made from busybox. */
import { mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { mediaTypes } from "../distribution/media-types.ts";
import { noProxies } from "../distribution/proxies.ts";
import { sha256Of } from "../lib/reference.ts";
import { StateDatabase } from "../state/database.ts";
import { ContentStore } from "../storage/content.ts";
import { selectDriver } from "../storage/driver.ts";
import { LayerStore } from "../storage/layers.ts";
import { type ImageSettings, Images, type ProgressMessage } from "./images.ts";

export const testSettings: ImageSettings = {
  registryMirrors: [],
  insecureRegistries: [],
  maxConcurrentDownloads: 3,
  maxConcurrentUploads: 5,
  maxDownloadAttempts: 5,
  proxies: noProxies,
};

/** A room of images with everything under it, on a disk of its own. */
export class Bench {
  readonly root = mkdtempSync(join(tmpdir(), "brig-images-"));
  readonly events: [action: string, id: string, attributes: Record<string, string>][] = [];
  readonly messages: ProgressMessage[] = [];
  readonly report = (message: ProgressMessage) => void this.messages.push(message);
  db!: StateDatabase;
  content!: ContentStore;
  layers!: LayerStore;
  images!: Images;

  constructor() {
    this.restart();
  }

  /** As a new daemon on the same root would find it. */
  restart(): void {
    this.db?.close();
    this.db = new StateDatabase(join(this.root, "state.db"));
    this.content = new ContentStore(join(this.root, "content"));
    this.layers = new LayerStore({
      root: join(this.root, "layers"),
      db: this.db,
      driver: selectDriver("vfs", this.root, this.db),
    });
    this.images = new Images({
      db: this.db,
      content: this.content,
      layers: this.layers,
      events: { publish: (_, action, id, attributes) => this.events.push([action, id, attributes]) },
      settings: testSettings,
    });
  }

  /** All blobs and layers: nothing but what images need may be left. */
  leftovers(): string[] {
    const layers = this.db.all<{ diff_id: string }>("SELECT diff_id FROM layers").map((row) => row.diff_id);
    return [...this.content.digests(), ...layers, ...readdirSync(join(this.root, "layers", "tmp"))];
  }

  close(): void {
    this.db.close();
    rmSync(this.root, { recursive: true, force: true });
  }
}

/** A tar archive of plain files, made by tar itself. */
export async function tarOf(files: Record<string, string | Uint8Array>): Promise<Buffer> {
  const directory = mkdtempSync(join(tmpdir(), "brig-tar-"));
  try {
    for (const [name, content] of Object.entries(files)) await Bun.write(join(directory, name), content);
    const child = Bun.spawn(["tar", "-c", "--sort=name", "--mtime=@0", "--owner=0", "--group=0", "-C", directory, "."]);
    return Buffer.from(await new Response(child.stdout).arrayBuffer());
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

export interface TestImage {
  blobs: Map<string, Buffer>;
  manifest: Buffer;
  manifestDigest: string;
  configDigest: string;
  layers: { digest: string; diffId: string; size: number }[];
}

/** An image of gzip layers, each of which is one file with that content. */
export async function imageOf(contents: string[], overrides: Record<string, unknown> = {}): Promise<TestImage> {
  const blobs = new Map<string, Buffer>();
  const put = (bytes: Buffer) => {
    const digest = sha256Of(bytes);
    blobs.set(digest, bytes);
    return { digest, size: bytes.length };
  };
  const layers: TestImage["layers"] = [];
  for (const [index, content] of contents.entries()) {
    const tar = await tarOf({ [`file${index}`]: content });
    layers.push({ ...put(gzipSync(tar)), diffId: sha256Of(tar) });
  }
  const config = put(
    Buffer.from(
      JSON.stringify({
        architecture: "amd64",
        os: "linux",
        created: "2026-01-02T03:04:05Z",
        config: { Cmd: ["/bin/sh"], Labels: { maker: "test" } },
        rootfs: { type: "layers", diff_ids: layers.map(({ diffId }) => diffId) },
        history: layers.map((_, index) => ({ created: "2026-01-02T03:04:05Z", created_by: `step ${index}` })),
        ...overrides,
      }),
    ),
  );
  const manifest = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociManifest,
      config: { mediaType: mediaTypes.ociConfig, ...config },
      layers: layers.map(({ digest, size }) => ({ mediaType: `${mediaTypes.ociLayer}+gzip`, digest, size })),
    }),
  );
  return { blobs, manifest, manifestDigest: sha256Of(manifest), configDigest: config.digest, layers };
}

/** An index of images and other documents, as an OCI layout named `name`. Returns the index's digest, too. */
export function indexLayout(
  name: string,
  entries: { image: TestImage; descriptor: Record<string, unknown> }[],
): { digest: string; files: Record<string, string | Buffer> } {
  const mediaType = mediaTypes.ociManifest;
  const index = Buffer.from(
    JSON.stringify({
      schemaVersion: 2,
      mediaType: mediaTypes.ociIndex,
      manifests: entries.map(({ image: { manifest, manifestDigest }, descriptor }) => ({
        mediaType,
        digest: manifestDigest,
        size: manifest.length,
        ...descriptor,
      })),
    }),
  );
  const digest = sha256Of(index);
  const top = { mediaType: mediaTypes.ociIndex, digest, size: index.length };
  const annotations = { "io.containerd.image.name": name };
  const files: Record<string, string | Buffer> = {};
  for (const { image } of entries) Object.assign(files, ociLayout(image, {}));
  files["index.json"] = JSON.stringify({ schemaVersion: 2, manifests: [{ ...top, annotations }] });
  files[`blobs/sha256/${digest.slice(7)}`] = index;
  return { digest, files };
}

/** Bytes as a stream of chunks. */
export async function* streamOf(bytes: Uint8Array, chunkBytes = 65536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += chunkBytes) yield bytes.subarray(at, at + chunkBytes);
}

/** The files of an OCI layout with one image. */
export function ociLayout(image: TestImage, annotations: Record<string, string>): Record<string, string | Buffer> {
  const digest = image.manifestDigest;
  const entry = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest, size: image.manifest.length };
  return {
    "oci-layout": '{"imageLayoutVersion":"1.0.0"}',
    "index.json": JSON.stringify({ schemaVersion: 2, manifests: [{ ...entry, annotations }] }),
    [`blobs/sha256/${digest.slice(7)}`]: image.manifest,
    ...Object.fromEntries([...image.blobs].map(([digest, bytes]) => [`blobs/sha256/${digest.slice(7)}`, bytes])),
  };
}
