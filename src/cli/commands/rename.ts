import { containerPath } from "../../client/paths.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  usage: "CONTAINER NEW_NAME",
  short: "Rename a container",
  aliases: ["container rename", "rename"],
  args: { min: 2, max: 2 },
  flags: [],
  async run(ctx, flags) {
    const [oldName = "", newName = ""] = flags.args.map((name) => name.trim());
    if (oldName === "" || newName === "") throw new Error("Error: Neither old nor new names may be empty");
    try {
      const query = { name: newName };
      await ctx.engine.call("POST", containerPath(oldName, "/rename"), { query });
    } catch (error) {
      ctx.err(`${(error as Error).message}\n`);
      throw new Error(`Error: failed to rename container named ${oldName}`);
    }
    return 0;
  },
};
