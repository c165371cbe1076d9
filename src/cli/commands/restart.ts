import { containerPath } from "../../client/paths.ts";
import type { Command } from "../command.ts";
import { forEachContainer } from "./each-container.ts";
import { stopFlags, stopQuery } from "./stop.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Restart one or more containers",
  aliases: ["container restart", "restart"],
  args: { min: 1 },
  flags: stopFlags,
  run(ctx, flags) {
    return forEachContainer(ctx, flags.args, async (name) => {
      await ctx.engine.call("POST", containerPath(name, "/restart"), { query: stopQuery(flags) });
    });
  },
};
