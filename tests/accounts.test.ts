/** Accounts at registries: login, logout, credential helpers, search, manifest lists; beside the real client where it is. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { chmodSync, existsSync, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { BrigRegistry } from "./support/brig-registry.ts";
import { brigBinary, type Outcome, run, TestDaemon } from "./support/daemon.ts";
import { TestRegistry } from "./support/registry.ts";

/** Other versions of the client have other words. */
const spoken = Bun.spawnSync(["docker", "--version"]).stdout.toString().startsWith("Docker version 28.2.");

let daemon: TestDaemon;
let registry: TestRegistry;
let host: string;
beforeAll(async () => {
  daemon = await (await new TestDaemon().start()).withImage();
  registry = await new TestRegistry().start({ users: { bob: "secret" } });
  host = registry.host;
});
afterAll(async () => {
  await registry.stop();
  await daemon.dispose();
});

/** A client with a configuration directory of its own. */
class Client {
  readonly directory: string;

  constructor(
    readonly program: string,
    config?: object,
  ) {
    this.directory = `${daemon.root}/config-${Math.random()}`;
    mkdirSync(this.directory);
    if (config) writeFileSync(`${this.directory}/config.json`, JSON.stringify(config));
  }

  get config(): Record<string, unknown> {
    return JSON.parse(readFileSync(`${this.directory}/config.json`, "utf8"));
  }

  async run(args: string[], stdin = ""): Promise<Outcome> {
    const PATH = `${daemon.root}/helpers:${process.env.PATH}`;
    const env = { DOCKER_HOST: daemon.host, DOCKER_CONFIG: this.directory, PATH };
    const outcome = await run([this.program, ...args], { stdin, env });
    const shown = (text: string) =>
      text
        .replaceAll(this.directory, "CONFIG")
        .replaceAll("brig login", "docker login")
        .replace(/^brig: /gm, "docker: ");
    return { ...outcome, stdout: shown(outcome.stdout), stderr: shown(outcome.stderr) };
  }
}

/** Keeps one secret in a file, and a diary. */
function installHelper(): { diary: () => string; secret: string } {
  const directory = `${daemon.root}/helpers`;
  mkdirSync(directory, { recursive: true });
  rmSync(`${directory}/diary`, { force: true });
  const path = `${directory}/docker-credential-test`;
  writeFileSync(
    path,
    `#!/bin/sh
cd ${directory}; input=$(cat); echo "$1 $input" >>diary
case $1 in
get) [ -f secret ] && cat secret || { echo credentials not found in native keychain; exit 1; } ;;
store) printf %s "$input" >secret ;;
erase) rm -f secret ;;
esac`,
  );
  chmodSync(path, 0o755);
  return { diary: () => readFileSync(`${directory}/diary`, "utf8"), secret: `${directory}/secret` };
}

test("login writes config.json whole, for its owner alone, and keeps what it does not know", async () => {
  const brig = new Client(brigBinary, { other: { kept: [1] }, auths: { "x.example": { auth: "YTpi" } } });
  const outcome = await brig.run(["login", "-u", "bob", "--password-stdin", host], "secret\n");
  expect(outcome).toMatchObject({ code: 0, stdout: "Login Succeeded\n" });
  expect(outcome.stderr).toContain("WARNING! Your credentials are stored unencrypted in 'CONFIG/config.json'.");
  expect(brig.config).toEqual({
    other: { kept: [1] },
    auths: { "x.example": { auth: "YTpi" }, [host]: { auth: Buffer.from("bob:secret").toString("base64") } },
  });
  expect(statSync(`${brig.directory}/config.json`).mode & 0o777).toBe(0o600);
  // The other client reads it, and pushes with it.
  const docker = new Client("docker", brig.config);
  await daemon.docker("tag", "alpine", `${host}/by/docker`);
  expect((await docker.run(["push", "-q", `${host}/by/docker`])).code).toBe(0);
  expect((await brig.run(["pull", "-q", `${host}/by/docker`])).stdout).toBe(`${host}/by/docker:latest\n`);
  expect((await new Client(brigBinary).run(["pull", "-q", `${host}/by/docker`])).stderr).toContain(
    "no basic auth credentials",
  );
  expect((await brig.run(["logout", host])).stdout).toBe(`Removing login credentials for ${host}\n`);
  expect(brig.config).toEqual({ other: { kept: [1] }, auths: { "x.example": { auth: "YTpi" } } });
});

test("a wrong password changes nothing", async () => {
  const brig = new Client(brigBinary);
  const outcome = await brig.run(["login", "-u", "bob", "--password-stdin", host], "wrong");
  expect(outcome).toMatchObject({ code: 1, stderr: expect.stringContaining("failed with status: 401 Unauthorized") });
  expect(existsSync(`${brig.directory}/config.json`)).toBe(false);
});

test.skipIf(!spoken)("a stored password that the registry takes no more is said so, as docker says it", async () => {
  const stored = { auths: { [host]: { auth: Buffer.from("bob:old").toString("base64") } } };
  const [docker, brig] = [new Client("docker", stored), new Client(brigBinary, stored)];
  const outcome = await brig.run(["login", host]);
  expect(outcome.stderr).toContain("Stored credentials invalid or expired\n");
  expect(outcome).toEqual(await docker.run(["login", host]));
  // Both write the file byte for byte alike.
  for (const client of [docker, brig]) await client.run(["login", "-u", "bob", "--password-stdin", host], "secret");
  const text = ({ directory }: Client) => readFileSync(`${directory}/config.json`, "utf8");
  expect(text(brig)).toBe(text(docker));
});

test("a credential helper keeps the secret, and config.json none", async () => {
  const helper = installHelper();
  const brig = new Client(brigBinary, { credsStore: "missing", credHelpers: { [host]: "test" } });
  expect((await brig.run(["login", "-u", "bob", "--password-stdin", host], "secret")).stderr).toBe("");
  expect(brig.config).toMatchObject({ auths: { [host]: {} } });
  expect(JSON.parse(readFileSync(helper.secret, "utf8"))).toEqual({
    ServerURL: host,
    Username: "bob",
    Secret: "secret",
  });
  expect((await brig.run(["pull", "-q", `${host}/by/docker`])).code).toBe(0);
  const again = await brig.run(["login", host]);
  expect(again).toMatchObject({ code: 0, stderr: expect.stringContaining("existing credentials... [Username: bob]") });
  await brig.run(["logout", host]);
  expect(existsSync(helper.secret)).toBe(false);
  expect(helper.diary()).toContain(`erase https://${host}\n`);
});

test("a helper that is missing, or fails: login says so, pull goes on without", async () => {
  const brig = new Client(brigBinary, { credsStore: "missing" });
  expect((await brig.run(["login", "-u", "bob", "--password-stdin", host], "secret")).stderr).toBe(
    'Error saving credentials: error storing credentials - err: exec: "docker-credential-missing": executable file not found in $PATH, out: ``\n',
  );
  expect((await brig.run(["pull", `${host}/by/docker`])).stderr).toContain("no basic auth credentials");
});

/** Docker Hub's search, on a registry without TLS. */
function searchServer() {
  const results = [
    {
      name: "first",
      description: "the first of them,\nwith a description that is long enough",
      star_count: 70,
      is_official: true,
    },
    { name: "a/second", description: "short", star_count: 3, is_official: false, is_automated: true },
  ];
  const asked: string[] = [];
  const server = Bun.serve({
    hostname: "127.0.0.1",
    port: 0,
    fetch: (request) => {
      asked.push(`${new URL(request.url).search} ${request.headers.get("authorization")}`);
      if (new URL(request.url).pathname !== "/v1/search") return new Response("no", { status: 404 });
      return Response.json({ num_results: 2, results });
    },
  });
  return { server, asked, host: `127.0.0.1:${server.port}` };
}

test("search asks the registry that the term names, as whom it knows", async () => {
  const { server, asked, host } = searchServer();
  const auth = Buffer.from("bob:secret").toString("base64");
  const brig = new Client(brigBinary, { auths: { [host]: { auth } } });
  const { stdout } = await brig.run(["search", "--no-trunc", "--limit", "7", `${host}/some/term`]);
  expect(asked).toEqual([`?q=some%2Fterm&n=7 Basic ${auth}`]);
  expect(stdout.split("\n")[2]).toMatch(/^a\/second +short +3 *$/);
  expect(
    (await brig.run(["search", "-f", "stars=10", "--format", "{{.Name}} {{.IsOfficial}}", `${host}/x`])).stdout,
  ).toBe("first [OK]\n");
  expect((await brig.run(["search", "-f", "is-official=false", "--format", "{{.Name}}", `${host}/x`])).stdout).toBe(
    "a/second\n",
  );
  await server.stop(true);
});

describe("manifest lists", () => {
  const open = new BrigRegistry();
  let list: string;
  let images: string[];
  beforeAll(async () => {
    await open.start();
    list = `${open.host}/m/list:1`;
    images = [`${open.host}/m/one:1`, `${open.host}/m/two:1`];
    await open.pushImage("m/one", "one", "1");
    await open.pushImage("m/two", "two", "1");
  });
  afterAll(() => open.dispose());

  test("are made, annotated and pushed; what one client began, the other goes on with", async () => {
    const brig = new Client(brigBinary);
    const docker = new Client("docker");
    const create = ["manifest", "create", "--insecure", list, images[0]!];
    expect((await brig.run(create)).stdout).toBe(`Created manifest list ${list}\n`);
    expect((await brig.run(create)).stderr).toContain(
      "refusing to amend an existing manifest list with no --amend flag",
    );
    const env = { DOCKER_HOST: daemon.host, DOCKER_CONFIG: brig.directory, DOCKER_CLI_EXPERIMENTAL: "enabled" };
    // Older clients know no OCI manifests.
    const other = spoken ? "docker" : brigBinary;
    await run([other, "manifest", "create", "--insecure", "-a", list, images[1]!], { env });
    await brig.run(["manifest", "annotate", "--arch", "arm64", "--variant", "v8", list, images[1]!]);
    const ours = await brig.run(["manifest", "inspect", list]);
    const theirs = await run([other, "manifest", "inspect", list], { env });
    expect(JSON.parse(ours.stdout)).toEqual(JSON.parse(theirs.stdout));
    const pushed = await brig.run(["manifest", "push", "--insecure", "--purge", list]);
    expect(pushed).toMatchObject({ code: 0, stderr: "" });
    const digest = pushed.stdout.trim().split("\n").at(-1);
    const stored = await open.request("GET", "/v2/m/list/manifests/1");
    expect(stored.headers.get("docker-content-digest")).toBe(digest!);
    const { manifests } = (await stored.json()) as { manifests: { platform: object }[] };
    expect(manifests.map(({ platform }) => platform)).toEqual([
      { architecture: "amd64", os: "linux" },
      { architecture: "arm64", os: "linux", variant: "v8" },
    ]);
    for (const flag of spoken ? ["--verbose=false", "--verbose"] : []) {
      const inspect = ["manifest", "inspect", "--insecure", flag, list];
      const shown = await docker.run(inspect);
      expect(shown.code).toBe(0);
      expect((await brig.run(inspect)).stdout).toBe(shown.stdout);
    }
    expect((await brig.run(["manifest", "rm", list])).stderr).toBe(`No such manifest: ${list}\n`);
    const info = await daemon.request("GET", `/distribution/${list}/json`);
    expect(await info.json()).toMatchObject({
      Descriptor: { digest },
      Platforms: [{ architecture: "amd64" }, { architecture: "arm64" }],
    });
  });
});

test.skipIf(!spoken)(
  "both clients say the same",
  async () => {
    const { server, host: searched } = searchServer();
    const scripts: [args: string[], stdin?: string][] = [
      [["login", "-u", "bob", "-p", "secret", host]],
      [["login", host]],
      [["login", "-u", "bob", "-p", "wrong", host]],
      [["login", "-u", "bob", host]],
      [["login", "-u", "bob", "--password-stdin", `https://${host}/v2/`], "secret\n"],
      [["login", "-u", "bob", "--password-stdin", host], ""],
      [["login", "--password-stdin", host]],
      [["login", "-u", "bob", "-p", "x", "--password-stdin", host]],
      [["login", "-u", "", "-p", "x", host]],
      [["login", host, "extra"]],
      [["login", "-u", "a", "-p", "b", "127.0.0.1:1"]],
      [["logout", host]],
      [["logout"]],
      [["login"]],
      [["search", "--limit", "200", "x"]],
      [["search", "--filter", "bad=x", "y"]],
      [["search", "--filter", "stars=abc", "y"]],
      [["search", `${host}/x`]],
      [["search", `${searched}/x`]],
      [["search", "--no-trunc", "--filter", "is-official=true", `${searched}/x`]],
      [["search", "--format", "{{json .}}", `${searched}/x`]],
      [["search", "--format", "{{.IsAutomated}}", `${searched}/x`]],
      [["search", "--format", "json", `${searched}/x`]],
      [["search", "--format", "{{.Bad}}", `${searched}/x`]],
      [["manifest", "inspect", `${host}/none`]],
      [["manifest", "push", "nolist"]],
      [["manifest", "annotate", "a", "b"]],
      [["manifest", "rm", "a", "b:2"]],
    ];
    const [docker, brig] = [new Client("docker"), new Client(brigBinary)];
    for (const [args, stdin] of scripts) {
      const [theirs, ours] = [await docker.run(args, stdin), await brig.run(args, stdin)];
      expect({ args, ...ours }).toEqual({ args, ...theirs });
      if (args[0] === "login" && theirs.code === 0) expect(brig.config).toEqual(docker.config);
    }
    await server.stop(true);
  },
  60_000,
);
