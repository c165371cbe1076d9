import type { Command } from "../command.ts";

export const command: Command = {
  usage: "[OPTIONS] NETWORK CONTAINER",
  short: "Disconnect a container from a network",
  args: { min: 2, max: 2 },
  flags: [{ name: "force", short: "f", type: "bool", usage: "Force the container to disconnect from a network" }],
  async run(ctx, flags) {
    const [network = "", container = ""] = flags.args;
    await ctx.engine.call("POST", `/networks/${encodeURIComponent(network)}/disconnect`, {
      json: { Container: container, Force: flags.bool("force") },
    });
    return 0;
  },
};
