import type { Command } from "../command.ts";
import { forceFlag, mayPrune } from "./prune.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Take all bridges and firewall rules of Brig off the host, until they are needed again",
  args: { min: 0, max: 0 },
  flags: [forceFlag],
  async run(ctx, flags) {
    const warning = "WARNING! This will remove all bridges and firewall rules of Brig until the next container starts.";
    if (!(await mayPrune(ctx, flags.bool("force"), warning))) return 0;
    await ctx.engine.request("POST", "/networks/reset");
    return 0;
  },
};
