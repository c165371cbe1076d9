/** Who may do what in Brig's registry: accounts, tokens, quotas; and what is told of it. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHmac, generateKeyPairSync, sign } from "node:crypto";
import { mkdirSync, statSync } from "node:fs";
import { BrigRegistry, codeOf, digestOf } from "./support/brig-registry.ts";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

const basic = (user: string, password: string) => ({
  Authorization: `Basic ${Buffer.from(`${user}:${password}`).toString("base64")}`,
});
const bearer = (token: string) => ({ Authorization: `Bearer ${token}` });

const manage = (registry: BrigRegistry, args: string[], stdin = "") =>
  run([brigBinary, "registry", "user", "--root", `${registry.root}/data`, ...args], { stdin });

async function withUsers(registry: BrigRegistry): Promise<BrigRegistry> {
  await registry.start();
  for (const [name, ...flags] of [["root", "--admin"], ["ann"], ["bob"]] as string[][])
    expect(await manage(registry, ["add", name!, "--password-stdin", ...flags], `${name}-password\n`)).toMatchObject({
      code: 0,
    });
  await manage(registry, ["grant", "ann", "team/*", "write"]);
  await manage(registry, ["grant", "bob", "team/app", "read"]);
  await manage(registry, ["grant", "*", "public/*", "read"]);
  return registry;
}

describe("accounts with tokens", () => {
  const registry = new BrigRegistry(["--auth", "users", "--metrics-listen", "127.0.0.1:0"]);
  let daemon: TestDaemon;
  beforeAll(async () => {
    await withUsers(registry);
    daemon = await (await new TestDaemon().start()).withImage();
  });
  afterAll(async () => {
    await daemon.dispose();
    await registry.dispose();
  });

  const as = (user: string) => {
    const config = `${daemon.root}/config-${user}`;
    mkdirSync(config, { recursive: true });
    const env = { DOCKER_HOST: daemon.host, DOCKER_CONFIG: config };
    return (program: string, ...args: string[]) => run([program, ...args], { env, stdin: `${user}-password` });
  };
  const tokenFor = async (user: string, scope: string, query = "") => {
    const path = `/auth/token?service=brig-registry&scope=${scope}${query}`;
    const answer = await registry.request("GET", path, { headers: user === "" ? {} : basic(user, `${user}-password`) });
    expect(answer.status).toBe(200);
    return (await answer.json()) as { token: string; refresh_token?: string };
  };
  const claimsOf = (token: string) => JSON.parse(Buffer.from(token.split(".")[1]!, "base64url").toString());

  test("the real client logs in, pushes where it may, and is told where it may not", async () => {
    const [ann, bob] = [as("ann"), as("bob")];
    const [app, other] = [`${registry.host}/team/app:1`, `${registry.host}/elsewhere/app:1`];
    expect((await ann("docker", "login", "-u", "ann", "--password-stdin", registry.host)).stdout).toContain(
      "Login Succeeded",
    );
    expect((await bob(brigBinary, "login", "-u", "bob", "--password-stdin", registry.host)).stdout).toContain(
      "Login Succeeded",
    );
    const wrong = await run(["docker", "login", "-u", "ann", "-p", "no", registry.host], {
      env: { DOCKER_HOST: daemon.host },
    });
    expect(wrong).toMatchObject({ code: 1, stderr: expect.stringContaining("unauthorized: authentication required") });
    for (const name of [app, other]) await daemon.docker("tag", "alpine", name);
    expect(await ann("docker", "push", "-q", app)).toMatchObject({ code: 0 });
    expect((await ann("docker", "push", "-q", other)).stderr).toContain(
      "denied: requested access to the resource is denied",
    );
    expect((await bob("docker", "push", "-q", app)).stderr).toContain(
      "denied: requested access to the resource is denied",
    );
    await daemon.docker("rmi", app);
    expect((await daemon.docker("pull", "-q", app)).stderr).toMatch(/pull access denied|unauthorized/);
    expect((await bob("docker", "pull", "-q", app)).stdout).toBe(`${app}\n`);
  });

  test("skopeo does with tokens and with passwords", async () => {
    const source = `docker://${registry.host}/team/app:1`;
    const args = ["--insecure-policy", "copy", "--src-tls-verify=false", "--dest-tls-verify=false"];
    const creds = ["--src-creds", "ann:ann-password", "--dest-creds", "ann:ann-password"];
    const copied = await run(["skopeo", ...args, ...creds, source, `docker://${registry.host}/team/copy:1`]);
    expect(copied).toMatchObject({ code: 0, stderr: "" });
    const refused = await run(["skopeo", ...args, ...creds, source, `docker://${registry.host}/other/copy:1`]);
    expect(refused.code).not.toBe(0);
  });

  test("what is public is pulled by everybody, and pushed by nobody without a right", async () => {
    const { token } = await tokenFor("root", "repository:public/tool:pull,push");
    const digest = digestOf("public");
    const push = (headers: Record<string, string>) =>
      registry.request("POST", `/v2/public/tool/blobs/uploads/?digest=${digest}`, { body: "public", headers });
    expect((await push({})).status).toBe(401);
    expect((await push(bearer((await tokenFor("", "repository:public/tool:pull,push")).token))).status).toBe(401);
    expect((await push(bearer(token))).status).toBe(201);
    expect((await registry.request("GET", `/v2/public/tool/blobs/${digest}`)).status).toBe(200);
    expect((await registry.request("GET", "/v2/team/app/tags/list")).status).toBe(401);
  });

  test("challenges name realm, service and scope; a lack of scope is said", async () => {
    const bare = await registry.request("GET", "/v2/");
    expect([bare.status, await codeOf(bare)]).toEqual([401, "UNAUTHORIZED"]);
    const realm = `realm="http://${registry.host}/auth/token"`;
    expect(bare.headers.get("www-authenticate")).toBe(`Bearer ${realm},service="brig-registry"`);
    const push = await registry.request("POST", "/v2/team/app/blobs/uploads/", {
      headers: bearer((await tokenFor("ann", "repository:team/app:pull")).token),
    });
    expect([push.status, push.headers.get("www-authenticate")]).toEqual([
      401,
      `Bearer ${realm},service="brig-registry",scope="repository:team/app:pull,push",error="insufficient_scope"`,
    ]);
    const odd = await registry.request("GET", "/v2/", { headers: { Host: 'evil"x' } }).catch(() => undefined);
    expect(odd?.headers.get("www-authenticate") ?? "").not.toContain('evil"x');
  });

  test("a token grants no more than its user may, and only as long", async () => {
    const { token } = await tokenFor(
      "bob",
      "repository:team/app:pull,push,delete",
      "&scope=repository:elsewhere/app:*&scope=registry:catalog:*",
    );
    expect(claimsOf(token).access).toEqual([{ type: "repository", name: "team/app", actions: ["pull"] }]);
    const list = () => registry.request("GET", "/v2/team/app/tags/list", { headers: bearer(token) });
    expect((await list()).status).toBe(200);
    await manage(registry, ["revoke", "bob", "team/app"]);
    expect((await list()).status).toBe(401);
    await manage(registry, ["grant", "bob", "team/app", "read"]);
    expect((await list()).status).toBe(200);
    expect((await tokenFor("root", "registry:catalog:*").then(({ token }) => claimsOf(token))).access).toHaveLength(1);
  });

  test("forged tokens are refused", async () => {
    const { token } = await tokenFor("ann", "repository:team/app:pull");
    const [head = "", body = "", proof = ""] = token.split(".");
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = claimsOf(token);
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const signed = (payload: string) =>
      `${payload}.${sign("sha256", Buffer.from(payload), { key: privateKey, dsaEncoding: "ieee-p1363" }).toString("base64url")}`;
    const none = `${encode({ typ: "JWT", alg: "none" })}.${body}`;
    const hmac = `${encode({ typ: "JWT", alg: "HS256" })}.${body}`;
    const wider = encode({ ...claims, access: [{ type: "repository", name: "team/app", actions: ["delete"] }] });
    for (const forged of [
      `${none}.`,
      `${none}.${proof}`,
      `${hmac}.${createHmac("sha256", "").update(hmac).digest("base64url")}`,
      `${head}.${wider}.${proof}`,
      signed(`${head}.${body}`),
      `${head}.${body}`,
      `${token}x`,
      "x".repeat(20_000),
    ]) {
      const answer = await registry
        .request("GET", "/v2/team/app/tags/list", { headers: bearer(forged) })
        .catch(() => undefined);
      expect(answer?.status ?? 401).toBeOneOf([401, 431]);
    }
  });

  test("identity tokens stand for a password until that is changed", async () => {
    const { refresh_token = "" } = await tokenFor("ann", "repository:team/app:pull", "&offline_token=true");
    const refresh = () =>
      registry.request("POST", "/auth/token", {
        body: new URLSearchParams({
          grant_type: "refresh_token",
          refresh_token,
          service: "brig-registry",
          scope: "repository:team/app:pull,push",
        }).toString(),
      });
    const answer = await refresh();
    expect(claimsOf(((await answer.json()) as { access_token: string }).access_token).access[0].actions).toEqual([
      "pull",
      "push",
    ]);
    await manage(registry, ["passwd", "ann", "--password-stdin"], "ann-password");
    expect((await refresh()).status).toBe(401);
  });

  test("lists show what one may see", async () => {
    await registry.request("PUT", "/v2/public/tool/manifests/1", {
      headers: { ...basic("root", "root-password"), "Content-Type": "application/vnd.oci.image.manifest.v1+json" },
      body: JSON.stringify({
        schemaVersion: 2,
        mediaType: "application/vnd.oci.image.manifest.v1+json",
        config: { mediaType: "application/vnd.oci.empty.v1+json", digest: digestOf("public"), size: 6 },
        layers: [],
        annotations: { "org.opencontainers.image.description": "a tool for all" },
      }),
    });
    const catalog = async (user: string) => {
      const answer = await registry.request("GET", "/v2/_catalog", { headers: basic(user, `${user}-password`) });
      return ((await answer.json()) as { repositories: string[] }).repositories;
    };
    expect(await catalog("bob")).toEqual(["public/tool", "team/app"]);
    expect(await catalog("root")).toEqual(["public/tool", "team/app", "team/copy"]);
    const found = await daemon.docker("search", "--format", "{{.Name}}: {{.Description}}", `${registry.host}/o`);
    expect(found.stdout).toBe("public/tool: a tool for all\n");
    const hidden = await registry.request("GET", "/v2/team/copy/tags/list", { headers: basic("bob", "bob-password") });
    expect([hidden.status, await codeOf(hidden)]).toEqual([404, "NAME_UNKNOWN"]);
  });

  test("mounting needs the right to read the source", async () => {
    const { layer } = { layer: digestOf("a secret of team/copy") };
    await registry.request("POST", `/v2/team/copy/blobs/uploads/?digest=${layer}`, {
      body: "a secret of team/copy",
      headers: basic("root", "root-password"),
    });
    await manage(registry, ["grant", "bob", "bob/*", "write"]);
    const mount = await registry.request("POST", `/v2/bob/own/blobs/uploads/?mount=${layer}&from=team/copy`, {
      headers: basic("bob", "bob-password"),
    });
    expect(mount.status).toBe(202);
    const automatic = await registry.request("POST", `/v2/bob/own/blobs/uploads/?mount=${layer}`, {
      headers: basic("bob", "bob-password"),
    });
    expect(automatic.status).toBe(202);
  });

  test("numbers for Prometheus", async () => {
    const address = /Metrics are at (\S+)"/.exec(registry.log)![1];
    const text = await (await fetch(`http://${address}/metrics`)).text();
    expect(text).toMatch(/^brig_registry_requests_total\{method="GET",route="base",status="401"\} [1-9]/m);
    expect(text).toMatch(/^brig_registry_repositories [1-9]/m);
    expect(text).toMatch(/^brig_registry_request_seconds_bucket\{method="GET",route="base",le="\+Inf"\} [1-9]/m);
    expect((await fetch(`http://${address}/health`)).status).toBe(200);
    expect((await registry.request("GET", "/metrics", { headers: basic("root", "root-password") })).status).toBe(404);
  });

  test("keys and users are kept from others; the command says what is wrong", async () => {
    expect(statSync(`${registry.root}/data/token-key.pem`).mode & 0o777).toBe(0o600);
    expect((await manage(registry, ["ls"])).stdout).toContain("root  everything\n");
    expect((await manage(registry, ["add", "ann", "--password-stdin"], "x")).stderr).toBe("user ann exists already\n");
    expect((await manage(registry, ["grant", "nobody", "x", "read"])).stderr).toBe("no such user: nobody\n");
    expect((await manage(registry, ["grant", "ann", "x", "own"])).code).toBe(125);
    expect((await manage(registry, ["add", "../x", "--password-stdin"], "x")).stderr).toBe("invalid user name: ../x\n");
  });

  test("who guesses passwords has to wait", async () => {
    const guess = () => registry.request("GET", "/v2/", { headers: basic("ann", String(Math.random())) });
    const answers: Response[] = [];
    for (let round = 0; round < 36 && answers.at(-1)?.status !== 429; round++) answers.push(await guess());
    expect([answers.at(-1)!.status, Number(answers.at(-1)!.headers.get("retry-after"))]).toEqual([
      429,
      expect.any(Number),
    ]);
    // Who has proved who he is before is not held up by that.
    expect((await registry.request("GET", "/v2/", { headers: basic("bob", "bob-password") })).status).toBe(200);
  });
});

test("an htpasswd file with passwords alone: docker and skopeo log in, and changes count", async () => {
  const registry = new BrigRegistry(["--auth", "htpasswd", "--tokens=false"]);
  const path = `${registry.root}/htpasswd`;
  registry.options.push("--htpasswd", path);
  const hash = async (password: string) =>
    (await Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 })).replace("$2b$", "$2y$");
  await Bun.write(path, `carol:${await hash("one")}\n`);
  await registry.start();
  const daemon = await new TestDaemon().start();
  try {
    const login = (password: string) =>
      run(["docker", "login", "-u", "carol", "-p", password, registry.host], {
        env: { DOCKER_HOST: daemon.host, DOCKER_CONFIG: daemon.root },
      });
    expect((await login("one")).stdout).toContain("Login Succeeded");
    expect((await login("two")).stderr).toContain("failed with status: 401 Unauthorized");
    const challenge = (await registry.request("GET", "/v2/")).headers.get("www-authenticate");
    expect(challenge).toBe('Basic realm="Brig registry"');
    await Bun.write(path, `carol:${await hash("two")}\n`);
    await Bun.sleep(1100);
    expect((await registry.request("GET", "/v2/", { headers: basic("carol", "one") })).status).toBe(401);
    expect((await registry.request("GET", "/v2/", { headers: basic("carol", "two") })).status).toBe(200);
  } finally {
    await daemon.dispose();
    await registry.dispose();
  }
});

test("tokens of an outside server", async () => {
  const registry = new BrigRegistry([
    "--auth",
    "token",
    "--token-realm",
    "https://auth.example/token",
    "--token-service",
    "here",
    "--token-issuer",
    "there",
  ]);
  const { privateKey, publicKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
  await Bun.write(`${registry.root}/key.pem`, publicKey.export({ type: "spki", format: "pem" }) as string);
  registry.options.push("--token-key", `${registry.root}/key.pem`);
  await registry.start();
  const now = Math.floor(Date.now() / 1000);
  const token = (more: object) => {
    const encode = (value: object) => Buffer.from(JSON.stringify(value)).toString("base64url");
    const claims = {
      iss: "there",
      aud: "here",
      sub: "x",
      exp: now + 60,
      access: [{ type: "repository", name: "a/b", actions: ["pull", "push"] }],
    };
    const payload = `${encode({ alg: "RS256", typ: "JWT" })}.${encode({ ...claims, ...more })}`;
    return `${payload}.${sign("sha256", Buffer.from(payload), privateKey).toString("base64url")}`;
  };
  const post = (given: string, repository = "a/b") =>
    registry
      .request("POST", `/v2/${repository}/blobs/uploads/`, { headers: bearer(given) })
      .then(({ status }) => status);
  expect(await post(token({}))).toBe(202);
  expect(await post(token({}), "a/c")).toBe(401);
  for (const more of [{ exp: now - 60 }, { nbf: now + 600 }, { aud: "elsewhere" }, { iss: "else" }])
    expect(await post(token(more))).toBe(401);
  const bare = await registry.request("GET", "/v2/a/b/tags/list");
  expect(bare.headers.get("www-authenticate")).toBe(
    'Bearer realm="https://auth.example/token",service="here",scope="repository:a/b:pull"',
  );
  await registry.dispose();
});

test("quotas: what does not fit is refused, and nothing of it is stored", async () => {
  const registry = await new BrigRegistry([
    "--quota-repository",
    "1m",
    "--quota-namespace",
    "1500k",
    "--quota-total",
    "2m",
  ]).start();
  const blob = (letter: string) => letter.repeat(700_000);
  try {
    await registry.pushBlob("one/a", blob("a"));
    await registry.pushBlob("one/a", blob("a"));
    await expect(registry.pushBlob("one/a", blob("b"))).rejects.toThrow("quota of repository one/a exceeded");
    await registry.pushBlob("one/b", blob("b"));
    await expect(registry.pushBlob("one/c", blob("c"))).rejects.toThrow("quota of namespace one exceeded");
    await expect(registry.pushBlob("two/a", blob("c"))).rejects.toThrow("quota of registry exceeded");
    const { headers } = await registry.request("POST", "/v2/one/a/blobs/uploads/");
    const stream = new ReadableStream({
      start(controller) {
        controller.enqueue(Buffer.from(blob("d")));
        controller.close();
      },
    });
    await registry.request("PATCH", headers.get("location")!, { body: stream });
    const put = await registry.request("PUT", `${headers.get("location")}?digest=${digestOf(blob("d"))}`);
    expect([put.status, await codeOf(put)]).toEqual([403, "DENIED"]);
    expect((await registry.request("HEAD", `/v2/one/a/blobs/${digestOf(blob("d"))}`)).status).toBe(404);
    expect((await registry.request("GET", headers.get("location")!)).status).toBe(404);
  } finally {
    await registry.dispose();
  }
});
