import { writeConfigFile } from "../../client/config-file.ts";
import type { Command } from "../command.ts";
import { contextExists, removeContext } from "./context-store.ts";
import { forEachName } from "./remove-each.ts";

export const command: Command = {
  usage: "CONTEXT [CONTEXT...]",
  short: "Remove one or more contexts",
  aliases: ["context rm", "context remove"],
  args: { min: 1 },
  flags: [{ name: "force", short: "f", type: "bool", usage: "Force the removal of a context in use" }],
  run: (ctx, flags) =>
    forEachName(ctx, flags.args, async (name) => {
      const force = flags.bool("force");
      if (name === "default") throw new Error('context "default" cannot be removed');
      if (!contextExists(ctx.configDir, name) && !force) throw new Error(`context "${name}" does not exist`);
      if (name === ctx.contextName) {
        if (!force) throw new Error(`context "${name}" is in use, set -f flag to force remove`);
        const { currentContext: _, ...rest } = ctx.configFile;
        writeConfigFile(ctx.configDir, rest);
      }
      removeContext(ctx.configDir, name);
    }),
};
