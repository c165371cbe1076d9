import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { writeFileSync } from "node:fs";
import { mediaTypes } from "../distribution/media-types.ts";
import { sha256Of } from "../lib/reference.ts";
import { Bench, imageOf, type TestImage } from "./testing.ts";

type Answer = Response | undefined | Promise<Response | undefined>;

/** A registry that serves one image, except where a test has other plans. */
class FakeRegistry {
  readonly requests: { method: string; path: string; headers: Headers }[] = [];
  misbehave: (path: string, request: Request) => Answer = () => undefined;
  readonly #image: () => TestImage;
  readonly #server: Bun.Server<undefined>;

  constructor(image: () => TestImage) {
    this.#image = image;
    this.#server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      idleTimeout: 0,
      fetch: (request) => this.#answer(request),
      error: () => new Response(null, { status: 500 }),
    });
  }

  get host(): string {
    return `127.0.0.1:${this.#server.port}`;
  }

  count(part: string): number {
    return this.requests.filter(({ path }) => path.includes(part)).length;
  }

  stop(): Promise<void> {
    return this.#server.stop(true);
  }

  async #answer(request: Request): Promise<Response> {
    const path = new URL(request.url).pathname;
    this.requests.push({ method: request.method, path, headers: request.headers });
    const other = await this.misbehave(path, request);
    if (other) return other;
    const image = this.#image();
    if (/\/manifests\//.test(path)) {
      const wanted = path.split("/").at(-1)!;
      if (wanted === "latest" || wanted === image.manifestDigest)
        return new Response(image.manifest, { headers: { "content-type": mediaTypes.ociManifest } });
      return refusal(404, "MANIFEST_UNKNOWN", "manifest unknown");
    }
    if (path.endsWith("/tags/list")) return Response.json({ tags: ["latest"] });
    const blob = image.blobs.get(path.split("/").at(-1)!);
    if (!blob) return refusal(404, "BLOB_UNKNOWN", "blob unknown to registry");
    const from = Number(/^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "")?.[1] ?? 0);
    if (from === 0) return new Response(blob);
    return new Response(blob.subarray(from), {
      status: 206,
      headers: { "content-range": `bytes ${from}-${blob.length - 1}/${blob.length}` },
    });
  }
}

function refusal(status: number, code: string, message: string, headers: Record<string, string> = {}): Response {
  return Response.json({ errors: [{ code, message }] }, { status, headers });
}

let bench: Bench;
let image: TestImage;
let registry: FakeRegistry;

beforeEach(async () => {
  bench = new Bench();
  image = await imageOf(["one", "two"]);
  registry = new FakeRegistry(() => image);
});
afterEach(async () => {
  await registry.stop();
  bench.close();
});

const pull = (name = "app", extra: { tag?: string; platform?: string; signal?: AbortSignal } = {}) =>
  bench.images.pull({ reference: `${registry.host}/${name}`, tag: "latest", ...extra }, bench.report);
const statuses = () => bench.messages.map(({ status }) => status);

describe("a pull", () => {
  test("brings an image, tells of it as Docker does, and is up to date the next time", async () => {
    const pulled = await pull();
    expect(pulled.id).toBe(image.configDigest);
    expect(pulled.references).toEqual([`${registry.host}/app:latest`, `${registry.host}/app@${image.manifestDigest}`]);
    expect(pulled.config.Cmd).toEqual(["/bin/sh"]);
    expect(statuses()[0]).toBe("Pulling from app");
    expect(bench.messages.filter(({ status }) => status === "Pull complete")).toHaveLength(2);
    expect(statuses().at(-2)).toBe(`Digest: ${image.manifestDigest}`);
    expect(statuses().at(-1)).toBe(`Status: Downloaded newer image for ${registry.host}/app:latest`);
    expect(bench.events).toEqual([
      ["pull", `${registry.host}/app:latest`, { maker: "test", name: `${registry.host}/app` }],
    ]);
    for (const digest of [image.manifestDigest, image.configDigest, ...image.blobs.keys()])
      expect(bench.content.has(digest)).toBe(true);

    const blobsFetched = registry.count("/blobs/");
    await pull();
    expect(statuses().at(-1)).toBe(`Status: Image is up to date for ${registry.host}/app:latest`);
    expect(registry.count("/blobs/")).toBe(blobsFetched);
  });

  test("by digest gives no tag", async () => {
    const pulled = await pull("app", { tag: image.manifestDigest });
    expect(pulled.references).toEqual([`${registry.host}/app@${image.manifestDigest}`]);
    expect(bench.images.get(`${registry.host}/app@${image.manifestDigest}`).id).toBe(image.configDigest);
  });

  test("without a tag is of all tags", async () => {
    await pull("app", { tag: "" });
    expect(bench.images.get(`${registry.host}/app:latest`).id).toBe(image.configDigest);
    expect(statuses().filter((status) => status?.startsWith("Status:"))).toEqual([
      `Status: Downloaded newer image for ${registry.host}/app`,
    ]);
    expect(bench.events.map(([action, id]) => [action, id])).toEqual([["pull", `${registry.host}/app`]]);
  });

  test("of the name for nothing is refused", async () => {
    expect(bench.images.pull({ reference: "scratch" }, bench.report)).rejects.toThrow("'scratch' is a reserved name");
  });

  test("fetches what two pulls want once", async () => {
    await Promise.all([pull("app"), pull("other")]);
    for (const { digest } of image.layers) expect(registry.count(digest)).toBe(1);
  });

  test("resumes with a range where the line broke", async () => {
    const big = await imageOf([randomBytes(3 << 20).toString("latin1")]);
    image = big;
    const { digest, size } = big.layers[0]!;
    let isFirst = true;
    registry.misbehave = (path, request) => {
      if (!path.endsWith(digest) || !isFirst || request.headers.has("range")) return undefined;
      isFirst = false;
      const half = big.blobs.get(digest)!.subarray(0, size >> 1);
      return new Response(
        new ReadableStream({
          async pull(controller) {
            controller.enqueue(half);
            await Bun.sleep(50);
            controller.error(new Error("line cut"));
          },
        }),
        { headers: { "content-length": String(size) } },
      );
    };
    await pull();
    expect(registry.requests.filter(({ headers }) => headers.has("range")).length).toBeGreaterThan(0);
    expect(statuses()).toContain("Retrying in 1 second");
  });

  test("tries again after 500 and 429", async () => {
    const failed = new Set<string>();
    registry.misbehave = (path) => {
      if (!path.includes("/blobs/") || failed.has(path) || path.endsWith(image.configDigest)) return undefined;
      failed.add(path);
      return failed.size === 1
        ? new Response("busy", { status: 500 })
        : refusal(429, "TOOMANYREQUESTS", "slow down", { "retry-after": "1" });
    };
    expect((await pull()).id).toBe(image.configDigest);
  });

  test("stops at once when it is aborted, and the next one works", async () => {
    const abort = new AbortController();
    registry.misbehave = async (path) => {
      if (!path.endsWith(image.layers[0]!.digest)) return undefined;
      abort.abort(new Error("context canceled"));
      await Bun.sleep(3000);
      return undefined;
    };
    const begin = performance.now();
    await expect(pull("app", { signal: abort.signal })).rejects.toThrow("context canceled");
    expect(performance.now() - begin).toBeLessThan(1500);
    expect(bench.images.find(`${registry.host}/app`)).toBeUndefined();
    registry.misbehave = () => undefined;
    expect((await pull()).id).toBe(image.configDigest);
  });
});

test("an image that a newer one took the tag from dangles, though its digest still names it", async () => {
  const old = await pull();
  image = await imageOf(["newer"]);
  const fresh = await pull();
  const list = (dangling: string) =>
    bench.images
      .list({ all: false, sharedSize: false, filters: new Map([["dangling", [dangling]]]) })
      .map(({ Id }) => Id)
      .sort();
  expect(list("true")).toEqual([old.id]);
  expect(list("false")).toEqual([old.id, fresh.id].sort());
  const { deleted } = await bench.images.prune(new Map());
  expect(deleted).toContainEqual({ Deleted: old.id });
  expect(list("false")).toEqual([fresh.id]);
});

describe("a pull that is cancelled", () => {
  const size = 3 << 20;
  let digest: string;

  /** Half of the layer comes, then nothing, until the pull is aborted. */
  async function pullHalf() {
    image = await imageOf([randomBytes(size).toString("latin1")]);
    digest = image.layers[0]!.digest;
    const abort = new AbortController();
    const half = image.blobs.get(digest)!.subarray(0, size >> 1);
    registry.misbehave = (path) => {
      if (!path.endsWith(digest)) return undefined;
      return new Response(
        new ReadableStream({
          async start(controller) {
            controller.enqueue(half);
            while (bench.content.partialSize(digest) < half.length) await Bun.sleep(5);
            abort.abort(new Error("context canceled"));
          },
        }),
      );
    };
    await expect(pull("app", { signal: abort.signal })).rejects.toThrow("context canceled");
    registry.misbehave = () => undefined;
    registry.requests.length = 0;
    return half.length;
  }

  test("leaves a part, from which the next one goes on, also in a new daemon", async () => {
    const half = await pullHalf();
    bench.restart();
    expect((await pull()).id).toBe(image.configDigest);
    const ranges = registry.requests.filter(({ path }) => path.endsWith(digest)).map((one) => one.headers.get("range"));
    expect(ranges).toEqual([`bytes=${half}-`]);
    expect(bench.content.partialSize(digest)).toBe(0);
  });

  test("and whose part is spoiled begins anew", async () => {
    await pullHalf();
    writeFileSync(bench.content.partialPath(digest), Buffer.alloc(1000));
    expect((await pull()).id).toBe(image.configDigest);
    const ranges = registry.requests.filter(({ path }) => path.endsWith(digest)).map((one) => one.headers.get("range"));
    expect(ranges).toEqual(["bytes=1000-", null]);
  });

  test("leaves nothing after a prune", async () => {
    const half = await pullHalf();
    let freed = 0;
    // The worker that was writing it lets go of it a moment after the pull has failed.
    for (let attempt = 0; freed === 0 && attempt < 100; attempt++) {
      await Bun.sleep(10);
      freed = (await bench.images.prune(new Map())).spaceReclaimed;
    }
    expect(freed).toBe(half);
    expect(bench.content.partialSize(digest)).toBe(0);
  });
});

describe("a list of manifests", () => {
  const listOf = (platform: Record<string, string>) =>
    Buffer.from(
      JSON.stringify({
        schemaVersion: 2,
        mediaType: mediaTypes.dockerList,
        manifests: [
          { mediaType: mediaTypes.ociManifest, digest: image.manifestDigest, size: image.manifest.length, platform },
        ],
      }),
    );
  const serve = (list: Buffer) => {
    registry.misbehave = (path) =>
      path.endsWith("/latest") ? new Response(list, { headers: { "content-type": mediaTypes.dockerList } }) : undefined;
  };

  test("gives the image of this platform, and the list's digest", async () => {
    const list = listOf({ os: "linux", architecture: "arm", variant: "v6" });
    serve(list);
    const pulled = await pull("app", { platform: "linux/arm/v7" }).catch((thrown) => thrown.message);
    // The config says amd64: the list lied.
    expect(pulled).toContain("does not match the specified platform: wanted linux/arm/v7, actual: linux/amd64");
    serve(listOf({ os: "linux", architecture: "amd64" }));
    const right = await pull("app", { platform: "linux/amd64" });
    expect(right.references).toContain(
      `${registry.host}/app@${sha256Of(listOf({ os: "linux", architecture: "amd64" }))}`,
    );
  });

  test("without this platform is refused", async () => {
    serve(listOf({ os: "linux", architecture: "s390x" }));
    await expect(pull("app", { platform: "linux/arm64" })).rejects.toThrow(
      "no matching manifest for linux/arm64 in the manifest list entries",
    );
  });
});

describe("a registry that refuses or lies", () => {
  const cases: [name: string, answer: (path: string) => Answer, message: string | (() => string)][] = [
    [
      "does not know the tag",
      (path) => (path.includes("/manifests/") ? refusal(404, "MANIFEST_UNKNOWN", "manifest unknown") : undefined),
      () => `manifest for ${registry.host}/app:latest not found: manifest unknown: manifest unknown`,
    ],
    [
      "denies",
      () => refusal(403, "DENIED", "requested access to the resource is denied"),
      () =>
        `pull access denied for ${registry.host}/app, repository does not exist or may require 'docker login': denied: requested access to the resource is denied`,
    ],
    [
      "asks for a password",
      () => refusal(401, "UNAUTHORIZED", "authentication required"),
      "unauthorized: authentication required",
    ],
    [
      "fails",
      () => new Response("oops", { status: 500 }),
      "received unexpected HTTP status: 500 Internal Server Error",
    ],
    [
      "sends HTML",
      () => new Response("<html>", { headers: { "content-type": "text/html" } }),
      "error unmarshalling content: the manifest is not JSON",
    ],
    [
      "has schema 1",
      () => new Response('{"schemaVersion":1}', { headers: { "content-type": mediaTypes.dockerSchema1Signed } }),
      "schema 1 support has been removed",
    ],
    [
      "sends a manifest without end",
      () => new Response(Buffer.alloc(5 << 20, " ")),
      "answer is longer than 4194304 bytes",
    ],
    [
      "sends another config",
      (path) => (path.endsWith(image.configDigest) ? new Response("{}") : undefined),
      () => `image config verification failed for digest ${image.configDigest}`,
    ],
    [
      "sends another layer of the same length",
      (path) => {
        const blob = image.blobs.get(path.split("/").at(-1)!);
        return path.endsWith(image.layers[1]!.digest) ? new Response(randomBytes(blob!.length)) : undefined;
      },
      () => `filesystem layer verification failed for digest ${image.layers[1]!.digest}`,
    ],
    [
      "sends a longer layer",
      (path) => (path.endsWith(image.layers[1]!.digest) ? new Response(randomBytes(9999)) : undefined),
      () => `filesystem layer verification failed for digest ${image.layers[1]!.digest}`,
    ],
    [
      "lacks a layer",
      (path) => (path.endsWith(image.layers[0]!.digest) ? refusal(404, "BLOB_UNKNOWN", "gone") : undefined),
      "blob unknown: gone",
    ],
    [
      "redirects in circles",
      (path) => Response.redirect(`http://${registry.host}${path}`, 307),
      "stopped after 10 redirects",
    ],
  ];
  for (const [name, answer, message] of cases)
    test(name, async () => {
      registry.misbehave = answer;
      await expect(pull()).rejects.toThrow(typeof message === "string" ? message : message());
      expect(bench.images.list({ all: true, sharedSize: false, filters: new Map() })).toEqual([]);
      registry.misbehave = () => undefined;
      expect((await pull()).id).toBe(image.configDigest);
    });

  test("is not there", async () => {
    const { host } = registry;
    await registry.stop();
    await expect(bench.images.pull({ reference: `${host}/app`, tag: "latest" }, bench.report)).rejects.toThrow(
      `Get "http://${host}/v2/": dial tcp ${host}: connect: connection refused`,
    );
  });

  test("promises a diff ID that the layer has not", async () => {
    image = await imageOf(["x"], { rootfs: { type: "layers", diff_ids: [`sha256:${"0".repeat(64)}`] } });
    await expect(pull()).rejects.toThrow("failed to register layer");
    expect(bench.layers.has(`sha256:${"0".repeat(64)}`)).toBe(false);
  });
});

describe("tokens", () => {
  test("are fetched without a password, and do not follow a redirect to another server", async () => {
    const elsewhere = new FakeRegistry(() => image);
    registry.misbehave = (path, request) => {
      if (path === "/token") return Response.json({ token: "anonymous" });
      if (request.headers.get("authorization") !== "Bearer anonymous")
        return refusal(401, "UNAUTHORIZED", "authentication required", {
          "www-authenticate": `Bearer realm="http://${registry.host}/token",service="s",scope="repository:app:pull"`,
        });
      if (path.includes("/blobs/")) return Response.redirect(`http://${elsewhere.host}${path}`, 307);
      return undefined;
    };
    try {
      expect((await pull()).id).toBe(image.configDigest);
      expect(elsewhere.requests.length).toBe(3);
      for (const { headers } of elsewhere.requests) expect(headers.get("authorization")).toBeNull();
    } finally {
      await elsewhere.stop();
    }
  });

  test("basic credentials are sent when the registry asks", async () => {
    registry.misbehave = (_, request) =>
      request.headers.get("authorization") === `Basic ${btoa("me:secret")}`
        ? undefined
        : refusal(401, "UNAUTHORIZED", "authentication required", { "www-authenticate": 'Basic realm="x"' });
    const auth = { username: "me", password: "secret" };
    const reference = `${registry.host}/app`;
    const pulled = await bench.images.pull({ reference, tag: "latest", auth }, bench.report);
    expect(pulled.id).toBe(image.configDigest);
  });
});

describe("docker.io", () => {
  test("is asked for at the mirrors in their order first", async () => {
    const broken = new FakeRegistry(() => image);
    broken.misbehave = () => new Response("no", { status: 503 });
    try {
      bench.images.settings = {
        ...bench.images.settings,
        registryMirrors: [`http://${broken.host}`, `http://${registry.host}`],
      };
      const pulled = await bench.images.pull({ reference: "alpine", tag: "latest" }, bench.report);
      expect(pulled.references[0]).toBe("alpine:latest");
      expect(broken.requests.length).toBe(1);
      expect(registry.requests[0]!.path).toBe("/v2/library/alpine/manifests/latest");
    } finally {
      await broken.stop();
    }
  });
});
