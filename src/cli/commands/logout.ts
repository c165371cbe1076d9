import { eraseCredentials, registryKey } from "../../client/credentials.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  usage: "[SERVER]",
  short: "Log out from a registry",
  long: "Log out from a registry.\nIf no server is specified, the default is defined by the daemon.",
  args: { min: 0, max: 1 },
  flags: [],
  async run(ctx, flags) {
    const key = registryKey(flags.args[0] ?? "docker.io");
    ctx.out(`Removing login credentials for ${key}\n`);
    try {
      await eraseCredentials(ctx.configDir, ctx.configFile, key);
    } catch (thrown) {
      ctx.err(`WARNING: could not erase credentials:\n${key}: ${(thrown as Error).message}\n`);
    }
    return 0;
  },
};
