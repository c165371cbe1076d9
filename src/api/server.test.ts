import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { conflict, notFound, notModified } from "../lib/errors.ts";
import { FakeAttachment, fakeRooms, RawClient, until } from "./fixture.ts";
import { type Listening, listen } from "./listen.ts";
import { Api } from "./server.ts";

const dir = mkdtempSync(join(tmpdir(), "brig-api-"));
const path = join(dir, "sub", "api.sock");
let attachment = new FakeAttachment();
const created: unknown[] = [];
const attachedWith: unknown[] = [];
let waiting: ((code: number) => void) | undefined;
const execError: { current?: Error } = {};

const rooms = fakeRooms({
  containers: {
    find(name) {
      if (name === "gone") throw notFound(`No such container: ${name}`);
      return { record: { config: { Tty: name === "tty" } } };
    },
    create: async (request) => {
      created.push(request);
      return { Id: "abc", Warnings: [] };
    },
    list: async (query) => [{ Id: JSON.stringify({ ...query, filters: [...query.filters] }) }],
    inspect: async (Id) => {
      if (Id === "broken") throw new TypeError("secret of the house");
      return { Id, NetworkSettings: { Networks: { bridge: { IPAddress: "172.17.0.2" } } } };
    },
    start: async (name) => {
      if (name === "running") throw notModified();
    },
    stop: async () => {},
    rename: () => {
      throw conflict("taken");
    },
    wait: (_name, _condition, signal) =>
      new Promise((resolve, reject) => {
        waiting = (StatusCode) => resolve({ StatusCode });
        signal.addEventListener("abort", () => reject(new Error("abandoned")));
      }),
    attach: async (_name, options) => {
      attachedWith.push(options);
      return attachment;
    },
    async *logs(_name, { tail }) {
      yield Buffer.from(`tail=${tail}\n`);
    },
    execInspect: (ID) => ({ ID }) as never,
    execStart: async (_id, { detach }) => {
      if (execError.current) throw execError.current;
      return detach ? undefined : attachment;
    },
  },
  images: {
    inspect: (name) => ({ Id: name, Size: 5 }),
    load: async (archive, progress) => {
      let length = 0;
      for await (const chunk of archive) length += chunk.length;
      progress({ stream: `loaded ${length}` });
      return [];
    },
    pull: async ({ reference, auth }, progress) => {
      if (reference === "none") throw notFound("no such thing");
      progress({ status: `as ${auth?.username}` });
      throw new Error("half way");
    },
  },
});

let listening: Listening = await listen(new Api(rooms), [`unix://${path}`], {
  group: "0",
  runRoot: "/run/brig-test",
  log: { info: () => {}, warn: () => {} },
});
afterAll(async () => {
  await listening.close();
  rmSync(dir, { recursive: true });
});

async function ask(method: string, url: string, body?: unknown, headers: Record<string, string> = {}) {
  const init: RequestInit & { unix: string } = { method, unix: path, headers };
  if (body !== undefined) {
    init.body = typeof body === "string" ? body : JSON.stringify(body);
    if (!("Content-Type" in headers)) init.headers = { ...headers, "Content-Type": "application/json" };
  }
  const response = await fetch(`http://brig${url}`, init);
  return { status: response.status, headers: response.headers, text: await response.text() };
}

const message = (answer: { text: string }) => (JSON.parse(answer.text) as { message: string }).message;

test("/_ping tells what clients negotiate by", async () => {
  for (const method of ["GET", "HEAD"]) {
    const { status, headers, text } = await ask(method, "/_ping");
    expect(status).toBe(200);
    expect(text).toBe(method === "GET" ? "OK" : "");
    expect(headers.get("api-version")).toBe("1.56");
    expect(headers.get("ostype")).toBe("linux");
    expect(headers.get("docker-experimental")).toBe("false");
    expect(headers.get("builder-version")).toBe("2");
    expect(headers.get("swarm")).toBe("inactive");
    expect(headers.get("server")).toBe("Brig/0.0-test (linux)");
    expect(headers.get("cache-control")).toBe("no-cache, no-store, must-revalidate");
  }
});

test("a connection serves many requests", async () => {
  const one = "GET /_ping HTTP/1.1\r\nHost: x\r\n\r\n";
  const client = await RawClient.open(path, one);
  await until(() => client.text.endsWith("OK"));
  client.socket.write(one);
  await until(() => client.text.split("HTTP/1.1 200 OK").length === 3, "the second answer");
  client.socket.destroy();
});

test("versions", async () => {
  expect((await ask("GET", "/v1.24/containers/json")).status).toBe(200);
  expect((await ask("GET", "/v1.56/containers/json")).status).toBe(200);
  expect(message(await ask("GET", "/v1.23/info"))).toBe(
    "client version 1.23 is too old. Minimum supported API version is 1.24, please upgrade your client to a newer version",
  );
  const tooNew = await ask("GET", "/v1.99/info");
  expect(tooNew.status).toBe(400);
  expect(message(tooNew)).toBe("client version 1.99 is too new. Maximum supported API version is 1.56");
});

test("what has no route is not found; what is not served yet says so", async () => {
  for (const url of ["/", "/nope", "/v1.40", "/v1.x/info", "/containers//json"]) {
    const answer = await ask("GET", url);
    expect([url, answer.status, message(answer)]).toEqual([url, 404, "page not found"]);
  }
  expect((await ask("PUT", "/info")).status).toBe(404);
  expect((await ask("POST", "/build")).status).toBe(501);
  expect((await ask("GET", "/services")).status).toBe(503);
});

test("errors have their kind's status, and unexpected ones are logged", async () => {
  expect((await ask("POST", "/containers/running/start")).status).toBe(304);
  expect((await ask("POST", "/containers/c/start")).status).toBe(204);
  const taken = await ask("POST", "/containers/c/rename?name=x");
  expect([taken.status, message(taken)]).toEqual([409, "taken"]);
  expect(message(await ask("POST", "/containers/c/rename"))).toBe("Neither old nor new names may be empty");
  expect(message(await ask("POST", "/containers/c/stop?t=x"))).toBe('strconv.Atoi: parsing "x": invalid syntax');
  expect((await ask("GET", "/containers/broken/json")).status).toBe(500);
  expect(rooms.logged.at(-1)).toContain("secret of the house");
});

test("names may hold slashes, plain and escaped", async () => {
  expect(JSON.parse((await ask("GET", "/images/a/b/c:1/json")).text).Id).toBe("a/b/c:1");
  expect(JSON.parse((await ask("GET", "/v1.40/images/a%2Fb@sha256:0/json")).text)).toMatchObject({
    Id: "a/b@sha256:0",
    VirtualSize: 5,
  });
  expect((await ask("GET", "/images/%E0%A4%A/json")).status).toBe(400);
});

test("queries reach the rooms", async () => {
  const list = async (query: string) => {
    const { text } = await ask("GET", `/containers/json?${query}`);
    return JSON.parse((JSON.parse(text) as { Id: string }[])[0]!.Id);
  };
  expect(await list("")).toEqual({ all: false, limit: 0, size: false, filters: [] });
  expect(await list(`all=1&size=no&limit=3&filters=${encodeURIComponent('{"label":["a","b"]}')}`)).toEqual({
    all: true,
    limit: 3,
    size: false,
    filters: [["label", ["a", "b"]]],
  });
  expect(await list(`filters=${encodeURIComponent('{"label":{"a":true,"b":false},"__proto__":["x"]}')}`)).toMatchObject(
    {
      filters: [
        ["label", ["a"]],
        ["__proto__", ["x"]],
      ],
    },
  );
  for (const filters of ["x", "[]", '{"a":1}', '{"a":["b",1]}']) {
    expect(message(await ask("GET", `/containers/json?filters=${encodeURIComponent(filters)}`))).toBe("invalid filter");
  }
});

test("older clients get networks' settings where they look for them", async () => {
  const settings = async (version: string) =>
    JSON.parse((await ask("GET", `/${version}/containers/c/json`)).text).NetworkSettings;
  expect((await settings("v1.51")).IPAddress).toBe("172.17.0.2");
  expect((await settings("v1.56")).IPAddress).toBeUndefined();
});

test("create: the body is taken apart and checked", async () => {
  const answer = await ask("POST", "/v1.44/containers/create?name=n&platform=linux/amd64", {
    image: "alpine",
    Cmd: "true",
    MacAddress: "02:00:00:00:00:01",
    Nonsense: { a: 1 },
    Env: null,
    HostConfig: {
      Memory: 5,
      PidsLimit: -1,
      Init: true,
      PortBindings: { "80/tcp": [{ HostPort: "1" }], "81/tcp": null },
    },
  });
  expect([answer.status, JSON.parse(answer.text)]).toEqual([201, { Id: "abc", Warnings: [] }]);
  expect(created.at(-1)).toEqual({
    name: "n",
    platform: "linux/amd64",
    config: { Image: "alpine", Cmd: ["true"] },
    hostConfig: { Memory: 5, Init: true, PortBindings: { "80/tcp": [{ HostPort: "1" }], "81/tcp": null } },
    networkingConfig: { EndpointsConfig: { default: { MacAddress: "02:00:00:00:00:01" } } },
  });
  await ask("POST", "/v1.39/containers/create?platform=linux/arm64", { Image: "alpine" });
  expect(created.at(-1)).toMatchObject({
    platform: undefined,
    hostConfig: { IpcMode: "shareable", CgroupnsMode: "host" },
  });
});

test.each<[string, string, string]>([
  ["", "application/json", "invalid JSON: got EOF while reading request body"],
  ["{}", "application/json; charset=utf-8", "config cannot be empty in order to create a container"],
  ["null", "application/json", "config cannot be empty in order to create a container"],
  ["{}", "text/plain", "unsupported Content-Type header (text/plain): must be 'application/json'"],
  ['{"Image":', "application/json", "invalid JSON: unexpected EOF"],
  ["{} x", "application/json", "unexpected content after JSON"],
  [
    "[]",
    "application/json",
    "invalid JSON: json: cannot unmarshal array into Go value of type container.CreateRequest",
  ],
  [
    '{"Tty":"x"}',
    "application/json",
    "invalid JSON: json: cannot unmarshal string into Go struct field CreateRequest.Config.Tty of type bool",
  ],
])("create with %p as %s", async (body, contentType, sentence) => {
  const answer = await ask("POST", "/containers/create", body, { "Content-Type": contentType });
  expect([answer.status, message(answer)]).toEqual([400, sentence]);
});

test("a body that is too large is refused, one that is cut off does nothing", async () => {
  const count = created.length;
  const answer = await ask("POST", "/containers/create", `{"Image":"${"x".repeat(5_000_000)}"}`);
  expect(answer.status).toBe(400);
  const client = await RawClient.open(
    path,
    'POST /containers/create HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 17\r\n\r\n{"Image":"a"',
  );
  await Bun.sleep(30);
  client.socket.destroy();
  await Bun.sleep(50);
  expect(created.length).toBe(count);
  expect((await ask("GET", "/_ping")).status).toBe(200);
});

test("an archive is streamed; one that is cut off is no archive", async () => {
  const answer = await ask("POST", "/images/load", "x".repeat(300_000), { "Content-Type": "application/x-tar" });
  expect(JSON.parse(answer.text)).toEqual({ stream: "loaded 300000" });
  const client = await RawClient.open(
    path,
    "POST /images/load HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nabcde\r\n",
  );
  await Bun.sleep(30);
  client.socket.end();
  await until(() => client.closed);
  expect(client.text).not.toContain("loaded");
});

test("pull: an error before anything was said has its status, one after it is the last line", async () => {
  const none = await ask("POST", "/images/create?fromImage=none");
  expect([none.status, message(none)]).toEqual([404, "no such thing"]);
  const auth = Buffer.from(JSON.stringify({ username: "u", password: "p" })).toString("base64url");
  const half = await ask("POST", "/images/create?fromImage=a&tag=b", undefined, { "X-Registry-Auth": auth });
  expect(half.status).toBe(200);
  expect(
    half.text
      .trim()
      .split("\r\n")
      .map((line) => JSON.parse(line)),
  ).toEqual([{ status: "as u" }, { errorDetail: { message: "half way" }, error: "half way" }]);
});

test("wait: the status comes at once, the exit code when there is one", async () => {
  const client = await RawClient.open(path, "POST /containers/c/wait?condition=next-exit HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => client.text.includes("200 OK"), "the status");
  expect(client.text).toContain("Content-Type: application/json");
  expect(client.text).not.toContain("StatusCode");
  waiting?.(3);
  await until(() => client.text.includes('{"StatusCode":3}'), "the exit code");
  client.socket.destroy();
  expect(message(await ask("POST", "/containers/gone/wait"))).toBe("No such container: gone");
  expect(message(await ask("POST", "/containers/c/wait?condition=foo"))).toBe('invalid condition: "foo"');
});

test("wait is given up when the client goes", async () => {
  const before = rooms.logged.length;
  const client = await RawClient.open(path, "POST /containers/c/wait HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => client.text.includes("200 OK"));
  client.socket.destroy();
  await Bun.sleep(50);
  expect(rooms.logged.length).toBe(before);
});

test("logs", async () => {
  const plain = await ask("GET", "/containers/c/logs?stdout=1&tail=5");
  expect([plain.text, plain.headers.get("content-type")]).toEqual([
    "tail=5\n",
    "application/vnd.docker.multiplexed-stream",
  ]);
  const old = await ask("GET", "/v1.41/containers/c/logs?stdout=1&tail=all");
  expect([old.text, old.headers.get("content-type")]).toEqual([
    "tail=undefined\n",
    "application/vnd.docker.raw-stream",
  ]);
  expect((await ask("GET", "/containers/tty/logs?stderr=1")).headers.get("content-type")).toBe(
    "application/vnd.docker.raw-stream",
  );
  expect(message(await ask("GET", "/containers/c/logs"))).toBe("Bad parameters: you must choose at least one stream");
  expect((await ask("GET", "/containers/c/logs?stdout=1&since=x")).status).toBe(400);
});

test("events: as they happen, the past when asked for, in the client's version", async () => {
  rooms.events.publish("container", "create", "c1", { image: "alpine", name: "n" });
  await Bun.sleep(5);
  const past = await ask("GET", `/v1.45/events?since=0&until=${Date.now() / 1000}`);
  expect(past.headers.get("content-type")).toBe("application/json");
  expect(JSON.parse(past.text)).toMatchObject({ status: "create", id: "c1", from: "alpine", Type: "container" });
  const live = await RawClient.open(path, "GET /events HTTP/1.1\r\nHost: x\r\n\r\n");
  await until(() => live.text.includes("application/jsonl"), "the status");
  rooms.events.publish("network", "connect", "n1", {});
  await until(() => live.text.includes('"n1"'), "the event");
  expect(live.text).not.toContain("status");
  expect(rooms.events.listenerCount).toBe(1);
  live.socket.destroy();
  await until(() => rooms.events.listenerCount === 0, "the end of listening");
  expect(message(await ask("GET", "/events?since=10&until=1"))).toBe(
    "`since` time (10) cannot be after `until` time (1)",
  );
});

const upgrade = "Connection: Upgrade\r\nUpgrade: tcp\r\n";

test("attach: frames out, bytes in, half-close both ways", async () => {
  attachment = new FakeAttachment();
  const client = await RawClient.open(
    path,
    `POST /v1.45/containers/c/attach?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\nearly`,
  );
  await until(() => client.text.includes("\r\n\r\n"), "the status");
  expect(client.text).toStartWith("HTTP/1.1 101 UPGRADED\r\n");
  expect(client.text).toContain("Content-Type: application/vnd.docker.multiplexed-stream\r\n");
  expect(attachedWith.at(-1)).toMatchObject({ stream: true, stdin: true, stdout: true, stderr: false, logs: false });
  client.socket.write("late");
  await until(() => attachment.received.join("") === "earlylate", "stdin");
  attachment.say("out");
  attachment.say("err", 2);
  client.socket.end();
  await until(() => attachment.stdinClosed, "the end of stdin");
  attachment.say("still");
  await until(() => client.text.includes("still"));
  attachment.exit();
  await until(() => client.ended, "the end");
  expect(client.text.split("\r\n\r\n")[1]).toBe(
    "\x01\0\0\0\0\0\0\x03out\x02\0\0\0\0\0\0\x03err\x01\0\0\0\0\0\0\x05still",
  );
});

test("attach to a terminal: bytes as they are, and the older content type", async () => {
  attachment = new FakeAttachment(true);
  const client = await RawClient.open(path, `POST /containers/c/attach?stream=1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
  attachment.say("raw");
  attachment.exit();
  await until(() => client.ended);
  expect(client.text).toContain("Content-Type: application/vnd.docker.raw-stream\r\n");
  expect(client.text).toEndWith("\r\n\r\nraw");
});

test("attach with a body: it is not taken for stdin", async () => {
  attachment = new FakeAttachment();
  const client = await RawClient.open(
    path,
    `POST /containers/c/attach?stream=1 HTTP/1.1\r\nHost: x\r\n${upgrade}Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{}`,
  );
  await until(() => client.text.includes("101 UPGRADED"));
  client.socket.write("in");
  await until(() => attachment.received.length > 0);
  expect(attachment.received).toEqual(["in"]);
  client.socket.destroy();
  await until(() => attachment.detached, "detaching");
});

test("attach without an upgrade: 200, and the rest of a chunked body is stdin", async () => {
  attachment = new FakeAttachment();
  const client = await RawClient.open(
    path,
    "POST /containers/c/attach?stream=1 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n",
  );
  await until(() => client.text.includes("\r\n\r\n"));
  expect(client.text).toBe("HTTP/1.1 200 OK\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n");
  client.socket.write("2\r\nin\r\n");
  await until(() => attachment.received.join("") === "in");
  client.socket.write("0\r\n\r\n");
  await until(() => attachment.stdinClosed);
  attachment.say("x");
  attachment.exit();
  await until(() => client.ended);
  expect(client.text).toEndWith("\x01\0\0\0\0\0\0\x01x");
});

test("a client that vanishes detaches at once", async () => {
  attachment = new FakeAttachment();
  const client = await RawClient.open(path, `POST /containers/c/attach?stream=1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
  await until(() => client.text.includes("101"));
  client.socket.destroy();
  await until(() => attachment.detached, "detaching");
});

test("a client that does not read holds the output back, and gets all of it when it does", async () => {
  attachment = new FakeAttachment(true);
  const chunks = 200;
  for (let i = 0; i < chunks; i++) attachment.say(Buffer.alloc(65_536, 97));
  attachment.exit();
  const socket = connect({ path, allowHalfOpen: true });
  socket.write(`POST /containers/c/attach?stream=1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
  await Bun.sleep(150);
  expect(attachment.pulled).toBeLessThan(40);
  let length = 0;
  let ended = false;
  socket.on("data", (data) => {
    length += data.length;
  });
  socket.on("end", () => {
    ended = true;
  });
  await until(() => ended, "the end");
  expect(length).toBeGreaterThan(chunks * 65_536);
  socket.destroy();
});

test("stdin that is not taken holds the client back", async () => {
  attachment = new FakeAttachment(true);
  let unblock = () => {};
  attachment.blocked = new Promise((resolve) => {
    unblock = resolve;
  });
  const socket = connect({ path, allowHalfOpen: true });
  socket.write(`POST /containers/c/attach?stream=1&stdin=1 HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
  await Bun.sleep(30);
  const chunk = Buffer.alloc(65_536, 98);
  for (let i = 0; i < 100; i++) socket.write(chunk);
  socket.end();
  await Bun.sleep(100);
  expect(attachment.received.length).toBe(1);
  unblock();
  await until(() => attachment.stdinClosed, "the end of stdin");
  expect(attachment.received.join("").length).toBe(100 * 65_536);
  attachment.exit();
  socket.destroy();
});

test("attach to what is not there is an error like others, with and without an upgrade", async () => {
  const attach = rooms.containers.attach;
  Object.assign(rooms.containers, {
    attach: async () => {
      throw notFound("No such container: x");
    },
  });
  const client = await RawClient.open(path, `POST /containers/x/attach HTTP/1.1\r\nHost: x\r\n${upgrade}\r\n`);
  await until(() => client.ended);
  expect(client.text).toStartWith("HTTP/1.1 404 Not Found\r\n");
  expect(client.text).toEndWith('{"message":"No such container: x"}\n');
  expect((await ask("POST", "/containers/x/attach")).status).toBe(404);
  Object.assign(rooms.containers, { attach });
});

test("an upgrade that nobody knows is ignored", async () => {
  const client = await RawClient.open(
    path,
    "GET /_ping HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n",
  );
  await until(() => client.text.endsWith("OK"));
  expect(client.text).toStartWith("HTTP/1.1 200 OK");
  client.socket.destroy();
});

test("exec start: the body, then the stream", async () => {
  attachment = new FakeAttachment();
  const body = '{"Detach":false,"Tty":false}';
  const client = await RawClient.open(
    path,
    `POST /v1.45/exec/e/start HTTP/1.1\r\nHost: x\r\n${upgrade}Content-Type: application/json\r\nContent-Length: ${body.length}\r\n\r\n${body}typed`,
  );
  await until(() => attachment.received.join("") === "typed", "stdin");
  attachment.say("done");
  attachment.exit();
  await until(() => client.ended);
  expect(client.text).toEndWith("\r\n\r\n\x01\0\0\0\0\0\0\x04done");
  expect((await ask("POST", "/exec/e/start", { Detach: true })).status).toBe(200);
  const plain = await ask("POST", "/exec/e/start", { Detach: 1 });
  expect(message(plain)).toContain("into Go struct field ExecStartOptions.Detach of type bool");
});

test("listening: a stale socket is replaced, a live one is not", async () => {
  const options = { group: "0", runRoot: "/run/brig-test", log: { info: () => {}, warn: () => {} } };
  const other = new Api(rooms);
  await expect(listen(other, [`unix://${path}`], options)).rejects.toThrow("another daemon listens there");
  await expect(listen(other, ["udp://x"], options)).rejects.toThrow("invalid bind address format: udp://x");
  await listening.close();
  const { readdirSync, statSync } = await import("node:fs");
  expect(readdirSync(join(dir, "sub"))).toEqual([]);
  const orphan = Bun.spawnSync(["python3", "-c", `import socket;socket.socket(1).bind(${JSON.stringify(path)})`]);
  if (orphan.exitCode === 0) expect(statSync(path).isSocket()).toBe(true);
  listening = await listen(other, [`unix://${path}`], options);
  expect(statSync(path).mode & 0o777).toBe(0o660);
  expect((await ask("GET", "/_ping")).status).toBe(200);
});

test("listening on tcp", async () => {
  const tcp = await listen(new Api(rooms), ["tcp://127.0.0.1:0"], {
    group: "0",
    runRoot: "/run/brig-test",
    log: { info: () => {}, warn: () => {} },
  });
  expect(await (await fetch(`${tcp.hosts[0]!.replace("tcp:", "http:")}/_ping`)).text()).toBe("OK");
  await tcp.close();
});
