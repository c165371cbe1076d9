import { afterEach, expect, test } from "bun:test";
import { noProxies } from "./proxies.ts";
import type { Credentials } from "./registry-auth.ts";
import { RegistrySession } from "./session.ts";

let server: Bun.Server<undefined> | undefined;
afterEach(() => server?.stop(true));

interface Seen {
  method: string;
  path: string;
  query: URLSearchParams;
  authorization: string | null;
  body: string;
}

/** A registry and its token server, whose answers the test gives; undefined leaves it at 404. */
function serve(answer: (seen: Seen) => Response | undefined | Promise<Response>): { base: string; seen: Seen[] } {
  const seen: Seen[] = [];
  server = Bun.serve({
    port: 0,
    hostname: "127.0.0.1",
    async fetch(request) {
      const url = new URL(request.url);
      const authorization = request.headers.get("authorization");
      const body = await request.text();
      const one = { method: request.method, path: url.pathname, query: url.searchParams, authorization, body };
      seen.push(one);
      return (await answer(one)) ?? new Response("", { status: 404 });
    },
  });
  return { base: `http://127.0.0.1:${server.port}`, seen };
}

const sessionFor = (base: string, credentials: Credentials = {}) =>
  new RegistrySession(
    { base, verify: false, isMirror: false, certificates: undefined, proxies: noProxies },
    credentials,
    ["repository:app:pull,push"],
  );

const challenge = (base: string, scope = "repository:app:pull") =>
  new Response("", {
    status: 401,
    headers: { "www-authenticate": `Bearer realm="${base}/token",service="s",scope="${scope}"` },
  });

/** Grants numbered tokens that hold for `seconds`, and knows which of them still do. */
function tokens(seconds: number) {
  let last = 0;
  const valid = new Set<string>();
  const grant = (expiresIn = seconds) => {
    const token = `t${++last}`;
    valid.add(`Bearer ${token}`);
    setTimeout(() => valid.delete(`Bearer ${token}`), seconds * 1000);
    return Response.json({ token, expires_in: expiresIn });
  };
  return { grant, accepts: (header: string | null) => valid.has(header ?? ""), count: () => last };
}

test("one token serves all requests of the same kind, with the scopes of both sides put together", async () => {
  const { grant, accepts, count } = tokens(60);
  const { base, seen } = serve(({ path, authorization }) => {
    if (path === "/token") return grant();
    return accepts(authorization) ? new Response("ok") : challenge(base, "repository:app:pull registry:catalog:*");
  });
  const session = sessionFor(base, { username: "me", password: "secret" });
  const get = (path: string) => session.request({ path, signal: undefined }).then((response) => response.text());
  expect(await Promise.all([get("/app/a"), get("/app/b"), get("/app/c")])).toEqual(["ok", "ok", "ok"]);
  expect(count()).toBe(1);
  const asked = seen.find(({ path }) => path === "/token")!;
  expect(asked.query.getAll("scope")).toEqual(["repository:app:pull,push", "registry:catalog:*"]);
  expect(asked.query.get("account")).toBe("me");
  expect(asked.authorization).toBe(`Basic ${btoa("me:secret")}`);
});

test("a token that has ended in spite of its promise is replaced, and the request sent again with its body", async () => {
  const { grant, accepts, count } = tokens(0.1);
  const { base, seen } = serve(({ path, authorization }) => {
    if (path === "/token") return grant(3600);
    return accepts(authorization) ? new Response("ok") : challenge(base);
  });
  const session = sessionFor(base);
  const put = async () => {
    const body = {
      length: 6,
      async *open() {
        yield Buffer.from("abc");
        yield Buffer.from("def");
      },
    };
    return (await session.request({ method: "PUT", path: "/app/x", body, signal: undefined })).text();
  };
  await put();
  await Bun.sleep(150);
  expect(await put()).toBe("ok");
  expect(count()).toBe(2);
  expect(seen.at(-1)).toMatchObject({ method: "PUT", body: "abcdef" });
});

test("a token is renewed before it ends", async () => {
  const { grant, accepts, count } = tokens(0.3);
  let refusals = 0;
  const { base } = serve(({ path, authorization }) => {
    if (path === "/token") return grant();
    if (accepts(authorization)) return new Response("ok");
    refusals++;
    return challenge(base);
  });
  const session = sessionFor(base);
  for (let round = 0; round < 8; round++) {
    await (await session.request({ path: "/app/x", signal: undefined })).text();
    await Bun.sleep(80);
  }
  expect(count()).toBeGreaterThan(1);
  expect(refusals).toBe(1);
});

test("an extra scope has a token of its own", async () => {
  const { grant } = tokens(60);
  const scopes: string[][] = [];
  const { base } = serve(({ path, query, authorization }) => {
    if (path === "/token") scopes.push(query.getAll("scope"));
    if (path === "/token") return grant();
    return authorization ? new Response("ok") : challenge(base);
  });
  const session = sessionFor(base);
  await session.request({ path: "/app/x", signal: undefined });
  await session.request({ path: "/app/x", extraScope: "repository:other:pull", signal: undefined });
  expect(scopes).toEqual([["repository:app:pull,push"], ["repository:app:pull,push", "repository:other:pull"]]);
});

test("an identity token is exchanged, a registry token is sent as it is", async () => {
  const { base, seen } = serve(({ path, authorization }) => {
    if (path === "/token") return Response.json({ access_token: "granted" });
    return authorization === "Bearer granted" || authorization === "Bearer mine" ? new Response("ok") : challenge(base);
  });
  await sessionFor(base, { identitytoken: "refresh" }).request({ path: "/app/x", signal: undefined });
  const { method, body } = seen.find(({ path }) => path === "/token")!;
  expect(method).toBe("POST");
  expect(Object.fromEntries(new URLSearchParams(body))).toMatchObject({
    grant_type: "refresh_token",
    refresh_token: "refresh",
    service: "s",
    scope: "repository:app:pull,push",
  });
  await sessionFor(base, { registrytoken: "mine" }).request({ path: "/app/x", signal: undefined });
  expect(seen.at(-1)!.authorization).toBe("Bearer mine");
});

test("what is refused twice is refused", async () => {
  const { base, seen } = serve(({ path }) =>
    path === "/token" ? Response.json({ token: "useless" }) : challenge(base),
  );
  await expect(sessionFor(base).request({ path: "/app/x", signal: undefined })).rejects.toThrow(
    "unauthorized: authentication required",
  );
  expect(seen.length).toBe(3);
  const wrong = { username: "me", password: "no" };
  server?.stop(true);
  const other = serve(() => new Response("", { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }));
  await expect(sessionFor(other.base, wrong).request({ path: "/app/x", signal: undefined })).rejects.toThrow(
    "unauthorized",
  );
  expect(other.seen.length).toBe(2);
});

test("credentials go to nobody but the registry, and errors name the method", async () => {
  const { base, seen } = serve(({ authorization }) =>
    authorization
      ? new Response("ok")
      : new Response("", { status: 401, headers: { "www-authenticate": 'Basic realm="x"' } }),
  );
  const session = sessionFor(base, { username: "me", password: "secret" });
  await session.request({ path: "/app/x", signal: undefined });
  const elsewhere = base.replace("127.0.0.1", "localhost");
  await expect(session.request({ path: `${elsewhere}/upload`, signal: undefined })).rejects.toThrow("unauthorized");
  expect(seen.at(-1)!.authorization).toBeNull();
  server?.stop(true);
  const closed = Bun.listen({
    port: 0,
    hostname: "127.0.0.1",
    socket: { open: (socket) => void socket.end(), data() {} },
  });
  const request = { method: "HEAD" as const, path: "/app/blobs/x", signal: undefined };
  await expect(sessionFor(`http://127.0.0.1:${closed.port}`).request(request)).rejects.toThrow(
    `Head "http://127.0.0.1:${closed.port}/v2/app/blobs/x": EOF`,
  );
  closed.stop(true);
});

test("who speaks no TLS where it has to be is told of in Docker's words", async () => {
  const { base } = serve(() => new Response("hello"));
  const url = base.replace("http:", "https:");
  const endpoint = { base: url, verify: true, isMirror: false, certificates: undefined, proxies: noProxies };
  await expect(new RegistrySession(endpoint, {}, []).request({ path: "/", signal: undefined })).rejects.toThrow(
    `Get "${url}/v2/": http: server gave HTTP response to HTTPS client`,
  );
});
