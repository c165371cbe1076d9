import type { Command } from "../command.ts";

export const command: Command = {
  usage: "",
  short: "Print the name of the current context",
  args: { min: 0, max: 0 },
  flags: [],
  async run(ctx) {
    ctx.out(`${ctx.contextName}\n`);
    return 0;
  },
};
