/** The registry under hands that mean it no good, and beside other processes on its directory. */
import { Database } from "bun:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { generateKeyPairSync, randomBytes, sign } from "node:crypto";
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { BrigRegistry, codeOf, digestOf } from "./support/brig-registry.ts";
import { brigBinary, run } from "./support/daemon.ts";

const basic = (user: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });
interface TokenAnswer {
  token: string;
  refresh_token: string;
}

describe("passwords in a file, with tokens", () => {
  const registry = new BrigRegistry(["--auth", "htpasswd"]);
  const path = `${registry.root}/htpasswd`;
  const write = async (users: Record<string, string>) => {
    const lines = Object.entries(users).map(
      async ([user, password]) => `${user}:${await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 })}\n`,
    );
    writeFileSync(path, (await Promise.all(lines)).join(""));
  };
  beforeAll(async () => {
    registry.options.push("--htpasswd", path);
    await write({ ann: "one", bob: "one" });
    await registry.start();
  });
  afterAll(() => registry.dispose());

  const tokenFor = async (user: string, password: string) => {
    const query = "service=brig-registry&scope=repository:a/b:pull&offline_token=true";
    const answer = await registry.request("GET", `/auth/token?${query}`, { headers: basic(user, password) });
    return (await answer.json()) as TokenAnswer;
  };

  test("a token for one thing buys none for another", async () => {
    const { token } = await tokenFor("ann", "one");
    const query = "service=brig-registry&scope=repository:c/d:push&offline_token=true";
    const answer = await registry.request("GET", `/auth/token?${query}`, { headers: bearer(token) });
    expect([answer.status, await codeOf(answer)]).toEqual([401, "UNAUTHORIZED"]);
  });

  test("who is gone from the file, or has another password there, has nothing by old tokens", async () => {
    const [ann, bob] = [await tokenFor("ann", "one"), await tokenFor("bob", "one")];
    const refresh = (token: string) =>
      registry.request("POST", "/auth/token", {
        body: new URLSearchParams({ grant_type: "refresh_token", refresh_token: token }).toString(),
      });
    expect((await refresh(ann.refresh_token)).status).toBe(200);
    await write({ bob: "two" });
    await Bun.sleep(1100);
    expect((await refresh(ann.refresh_token)).status).toBe(401);
    expect((await refresh(bob.refresh_token)).status).toBe(401);
    expect((await registry.request("GET", "/v2/a/b/tags/list", { headers: bearer(ann.token) })).status).toBe(401);
    expect((await registry.request("GET", "/v2/a/b/tags/list", { headers: bearer(bob.token) })).status).toBe(404);
  });
});

test("an outside server that grants nothing of the catalog grants no list", async () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const options = { realm: "https://auth.example/token", service: "here", issuer: "there" };
  const registry = new BrigRegistry(["--auth", "token"]);
  writeFileSync(`${registry.root}/key.pem`, publicKey.export({ type: "spki", format: "pem" }));
  for (const [name, value] of Object.entries(options)) registry.options.push(`--token-${name}`, value);
  registry.options.push("--token-key", `${registry.root}/key.pem`);
  await registry.start();
  const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
  const list = (path: string, actions: string[]) => {
    const access = [{ type: "registry", name: "catalog", actions }];
    const claims = { iss: "there", aud: "here", sub: "x", exp: Date.now() / 1000 + 60, access };
    const text = `${encode({ alg: "ES256", typ: "JWT" })}.${encode(claims)}`;
    const proof = sign("sha256", Buffer.from(text), { key: privateKey, dsaEncoding: "ieee-p1363" });
    return registry
      .request("GET", path, { headers: bearer(`${text}.${proof.toString("base64url")}`) })
      .then(({ status }) => status);
  };
  expect([await list("/v2/_catalog", []), await list("/v1/search?q=a", [])]).toEqual([401, 401]);
  expect([await list("/v2/_catalog", ["*"]), await list("/v1/search?q=a", ["search"])]).toEqual([200, 200]);
  await registry.dispose();
});

describe("other processes on the directory", () => {
  test("the registry waits for who writes to the database just now", async () => {
    const registry = await new BrigRegistry().start();
    const db = new Database(`${registry.root}/data/registry.db`);
    db.run("BEGIN IMMEDIATE");
    const answer = registry.request("POST", "/v2/a/b/blobs/uploads/");
    await Bun.sleep(300);
    db.run("COMMIT");
    db.close();
    expect((await answer).status).toBe(202);
    await registry.dispose();
  });

  test("a second registry changes nothing before it is refused", async () => {
    const registry = await new BrigRegistry().start();
    const coming = `${registry.root}/data/uploads/coming-of-the-first`;
    writeFileSync(coming, "a cache's blob on its way");
    const second = await run(
      [brigBinary, "registry", "serve", "--listen", "127.0.0.1:0"].concat(["--root", `${registry.root}/data`]),
    );
    expect(second.stderr).toContain("another registry serves");
    expect(existsSync(coming)).toBe(true);
    await registry.dispose();
  });

  test("the number of a dead registry's process is signalled by nobody", async () => {
    const registry = await new BrigRegistry().start();
    await registry.end("SIGKILL");
    const victim = Bun.spawn(["sleep", "60"]);
    const root = `${registry.root}/data`;
    writeFileSync(`${root}/registry.pid`, String(victim.pid));
    // Of two at once the second finds the first's lock.
    const collect = () => run([brigBinary, "registry", "garbage-collect", "--root", root]);
    await Promise.all([collect(), collect(), collect()]);
    expect(existsSync(`${root}/registry.pid`)).toBe(false);
    expect(victim.exitCode ?? victim.signalCode).toBeNull();
    victim.kill();
    await registry.dispose();
  });

  test("a key of which a crash left half is none", async () => {
    const registry = await new BrigRegistry(["--auth", "users"]).start();
    await registry.end("SIGKILL");
    const key = readFileSync(`${registry.root}/data/token-key.pem`);
    await run(["rm", `${registry.root}/data/token-key.pem`]);
    writeFileSync(`${registry.root}/data/token-key.pem.new`, key.subarray(0, 40), { mode: 0o600 });
    await registry.start();
    expect(statSync(`${registry.root}/data/token-key.pem`).size).toBe(key.length);
    await registry.dispose();
  });
});

describe("odd requests", () => {
  const registry = new BrigRegistry(["--gc-interval", "1000h", "--access-log"]);
  beforeAll(() => registry.start());
  afterAll(() => registry.dispose());

  test("a Host that is none is no failure of ours", async () => {
    for (const host of ['evil"x', "[::1", "", "a b", "%00"]) {
      const socket = connect(Number(registry.host.split(":")[1]), "127.0.0.1");
      socket.write(`GET /v2/ HTTP/1.1\r\nHost: ${host}\r\nConnection: close\r\n\r\n`);
      let answer = "";
      for await (const chunk of socket) answer += chunk;
      expect(answer).toStartWith("HTTP/1.1 200 ");
    }
  });

  test("a body is as long as its range says, also where it comes in chunks", async () => {
    const { headers } = await registry.request("POST", "/v2/odd/range/blobs/uploads/");
    const patch = (range: string) => {
      const body = new ReadableStream({
        start(controller) {
          controller.enqueue(Buffer.from("hello"));
          controller.close();
        },
      });
      return registry.request("PATCH", headers.get("location")!, { body, headers: { "Content-Range": range } });
    };
    expect((await patch("0-4")).status).toBe(202);
    const wrong = await patch("5-6");
    expect([wrong.status, await codeOf(wrong)]).toEqual([400, "SIZE_INVALID"]);
  });

  test("a media type that could be no header is refused", async () => {
    const config = await registry.pushBlob("odd/type", "{}");
    for (const mediaType of ["a\nb", "a/b\r\nX: y", "☃/x", "text"]) {
      const body = JSON.stringify({ schemaVersion: 2, mediaType, config, layers: [] });
      const answer = await registry.request("PUT", "/v2/odd/type/manifests/1", { body });
      expect([answer.status, await codeOf(answer)]).toEqual([400, "MANIFEST_INVALID"]);
    }
  });

  test("a long time between collections is long", () => {
    expect(registry.log).not.toContain("garbage collected");
  });

  test("no time is negative", async () => {
    const { code, stderr } = await run([
      brigBinary,
      "registry",
      "serve",
      "--root",
      `${registry.root}/other`,
      "--gc-grace",
      "-1h",
    ]);
    expect([code, stderr]).toEqual([125, expect.stringContaining("invalid gc-grace: -1h")]);
  });

  test("referrers come in pages that fit into an index, and all of them", async () => {
    const config = await registry.pushBlob("odd/subject", "{}");
    const subject = { mediaType: "application/vnd.oci.image.manifest.v1+json", digest: digestOf("subject"), size: 7 };
    const pushed: string[] = [];
    for (let index = 0; index < 4; index++) {
      const annotations = { text: String(index).repeat(1_500_000) };
      const document = { schemaVersion: 2, config, layers: [], subject, annotations };
      pushed.push((await registry.pushManifest("odd/subject", document)).digest);
    }
    const found: string[] = [];
    let [path, pages] = [`/v2/odd/subject/referrers/${subject.digest}`, 0];
    for (; path !== ""; pages++) {
      const answer = await registry.request("GET", path);
      const text = await answer.text();
      expect(text.length).toBeLessThan(4 << 20);
      found.push(...(JSON.parse(text) as { manifests: { digest: string }[] }).manifests.map(({ digest }) => digest));
      path = /^<([^>]+)>/.exec(answer.headers.get("link") ?? "")?.[1] ?? "";
    }
    expect([found, pages]).toEqual([pushed.toSorted(), 2]);
  });

  test("a list for which there is much to pass over holds up nobody", async () => {
    const db = new Database(`${registry.root}/data/registry.db`);
    db.run(`WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200000)
      INSERT INTO repositories (name) SELECT 'many/r' || i FROM n`);
    db.close();
    let worst = 0;
    let isDone = false;
    const lists = Promise.all(["/v2/_catalog?n=1", "/v1/search?q=none"].map((path) => registry.request("GET", path)));
    void lists.finally(() => (isDone = true));
    while (!isDone) {
      const begun = performance.now();
      await registry.request("GET", "/v2/");
      worst = Math.max(worst, performance.now() - begun);
    }
    expect((await lists).map(({ status }) => status)).toEqual([200, 200]);
    expect(worst).toBeLessThan(100);
  });
});

test("a stream without an end is cut off where its quota is full, and takes no room", async () => {
  const registry = await new BrigRegistry(["--quota-repository", "20m"]).start();
  const { headers } = await registry.request("POST", "/v2/a/b/blobs/uploads/");
  let sent = 0;
  const stream = new ReadableStream({
    pull: async (controller) => {
      if (sent > 400 << 20) return controller.close();
      controller.enqueue(new Uint8Array(1 << 20));
      sent += 1 << 20;
      await Bun.sleep(1);
    },
  });
  const answer = await registry.request("PATCH", headers.get("location")!, { body: stream }).catch(() => undefined);
  if (answer) expect([answer.status, await codeOf(answer)]).toEqual([403, "DENIED"]);
  expect(sent).toBeLessThan(400 << 20);
  expect(readdirSync(`${registry.root}/data/uploads`)).toEqual([]);
  // The rest of the body may be on its way still.
  await registry.end("SIGKILL");
  await registry.dispose();
});

test("a blob that a push has asked for stays, though the manifest that needed it goes", async () => {
  const registry = await new BrigRegistry(["--gc-grace", "1h"]).start();
  const { digest, layer, config } = await registry.pushImage("a/b", "a layer of two images", "1");
  const db = new Database(`${registry.root}/data/registry.db`);
  db.run("UPDATE links SET linked_at = 0");
  db.close();
  const head = (blob: string) => registry.request("HEAD", `/v2/a/b/blobs/${blob}`).then(({ status }) => status);
  expect(await head(layer.digest)).toBe(200);
  await registry.request("DELETE", `/v2/a/b/manifests/${digest}`);
  expect((await run([brigBinary, "registry", "garbage-collect", "--root", `${registry.root}/data`])).code).toBe(0);
  expect([await head(layer.digest), await head(config.digest)]).toEqual([200, 404]);
  await registry.dispose();
});

test("a quota counts what comes at the same time, and has room again for what was deleted", async () => {
  const registry = await new BrigRegistry(["--quota-namespace", "1m"]).start();
  const push = (letter: string) =>
    registry.pushBlob(`one/${letter}`, letter.repeat(700_000)).catch((thrown: Error) => thrown.message);
  const results = await Promise.all(["a", "b", "c", "d"].map(push));
  const stored = results.filter((result) => typeof result !== "string");
  expect(stored.length).toBeLessThanOrEqual(1);
  for (const [index, letter] of ["a", "b", "c", "d"].entries())
    if (results[index] === stored[0] && stored[0] !== undefined)
      await registry.request("DELETE", `/v2/one/${letter}/blobs/${(stored[0] as { digest: string }).digest}`);
  expect(await push("e")).toMatchObject({ size: 700_000 });
  expect(await push("f")).toContain("quota of namespace one exceeded");
  await registry.dispose();
});

test("a cache: who hangs up closes one descriptor; made-up names are not kept", async () => {
  const bytes = randomBytes(8 << 20);
  let go = () => {};
  const gate = new Promise<void>((resolve) => (go = resolve));
  const origin = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      if (request.url.includes("made-up")) return new Response("", { status: 404 });
      const headers = { "content-length": String(bytes.length) };
      if (request.method === "HEAD") return new Response(null, { headers });
      const body = new ReadableStream({
        async start(controller) {
          controller.enqueue(bytes.subarray(0, 4 << 20));
          await gate;
          // What comes is not what was promised.
          controller.enqueue(randomBytes(4 << 20));
          controller.close();
        },
      });
      return new Response(body, { headers });
    },
  });
  const cache = await new BrigRegistry(["--proxy", `http://127.0.0.1:${origin.port}`]).start();
  const open = () =>
    readdirSync(`/proc/${cache.pid}/fd`).filter((fd) => {
      try {
        return readlinkSync(`/proc/${cache.pid}/fd/${fd}`).includes("/uploads/coming-");
      } catch {
        return false;
      }
    }).length;
  try {
    const stops = Array.from({ length: 5 }, () => new AbortController());
    const path = `http://${cache.host}/v2/a/b/blobs/${digestOf(bytes)}`;
    for (const { signal } of stops) {
      const reader = (await fetch(path, { signal })).body!.getReader();
      await reader.read();
      void reader.read().catch(() => undefined);
    }
    await Bun.sleep(200);
    for (const stop of stops) stop.abort();
    await Bun.sleep(200);
    expect(open()).toBeLessThanOrEqual(2);
    go();
    for (let attempt = 0; open() > 0 && attempt < 100; attempt++) await Bun.sleep(20);
    expect(open()).toBe(0);
    // A descriptor that were closed twice would have been somebody else's: the database's, a socket's.
    expect((await cache.request("GET", `/v2/made-up/name/blobs/${digestOf("x")}`)).status).toBe(404);
    const db = new Database(`${cache.root}/data/registry.db`, { readonly: true });
    expect(db.query("SELECT name FROM repositories").all()).toEqual([{ name: "a/b" }]);
    db.close();
  } finally {
    await cache.dispose();
    await origin.stop(true);
  }
});
