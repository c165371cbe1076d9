import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createSocketServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ConnectionError, EngineClient, EngineError } from "./client.ts";

let dir = "";
let server: Server;
let socket = "";
const seen: string[] = [];

/** An engine of an older version, as far as these tests need one. */
async function answer(request: IncomingMessage, response: ServerResponse): Promise<void> {
  const url = request.url ?? "";
  seen.push(`${request.method} ${url}`);
  response.setHeader("Api-Version", "1.45");
  const version = /^\/v(\d+\.\d+)/.exec(url)?.[1];
  if (version !== undefined && Number(version) > 1.45) {
    response.statusCode = 400;
    response.end(
      JSON.stringify({ message: `client version ${version} is too new. Maximum supported API version is 1.45` }),
    );
    return;
  }
  const body: Buffer[] = [];
  for await (const chunk of request) body.push(chunk as Buffer);
  const text = Buffer.concat(body).toString();
  if (url.includes("/echo")) response.end(text);
  else if (url.includes("/lines")) {
    for (let line = 0; line < 3; line++) {
      response.write(`{"line":${line}}\n`);
      await Bun.sleep(1);
    }
    response.end();
  } else if (url.includes("/cut")) {
    response.write("begin");
    setTimeout(() => response.socket?.destroy(), 20);
  } else if (url.includes("/empty")) response.writeHead(204).end();
  else if (url.includes("_ping")) response.end();
  else {
    response.statusCode = 404;
    response.end('{"message":"No such container: x"}');
  }
}

function client(path = socket, apiVersion?: string): EngineClient {
  const endpoint = { host: `unix://${path}`, address: { unix: path }, isDefault: false };
  return new EngineClient({ endpoint, headers: {}, ...(apiVersion === undefined ? {} : { apiVersion }) });
}

beforeAll(async () => {
  dir = mkdtempSync(join(tmpdir(), "brig-client-"));
  socket = join(dir, "engine.sock");
  server = createServer((request, response) => void answer(request, response));
  await new Promise<void>((resolve) => server.listen(socket, resolve));
});

afterAll(() => {
  server.closeAllConnections();
  server.close();
  rmSync(dir, { recursive: true });
});

describe("versions", () => {
  test("steps down to the engine's and stays there", async () => {
    seen.length = 0;
    const engine = client();
    expect(await engine.json<{ a: number }>("POST", "/echo", { json: { a: 1 } })).toEqual({ a: 1 });
    await engine.call("GET", "/empty");
    expect(seen).toEqual(["POST /v1.50/echo", "POST /v1.45/echo", "GET /v1.45/empty"]);
    expect(engine.engineApiVersion).toBe("1.45");
  });

  test("steps down once for requests that are sent together", async () => {
    const engine = client();
    const answers = await Promise.all([1, 2, 3].map((a) => engine.json<number>("POST", "/echo", { json: a })));
    expect(answers).toEqual([1, 2, 3]);
  });

  test("a version that was asked for is used as it is", async () => {
    expect(client(socket, "1.49").call("GET", "/empty")).rejects.toThrow("is too new");
    expect(await client(socket, "1.40").call("GET", "/empty")).toBe(204);
  });

  test("is known before a body that cannot be sent twice", async () => {
    seen.length = 0;
    async function* body() {
      yield Buffer.from("ab");
      yield Buffer.from("cd");
    }
    const response = await client().request("POST", "/echo", { body: body() });
    expect(await response.text()).toBe("abcd");
    expect(seen).toEqual(["HEAD /_ping", "POST /v1.45/echo"]);
  });
});

describe("answers", () => {
  test("a refusal is an EngineError with the engine's sentence", async () => {
    const refusal = await client()
      .call("GET", "/containers/x/json")
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(EngineError);
    expect((refusal as EngineError).status).toBe(404);
    expect((refusal as EngineError).message).toBe("Error response from daemon: No such container: x");
  });

  test("chunks come as they are sent", async () => {
    const lines: unknown[] = [];
    for await (const line of client().jsonStream("GET", "/lines")) lines.push(line);
    expect(lines).toEqual([{ line: 0 }, { line: 1 }, { line: 2 }]);
  });

  test("an answer that is cut off is an error, not an end", async () => {
    const response = await client().request("GET", "/cut");
    expect(response.text()).rejects.toThrow("unexpected EOF");
  });
});

describe("an engine that is not there", () => {
  test("is named", async () => {
    const refusal = await client("/nowhere.sock")
      .call("GET", "/info")
      .catch((error: unknown) => error);
    expect(refusal).toBeInstanceOf(ConnectionError);
    expect((refusal as Error).message).toBe(
      "Cannot connect to the Docker daemon at unix:///nowhere.sock. Is the docker daemon running?",
    );
  });

  test("and one that goes away before it answers", async () => {
    const path = join(dir, "rude.sock");
    const rude = createSocketServer((connection) => connection.destroy());
    await new Promise<void>((resolve) => rude.listen(path, resolve));
    expect(client(path).call("GET", "/info")).rejects.toThrow("error during connect: Get");
    rude.close();
  });
});

test("a hijacked connection closes by halves", async () => {
  const path = join(dir, "hijack.sock");
  const engine = createSocketServer({ allowHalfOpen: true }, (connection) => {
    let text = "";
    connection.on("data", (bytes: Buffer) => {
      text += bytes.toString();
    });
    connection.on("end", () => {
      const body = text.slice(text.indexOf("\r\n\r\n") + 4);
      const head = "HTTP/1.1 101 UPGRADED\r\nContent-Type: application/vnd.docker.raw-stream\r\n\r\n";
      connection.end(`${head}you said ${body}`);
    });
  });
  await new Promise<void>((resolve) => engine.listen(path, resolve));
  const endpoint = { host: `unix://${path}`, address: { unix: path }, isDefault: false };
  const hijacking = new EngineClient({ endpoint, headers: {} });
  // The engine above answers only after the half-close, so the raw connection is the one to test with.
  const raw = await hijacking.rawConnection();
  await raw.writeRaw(Buffer.from("POST /x HTTP/1.1\r\n\r\nhello"));
  raw.closeWrite();
  let answerText = "";
  for await (const bytes of raw.readRaw()) answerText += Buffer.from(bytes).toString();
  expect(answerText.endsWith("you said hello")).toBe(true);
  engine.close();
});
