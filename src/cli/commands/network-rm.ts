import { EngineError } from "../../client/client.ts";
import { type Command, StatusError } from "../command.ts";

export const command: Command = {
  usage: "NETWORK [NETWORK...]",
  short: "Remove one or more networks",
  aliases: ["network rm", "network remove"],
  args: { min: 1 },
  flags: [{ name: "force", short: "f", type: "bool", usage: "Do not error if the network does not exist" }],
  async run(ctx, flags) {
    let failed = false;
    for (const name of flags.args) {
      try {
        await ctx.engine.call("DELETE", `/networks/${encodeURIComponent(name)}`);
        ctx.out(`${name}\n`);
      } catch (error) {
        if (flags.bool("force") && error instanceof EngineError && error.status === 404) continue;
        ctx.err(`${(error as Error).message}\n`);
        failed = true;
      }
    }
    if (failed) throw new StatusError("exit status 1", 1);
    return 0;
  },
};
