/** A registry that is a cache of another. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readdirSync } from "node:fs";
import { BrigRegistry, codeOf, digestOf } from "./support/brig-registry.ts";
import { TestDaemon } from "./support/daemon.ts";

const origin = new BrigRegistry(["--access-log"]);
let cache: BrigRegistry;
let large: Awaited<ReturnType<BrigRegistry["pushImage"]>>;
const size = 24 << 20;

beforeAll(async () => {
  await origin.start();
  const config = await origin.pushBlob("library/large", JSON.stringify({ architecture: "amd64", os: "linux" }));
  const layer = await origin.pushBlob("library/large", randomBytes(size));
  const document = {
    schemaVersion: 2,
    mediaType: "application/vnd.oci.image.manifest.v1+json",
    config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
    layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
  };
  const answer = await origin.pushManifest("library/large", document, "latest");
  const { digest } = answer;
  large = { answer, text: JSON.stringify(document), digest, mediaType: document.mediaType, size: 0, config, layer };
  cache = await new BrigRegistry(["--proxy", `http://${origin.host}`, "--gc-grace", "10ms"]).start();
});
afterAll(async () => {
  await cache.dispose();
  await origin.dispose();
});

const blobPath = () => `/v2/library/large/blobs/${large.layer.digest}`;
/** How often the origin was asked for the blob's bytes. */
const fetched = () => origin.log.split(`GET ${blobPath()}`).length - 1;

test("what many ask for at once comes once, while it is passed on, whole or in ranges", async () => {
  expect(await (await cache.request("GET", "/v2/library/large/manifests/latest")).text()).toBe(large.text);
  const whole = Array.from({ length: 8 }, () => cache.request("GET", blobPath()));
  const part = cache.request("GET", blobPath(), { headers: { Range: `bytes=${size - 100}-` } });
  for (const answer of await Promise.all(whole)) {
    expect(digestOf(await answer.bytes())).toBe(large.layer.digest);
  }
  expect((await (await part).bytes()).length).toBe(100);
  expect(fetched()).toBe(1);
  expect(digestOf(await (await cache.request("GET", blobPath())).bytes())).toBe(large.layer.digest);
  expect(fetched()).toBe(1);
  expect(readdirSync(`${cache.root}/data/uploads`)).toEqual([]);
});

test("a tag follows the origin; pushes are refused; what is not there is 404", async () => {
  await origin.pushImage("library/moving", "before", "latest");
  await cache.request("GET", "/v2/library/moving/manifests/latest");
  const after = await origin.pushImage("library/moving", "after", "latest");
  const answer = await cache.request("GET", "/v2/library/moving/manifests/latest");
  expect(answer.headers.get("docker-content-digest")).toBe(after.digest);
  const pushed = await cache.request("POST", "/v2/library/moving/blobs/uploads/");
  expect([pushed.status, await codeOf(pushed)]).toEqual([405, "UNSUPPORTED"]);
  for (const path of ["/v2/library/none/manifests/x", "/v2/library/large/manifests/none"])
    expect((await cache.request("GET", path)).status).toBe(404);
  const blob = await cache.request("GET", `/v2/library/large/blobs/${digestOf("nowhere")}`);
  expect([blob.status, await codeOf(blob)]).toEqual([404, "BLOB_UNKNOWN"]);
});

test("the docker client pulls through it as through a mirror", async () => {
  const daemon = await (await new TestDaemon(["--registry-mirror", `http://${cache.host}`]).start()).withImage();
  try {
    const name = `${origin.host}/library/real`;
    await daemon.docker("tag", "alpine", name);
    expect((await daemon.docker("push", "-q", name)).code).toBe(0);
    const { stdout: id } = await daemon.docker("inspect", "-f", "{{.Id}}", name);
    await daemon.docker("rmi", name, "alpine");
    expect((await daemon.docker("pull", "-q", "real")).stdout).toBe("docker.io/library/real:latest\n");
    expect((await daemon.docker("inspect", "-f", "{{.Id}}", "real")).stdout).toBe(id);
    expect(await (await cache.request("GET", "/v2/library/real/tags/list")).json()).toMatchObject({ tags: ["latest"] });
  } finally {
    await daemon.dispose();
  }
});

test("bytes that are wrong are not stored, and nobody gets all of them", async () => {
  const wrong = digestOf("what was promised");
  const liar = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) =>
      new Response(request.method === "HEAD" ? null : "what was not here", { headers: { "content-length": "17" } }),
  });
  const own = await new BrigRegistry(["--proxy", `http://127.0.0.1:${liar.port}`]).start();
  try {
    const answer = await own.request("GET", `/v2/a/b/blobs/${wrong}`).then(
      (response) => response.text(),
      () => "cut",
    );
    expect(answer.length).toBeLessThan(17);
    expect(readdirSync(`${own.root}/data/blobs/sha256`)).toEqual([]);
    for (let attempt = 0; readdirSync(`${own.root}/data/uploads`).length > 0 && attempt < 50; attempt++)
      await Bun.sleep(20);
    expect(readdirSync(`${own.root}/data/uploads`)).toEqual([]);
  } finally {
    await own.dispose();
    await liar.stop(true);
  }
});

test("killed while a blob comes: nothing half is left, and it comes again", async () => {
  const own = await new BrigRegistry(["--proxy", `http://${origin.host}`]).start();
  try {
    void own
      .request("GET", blobPath())
      .then(
        (answer) => answer.bytes(),
        () => undefined,
      )
      .catch(() => undefined);
    for (let attempt = 0; readdirSync(`${own.root}/data/uploads`).length === 0 && attempt < 200; attempt++)
      await Bun.sleep(2);
    await own.end("SIGKILL");
    await own.start();
    expect(readdirSync(`${own.root}/data/uploads`)).toEqual([]);
    expect(digestOf(await (await own.request("GET", blobPath())).bytes())).toBe(large.layer.digest);
  } finally {
    await own.dispose();
  }
});

test("without the origin it serves what it has", async () => {
  await origin.end("SIGTERM");
  const tag = await cache.request("GET", "/v2/library/large/manifests/latest");
  expect([tag.status, await tag.text()]).toEqual([200, large.text]);
  expect((await cache.request("GET", blobPath())).status).toBe(200);
  const other = await cache.request("GET", "/v2/library/other/manifests/latest");
  expect([other.status, await codeOf(other)]).toEqual([503, "UNAVAILABLE"]);
  await origin.start();
});

test("what nobody pulls for long goes", async () => {
  await cache.end("SIGTERM");
  cache.options.push("--proxy-ttl", "1ms");
  await cache.start();
  process.kill(cache.pid, "SIGUSR1");
  for (let attempt = 0; !cache.log.includes("garbage collected") && attempt < 100; attempt++) await Bun.sleep(20);
  expect(readdirSync(`${cache.root}/data/blobs/sha256`)).toEqual([]);
  expect(await (await cache.request("GET", "/v2/_catalog")).json()).toEqual({ repositories: [] });
});
