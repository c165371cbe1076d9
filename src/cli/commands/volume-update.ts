import type { Volume } from "../../wire/engine-api.ts";
import { type Command, StatusError } from "../command.ts";

export const command: Command = {
  usage: "[OPTIONS] [VOLUME]",
  short: "Update a volume (cluster volumes only)",
  args: { min: 1, max: 1 },
  flags: [
    {
      name: "availability",
      type: "string",
      default: "active",
      hidden: true,
      usage: 'Cluster Volume availability ("active", "pause", "drain")',
    },
  ],
  async run(ctx, flags) {
    await ctx.engine.json<Volume>("GET", `/volumes/${encodeURIComponent(flags.args[0]!)}`);
    throw new StatusError("can only update cluster volumes", 1);
  },
};
