import type { Command } from "../command.ts";
import { filterFlag, filtersOf } from "../format.ts";
import { forceFlag, mayPrune, printPruned, pruneContainers } from "./prune.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Remove all stopped containers",
  args: { min: 0, max: 0 },
  flags: [filterFlag('Provide filter values (e.g. "until=<timestamp>")', ""), forceFlag],
  async run(ctx, flags) {
    const warning = "WARNING! This will remove all stopped containers.";
    if (!(await mayPrune(ctx, flags.bool("force"), warning))) return 0;
    printPruned(ctx, await pruneContainers(ctx, filtersOf(flags)));
    return 0;
  },
};
