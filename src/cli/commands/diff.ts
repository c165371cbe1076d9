import { containerPath } from "../../client/paths.ts";
import type { Command } from "../command.ts";

const letters = ["C", "A", "D"];

export const command: Command = {
  usage: "CONTAINER",
  short: "Inspect changes to files or directories on a container's filesystem",
  aliases: ["container diff", "diff"],
  args: { min: 1, max: 1 },
  flags: [],
  async run(ctx, flags) {
    const path = containerPath(flags.args[0]!, "/changes");
    const changes = (await ctx.engine.json<{ Path: string; Kind: number }[] | null>("GET", path)) ?? [];
    ctx.out(changes.map(({ Path, Kind }) => `${letters[Kind] ?? ""} ${Path}\n`).join(""));
    return 0;
  },
};
