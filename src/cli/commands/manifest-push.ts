import { parseManifest } from "../../distribution/documents.ts";
import { isForeignLayerType } from "../../distribution/media-types.ts";
import type { Repository } from "../../distribution/repository.ts";
import { canonicalString, parseReference, sha256Of, withDefaultTag } from "../../lib/reference.ts";
import { type Command, StatusError } from "../command.ts";
import { fullName, type ListedManifest, ManifestStore } from "../manifest-store.ts";
import { atRegistry, listDocument } from "../remote-manifest.ts";

export const command: Command = {
  usage: "[OPTIONS] MANIFEST_LIST",
  short: "Push a manifest list to a repository",
  experimental: true,
  args: { min: 1, max: 1 },
  flags: [
    { name: "insecure", type: "bool", usage: "Allow push to an insecure registry" },
    { name: "purge", short: "p", type: "bool", usage: "Remove the local manifest list after push" },
  ],
  async run(ctx, flags) {
    const list = fullName(flags.args[0]!);
    const reference = withDefaultTag(parseReference(list));
    const store = new ManifestStore(ctx.configDir);
    const images = store.images(list);
    if (images.length === 0) throw new StatusError(`No such manifest: ${canonicalString(reference)}`, 1);
    for (const { Ref, Descriptor } of images) {
      if (!Descriptor.platform?.architecture || !Descriptor.platform.os)
        throw new StatusError(`manifest ${Ref} must have an OS and Architecture to be pushed to a registry`, 1);
      if (parseReference(Ref).domain !== reference.domain)
        throw new StatusError("cannot use source images from a different registry than the target image", 1);
    }
    const insecure = flags.bool("insecure");
    const { text, mediaType } = listDocument(images);
    const digest = sha256Of(text);
    await atRegistry(ctx, reference, insecure, "pull,push", async (repository) => {
      for (const image of images) {
        const source = parseReference(image.Ref);
        await atRegistry(ctx, source, insecure, "pull", (from) => pushImage(repository, from, source.path, image));
        const { digest } = image.Descriptor;
        ctx.out(`Pushed ref ${reference.name}@${digest} with digest: ${digest}\n`);
      }
      await repository.putManifest(reference.tag!, { bytes: Buffer.from(text), mediaType, digest }, undefined);
    });
    ctx.out(`${digest}\n`);
    if (flags.bool("purge")) store.remove(list);
    return 0;
  },
};

/** An image of another repository: its blobs are mounted, or copied where they cannot be; then its manifest is stored. */
async function pushImage(
  repository: Repository,
  source: Repository,
  sourcePath: string,
  { Ref, Raw, Descriptor }: ListedManifest,
): Promise<void> {
  const bytes = Buffer.from(Raw, "base64");
  const { digest, mediaType } = Descriptor;
  const manifest = parseManifest(bytes, mediaType, Ref);
  if (manifest.kind === "index") throw new StatusError(`${Ref} is a manifest list`, 1);
  const { signal } = new AbortController();
  for (const blob of [manifest.config, ...manifest.layers]) {
    if (isForeignLayerType(blob.mediaType)) continue;
    const open = (offset: number, length: number) => firstBytes(source.blob(blob.digest, offset, signal), length);
    await repository.upload({ digest: blob.digest, size: blob.size, open }, { mountFrom: [sourcePath], signal });
  }
  await repository.putManifest(digest, { bytes, mediaType, digest }, signal);
}

async function* firstBytes(chunks: AsyncIterable<Uint8Array>, length: number): AsyncGenerator<Uint8Array> {
  let left = length;
  for await (const chunk of chunks) {
    yield chunk.subarray(0, left);
    left -= chunk.length;
    if (left <= 0) return;
  }
}
