import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync } from "node:fs";
import { type Outcome, run, TestDaemon } from "./support/daemon.ts";

const registryPort = 20_000 + Math.floor(Math.random() * 10_000);
const registry = `127.0.0.1:${registryPort}`;
const daemon = new TestDaemon(["--registry-mirror", `http://${registry}`]);
const docker = (...args: string[]) => daemon.docker(...args);
let server: ReturnType<typeof Bun.spawn>;

/** Debian's registry, filled with busybox as library/alpine in both manifest formats. */
beforeAll(async () => {
  await (await daemon.start()).withImage();
  mkdirSync(`${daemon.root}/registry`);
  await Bun.write(
    `${daemon.root}/registry.yml`,
    `version: 0.1\nstorage: {filesystem: {rootdirectory: ${daemon.root}/registry}}\nhttp: {addr: "${registry}"}\nlog: {level: error}\n`,
  );
  server = Bun.spawn(["docker-registry", "serve", `${daemon.root}/registry.yml`], {
    stdout: "ignore",
    stderr: "ignore",
  });
  for (let i = 0; i < 100; i++) {
    if ((await fetch(`http://${registry}/v2/`).catch(() => undefined))?.ok) break;
    await Bun.sleep(50);
  }
  const layout = `${daemon.root}/oci`;
  await run(["sh", "-c", buildLayout(layout, `${daemon.root}/busybox.tar`)]);
  for (const [name, format] of [
    ["alpine:3.20", "v2s2"],
    ["oci:latest", "oci"],
  ])
    await run([
      "skopeo",
      "--insecure-policy",
      "copy",
      "-q",
      "--dest-tls-verify=false",
      "--format",
      format!,
      `docker-archive:${layout}/image.tar`,
      `docker://${registry}/library/${name}`,
    ]);
});
afterAll(async () => {
  server?.kill();
  await daemon.dispose();
});

/** A shell script that makes a docker-archive of one layer. */
function buildLayout(dir: string, layer: string): string {
  return `set -e; mkdir -p ${dir}; cp ${layer} ${dir}/layer.tar; cd ${dir}
diff=$(sha256sum layer.tar | cut -d' ' -f1)
printf '{"architecture":"${process.arch === "arm64" ? "arm64" : "amd64"}","os":"linux","config":{"Env":["PATH=/bin"],"Cmd":["sh"],"Labels":{"who":"test"}},"rootfs":{"type":"layers","diff_ids":["sha256:%s"]},"history":[{"created_by":"test"}]}' $diff >config.json
printf '[{"Config":"config.json","RepoTags":["archived:1"],"Layers":["layer.tar"]}]' >manifest.json
tar -cf image.tar manifest.json config.json layer.tar`;
}

describe("pull", () => {
  test("through a mirror of docker.io, by tag, by digest, again", async () => {
    const first = await docker("pull", "alpine:3.20");
    expect(first.stdout).toContain("Status: Downloaded newer image for alpine:3.20");
    const digest = first.stdout.match(/Digest: (sha256:[0-9a-f]{64})/)![1]!;
    expect((await docker("pull", "alpine:3.20")).stdout).toContain("Status: Image is up to date for alpine:3.20");
    expect((await docker("pull", `alpine@${digest}`)).code).toBe(0);
    expect((await docker("run", "--rm", "alpine:3.20", "echo", "pulled")).stdout).toBe("pulled\n");
    expect((await docker("inspect", "-f", "{{index .RepoDigests 0}}", "alpine:3.20")).stdout).toBe(
      `alpine@${digest}\n`,
    );
  });
  test("OCI, from a registry by its address; run pulls what is missing", async () => {
    const { code, stdout, stderr } = await docker("run", "--rm", `${registry}/library/oci`, "echo", "oci");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "oci\n" });
    expect(stderr).toContain("Unable to find image");
  });
  test("what is not there", async () => {
    const { code, stderr } = await docker("pull", `${registry}/library/nothing`);
    expect(code).toBe(1);
    expect(stderr).toMatch(/manifest.*unknown|not found|does not exist/);
    expect((await docker("pull", `${registry}/library/alpine:never`)).stderr).toMatch(/not found|manifest unknown/);
  });
});

describe("load, tag, list, rmi", () => {
  test("archives: docker's, OCI's, gzip, zstd", async () => {
    const archive = `${daemon.root}/oci/image.tar`;
    expect((await docker("load", "-i", archive)).stdout).toContain("Loaded image: archived:1");
    await run(["sh", "-c", `gzip -kf ${archive}; zstd -qf ${archive}`]);
    expect((await docker("load", "-q", "-i", `${archive}.gz`)).stdout).toContain("archived:1");
    expect((await docker("load", "-i", `${archive}.zst`)).stdout).toContain("archived:1");
    await run([
      "skopeo",
      "--insecure-policy",
      "copy",
      "-q",
      `docker-archive:${archive}`,
      `oci-archive:${daemon.root}/oci.tar:named:2`,
    ]);
    expect((await docker("load", "-i", `${daemon.root}/oci.tar`)).code).toBe(0);
    expect((await docker("run", "--rm", "archived:1", "echo", "loaded")).stdout).toBe("loaded\n");
  });
  test("tags and removal, with Docker's refusals", async () => {
    await docker("tag", "archived:1", "other:x");
    expect((await docker("images", "--format", "{{.Repository}}:{{.Tag}}", "other")).stdout).toBe("other:x\n");
    // docker prints the names of one image in no order.
    const lines = ({ stdout }: Outcome) => stdout.split("\n").sort();
    const table = ["images", "--no-trunc", "--format", "table {{.Repository}}\t{{.Tag}}\t{{.ID}}\t{{.Size}}"];
    expect(lines(await daemon.brig(...table))).toEqual(lines(await docker(...table)));
    expect((await docker("rmi", "other:x")).stdout).toBe("Untagged: other:x\n");
    await docker("import", `${daemon.root}/busybox.tar`, "mine:1");
    await docker("create", "--name", "user", "mine:1", "true");
    expect((await docker("rmi", "mine:1")).stderr).toContain(
      'conflict: unable to remove repository reference "mine:1" (must force) - container ',
    );
    await docker("rm", "user");
    expect((await docker("rmi", "mine:1")).stdout).toMatch(/^Untagged: mine:1\nDeleted: sha256:/);
    expect((await docker("rmi", "-f", "archived:1")).stdout).toContain("Untagged: archived:1");
  });
  test("import with changes", async () => {
    await docker(
      "import",
      "-c",
      "CMD echo imported",
      "-c",
      "ENV A=1",
      "-c",
      "LABEL l=m",
      `${daemon.root}/busybox.tar`,
      "imported:1",
    );
    expect((await docker("inspect", "-f", "{{.Config.Env}} {{.Config.Labels.l}}", "imported:1")).stdout).toBe(
      "[A=1] m\n",
    );
  });
});

test("hello-world is embedded for when no registry can be reached", async () => {
  const lonely = await new TestDaemon(["--registry-mirror", "http://127.0.0.1:1"]).start();
  const { code, stdout, stderr } = await lonely.brig("run", "--rm", "hello-world");
  expect({ code, stderr }).toMatchObject({ code: 0 });
  expect(stdout).toContain("Hello from Brig!");
  expect(stderr).toContain("No registry can be reached");
  expect(stderr).toContain("built into Brig");
  await lonely.dispose();
});
