/** What the OCI Distribution Specification 1.1 asks of a registry, requirement by requirement. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { BrigRegistry, codeOf, digestOf } from "./support/brig-registry.ts";

const manifestType = "application/vnd.oci.image.manifest.v1+json";
const indexType = "application/vnd.oci.image.index.v1+json";
const registry = new BrigRegistry();
const name = "conformance/first";
const base = `/v2/${name}`;
const unknownDigest = `sha256:${"a".repeat(64)}`;
let image: Awaited<ReturnType<BrigRegistry["pushImage"]>>;
const layerText = "what the layer holds, in so many words";

beforeAll(async () => {
  await registry.start();
  image = await registry.pushImage(name, layerText, "tag-one");
});
afterAll(() => registry.dispose());

const get = (path: string, headers: Record<string, string> = {}) => registry.request("GET", path, { headers });
const head = (path: string) => registry.request("HEAD", path);

/** Begins an upload and returns where it goes on. */
async function begin(repository = name): Promise<string> {
  const answer = await registry.request("POST", `/v2/${repository}/blobs/uploads/`);
  expect(answer.status).toBe(202);
  expect(answer.headers.get("range")).toBe("0-0");
  return answer.headers.get("location")!;
}
const withDigest = (location: string, digest: string) =>
  `${location}${location.includes("?") ? "&" : "?"}digest=${digest}`;
const patch = (location: string, body: Uint8Array | string, range?: string) =>
  registry.request("PATCH", location, {
    body: body as Bun.BodyInit,
    headers: { "Content-Type": "application/octet-stream", ...(range === undefined ? {} : { "Content-Range": range }) },
  });
const put = (location: string, digest: string, body?: Uint8Array | string, headers: Record<string, string> = {}) =>
  registry.request("PUT", withDigest(location, digest), { body: body as Bun.BodyInit, headers });

describe("the base of the API", () => {
  test("answers 200", async () => {
    expect((await get("/v2/")).status).toBe(200);
  });
});

describe("pull", () => {
  test("a manifest by tag, and by digest, with its type and digest", async () => {
    for (const reference of ["tag-one", image.digest]) {
      const answer = await get(`${base}/manifests/${reference}`, { Accept: manifestType });
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-type")).toBe(manifestType);
      expect(answer.headers.get("docker-content-digest")).toBe(image.digest);
      expect(await answer.text()).toBe(image.text);
    }
  });
  test("HEAD of a manifest has the length and no body", async () => {
    for (const reference of ["tag-one", image.digest]) {
      const answer = await head(`${base}/manifests/${reference}`);
      expect(answer.status).toBe(200);
      expect(answer.headers.get("content-length")).toBe(String(image.text.length));
      expect(answer.headers.get("docker-content-digest")).toBe(image.digest);
      expect(await answer.text()).toBe("");
    }
  });
  test("a manifest that is not there is 404 MANIFEST_UNKNOWN", async () => {
    expect((await head(`${base}/manifests/none`)).status).toBe(404);
    expect((await head(`${base}/manifests/${unknownDigest}`)).status).toBe(404);
    const answer = await get(`${base}/manifests/none`);
    expect([answer.status, await codeOf(answer)]).toEqual([404, "MANIFEST_UNKNOWN"]);
  });
  test("a repository that is not there is 404 NAME_UNKNOWN", async () => {
    const answer = await get("/v2/conformance/nowhere/manifests/latest");
    expect([answer.status, await codeOf(answer)]).toEqual([404, "NAME_UNKNOWN"]);
  });
  test("a blob, and its HEAD", async () => {
    const path = `${base}/blobs/${image.layer.digest}`;
    const whole = await get(path);
    expect([whole.status, await whole.text()]).toEqual([200, layerText]);
    expect(whole.headers.get("docker-content-digest")).toBe(image.layer.digest);
    const facts = await head(path);
    expect([facts.status, facts.headers.get("content-length")]).toEqual([200, String(layerText.length)]);
  });
  test("a blob that is not there is 404 BLOB_UNKNOWN", async () => {
    expect((await head(`${base}/blobs/${unknownDigest}`)).status).toBe(404);
    const answer = await get(`${base}/blobs/${unknownDigest}`);
    expect([answer.status, await codeOf(answer)]).toEqual([404, "BLOB_UNKNOWN"]);
  });
  test("ranges of a blob", async () => {
    const path = `${base}/blobs/${image.layer.digest}`;
    const length = layerText.length;
    const cases: [range: string, from: number, to: number][] = [
      ["bytes=0-3", 0, 4],
      ["bytes=5-", 5, length],
      ["bytes=-6", length - 6, length],
      ["bytes=3-99999", 3, length],
    ];
    for (const [range, from, to] of cases) {
      const answer = await get(path, { Range: range });
      expect(answer.status).toBe(206);
      expect(answer.headers.get("content-range")).toBe(`bytes ${from}-${to - 1}/${length}`);
      expect(await answer.text()).toBe(layerText.slice(from, to));
    }
    const outside = await get(path, { Range: `bytes=${length}-` });
    expect(outside.status).toBe(416);
    expect(outside.headers.get("content-range")).toBe(`bytes */${length}`);
  });
});

describe("push of blobs", () => {
  test("POST and PUT: 201, a location, and the blob can be pulled", async () => {
    const bytes = randomBytes(10_000);
    const digest = digestOf(bytes);
    const answer = await put(await begin(), digest, bytes, { "Content-Type": "application/octet-stream" });
    expect(answer.status).toBe(201);
    const location = answer.headers.get("location")!;
    expect(Buffer.from(await (await get(location)).arrayBuffer()).equals(bytes)).toBe(true);
  });
  test("a single POST with the digest", async () => {
    const bytes = randomBytes(5000);
    const digest = digestOf(bytes);
    const answer = await registry.request("POST", `${base}/blobs/uploads/?digest=${digest}`, { body: bytes });
    expect(answer.status).toBe(201);
    expect((await get(answer.headers.get("location")!)).status).toBe(200);
  });
  test("in chunks, in order, with the range told after each, and by GET in between", async () => {
    const bytes = randomBytes(9000);
    const digest = digestOf(bytes);
    let location = await begin();
    for (let at = 0; at < bytes.length; at += 3000) {
      const answer = await patch(location, bytes.subarray(at, at + 3000), `${at}-${at + 2999}`);
      expect(answer.status).toBe(202);
      expect(answer.headers.get("range")).toBe(`0-${at + 2999}`);
      location = answer.headers.get("location")!;
      const status = await get(location);
      expect(status.status).toBe(204);
      expect(status.headers.get("range")).toBe(`0-${at + 2999}`);
      expect(status.headers.get("location")).toBe(location);
    }
    const done = await put(location, digest);
    expect(done.status).toBe(201);
    expect((await get(done.headers.get("location")!)).headers.get("content-length")).toBe("9000");
  });
  test("the last chunk may come with the PUT", async () => {
    const bytes = randomBytes(2000);
    const { headers } = await patch(await begin(), bytes.subarray(0, 1500), "0-1499");
    const answer = await put(headers.get("location")!, digestOf(bytes), bytes.subarray(1500), {
      "Content-Range": "1500-1999",
    });
    expect(answer.status).toBe(201);
  });
  test("one stream of unknown length", async () => {
    const bytes = randomBytes(700_000);
    const stream = new ReadableStream({
      start(controller) {
        for (let at = 0; at < bytes.length; at += 100_000) controller.enqueue(bytes.subarray(at, at + 100_000));
        controller.close();
      },
    });
    const answer = await registry.request("PATCH", await begin(), { body: stream });
    expect([answer.status, answer.headers.get("range")]).toEqual([202, "0-699999"]);
    expect((await put(answer.headers.get("location")!, digestOf(bytes))).status).toBe(201);
  });
  test("a chunk out of order is 416, tells where to go on, and changes nothing", async () => {
    const location = await begin();
    const early = await patch(location, "chunk", "5-9");
    expect([early.status, early.headers.get("range")]).toEqual([416, "0-0"]);
    await patch(location, "01234", "0-4");
    for (const range of ["0-4", "7-11"]) expect((await patch(location, "chunk", range)).status).toBe(416);
    expect((await get(location)).headers.get("range")).toBe("0-4");
    const next = await patch(location, "56789", "5-9");
    expect(next.status).toBe(202);
    expect((await put(location, digestOf("0123456789"))).status).toBe(201);
  });
  test("another digest is DIGEST_INVALID, and nothing is stored", async () => {
    const wrong = digestOf("something else");
    const answer = await put(await begin(), wrong, "content");
    expect([answer.status, await codeOf(answer)]).toEqual([400, "DIGEST_INVALID"]);
    expect((await head(`${base}/blobs/${wrong}`)).status).toBe(404);
    expect((await head(`${base}/blobs/${digestOf("content")}`)).status).toBe(404);
  });
  test("a digest that is none is DIGEST_INVALID", async () => {
    for (const digest of ["", "sha256:abc", "md5:d41d8cd98f00b204e9800998ecf8427e", "sha256:../../x"]) {
      const answer = await put(await begin(), encodeURIComponent(digest), "x");
      expect([answer.status, await codeOf(answer)]).toEqual([400, "DIGEST_INVALID"]);
    }
  });
  test("an upload that is not there, or another repository's, is BLOB_UPLOAD_UNKNOWN", async () => {
    const location = await begin();
    const elsewhere = location.replace(name, "conformance/second");
    await registry.pushBlob("conformance/second", "x");
    for (const path of [`${base}/blobs/uploads/${crypto.randomUUID()}`, elsewhere, `${base}/blobs/uploads/..%2fx`]) {
      const answer = await get(path);
      expect([answer.status, await codeOf(answer)]).toEqual([404, "BLOB_UPLOAD_UNKNOWN"]);
      expect((await patch(path, "x")).status).toBe(404);
      expect((await put(path, digestOf("x"), "x")).status).toBe(404);
    }
  });
  test("an upload can be given up", async () => {
    const location = await begin();
    await patch(location, "some");
    expect((await registry.request("DELETE", location)).status).toBe(204);
    expect((await get(location)).status).toBe(404);
  });
  test("an empty blob", async () => {
    expect((await put(await begin(), digestOf(""))).status).toBe(201);
    const answer = await get(`${base}/blobs/${digestOf("")}`);
    expect([answer.status, await answer.text(), answer.headers.get("content-length")]).toEqual([200, "", "0"]);
  });
  test("sha512", async () => {
    const digest = digestOf("by sha512", "sha512");
    expect((await put(await begin(), digest, "by sha512")).status).toBe(201);
    expect(await (await get(`${base}/blobs/${digest}`)).text()).toBe("by sha512");
  });
  test("mounted from another repository: 201; where it is not there: 202 and an upload", async () => {
    const { digest } = await registry.pushBlob("conformance/source", "to be mounted");
    const mount = (query: string) => registry.request("POST", `/v2/conformance/target/blobs/uploads/?${query}`);
    expect((await head(`/v2/conformance/target/blobs/${digest}`)).status).toBe(404);
    const mounted = await mount(`mount=${digest}&from=conformance/source`);
    expect([mounted.status, mounted.headers.get("location")]).toEqual([201, `/v2/conformance/target/blobs/${digest}`]);
    expect((await head(`/v2/conformance/target/blobs/${digest}`)).status).toBe(200);
    for (const query of [`mount=${unknownDigest}&from=conformance/source`, `mount=${digest}&from=conformance/empty`]) {
      const answer = await mount(query);
      expect([answer.status, answer.headers.get("location")]).toEqual([202, expect.stringContaining("/uploads/")]);
    }
  });
  test("mounted without saying from where", async () => {
    const { digest } = await registry.pushBlob("conformance/source", "automatic");
    const answer = await registry.request("POST", `/v2/conformance/other/blobs/uploads/?mount=${digest}`);
    expect(answer.status).toBe(201);
  });
});

describe("push of manifests", () => {
  test("by tag and by digest: 201, location and digest", async () => {
    const { text } = image;
    for (const reference of ["pushed", image.digest]) {
      const answer = await registry.request("PUT", `${base}/manifests/${reference}`, {
        body: text,
        headers: { "Content-Type": manifestType },
      });
      expect(answer.status).toBe(201);
      expect(answer.headers.get("docker-content-digest")).toBe(image.digest);
      expect(await (await get(answer.headers.get("location")!)).text()).toBe(text);
    }
  });
  test("bytes stay as they came", async () => {
    const odd = `{ "schemaVersion" : 2,\n\t"mediaType":"${manifestType}", "config":${JSON.stringify(image.config)}, "layers":[] , "unknown": [1, {"ü": null}]}\n`;
    const answer = await registry.request("PUT", `${base}/manifests/odd`, {
      body: odd,
      headers: { "Content-Type": manifestType },
    });
    expect(answer.status).toBe(201);
    expect(await (await get(`${base}/manifests/${digestOf(odd)}`)).text()).toBe(odd);
  });
  test("another digest in the path is DIGEST_INVALID", async () => {
    const answer = await registry.request("PUT", `${base}/manifests/${unknownDigest}`, {
      body: image.text,
      headers: { "Content-Type": manifestType },
    });
    expect([answer.status, await codeOf(answer)]).toEqual([400, "DIGEST_INVALID"]);
  });
  test("blobs that are missing: MANIFEST_BLOB_UNKNOWN, and nothing is stored", async () => {
    const document = JSON.parse(image.text) as { layers: object[] };
    document.layers.push({ mediaType: "application/vnd.oci.image.layer.v1.tar", digest: unknownDigest, size: 3 });
    const answer = await registry.pushManifest(name, document, "incomplete");
    expect([answer.status, await codeOf(answer)]).toEqual([404, "MANIFEST_BLOB_UNKNOWN"]);
    expect((await head(`${base}/manifests/incomplete`)).status).toBe(404);
    expect((await head(`${base}/manifests/${answer.digest}`)).status).toBe(404);
  });
  test("foreign layers need not be here", async () => {
    const document = {
      ...JSON.parse(image.text),
      layers: [
        {
          mediaType: "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
          digest: unknownDigest,
          size: 3,
          urls: ["https://example.com/layer"],
        },
      ],
    };
    expect((await registry.pushManifest(name, document, "foreign")).status).toBe(201);
  });
  test("an index of what is here; one of what is not is refused", async () => {
    const { digest, mediaType, size } = image;
    const index = { schemaVersion: 2, mediaType: indexType, manifests: [{ digest, mediaType, size }] };
    expect((await registry.pushManifest(name, index, "index")).status).toBe(201);
    expect((await get(`${base}/manifests/index`)).headers.get("content-type")).toBe(indexType);
    const lacking = { ...index, manifests: [{ digest: unknownDigest, mediaType, size }] };
    expect(await codeOf(await registry.pushManifest(name, lacking, "lacking"))).toBe("MANIFEST_BLOB_UNKNOWN");
  });
  test("what is no manifest is MANIFEST_INVALID", async () => {
    for (const body of [
      "",
      "{",
      "[]",
      "null",
      '{"schemaVersion":3}',
      '{"schemaVersion":2,"config":{"digest":5},"layers":[]}',
    ]) {
      const answer = await registry.request("PUT", `${base}/manifests/bad`, {
        body,
        headers: { "Content-Type": manifestType },
      });
      expect([answer.status, await codeOf(answer)]).toEqual([400, "MANIFEST_INVALID"]);
    }
    const other = { ...JSON.parse(image.text), mediaType: indexType };
    const answer = await registry.request("PUT", `${base}/manifests/bad`, {
      body: JSON.stringify(other),
      headers: { "Content-Type": manifestType },
    });
    expect(answer.status).toBe(400);
  });
  test("4 MiB are taken, more are 413", async () => {
    const pad = (length: number) => {
      const document = { ...JSON.parse(image.text), annotations: { pad: "" } };
      document.annotations.pad = "x".repeat(length - JSON.stringify(document).length);
      return document;
    };
    expect((await registry.pushManifest(name, pad(4 << 20), "large")).status).toBe(201);
    expect((await registry.pushManifest(name, pad((4 << 20) + 1), "larger")).status).toBe(413);
  });
  test("tags and names out of rule", async () => {
    for (const tag of [".hidden", "-dash", "a".repeat(129), "sp%20ace"])
      expect((await registry.pushManifest(name, JSON.parse(image.text), tag)).status).toBe(400);
    for (const repository of ["UPPER", "a//b", "-a", "a/_b", "a".repeat(256)]) {
      const answer = await registry.request("POST", `/v2/${repository}/blobs/uploads/`);
      expect([repository.length, answer.status]).toEqual([repository.length, 400]);
    }
    expect((await registry.request("POST", `/v2/${"a".repeat(255)}/blobs/uploads/`)).status).toBe(202);
  });
});

describe("content discovery", () => {
  const repository = "conformance/tags";
  const tags = ["alpha", "beta", "delta", "gamma"];
  beforeAll(async () => {
    for (const tag of ["gamma", "alpha", "delta", "beta"]) await registry.pushImage(repository, "tagged", tag);
  });

  test("tags in order", async () => {
    const answer = await get(`/v2/${repository}/tags/list`);
    expect([answer.status, await answer.json()]).toEqual([200, { name: repository, tags }]);
  });
  test("tags by pages, with links", async () => {
    const first = await get(`/v2/${repository}/tags/list?n=2`);
    expect(await first.json()).toEqual({ name: repository, tags: tags.slice(0, 2) });
    const link = /^<(.+)>; rel="next"$/.exec(first.headers.get("link")!)![1]!;
    const second = await get(link);
    expect(await second.json()).toEqual({ name: repository, tags: tags.slice(2) });
    expect(second.headers.has("link")).toBe(false);
    const behind = await get(`/v2/${repository}/tags/list?n=1&last=beta`);
    expect(await behind.json()).toEqual({ name: repository, tags: ["delta"] });
    expect(await (await get(`/v2/${repository}/tags/list?n=0`)).json()).toEqual({ name: repository, tags: [] });
    expect((await get(`/v2/${repository}/tags/list?n=x`)).status).toBe(400);
  });
  test("tags of a repository that is not there", async () => {
    expect((await get("/v2/conformance/nowhere/tags/list")).status).toBe(404);
  });
  test("the catalog, by pages", async () => {
    const seen: string[] = [];
    for (let path: string | undefined = "/v2/_catalog?n=2"; path !== undefined; ) {
      const answer: Response = await get(path);
      seen.push(...((await answer.json()) as { repositories: string[] }).repositories);
      path = /^<(.+)>; rel="next"$/.exec(answer.headers.get("link") ?? "")?.[1];
    }
    expect(seen).toEqual(seen.toSorted());
    expect(seen).toContain(repository);
    expect(seen).toContain(name);
    expect(new Set(seen).size).toBe(seen.length);
  });

  describe("referrers", () => {
    const refer = (artifactType: string, subject: object, more: object = {}) =>
      registry.pushManifest(name, {
        schemaVersion: 2,
        mediaType: manifestType,
        artifactType,
        config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf("{}"), size: 2 },
        layers: [],
        subject,
        ...more,
      });

    test("of nothing: 200 and an empty index", async () => {
      const answer = await get(`${base}/referrers/${unknownDigest}`);
      expect([answer.status, answer.headers.get("content-type")]).toEqual([200, indexType]);
      expect(((await answer.json()) as { manifests: object[] }).manifests).toEqual([]);
      expect((await get(`${base}/referrers/sha256:nothing`)).status).toBe(400);
    });
    test("are listed with type, size and annotations, and can be filtered", async () => {
      await registry.pushBlob(name, "{}");
      const { digest, mediaType, size } = image;
      const one = await refer(
        "application/vnd.example.sbom",
        { digest, mediaType, size },
        { annotations: { by: "me" } },
      );
      expect([one.status, one.headers.get("oci-subject")]).toEqual([201, digest]);
      const two = await refer("application/vnd.example.signature", { digest, mediaType, size });
      const all = (await (await get(`${base}/referrers/${digest}`)).json()) as { manifests: Record<string, unknown>[] };
      expect(all.manifests.map((entry) => entry.digest).sort()).toEqual([one.digest, two.digest].sort());
      expect(all.manifests.find((entry) => entry.digest === one.digest)).toMatchObject({
        mediaType: manifestType,
        artifactType: "application/vnd.example.sbom",
        annotations: { by: "me" },
      });
      const filtered = await get(`${base}/referrers/${digest}?artifactType=application/vnd.example.sbom`);
      expect(filtered.headers.get("oci-filters-applied")).toBe("artifactType");
      const { manifests } = (await filtered.json()) as { manifests: { digest: string }[] };
      expect(manifests.map((entry) => entry.digest)).toEqual([one.digest]);
      await registry.request("DELETE", `${base}/manifests/${two.digest}`);
      const left = (await (await get(`${base}/referrers/${digest}`)).json()) as { manifests: object[] };
      expect(left.manifests.length).toBe(1);
    });
    test("may come before what they refer to, and take the config's type where they have none", async () => {
      const subject = { digest: unknownDigest, mediaType: manifestType, size: 5 };
      const answer = await registry.pushManifest(name, {
        schemaVersion: 2,
        mediaType: manifestType,
        config: { mediaType: "application/vnd.example.config", ...image.config },
        layers: [],
        subject,
      });
      expect(answer.status).toBe(201);
      const { manifests } = (await (await get(`${base}/referrers/${unknownDigest}`)).json()) as { manifests: object[] };
      expect(manifests).toEqual([expect.objectContaining({ artifactType: "application/vnd.example.config" })]);
    });
  });
});

describe("content management", () => {
  const repository = "conformance/deleted";
  const remove = (path: string) => registry.request("DELETE", `/v2/${repository}${path}`);

  test("a tag goes alone; a manifest takes its tags along; then its blobs can go", async () => {
    const made = await registry.pushImage(repository, "to be deleted", "one");
    await registry.pushManifest(repository, JSON.parse(made.text), "two");
    expect((await remove("/manifests/one")).status).toBe(202);
    expect((await get(`/v2/${repository}/manifests/one`)).status).toBe(404);
    expect((await get(`/v2/${repository}/manifests/two`)).status).toBe(200);
    const needed = await remove(`/blobs/${made.layer.digest}`);
    expect([needed.status, await codeOf(needed)]).toEqual([403, "DENIED"]);
    expect((await remove(`/manifests/${made.digest}`)).status).toBe(202);
    for (const reference of ["two", made.digest])
      expect((await get(`/v2/${repository}/manifests/${reference}`)).status).toBe(404);
    for (const { digest } of [made.config, made.layer]) {
      expect((await remove(`/blobs/${digest}`)).status).toBe(202);
      expect((await head(`/v2/${repository}/blobs/${digest}`)).status).toBe(404);
    }
  });
  test("what is not there is 404", async () => {
    for (const path of ["/manifests/none", `/manifests/${unknownDigest}`, `/blobs/${unknownDigest}`])
      expect((await remove(path)).status).toBe(404);
  });
  test("other methods are UNSUPPORTED", async () => {
    const answer = await registry.request("POST", `${base}/manifests/x`, { body: "" });
    expect([answer.status, await codeOf(answer)]).toEqual([405, "UNSUPPORTED"]);
    expect(answer.headers.get("allow")).toContain("PUT");
  });
});
