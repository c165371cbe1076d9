import { containerPath } from "../../client/paths.ts";
import type { ContainerWaitResponse } from "../../wire/engine-api.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  usage: "CONTAINER [CONTAINER...]",
  short: "Block until one or more containers stop, then print their exit codes",
  aliases: ["container wait", "wait"],
  args: { min: 1 },
  flags: [],
  async run(ctx, flags) {
    const failures: string[] = [];
    for (const name of flags.args) {
      try {
        const answer = await ctx.engine.json<ContainerWaitResponse>("POST", containerPath(name, "/wait"));
        if (answer.Error?.Message) failures.push(answer.Error.Message);
        else ctx.out(`${answer.StatusCode}\n`);
      } catch (error) {
        failures.push((error as Error).message);
      }
    }
    if (failures.length > 0) ctx.err(`${failures.join("\n")}\n`);
    return failures.length > 0 ? 1 : 0;
  },
};
