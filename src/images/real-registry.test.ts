/** Against Debian's docker-registry, filled by skopeo. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Bench, imageOf, ociLayout, streamOf } from "./testing.ts";

const isHere = ["docker-registry", "skopeo", "tar"].every((program) => Bun.which(program) !== null);

describe.skipIf(!isHere)("Debian's docker-registry", () => {
  const directory = mkdtempSync(join(tmpdir(), "brig-registry-"));
  let host: string;
  let server: Bun.Subprocess;

  beforeAll(async () => {
    const port = await freePort();
    host = `127.0.0.1:${port}`;
    const config = join(directory, "config.yml");
    await Bun.write(
      config,
      JSON.stringify({
        version: 0.1,
        log: { level: "error" },
        storage: { filesystem: { rootdirectory: join(directory, "data") } },
        http: { addr: host },
      }),
    );
    server = Bun.spawn(["docker-registry", "serve", config], { stdout: "ignore", stderr: "ignore" });
    for (let attempt = 0; attempt < 100; attempt++) {
      if (await fetch(`http://${host}/v2/`).catch(() => undefined)) return;
      await Bun.sleep(50);
    }
    throw new Error("docker-registry does not start");
  });
  afterAll(async () => {
    server.kill();
    await server.exited;
    rmSync(directory, { recursive: true, force: true });
  });

  const push = async (from: string, name: string) => {
    const child = Bun.spawn(
      ["skopeo", "copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false", from, `docker://${host}/${name}`],
      { stderr: "pipe" },
    );
    const [exitCode, stderr] = await Promise.all([child.exited, new Response(child.stderr).text()]);
    if (exitCode !== 0) throw new Error(stderr);
  };

  test("gives the image that skopeo pushed, with its digest", async () => {
    const image = await imageOf(["one", "two"]);
    const layout = join(directory, "layout");
    for (const [name, bytes] of Object.entries(ociLayout(image, { "org.opencontainers.image.ref.name": "x" })))
      await Bun.write(join(layout, name), bytes);
    await push(`oci:${layout}:x`, "team/app:1");
    const bench = new Bench();
    try {
      const pulled = await bench.images.pull({ reference: `${host}/team/app:1` }, bench.report);
      expect(pulled.id).toBe(image.configDigest);
      expect(pulled.references).toContain(`${host}/team/app@${image.manifestDigest}`);
      await expect(bench.images.pull({ reference: `${host}/team/app:2` }, bench.report)).rejects.toThrow(
        `manifest for ${host}/team/app:2 not found: manifest unknown: manifest unknown`,
      );
      await expect(bench.images.pull({ reference: `${host}/team/none:1` }, bench.report)).rejects.toThrow("not found");
    } finally {
      bench.close();
    }
  });

  test("and an archive that skopeo makes of it loads", async () => {
    const bench = new Bench();
    try {
      for (const kind of ["docker-archive", "oci-archive"]) {
        const path = join(directory, `${kind}.tar`);
        const from = ["--src-tls-verify=false", `docker://${host}/team/app:1`];
        const child = Bun.spawn([
          "skopeo",
          "copy",
          "--quiet",
          "--insecure-policy",
          ...from,
          `${kind}:${path}:app:${kind}`,
        ]);
        expect(await child.exited).toBe(0);
        const [loaded] = await bench.images.load(streamOf(await Bun.file(path).bytes()), bench.report);
        expect(loaded!.references).toContain(`app:${kind}`);
      }
    } finally {
      bench.close();
    }
  });
});

function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on("error", reject);
    server.listen(0, "127.0.0.1", () => {
      const address = server.address();
      server.close(() => resolve(typeof address === "object" && address ? address.port : 0));
    });
  });
}
