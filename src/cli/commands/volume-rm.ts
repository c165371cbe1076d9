import type { Command } from "../command.ts";
import { forEachName } from "./remove-each.ts";

export const command: Command = {
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  short: "Remove one or more volumes",
  long: "Remove one or more volumes. You cannot remove a volume that is in use by a container.",
  aliases: ["volume rm", "volume remove"],
  args: { min: 1 },
  flags: [{ name: "force", short: "f", type: "bool", usage: "Force the removal of one or more volumes" }],
  run: (ctx, flags) =>
    forEachName(ctx, flags.args, (name) =>
      ctx.engine.call("DELETE", `/volumes/${encodeURIComponent(name)}`, {
        query: { force: flags.bool("force") || undefined },
      }),
    ),
};
