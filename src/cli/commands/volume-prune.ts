import { type Command, StatusError } from "../command.ts";
import { addFilter, filterFlag, filtersOf } from "../format.ts";
import { forceFlag, mayPrune, printPruned, pruneVolumes } from "./prune.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Remove unused local volumes",
  args: { min: 0, max: 0 },
  flags: [
    { name: "all", short: "a", type: "bool", usage: "Remove all unused volumes, not just anonymous ones" },
    filterFlag('Provide filter values (e.g. "label=<label>")', ""),
    forceFlag,
  ],
  async run(ctx, flags) {
    const filters = filtersOf(flags);
    const all = flags.bool("all");
    if (all && filters.all !== undefined) {
      throw new StatusError("conflicting options: cannot specify both --all and --filter all=1", 1);
    }
    if (all) addFilter(filters, "all", "true");
    const what = all ? "all local volumes" : "anonymous local volumes";
    const warning = `WARNING! This will remove ${what} not used by at least one container.`;
    if (!(await mayPrune(ctx, flags.bool("force"), warning))) return 0;
    printPruned(ctx, await pruneVolumes(ctx, filters));
    return 0;
  },
};
