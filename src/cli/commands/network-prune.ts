import type { Command } from "../command.ts";
import { filterFlag, filtersOf } from "../format.ts";
import { forceFlag, mayPrune, pruneNetworks } from "./prune.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Remove all unused networks",
  args: { min: 0, max: 0 },
  flags: [filterFlag('Provide filter values (e.g. "until=<timestamp>")', ""), forceFlag],
  async run(ctx, flags) {
    const warning = "WARNING! This will remove all custom networks not used by at least one container.";
    if (!(await mayPrune(ctx, flags.bool("force"), warning))) return 0;
    const { text } = await pruneNetworks(ctx, filtersOf(flags));
    if (text !== "") ctx.out(`${text}\n`);
    return 0;
  },
};
