/** Debian's docker-registry, on a port and a directory of its own. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface RegistryOptions {
  /** Users with their passwords; without them everybody may do everything. */
  users?: Record<string, string>;
  /** PEM files. With `clientAuthority` clients must show a certificate that it signed. */
  tls?: { certificate: string; key: string; clientAuthority?: string };
}

export class TestRegistry {
  readonly root = mkdtempSync(join(tmpdir(), "brig-registry-"));
  readonly port = 20_000 + Math.floor(Math.random() * 10_000);
  readonly host = `127.0.0.1:${this.port}`;
  #process: ReturnType<typeof Bun.spawn> | undefined;

  async start({ users, tls }: RegistryOptions = {}): Promise<this> {
    const auth = users && { htpasswd: { realm: "test", path: join(this.root, "htpasswd") } };
    if (users) {
      const hash = (password: string) => Bun.password.hash(password, { algorithm: "bcrypt", cost: 4 });
      const lines = Object.entries(users).map(async ([name, password]) => `${name}:${await hash(password)}\n`);
      await Bun.write(join(this.root, "htpasswd"), (await Promise.all(lines)).join(""));
    }
    const config = {
      version: 0.1,
      log: { level: "error" },
      storage: { filesystem: { rootdirectory: join(this.root, "data") }, delete: { enabled: true } },
      http: {
        addr: this.host,
        ...(tls && {
          tls: {
            certificate: tls.certificate,
            key: tls.key,
            ...(tls.clientAuthority ? { clientcas: [tls.clientAuthority] } : {}),
          },
        }),
      },
      ...(auth && { auth }),
    };
    await Bun.write(join(this.root, "config.yml"), JSON.stringify(config));
    this.#process = Bun.spawn(["docker-registry", "serve", join(this.root, "config.yml")], {
      stdout: "ignore",
      stderr: "ignore",
    });
    for (let attempt = 0; attempt < 100; attempt++) {
      const socket = await Bun.connect({ hostname: "127.0.0.1", port: this.port, socket: { data() {} } }).catch(
        () => undefined,
      );
      socket?.end();
      if (socket) return this;
      await Bun.sleep(50);
    }
    throw new Error("docker-registry does not start");
  }

  /** A manifest or index as it is stored, and its type. */
  async manifest(name: string, reference: string): Promise<{ text: string; mediaType: string; digest: string }> {
    const kinds = ["oci.image.index.v1", "oci.image.manifest.v1", "docker.distribution.manifest.v2"];
    const response = await fetch(`http://${this.host}/v2/${name}/manifests/${reference}`, {
      headers: { Accept: kinds.map((kind) => `application/vnd.${kind}+json`).join(", ") },
    });
    return {
      text: await response.text(),
      mediaType: response.headers.get("content-type") ?? "",
      digest: response.headers.get("docker-content-digest") ?? "",
    };
  }

  async stop(): Promise<void> {
    this.#process?.kill();
    await this.#process?.exited;
    rmSync(this.root, { recursive: true, force: true });
  }
}
