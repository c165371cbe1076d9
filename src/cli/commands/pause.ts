import { containerPath } from "../../client/paths.ts";
import type { Command } from "../command.ts";
import { forEachContainer } from "./each-container.ts";

export const command: Command = {
  usage: "CONTAINER [CONTAINER...]",
  short: "Pause all processes within one or more containers",
  aliases: ["container pause", "pause"],
  args: { min: 1 },
  flags: [],
  run(ctx, flags) {
    return forEachContainer(ctx, flags.args, async (name) => {
      await ctx.engine.call("POST", containerPath(name, "/pause"));
    });
  },
};
