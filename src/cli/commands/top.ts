import { alignColumns } from "../../lib/table.ts";
import type { ContainerTopResponse } from "../../wire/engine-api.ts";
import type { Command } from "../command.ts";

export const command: Command = {
  usage: "CONTAINER [ps OPTIONS]",
  short: "Display the running processes of a container",
  aliases: ["container top", "top"],
  args: { min: 1 },
  flags: [],
  interspersed: false,
  async run(ctx, flags) {
    const [name = "", ...psArgs] = flags.args;
    const top = await ctx.engine.json<ContainerTopResponse>("GET", `/containers/${encodeURIComponent(name)}/top`, {
      query: { ps_args: psArgs.join(" ") },
    });
    const rows = [top.Titles ?? [], ...(top.Processes ?? [])];
    const text = rows.map((cells) => `${cells.join("\t")}\n`).join("");
    ctx.out(alignColumns(text, { minWidth: 20, padding: 3 }));
    return 0;
  },
};
