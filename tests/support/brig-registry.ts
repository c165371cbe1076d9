/** A real `brig registry serve` with a root of its own, for one test file. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brigBinary } from "./daemon.ts";

/** The digest that the registry knows bytes by. */
export function digestOf(bytes: Uint8Array | string, algorithm: "sha256" | "sha512" = "sha256"): string {
  return `${algorithm}:${new Bun.CryptoHasher(algorithm).update(bytes).digest("hex")}`;
}

export class BrigRegistry {
  readonly root = mkdtempSync(join(tmpdir(), "brig-registry-"));
  #process: ReturnType<typeof Bun.spawn> | undefined;
  #address = "";

  constructor(readonly options: string[] = []) {}

  /** `127.0.0.1:port` */
  get host(): string {
    return this.#address;
  }

  get pid(): number {
    return this.#process!.pid;
  }

  get log(): string {
    return existsSync(`${this.root}/log`) ? readFileSync(`${this.root}/log`, "utf8") : "";
  }

  async start(): Promise<this> {
    const listen = this.#address || "127.0.0.1:0";
    const before = this.log.length;
    this.#process = Bun.spawn(
      ["/bin/sh", "-c", `exec "$@" >>${this.root}/log 2>&1`, "sh", brigBinary, "registry", "serve"]
        .concat(["--listen", listen, "--root", `${this.root}/data`])
        .concat(this.options),
      { stdin: "ignore" },
    );
    for (let attempt = 0; attempt < 400; attempt++) {
      this.#address = /listens on (\S+)"/.exec(this.log.slice(before))?.[1] ?? this.#address;
      if (this.log.slice(before).includes("listens on")) return this;
      if (this.#process.exitCode !== null) throw new Error(`the registry ended: ${this.log}`);
      await Bun.sleep(10);
    }
    throw new Error(`the registry does not answer: ${this.log}`);
  }

  async end(signal: NodeJS.Signals): Promise<void> {
    this.#process?.kill(signal);
    await this.#process?.exited;
  }

  async dispose(): Promise<void> {
    await this.end("SIGTERM");
    rmSync(this.root, { recursive: true, force: true });
  }

  request(method: string, path: string, init: { body?: Bun.BodyInit; headers?: Record<string, string> } = {}) {
    return fetch(path.startsWith("http") ? path : `http://${this.host}${path}`, {
      method,
      redirect: "manual",
      ...init,
    });
  }

  /** Uploads a blob in one request. */
  async pushBlob(repository: string, bytes: Uint8Array | string): Promise<{ digest: string; size: number }> {
    const digest = digestOf(bytes);
    const answer = await this.request("POST", `/v2/${repository}/blobs/uploads/?digest=${digest}`, {
      body: bytes as Bun.BodyInit,
    });
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
    return { digest, size: Buffer.byteLength(bytes) };
  }

  /** Puts a manifest under a tag, or under its digest where none is given. */
  async pushManifest(repository: string, document: object, tag?: string): Promise<Response & { digest: string }> {
    const body = JSON.stringify(document);
    const digest = digestOf(body);
    const type = (document as { mediaType?: string }).mediaType ?? "application/vnd.oci.image.manifest.v1+json";
    const answer = await this.request("PUT", `/v2/${repository}/manifests/${tag ?? digest}`, {
      body,
      headers: { "Content-Type": type },
    });
    return Object.assign(answer, { digest });
  }

  /** An image of one layer with that content, pushed. Returns its manifest's descriptor and text. */
  async pushImage(repository: string, content: string, tag?: string, more: object = {}) {
    const config = await this.pushBlob(
      repository,
      JSON.stringify({ architecture: "amd64", os: "linux", rootfs: { type: "layers", diff_ids: [digestOf(content)] } }),
    );
    const layer = await this.pushBlob(repository, content);
    const document = {
      schemaVersion: 2,
      mediaType: "application/vnd.oci.image.manifest.v1+json",
      config: { mediaType: "application/vnd.oci.image.config.v1+json", ...config },
      layers: [{ mediaType: "application/vnd.oci.image.layer.v1.tar", ...layer }],
      ...more,
    };
    const answer = await this.pushManifest(repository, document, tag);
    if (answer.status !== 201) throw new Error(`${answer.status} ${await answer.text()}`);
    const text = JSON.stringify(document);
    return { answer, text, digest: answer.digest, mediaType: document.mediaType, size: text.length, config, layer };
  }
}

/** The code of the specification in an answer. */
export async function codeOf(answer: Response): Promise<string> {
  return ((await answer.json()) as { errors: { code: string }[] }).errors[0]!.code;
}
