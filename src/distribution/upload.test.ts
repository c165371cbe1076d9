/** Against a registry that misbehaves on purpose. */
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import type { IncomingMessage, ServerResponse } from "node:http";
import { sha256Of } from "../lib/reference.ts";
import { noProxies } from "./proxies.ts";
import { Repository } from "./repository.ts";
import { HostileRegistry } from "./testing.ts";
import type { UploadOptions } from "./upload.ts";

let registry: HostileRegistry;
let base: string;
const bytes = randomBytes(40 << 20);
const small = randomBytes(1000);

beforeEach(async () => {
  registry = new HostileRegistry();
  base = await registry.start();
});
afterEach(() => registry.stop());

const sourceOf = (content: Buffer) => ({
  digest: sha256Of(content),
  size: content.length,
  async *open(offset: number, length: number) {
    for (let at = offset; at < offset + length; at += 1 << 18)
      yield content.subarray(at, Math.min(at + (1 << 18), offset + length));
  },
});
const never = new AbortController().signal;
const upload = (content = bytes, options: Partial<UploadOptions> = {}) =>
  new Repository(
    { base, verify: false, isMirror: false, certificates: undefined, proxies: noProxies },
    "app",
    {},
    "pull,push",
  ).upload(sourceOf(content), { signal: never, ...options });
const stored = (content: Buffer) => registry.blobs.get(sha256Of(content))?.equals(content);
const refusal = (status: number, headers: Record<string, string> = {}, body = "") => {
  let left = 1;
  return (request: IncomingMessage, response: ServerResponse) => {
    if (request.method !== "PATCH" || left-- <= 0) return false;
    request.resume();
    response.writeHead(status, headers).end(body);
    return true;
  };
};

describe("a blob", () => {
  test("that is there already is not sent", async () => {
    await upload(small);
    registry.seen.length = 0;
    expect(await upload(small)).toBe("existed");
    expect(registry.seen.length).toBe(1);
  });

  test("that is small goes with one request, also an empty one; a large one in one stretch", async () => {
    expect(await upload(small)).toBe("uploaded");
    expect(await upload(Buffer.alloc(0))).toBe("uploaded");
    expect(registry.count("PATCH")).toBe(0);
    const sent: number[] = [];
    expect(await upload(bytes, { onProgress: (count) => sent.push(count) })).toBe("uploaded");
    expect(registry.count("PATCH")).toBe(1);
    expect(sent.at(-1)).toBe(bytes.length);
    for (const content of [small, bytes]) expect(stored(content)).toBe(true);
  });

  test("is mounted from the first repository that has it", async () => {
    registry.misbehave = (request, response) => {
      if (!request.url!.includes("from=secret")) return false;
      response.writeHead(403).end();
      return true;
    };
    expect(await upload(bytes, { mountFrom: ["secret", "has/it"] })).toEqual({ mountedFrom: "has/it" });
  });

  test("goes into the upload that a registry begins instead of a mount", async () => {
    expect(await upload(small, { mountFrom: ["has/not"] })).toBe("uploaded");
    expect(registry.count("POST")).toBe(1);
    expect(stored(small)).toBe(true);
  });

  test("follows locations of every kind, but nowhere else with them", async () => {
    for (const [index, kind] of [
      (path: string) => path,
      (path: string) => base + path,
      (path: string) => path.slice("/v2/app/blobs/uploads/".length),
    ].entries()) {
      registry.location = kind;
      const content = randomBytes((2 << 20) + index);
      expect(await upload(content)).toBe("uploaded");
      expect(stored(content)).toBe(true);
    }
    for (const bad of ["file:///etc/passwd", "http://"]) {
      registry.location = () => bad;
      await expect(upload(randomBytes(10))).rejects.toThrow("without saying where it goes on");
    }
  });

  test("follows a redirect of its body to another place", async () => {
    registry.misbehave = refusal(307, { location: "/v2/app/blobs/uploads/1?state=a%2Fb" });
    expect(await upload()).toBe("uploaded");
    expect(stored(bytes)).toBe(true);
  });
});

describe("a line that breaks", () => {
  for (const cut of [0, 1, (20 << 20) + 7])
    test(`at byte ${cut} is taken up where the registry says it is`, async () => {
      registry.cuts = [cut];
      const waits: number[] = [];
      expect(await upload(bytes, { onRetry: (ms) => waits.push(ms) })).toBe("uploaded");
      expect(stored(bytes)).toBe(true);
      expect(waits).toEqual([500]);
      if (cut > 1) expect(registry.seen.find((line) => line.includes(` ${cut}-`))).toStartWith("PATCH");
      expect(registry.count("POST")).toBe(cut === 1 ? 2 : 1);
    });

  test("again and again still gets there, in chunks where the registry keeps only whole requests", async () => {
    registry.keepsParts = false;
    registry.cuts = [30 << 20, 20 << 20, 33 << 20];
    expect(await upload()).toBe("uploaded");
    expect(stored(bytes)).toBe(true);
    expect(registry.seen).toContain("PATCH /v2/app/blobs/uploads/1?state=a%2Fb 0-16777215");
  }, 15_000);

  test("after the last answer was sent finds the blob there", async () => {
    let isFirst = true;
    registry.misbehave = (request) => {
      if (request.method !== "PUT" || !isFirst) return false;
      isFirst = false;
      request.resume();
      request.on("end", () => {
        registry.blobs.set(sha256Of(small), small);
        request.socket.destroy();
      });
      return true;
    };
    expect(await upload(small)).toBe("uploaded");
    expect(registry.count("PUT")).toBe(1);
  });

  test("for good is an error with the method's name, after some attempts", async () => {
    registry.misbehave = (request) => {
      if (request.method !== "POST") return false;
      request.socket.destroy();
      return true;
    };
    await expect(upload(small)).rejects.toThrow(`Post "${base}/v2/app/blobs/uploads/": EOF`);
    expect(registry.count("POST")).toBe(5);
  }, 15_000);
});

describe("a registry that", () => {
  test("is busy is asked again when it says", async () => {
    registry.misbehave = refusal(429, { "retry-after": "1" });
    const begin = performance.now();
    expect(await upload()).toBe("uploaded");
    expect(performance.now() - begin).toBeGreaterThan(950);
    registry.misbehave = refusal(503);
    expect(await upload(randomBytes(2 << 20))).toBe("uploaded");
  });

  test("asks for too much patience is passed on", async () => {
    registry.misbehave = refusal(429, { "retry-after": "3600" });
    await expect(upload()).rejects.toThrow("toomanyrequests");
  });

  test("refuses is believed, and its upload given up", async () => {
    registry.misbehave = refusal(413, { "content-type": "text/html" }, "<html>too large");
    await expect(upload()).rejects.toThrow("unknown: HTTP status 413");
    for (let wait = 0; wait < 50 && registry.uploads.size > 0; wait++) await Bun.sleep(20);
    expect(registry.uploads.size).toBe(0);
    expect(registry.count("PATCH")).toBe(1);
  });

  test("forgets an upload gets a new one, but not for ever", async () => {
    let forgotten = 0;
    registry.misbehave = (request) => {
      if (request.method === "PATCH" && forgotten++ < 2) registry.uploads.clear();
      return false;
    };
    expect(await upload()).toBe("uploaded");
    expect(stored(bytes)).toBe(true);
    forgotten = -1000;
    await expect(upload(randomBytes(2 << 20))).rejects.toThrow("blob upload unknown");
  });

  test("claims to have stored something else is not believed", async () => {
    registry.misbehave = (request, response) => {
      if (request.method !== "PUT") return false;
      request.resume();
      response.writeHead(201, { "docker-content-digest": `sha256:${"0".repeat(64)}` }).end();
      return true;
    };
    await expect(upload(small)).rejects.toThrow(`the registry stored blob ${sha256Of(small)} as sha256:0000`);
  });

  test("claims to have more than was sent is not believed", async () => {
    registry.misbehave = refusal(202, { range: "0-99999999999" });
    await expect(upload()).rejects.toThrow("which cannot be");
  });

  test("takes nothing any more is left at once by whoever gives up", async () => {
    const gone = new AbortController();
    registry.misbehave = (request) => {
      if (request.method !== "PATCH") return false;
      request.pause();
      setTimeout(() => gone.abort(new Error("context canceled")), 100);
      return true;
    };
    const begin = performance.now();
    await expect(upload(bytes, { signal: gone.signal })).rejects.toThrow("context canceled");
    expect(performance.now() - begin).toBeLessThan(1000);
  });

  test("lets a token end while a blob is sent grants another, and all goes on", async () => {
    let valid = "";
    let granted = 0;
    let refusals = 0;
    registry.misbehave = (request, response) => {
      if (request.url!.startsWith("/token")) {
        valid = `Bearer t${++granted}`;
        response.writeHead(200).end(JSON.stringify({ token: `t${granted}`, expires_in: 3600 }));
        return true;
      }
      // Every second upload request finds its token ended.
      if (request.method === "PATCH" && refusals++ === 0) valid = "";
      if (request.headers.authorization === valid) return false;
      request.resume();
      response.writeHead(401, { "www-authenticate": `Bearer realm="${base}/token",service="s"` }).end();
      return true;
    };
    expect(await upload()).toBe("uploaded");
    expect(granted).toBe(2);
    expect(stored(bytes)).toBe(true);
  });
});
