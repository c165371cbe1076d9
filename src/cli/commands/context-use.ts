import { writeConfigFile } from "../../client/config-file.ts";
import type { Command } from "../command.ts";
import { findContext } from "./context-store.ts";

export const command: Command = {
  usage: "CONTEXT",
  short: "Set the current docker context",
  args: { min: 1, max: 1 },
  flags: [],
  async run(ctx, flags) {
    const [name = ""] = flags.args;
    findContext(ctx.configDir, name);
    const { currentContext, ...rest } = ctx.configFile;
    const chosen = name === "default" ? undefined : name;
    if (chosen !== currentContext) {
      writeConfigFile(ctx.configDir, chosen === undefined ? rest : { ...rest, currentContext: chosen });
    }
    ctx.out(`${name}\n`);
    ctx.err(`Current context is now "${name}"\n`);
    if (name !== "default" && process.env.DOCKER_HOST) {
      ctx.err(
        `Warning: DOCKER_HOST environment variable overrides the active context. To use "${name}", ` +
          "either set the global --context flag, or unset DOCKER_HOST environment variable.\n",
      );
    }
    return 0;
  },
};
