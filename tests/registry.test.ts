/** The registry with clients that we did not write, on bad days, and with its garbage. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readdirSync, utimesSync } from "node:fs";
import { connect } from "node:net";
import { BrigRegistry, codeOf, digestOf } from "./support/brig-registry.ts";
import { buildBusyboxTar } from "./support/busybox-image.ts";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";
import { S3Server, s3Credentials } from "./support/s3-server.ts";

const registry = new BrigRegistry();
beforeAll(() => registry.start());
afterAll(() => registry.dispose());

const files = (directory: string, of = registry) => readdirSync(`${of.root}/data/${directory}`);
const skopeo = (...args: string[]) => run(["skopeo", "--insecure-policy", ...args]);

describe("other people's programs", () => {
  let daemon: TestDaemon;
  let oci: string;
  beforeAll(async () => {
    daemon = await (await new TestDaemon().start()).withImage();
    oci = `oci:${daemon.root}/layout:one`;
    await buildBusyboxTar(`${daemon.root}/image.tar`);
    await daemon.docker("save", "-o", `${daemon.root}/saved.tar`, "alpine");
    await skopeo("copy", `docker-archive:${daemon.root}/saved.tar`, oci);
  });
  afterAll(() => daemon.dispose());

  test("skopeo copies in and out, in both formats and with zstd, and the digest stays", async () => {
    for (const [tag, options] of [
      ["oci", ["-f", "oci"]],
      ["docker", ["-f", "v2s2"]],
      ["zstd", ["-f", "oci", "--dest-compress-format", "zstd"]],
    ] as const) {
      const name = `${registry.host}/by/skopeo:${tag}`;
      const pushed = await skopeo("copy", "--dest-tls-verify=false", ...options, oci, `docker://${name}`);
      expect(pushed).toMatchObject({ code: 0, stderr: "" });
      const inspected = await skopeo("inspect", "--tls-verify=false", `docker://${name}`);
      const { Digest } = JSON.parse(inspected.stdout) as { Digest: string };
      const target = `${daemon.root}/out-${tag}`;
      expect((await skopeo("copy", "--src-tls-verify=false", `docker://${name}`, `dir:${target}`)).code).toBe(0);
      expect(digestOf(await Bun.file(`${target}/manifest.json`).bytes())).toBe(Digest);
    }
    const tags = await skopeo("list-tags", "--tls-verify=false", `docker://${registry.host}/by/skopeo`);
    expect((JSON.parse(tags.stdout) as { Tags: string[] }).Tags).toEqual(["docker", "oci", "zstd"]);
  });

  test("the docker client pulls through Brig, and runs what it got", async () => {
    const name = `${registry.host}/by/skopeo:zstd`;
    expect((await daemon.docker("pull", "-q", name)).stdout).toBe(`${name}\n`);
    expect((await daemon.docker("run", "--rm", name, "echo", "from the registry")).stdout).toBe("from the registry\n");
  });

  test("the docker client pushes through Brig; pulled again it is the same", async () => {
    const name = `${registry.host}/by/brig:latest`;
    await daemon.docker("tag", "alpine", name);
    const pushed = await daemon.docker("push", name);
    expect(pushed.code).toBe(0);
    const digest = /digest: (sha256:\S+)/.exec(pushed.stdout)![1]!;
    expect((await registry.request("HEAD", `/v2/by/brig/manifests/${digest}`)).status).toBe(200);
    const { stdout: id } = await daemon.docker("inspect", "-f", "{{.Id}}", name);
    await daemon.docker("rmi", name);
    await daemon.docker("pull", "-q", `${registry.host}/by/brig@${digest}`);
    expect((await daemon.docker("inspect", "-f", "{{.Id}}", `${registry.host}/by/brig@${digest}`)).stdout).toBe(id);
  });

  test("dockerd's way as a mirror: Brig pulls short names through it", async () => {
    await skopeo("copy", "--dest-tls-verify=false", oci, `docker://${registry.host}/library/mirrored:1`);
    const other = await new TestDaemon(["--registry-mirror", `http://${registry.host}`]).start();
    try {
      expect((await other.docker("pull", "-q", "mirrored:1")).stdout).toBe("docker.io/library/mirrored:1\n");
    } finally {
      await other.dispose();
    }
  });
});

describe("bad days", () => {
  /** Sends a request's head and a part of its body, and hangs up. */
  async function sendPart(path: string, method: string, headers: string[], body: Uint8Array): Promise<void> {
    const [hostname = "", port] = registry.host.split(":");
    const socket = connect(Number(port), hostname);
    socket.write(`${[`${method} ${path} HTTP/1.1`, `Host: ${registry.host}`, ...headers].join("\r\n")}\r\n\r\n`);
    socket.write(body);
    await Bun.sleep(150);
    socket.destroy();
    await Bun.sleep(150);
  }

  test("a body that is cut off is no blob; an upload goes on from what came", async () => {
    const bytes = randomBytes(1 << 20);
    const digest = digestOf(bytes);
    const half = bytes.subarray(0, 1 << 19);
    const headers = [`Content-Length: ${bytes.length}`];
    const uploads = files("uploads").length;
    await sendPart(`/v2/cut/off/blobs/uploads/?digest=${digest}`, "POST", headers, half);
    expect((await registry.request("HEAD", `/v2/cut/off/blobs/${digest}`)).status).toBe(404);
    expect(files("uploads").length).toBe(uploads);

    const begun = await registry.request("POST", "/v2/cut/off/blobs/uploads/");
    const location = begun.headers.get("location")!;
    await sendPart(location, "PATCH", headers, half);
    const status = await registry.request("GET", location);
    expect(status.headers.get("range")).toBe(`0-${half.length - 1}`);
    const chunked = ["Transfer-Encoding: chunked"];
    await sendPart(location, "PATCH", chunked, Buffer.from("5\r\nabc"));
    const size = Number(/\d+$/.exec((await registry.request("GET", location)).headers.get("range")!)![0]) + 1;
    expect(size).toBeGreaterThanOrEqual(half.length);
    await sendPart(`${location}?digest=${digest}`, "PUT", [`Content-Length: ${bytes.length - size}`], Buffer.from("x"));
    expect((await registry.request("HEAD", `/v2/cut/off/blobs/${digest}`)).status).toBe(404);
  });

  test("killed with -9 under eight pushes: all that was acknowledged is there, nothing is half there", async () => {
    const acknowledged: string[] = [];
    let stop = false;
    const push = async (worker: number) => {
      for (let index = 0; !stop; index++) {
        const tag = `w${worker}-${index}`;
        await registry.pushImage("killed/repo", randomBytes(300_000).toString("latin1"), tag);
        acknowledged.push(tag);
      }
    };
    const workers = Array.from({ length: 8 }, (_, worker) => push(worker).catch(() => undefined));
    await Bun.sleep(700);
    await registry.end("SIGKILL");
    stop = true;
    await Promise.all(workers);
    await registry.start();
    expect(acknowledged.length).toBeGreaterThan(8);
    const { tags } = (await (await registry.request("GET", "/v2/killed/repo/tags/list")).json()) as { tags: string[] };
    for (const tag of acknowledged) expect(tags).toContain(tag);
    for (const tag of tags) {
      const manifest = await registry.request("GET", `/v2/killed/repo/manifests/${tag}`);
      const { config, layers } = (await manifest.json()) as {
        config: { digest: string };
        layers: { digest: string }[];
      };
      for (const { digest } of [config, ...layers]) {
        const blob = await registry.request("GET", `/v2/killed/repo/blobs/${digest}`);
        expect(
          `sha256:${createHash("sha256")
            .update(await blob.bytes())
            .digest("hex")}`,
        ).toBe(digest);
      }
    }
  });

  test("an upload survives a restart", async () => {
    const begun = await registry.request("POST", "/v2/restart/repo/blobs/uploads/");
    const location = begun.headers.get("location")!;
    await registry.request("PATCH", location, { body: "first " });
    await registry.end("SIGKILL");
    await registry.start();
    expect((await registry.request("GET", location)).headers.get("range")).toBe("0-5");
    await registry.request("PATCH", location, { body: "second" });
    const done = await registry.request("PUT", `${location}?digest=${digestOf("first second")}`);
    expect(done.status).toBe(201);
  });

  test("two requests at once for one upload: one of them is refused", async () => {
    const { headers } = await registry.request("POST", "/v2/both/repo/blobs/uploads/");
    const location = headers.get("location")!;
    const slow = new ReadableStream({
      async pull(controller) {
        controller.enqueue(new Uint8Array(1000));
        await Bun.sleep(300);
        controller.close();
      },
    });
    const first = registry.request("PATCH", location, { body: slow });
    await Bun.sleep(100);
    const second = await registry.request("PATCH", location, { body: "x" });
    expect([second.status, await codeOf(second)]).toEqual([409, "BLOB_UPLOAD_INVALID"]);
    expect((await first).status).toBe(202);
  });

  test("nonsense is answered, and the registry goes on", async () => {
    const paths = ["/", "/v2/a/b/c", "/v2/%zz/tags/list", "/v2/../../etc/passwd", `/v2/${"x/".repeat(200)}tags/list`];
    for (const path of paths) expect((await registry.request("GET", path)).status).toBeOneOf([400, 404]);
    const deep = `${'{"a":'.repeat(100_000)}1${"}".repeat(100_000)}`;
    const bomb = await registry.request("PUT", "/v2/json/bomb/manifests/x", { body: deep });
    expect([bomb.status, await codeOf(bomb)]).toEqual([400, "MANIFEST_INVALID"]);
    expect((await registry.request("GET", "/v2/")).status).toBe(200);
  });

  test("a root has one registry, and a wrong key in the file is named", async () => {
    const serve = (...args: string[]) => run([brigBinary, "registry", "serve", ...args]);
    const second = await serve("--listen", "127.0.0.1:0", "--root", `${registry.root}/data`);
    expect(second).toMatchObject({ code: 1, stderr: `another registry serves ${registry.root}/data\n` });
    await Bun.write(`${registry.root}/bad.json`, '{"listem": "127.0.0.1:0"}');
    const bad = await serve("--config", `${registry.root}/bad.json`);
    expect(bad).toMatchObject({ code: 1, stderr: expect.stringContaining('unknown key "listem"') });
  });
});

describe("garbage", () => {
  const collect = (...args: string[]) => run([brigBinary, "registry", "garbage-collect", ...args]);

  test("goes while the registry serves; what is young, needed, or being pushed stays", async () => {
    const own = await new BrigRegistry(["--gc-grace", "1s"]).start();
    const root = `${own.root}/data`;
    try {
      const kept = await own.pushImage("gc/kept", "needed", "latest");
      const gone = await own.pushImage("gc/gone", "not needed", "latest");
      await own.request("DELETE", `/v2/gc/gone/manifests/${gone.digest}`);
      const { digest: orphan } = await own.pushBlob("gc/kept", "pushed, and no manifest came");
      const { headers } = await own.request("POST", "/v2/gc/kept/blobs/uploads/");
      await own.request("PATCH", headers.get("location")!, { body: "left alone" });
      expect((await collect("--root", root)).stdout).toContain("Removed 0 blobs, 0 unused links, 0 unfinished uploads");
      await Bun.sleep(1100);
      const { digest: young } = await own.pushBlob("gc/kept", "just now");
      const { code, stdout } = await collect("--root", root);
      expect({ code, stdout }).toMatchObject({ code: 0, stdout: expect.stringContaining("1 unfinished uploads") });
      const left = files("blobs/sha256", own).sort();
      expect(left).toEqual([kept.config, kept.layer, { digest: young }].map(({ digest }) => digest.slice(7)).sort());
      for (const digest of [orphan, gone.layer.digest])
        expect((await own.request("HEAD", `/v2/gc/kept/blobs/${digest}`)).status).toBe(404);
      expect(files("uploads", own)).toEqual([]);
      expect((await own.request("GET", `/v2/gc/kept/blobs/${kept.layer.digest}`)).status).toBe(200);
    } finally {
      await own.dispose();
    }
  });

  test("goes where no registry serves", async () => {
    const own = await new BrigRegistry().start();
    const { digest } = await own.pushBlob("gc/repo", "orphan");
    await own.end("SIGTERM");
    const path = `${own.root}/data/blobs/sha256/${digest.slice(7)}`;
    utimesSync(path, 1, 1);
    await Bun.sleep(20);
    const { stdout } = await collect("--root", `${own.root}/data`, "--gc-grace", "10ms");
    expect(stdout).toContain("Removed 1 blobs, 1 unused links");
    expect((await collect("--root", "/nowhere")).stderr).toBe("/nowhere is no registry's directory\n");
    await own.dispose();
  });
});

test("read-only, and without deletes", async () => {
  const own = await new BrigRegistry().start();
  await own.pushImage("fixed/repo", "content", "latest");
  await own.end("SIGTERM");
  own.options.push("--read-only");
  await own.start();
  expect((await own.request("GET", "/v2/fixed/repo/manifests/latest")).status).toBe(200);
  for (const [method, path] of [
    ["POST", "/v2/fixed/repo/blobs/uploads/"],
    ["DELETE", "/v2/fixed/repo/manifests/latest"],
  ] as const) {
    const answer = await own.request(method, path);
    expect([answer.status, await codeOf(answer)]).toEqual([405, "UNSUPPORTED"]);
  }
  await own.end("SIGTERM");
  own.options.splice(0, 1, "--deletes=false");
  await own.start();
  expect((await own.request("POST", "/v2/fixed/repo/blobs/uploads/")).status).toBe(202);
  expect((await own.request("DELETE", "/v2/fixed/repo/manifests/latest")).status).toBe(405);
  await own.dispose();
});

test("TLS with client certificates, and new certificates on SIGHUP", async () => {
  const own = new BrigRegistry();
  const path = (name: string) => `${own.root}/${name}`;
  const make = async (name: string) => {
    const subject = ["-subj", `/CN=${name}`, "-addext", "subjectAltName=IP:127.0.0.1"];
    const out = ["-keyout", path(`${name}.key`), "-out", path(`${name}.crt`)];
    await run([
      "openssl",
      "req",
      "-x509",
      "-newkey",
      "ec",
      "-pkeyopt",
      "ec_paramgen_curve:P-256",
      "-nodes",
      ...subject,
      ...out,
    ]);
    return Bun.file(path(`${name}.crt`)).text();
  };
  const [server, client] = [await make("server"), await make("client")];
  const key = await Bun.file(path("client.key")).text();
  own.options.push(
    "--tls-cert",
    path("server.crt"),
    "--tls-key",
    path("server.key"),
    "--tls-client-ca",
    path("client.crt"),
  );
  await own.start();
  const ask = (ca: string, more: object) =>
    fetch(`https://${own.host}/v2/`, { tls: { ca, ...more }, keepalive: false }).then(
      ({ status }) => status,
      () => "refused",
    );
  expect(await ask(server, { cert: client, key })).toBe(200);
  expect(await ask(server, {})).toBe("refused");
  const renewed = await make("server");
  process.kill(own.pid, "SIGHUP");
  for (let attempt = 0; !own.log.includes("Reloaded") && attempt < 100; attempt++) await Bun.sleep(20);
  expect(await ask(renewed, { cert: client, key })).toBe(200);
  expect(await ask(server, { cert: client, key })).toBe("refused");
  await own.dispose();
});

test("blobs in S3: the same registry, clients are sent to the store, garbage goes there too", async () => {
  const store = new S3Server();
  const own = new BrigRegistry(["--gc-grace", "1s", "--s3-bucket", "registry", "--s3-endpoint", store.endpoint]);
  own.options.push("--s3-redirect", "--config", `${own.root}/config.json`);
  const { accessKeyId, secretAccessKey, region } = s3Credentials;
  const config = { "s3-access-key-id": accessKeyId, "s3-secret-access-key": secretAccessKey, "s3-region": region };
  await Bun.write(`${own.root}/config.json`, JSON.stringify({ ...config, "s3-secret-access-key": "another" }));
  await expect(own.start()).rejects.toThrow("the bucket registry cannot be used");
  await Bun.write(`${own.root}/config.json`, JSON.stringify(config));
  await own.start();
  try {
    const kept = await own.pushImage("in/s3", randomBytes(6 << 20).toString("latin1"), "latest");
    const gone = await own.pushImage("in/s3", "short", "gone");
    const keyOf = ({ digest }: { digest: string }) => `blobs/${digest.replace(":", "/")}`;
    expect([...store.objects.keys()].sort()).toEqual(
      [kept.config, kept.layer, gone.config, gone.layer].map(keyOf).sort(),
    );
    const sent = await own.request("GET", `/v2/in/s3/blobs/${kept.layer.digest}`);
    expect([sent.status, new URL(sent.headers.get("location")!).origin]).toEqual([307, store.endpoint]);
    expect(digestOf(await (await fetch(sent.headers.get("location")!)).bytes())).toBe(kept.layer.digest);
    const out = await skopeo(
      "copy",
      "--src-tls-verify=false",
      `docker://${own.host}/in/s3:latest`,
      `dir:${own.root}/out`,
    );
    expect(out).toMatchObject({ code: 0 });
    store.misbehave = (request) => (request.method === "PUT" ? new Response(null, { status: 403 }) : undefined);
    await expect(own.pushBlob("in/s3", "refused by the store")).rejects.toThrow("500");
    store.misbehave = () => undefined;
    await own.pushBlob("in/s3", "refused by the store");
    await own.request("DELETE", `/v2/in/s3/manifests/${gone.digest}`);
    await Bun.sleep(2100);
    process.kill(own.pid, "SIGUSR1");
    for (let attempt = 0; !own.log.includes("garbage collected") && attempt < 100; attempt++) await Bun.sleep(50);
    expect([...store.objects.keys()].sort()).toEqual([kept.config, kept.layer].map(keyOf).sort());
  } finally {
    await own.dispose();
    await store.stop();
  }
});
