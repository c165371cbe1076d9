import { type Command, StatusError } from "../command.ts";
import { fullName, ManifestStore } from "../manifest-store.ts";

export const command: Command = {
  usage: "MANIFEST_LIST [MANIFEST_LIST...]",
  short: "Delete one or more manifest lists from local storage",
  experimental: true,
  args: { min: 1 },
  flags: [],
  async run(ctx, flags) {
    const store = new ManifestStore(ctx.configDir);
    const missing: string[] = [];
    for (const name of flags.args) {
      const list = fullName(name);
      if (store.has(list)) store.remove(list);
      else missing.push(`No such manifest: ${list}`);
    }
    if (missing.length > 0) throw new StatusError(missing.join("\n"), 1);
    return 0;
  },
};
