import { type Command, StatusError } from "../command.ts";
import { fullName, ManifestStore } from "../manifest-store.ts";
import { fetchManifests } from "../remote-manifest.ts";

export const command: Command = {
  usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
  short: "Create a local manifest list for annotating and pushing to a registry",
  experimental: true,
  args: { min: 2 },
  flags: [
    { name: "amend", short: "a", type: "bool", usage: "Amend an existing manifest list" },
    { name: "insecure", type: "bool", usage: "Allow communication with an insecure registry" },
  ],
  async run(ctx, flags) {
    const [listName = "", ...imageNames] = flags.args;
    const list = fullName(listName);
    const store = new ManifestStore(ctx.configDir);
    if (store.has(list) && !flags.bool("amend"))
      throw new StatusError("refusing to amend an existing manifest list with no --amend flag", 1);
    for (const name of imageNames) {
      const image = fullName(name);
      const { images, isList } = await fetchManifests(ctx, name, flags.bool("insecure"));
      if (isList) throw new StatusError(`${image} is a manifest list`, 1);
      store.save(list, image, images[0]!);
    }
    ctx.out(`Created manifest list ${list}\n`);
    return 0;
  },
};
