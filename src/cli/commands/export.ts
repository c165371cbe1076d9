import { containerPath } from "../../client/paths.ts";
import type { Command } from "../command.ts";
import { archiveOutput } from "../output-file.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Export a container's filesystem as a tar archive",
  aliases: ["container export", "export"],
  args: { min: 1, max: 1 },
  flags: [{ name: "output", short: "o", type: "string", usage: "Write to a file, instead of STDOUT" }],
  async run(ctx, flags) {
    const write = archiveOutput(ctx, flags.string("output"), "failed to export container");
    const archive = await ctx.engine.request("GET", containerPath(flags.args[0]!, "/export"));
    await write(archive.body());
    return 0;
  },
};
