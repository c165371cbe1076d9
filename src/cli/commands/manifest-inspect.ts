import { type Command, StatusError } from "../command.ts";
import { fullName, type ListedManifest, ManifestStore } from "../manifest-store.ts";
import { fetchManifests, listDocument } from "../remote-manifest.ts";

export const command: Command = {
  usage: "[OPTIONS] [MANIFEST_LIST] MANIFEST",
  short: "Display an image manifest, or manifest list",
  experimental: true,
  args: { min: 1, max: 2 },
  flags: [
    { name: "insecure", type: "bool", usage: "Allow communication with an insecure registry" },
    { name: "verbose", short: "v", type: "bool", usage: "Output additional info including layers and platform" },
  ],
  async run(ctx, flags) {
    const isVerbose = flags.bool("verbose");
    const store = new ManifestStore(ctx.configDir);
    const print = (value: unknown) => ctx.out(`${JSON.stringify(value, null, "\t")}\n`);
    const printImage = (image: ListedManifest) =>
      print(isVerbose ? image : (image.SchemaV2Manifest ?? image.OCIManifest));
    if (flags.args.length === 2) {
      const [list, image] = [fullName(flags.args[0]!), fullName(flags.args[1]!)];
      const manifest = store.image(list, image);
      if (manifest === undefined) throw new StatusError(`No such manifest: ${image}`, 1);
      printImage(manifest);
      return 0;
    }
    const name = flags.args[0]!;
    const local = store.images(fullName(name));
    if (local.length > 0) {
      if (isVerbose) print(local);
      else ctx.out(`${listDocument(local).text}\n`);
      return 0;
    }
    const { images, isList } = await fetchManifests(ctx, name, flags.bool("insecure"));
    if (!isList) printImage(images[0]!);
    else if (isVerbose) print(images);
    else ctx.out(`${listDocument(images).text}\n`);
    return 0;
  },
};
