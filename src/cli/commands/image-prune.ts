import type { Command } from "../command.ts";
import { filterFlag, filtersOf } from "../format.ts";
import { forceFlag, mayPrune, printPruned, pruneImages } from "./prune.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Remove unused images",
  args: { min: 0, max: 0 },
  flags: [
    { name: "all", short: "a", type: "bool", usage: "Remove all unused images, not just dangling ones" },
    filterFlag('Provide filter values (e.g. "until=<timestamp>")', ""),
    forceFlag,
  ],
  async run(ctx, flags) {
    const all = flags.bool("all");
    const what = all ? "images without at least one container associated to them" : "dangling images";
    if (!(await mayPrune(ctx, flags.bool("force"), `WARNING! This will remove all ${what}.`))) return 0;
    printPruned(ctx, await pruneImages(ctx, filtersOf(flags), all));
    return 0;
  },
};
