/**
 * What docker 28.2.2 sends for the same command lines, recorded at API 1.50, and the sentences with which it refuses
 * others. Empty fields of endpoints, which mean nothing in a request, are left out of the record.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFlags } from "../lib/flags.ts";
import { command } from "./commands/create.ts";
import { type CreateBody, createBody } from "./container-options.ts";
import recorded from "./testdata/create-requests.json";

let dir = "";
const before = { cwd: process.cwd(), home: process.env.HOME };

beforeAll(() => {
  dir = mkdtempSync(join(tmpdir(), "brig-options-"));
  writeFileSync(join(dir, "env1"), "A=1\n# comment\n\nB=two words\nHOME\nNOSUCHVAR\n  LEAD=x\n");
  writeFileSync(join(dir, "lab1"), "l1=a\n#c\nl2\n l3=x=y\n");
  writeFileSync(join(dir, "sec.json"), '{\n  "defaultAction": "SCMP_ACT_ALLOW"\n}\n');
  process.env.HOME = "/root";
  process.chdir(dir);
});

afterAll(() => {
  process.chdir(before.cwd);
  process.env.HOME = before.home;
  rmSync(dir, { recursive: true });
});

function bodyOf(args: string[]): Promise<CreateBody> {
  const flags = parseFlags(command.flags, args, { interspersed: false });
  return createBody(flags, { host: "unix:///run/brig/brig.sock", configFile: {}, consoleSize: [0, 0] });
}

function inDir<T>(value: T): T {
  return JSON.parse(JSON.stringify(value).replaceAll("$DIR", dir)) as T;
}

/** The client's own order of variables is random. */
function sorted(body: CreateBody): CreateBody {
  return body.Env === undefined ? body : { ...body, Env: [...body.Env].sort() };
}

describe("create requests", () => {
  for (const { args, config, hostConfig } of recorded.requests) {
    test(args.join(" "), async () => {
      const expected = {
        ...recorded.plain,
        ...inDir(config),
        HostConfig: { ...recorded.plain.HostConfig, ...inDir(hostConfig) },
      };
      const body: unknown = JSON.parse(JSON.stringify(sorted(await bodyOf(inDir(args)))));
      expect(body).toEqual(expected);
    });
  }
});

describe("refusals", () => {
  for (const { args, message } of recorded.refusals) {
    test(args.join(" "), async () => {
      const refusal = await (async () => bodyOf(inDir(args)))().then(
        () => "accepted",
        (error: Error) => error.message,
      );
      expect(refusal).toBe(inDir(message));
    });
  }
});

test("proxies of config.json become variables unless they are named", async () => {
  const flags = parseFlags(command.flags, ["-e", "HTTP_PROXY=mine", "alpine"], { interspersed: false });
  const body = await createBody(flags, {
    host: "unix:///x.sock",
    configFile: { proxies: { default: { httpProxy: "http://p:1", noProxy: "a" } } },
    consoleSize: [0, 0],
  });
  expect(body.Env).toEqual(["HTTP_PROXY=mine", "http_proxy=http://p:1", "NO_PROXY=a", "no_proxy=a"]);
});
