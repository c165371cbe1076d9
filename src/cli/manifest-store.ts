/**
 * Manifest lists that are being put together: `$DOCKER_CONFIG/manifests/LIST/IMAGE`, in the docker command line's own
 * form, so that either can go on with what the other began.
 */
import { mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Descriptor } from "../distribution/documents.ts";
import { canonicalString, parseReference, withDefaultTag } from "../lib/reference.ts";

/** An image in a list. */
export interface ListedManifest {
  Ref: string;
  Descriptor: Descriptor;
  /** The manifest's bytes in base64. */
  Raw: string;
  SchemaV2Manifest?: object;
  OCIManifest?: object;
}

/** A name with its tag filled in: what lists and images are known by. */
export const fullName = (text: string): string => canonicalString(withDefaultTag(parseReference(text)));

/** Names become one file name each. */
const fileName = (name: string) => name.replaceAll("/", "_").replaceAll(":", "-");

export class ManifestStore {
  readonly #root: string;

  constructor(configDir: string) {
    this.#root = join(configDir, "manifests");
  }

  /** Whether there is a list of that name. */
  has(list: string): boolean {
    return this.images(list).length > 0;
  }

  /** What a list holds, by the images' file names. */
  images(list: string): ListedManifest[] {
    return this.#names(list).map((name) => JSON.parse(readFileSync(join(this.#directory(list), name), "utf8")));
  }

  image(list: string, image: string): ListedManifest | undefined {
    try {
      return JSON.parse(readFileSync(join(this.#directory(list), fileName(image)), "utf8")) as ListedManifest;
    } catch (thrown) {
      if ((thrown as { code?: string }).code === "ENOENT") return undefined;
      throw thrown;
    }
  }

  save(list: string, image: string, manifest: ListedManifest): void {
    const directory = this.#directory(list);
    mkdirSync(directory, { recursive: true, mode: 0o755 });
    const path = join(directory, fileName(image));
    writeFileSync(`${path}.${process.pid}`, JSON.stringify(manifest));
    renameSync(`${path}.${process.pid}`, path);
  }

  remove(list: string): void {
    rmSync(this.#directory(list), { recursive: true, force: true });
  }

  #directory(list: string): string {
    return join(this.#root, fileName(list));
  }

  #names(list: string): string[] {
    try {
      return readdirSync(this.#directory(list)).sort();
    } catch (thrown) {
      if ((thrown as { code?: string }).code === "ENOENT") return [];
      throw thrown;
    }
  }
}
