import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { mkdirSync, readdirSync } from "node:fs";
import { createServer as createHttpServer, request as httpRequest } from "node:http";
import { type AddressInfo, connect, createServer } from "node:net";
import { imageOf, indexLayout, tarOf } from "../src/images/testing.ts";
import { brigBinary, type Outcome, run, TestDaemon } from "./support/daemon.ts";
import { TestRegistry } from "./support/registry.ts";

setDefaultTimeout(60_000);
const daemon = new TestDaemon();
const registry = new TestRegistry();
const docker = (...args: string[]) => daemon.docker(...args);
const brig = (...args: string[]) => daemon.brig(...args);
const here = process.arch === "arm64" ? "arm64" : "amd64";
const elsewhere = here === "arm64" ? "amd64" : "arm64";
const digestIn = ({ stdout }: Outcome) => /digest: (sha256:[0-9a-f]{64}) size: \d+\n/.exec(stdout)?.[1];
const skopeo = (...args: string[]) => run(["skopeo", "--insecure-policy", ...args]);
let name: (repository: string) => string;

beforeAll(async () => {
  await registry.start();
  name = (repository) => `${registry.host}/${repository}`;
  await (await daemon.start()).withImage();
});
afterAll(async () => {
  await registry.stop();
  await daemon.dispose();
});

/** Names of images are those of this file's tests alone, so that they can be removed without asking. */
const rmi = (...names: string[]) => docker("rmi", "-f", ...names);

describe("an imported image", () => {
  test("is compressed once, and can be pulled by everybody with the digest that was told", async () => {
    await docker("tag", "alpine", name("team/app:1"));
    await docker("tag", "alpine", name("team/app:2"));
    const events = docker("events", "--filter", "event=push", "--until", `${Math.ceil(Date.now() / 1000) + 2}`);
    const first = await docker("push", name("team/app:1"));
    expect(first.stdout).toMatch(
      /^The push refers to repository \[127\.0\.0\.1:\d+\/team\/app\]\n([0-9a-f]{12}): Preparing\n\1: Pushed\n1: digest: sha256:[0-9a-f]{64} size: \d+\n$/,
    );
    const digest = digestIn(first)!;
    const stored = await registry.manifest("team/app", "1");
    expect(stored.digest).toBe(digest);
    expect(stored.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
    expect(JSON.parse(stored.text).layers[0].mediaType).toBe("application/vnd.oci.image.layer.v1.tar+gzip");

    const blobs = readdirSync(`${daemon.root}/data/content/sha256`).length;
    const all = await docker("push", "-a", name("team/app"));
    expect(all.stdout.match(/: Layer already exists\n/g)).toHaveLength(2);
    expect(all.stdout.match(new RegExp(`digest: ${digest}`, "g"))).toHaveLength(2);
    expect(readdirSync(`${daemon.root}/data/content/sha256`)).toHaveLength(blobs);
    expect((await docker("inspect", "-f", "{{.RepoDigests}}", "alpine")).stdout).toBe(
      `[${name("team/app")}@${digest}]\n`,
    );
    const told = (await events).stdout;
    expect(told).toContain(`image push ${name("team/app:1")} (name=${name("team/app")})`);
    expect(told).toContain(`image push ${name("team/app")} (name=${name("team/app")})`);

    const inspected = await skopeo("inspect", "--tls-verify=false", `docker://${name("team/app:2")}`);
    expect(JSON.parse(inspected.stdout).Digest).toBe(digest);
    await rmi(name("team/app:1"), name("team/app:2"));
    expect((await docker("pull", name("team/app:1"))).stdout).toContain(`Digest: ${digest}`);
    expect((await docker("run", "--rm", name("team/app:1"), "echo", "pushed")).stdout).toBe("pushed\n");
  });

  test("leaves nothing when the daemon is killed while it is pushed", async () => {
    const own = await new TestDaemon().start();
    try {
      const tar = await tarOf({
        noise: crypto.getRandomValues(new Uint8Array(65536)),
        zeros: new Uint8Array(60 << 20),
      });
      await Bun.write(`${own.root}/big.tar`, tar);
      await own.docker("import", `${own.root}/big.tar`, name("killed:1"));
      for (const ms of [20, 60, 120]) {
        const pushing = own.docker("push", name("killed:1"));
        await Bun.sleep(ms);
        await own.end("SIGKILL");
        await pushing;
        await own.start();
        expect(readdirSync(`${own.root}/data/content/ingest`)).toEqual([]);
      }
      const { stdout } = await own.docker("push", name("killed:1"));
      const { digest } = await registry.manifest("killed", "1");
      expect(digestIn({ code: 0, stdout, stderr: "" })).toBe(digest);
      await own.docker("rmi", name("killed:1"));
      expect(readdirSync(`${own.root}/data/content/sha256`)).toEqual([]);
    } finally {
      await own.dispose();
    }
  });
});

describe("a pulled image", () => {
  test("keeps its bytes, and is mounted where the server has it", async () => {
    for (const format of ["v2s2", "oci"]) {
      const from = name(`source/${format}`);
      const archive = `${daemon.root}/${format}.tar`;
      await docker("save", "-o", archive, "alpine");
      const to = ["--dest-tls-verify=false", "--format", format, `docker-archive:${archive}`, `docker://${from}:1`];
      expect(await skopeo("copy", "-q", ...to)).toMatchObject({ code: 0 });
      const digest = /Digest: (\S+)/.exec((await docker("pull", `${from}:1`)).stdout)![1]!;
      await docker("tag", `${from}:1`, name(`copy/${format}:1`));
      const pushed = await docker("push", name(`copy/${format}:1`));
      expect(pushed.stdout).toContain(`: Mounted from source/${format}\n`);
      expect(digestIn(pushed)).toBe(digest);
      expect((await registry.manifest(`copy/${format}`, "1")).text).toBe(
        (await registry.manifest(`source/${format}`, "1")).text,
      );
      await rmi(`${from}:1`, name(`copy/${format}:1`));
    }
  });
});

describe("an image of several platforms", () => {
  const multi = () => name("multi:1");
  let index: ReturnType<typeof indexLayout>;
  let digest: string;

  beforeAll(async () => {
    const [own, other] = [
      await imageOf(["a"], { architecture: here }),
      await imageOf(["b"], { architecture: elsewhere }),
    ];
    const statement = await imageOf(["statement"], { architecture: "unknown", os: "unknown" });
    index = indexLayout(multi(), [
      { image: own, descriptor: { platform: { os: "linux", architecture: here } } },
      { image: other, descriptor: { platform: { os: "linux", architecture: elsewhere } } },
      {
        image: statement,
        descriptor: {
          platform: { os: "unknown", architecture: "unknown" },
          annotations: { "vnd.docker.reference.digest": own.manifestDigest },
        },
      },
    ]);
    await Bun.write(`${daemon.root}/multi.tar`, await tarOf(index.files));
    expect(await docker("load", "-i", `${daemon.root}/multi.tar`)).toMatchObject({ code: 0 });
  });

  test("goes as a whole, attestations too, where all of it is here", async () => {
    const pushed = await docker("push", multi());
    digest = digestIn(pushed)!;
    expect(pushed.stdout).not.toContain("Not all multiplatform-content");
    const stored = await registry.manifest("multi", "1");
    expect(stored.digest).toBe(digest);
    expect(JSON.parse(stored.text).manifests).toHaveLength(3);
    const copied = `dir:${daemon.root}/copied`;
    const all = await skopeo("copy", "-q", "--all", "--src-tls-verify=false", `docker://${multi()}`, copied);
    expect(all).toMatchObject({ code: 0 });
  });

  test("is one platform's manifest where that is asked for", async () => {
    const { stdout } = await brig("push", "--platform", `linux/${elsewhere}`, multi());
    expect(stdout).toStartWith("\n Info -> Using --platform pushes only the specified platform manifest");
    const pushed = await registry.manifest("multi", "1");
    const one = JSON.parse(pushed.text);
    const config = await fetch(`http://${registry.host}/v2/multi/blobs/${one.config.digest}`);
    expect(await config.json()).toMatchObject({ architecture: elsewhere });
    const missing = await brig("push", "--platform", "linux/s390x", multi());
    expect(missing).toMatchObject({ code: 1 });
    expect(missing.stderr).toContain(
      `image with reference ${multi()} was found but does not provide the specified platform (linux/s390x)`,
    );
    expect(digestIn(await docker("push", multi()))).toBe(digest);
    await rmi(`${name("multi")}@${pushed.digest}`);
  });

  test("is this platform's manifest, with a note, where the rest is not here", async () => {
    await rmi(multi());
    await docker("pull", multi());
    await docker("tag", multi(), name("part:1"));
    const pushed = await brig("push", name("part:1"));
    const stored = await registry.manifest("part", "1");
    expect(stored.mediaType).toBe("application/vnd.oci.image.manifest.v1+json");
    expect(digestIn(pushed)).toBe(stored.digest);
    expect(pushed.stdout).toContain(
      "\n Info -> Not all multiplatform-content is present and only the available single-platform image was pushed\n",
    );
    expect(pushed.stdout).toContain(`\x1b[31m${digest}\x1b[0m -> \x1b[32m${stored.digest}\x1b[0m\n`);
  });
});

test("what cannot be pushed is refused as by Docker, and both clients say the same", async () => {
  await docker("tag", "alpine", name("same:1"));
  await docker("push", name("same:1"));
  await docker("tag", "alpine", "127.0.0.1:1/gone:1");
  const cases: [args: string[], stderr: string][] = [
    [[name("nothing:1")], `An image does not exist locally with the tag: ${name("nothing")}\n`],
    [["-a", name("nothing")], `An image does not exist locally with the tag: ${name("nothing")}\n`],
    [[name("same")], `tag does not exist: ${name("same:latest")}\n`],
    [["-a", name("same:1")], "tag can't be used with --all-tags/-a\n"],
    [[`${name("same")}@sha256:${"0".repeat(64)}`], "cannot push a digest reference\n"],
    [["Bad/X"], "invalid reference format: repository name (X) must be lowercase\n"],
    [["127.0.0.1:1/gone:1"], 'Get "http://127.0.0.1:1/v2/": dial tcp 127.0.0.1:1: connect: connection refused\n'],
    [[name("same:1")], ""],
    [["-q", name("same:1")], ""],
    [["-a", name("same")], ""],
  ];
  for (const [args, stderr] of cases) {
    const [ours, theirs] = [await brig("push", ...args), await docker("push", ...args)];
    expect([args, ours.stdout, ours.stderr]).toEqual([args, theirs.stdout, stderr]);
    // Older clients do not say which name.
    if (args[0] !== "Bad/X") expect(theirs.stderr).toContain(stderr.trim());
    expect(ours.code).toBe(stderr === "" ? 0 : 1);
  }
  const refused = await daemon.request("POST", `/images/${name("same")}@sha256:${"0".repeat(64)}/push?tag=1`);
  expect(refused.status).toBe(400);
});

describe("a registry with passwords", () => {
  const guarded = new TestRegistry();
  const withAuth = async (user: string, password: string) => {
    const config = `${daemon.root}/config-${user}-${password}`;
    mkdirSync(config, { recursive: true });
    const auths = { [guarded.host]: { auth: btoa(`${user}:${password}`) } };
    await Bun.write(`${config}/config.json`, JSON.stringify({ auths }));
    return (program: string, ...args: string[]) =>
      run([program, "-H", daemon.host, ...args], { env: { DOCKER_CONFIG: config } });
  };

  beforeAll(async () => {
    await guarded.start({ users: { me: "secret" } });
    await docker("tag", "alpine", `${guarded.host}/private:1`);
  });
  afterAll(() => guarded.stop());

  test("takes a push with the right one alone", async () => {
    const image = `${guarded.host}/private:1`;
    expect((await docker("push", image)).stderr).toContain("no basic auth credentials");
    const wrong = await withAuth("me", "wrong");
    expect((await wrong("docker", "push", image)).stderr).toContain("unauthorized: authentication required");
    const right = await withAuth("me", "secret");
    const pushed = await right("docker", "push", image);
    expect(digestIn(pushed)).toStartWith("sha256:");
    expect(digestIn(await right(brigBinary, "push", image))).toBe(digestIn(pushed));
    expect((await right("docker", "pull", image)).stdout).toContain(digestIn(pushed)!);
  });
});

/** A tar of so many bytes that no compression makes smaller. */
const noise = async (bytes: number) => {
  const content = new Uint8Array(bytes);
  for (let at = 0; at < bytes; at += 65536) crypto.getRandomValues(content.subarray(at, Math.min(at + 65536, bytes)));
  return tarOf({ noise: content });
};

test("a line that breaks in the middle of a layer costs time alone", async () => {
  let isCut = false;
  const line = createServer((client) => {
    const server = connect(registry.port, "127.0.0.1");
    let bytes = 0;
    client.on("data", (chunk) => {
      bytes += chunk.length;
      if (bytes > 5 << 20 && !isCut) {
        isCut = true;
        client.destroy();
      } else server.write(chunk);
    });
    server.pipe(client);
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const)
      one.on("error", () => undefined).on("close", () => other.destroy());
  }).listen(0, "127.0.0.1");
  try {
    const image = `127.0.0.1:${(line.address() as AddressInfo).port}/broken:1`;
    await Bun.write(`${daemon.root}/noise.tar`, await noise(9 << 20));
    await docker("import", `${daemon.root}/noise.tar`, image);
    const pushed = await docker("push", image);
    expect(pushed.stdout).toContain("Retrying in 1 second");
    expect(digestIn(pushed)).toBe((await registry.manifest("broken", "1")).digest);
    expect(isCut).toBe(true);
  } finally {
    line.close();
  }
});

test("goes through the proxy that the daemon is told, but not where it is told not to", async () => {
  const asked: string[] = [];
  const proxy = createHttpServer((request, response) => {
    asked.push(request.url!);
    const url = new URL(request.url!);
    const { method, headers } = request;
    const path = url.pathname + url.search;
    const onward = httpRequest({ port: registry.port, host: "127.0.0.1", method, path, headers }, (answer) => {
      response.writeHead(answer.statusCode!, answer.headers);
      answer.pipe(response);
    });
    request.pipe(onward);
  }).listen(0, "127.0.0.1");
  const { port } = proxy.address() as AddressInfo;
  const insecure = ["--insecure-registry", "registry.test:5000", "--insecure-registry", "direct.test:5000"];
  const proxied = ["--http-proxy", `http://127.0.0.1:${port}`, "--no-proxy", "direct.test"];
  const own = await new TestDaemon([...insecure, ...proxied]).start();
  try {
    for (const host of ["registry.test:5000", "direct.test:5000"])
      await own.docker("import", `${daemon.root}/busybox.tar`, `${host}/proxied:1`);
    const pushed = await own.docker("push", "registry.test:5000/proxied:1");
    expect(digestIn(pushed)).toBe((await registry.manifest("proxied", "1")).digest);
    expect(asked.length).toBeGreaterThan(3);
    expect(asked.every((url) => url.startsWith("http://registry.test:5000/v2/"))).toBe(true);
    const direct = await own.docker("push", "direct.test:5000/proxied:1");
    expect(direct.stderr).toContain('Get "http://direct.test:5000/v2/": dial tcp');
  } finally {
    await own.dispose();
    proxy.close();
  }
});

test("certs.d holds the authority and the client's certificate of one registry", async () => {
  const etc = `${daemon.root}/etc`;
  const pki = `${daemon.root}/pki`;
  const script = `set -e; cp -a /etc ${etc}; mkdir -p ${pki}; cd ${pki}
openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.crt -subj /CN=ca -days 2
for n in server client; do openssl req -newkey rsa:2048 -nodes -keyout $n.key -out $n.csr -subj /CN=$n
echo subjectAltName=DNS:registry.test >$n.ext; openssl x509 -req -in $n.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 2 -extfile $n.ext -out $n.crt; done
echo 127.0.0.1 registry.test >>${etc}/hosts`;
  expect(await run(["sh", "-c", script])).toMatchObject({ code: 0 });
  const tls = { certificate: `${pki}/server.crt`, key: `${pki}/server.key`, clientAuthority: `${pki}/ca.crt` };
  const secure = await new TestRegistry().start({ tls });
  // A daemon that sees another /etc.
  const mount = `mount --make-rprivate / && mount --bind ${etc} /etc && exec "$@"`;
  const own = await new TestDaemon([], ["unshare", "-m", "sh", "-c", mount, "sh"]).start();
  try {
    const host = `registry.test:${secure.port}`;
    await own.docker("import", `${daemon.root}/busybox.tar`, `${host}/app:1`);
    expect((await own.docker("push", `${host}/app:1`)).stderr).toContain(
      `Get "https://${host}/v2/": tls: failed to verify certificate: x509: certificate signed by unknown authority`,
    );
    const directory = `${etc}/docker/certs.d/${host}`;
    await run([
      "sh",
      "-c",
      `mkdir -p ${directory}; cp ${pki}/ca.crt ${directory}; cp ${pki}/client.crt ${directory}/client.cert`,
    ]);
    expect((await own.docker("push", `${host}/app:1`)).stderr).toContain(
      "missing key client.key for client certificate client.cert. CA certificates must use the extension .crt",
    );
    await run(["cp", `${pki}/client.key`, directory]);
    expect(digestIn(await own.docker("push", `${host}/app:1`))).toStartWith("sha256:");
    expect((await own.docker("pull", `${host}/app:1`)).code).toBe(0);
  } finally {
    await own.dispose();
    await secure.stop();
  }
});
