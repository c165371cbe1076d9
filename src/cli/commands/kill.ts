import { containerPath } from "../../client/paths.ts";
import type { Command } from "../command.ts";
import { forEachContainer } from "./each-container.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Kill one or more running containers",
  aliases: ["container kill", "kill"],
  args: { min: 1 },
  flags: [{ name: "signal", short: "s", type: "string", usage: "Signal to send to the container" }],
  run(ctx, flags) {
    return forEachContainer(ctx, flags.args, async (name) => {
      const query = { signal: flags.string("signal") };
      await ctx.engine.call("POST", containerPath(name, "/kill"), { query });
    });
  },
};
