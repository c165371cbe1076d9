import type { Command } from "../command.ts";
import { archiveOutput } from "../output-file.ts";
import { platformJson } from "./load.ts";

export const command: Command = {
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Save one or more images to a tar archive (streamed to STDOUT by default)",
  aliases: ["image save", "save"],
  args: { min: 1 },
  flags: [
    { name: "output", short: "o", type: "string", usage: "Write to a file, instead of STDOUT" },
    {
      name: "platform",
      type: "string",
      usage: 'Save only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
  ],
  async run(ctx, flags) {
    const write = archiveOutput(ctx, flags.string("output"), "failed to save image");
    const archive = await ctx.engine.request("GET", "/images/get", {
      query: { names: flags.args, platform: platformJson(flags.string("platform")) },
    });
    await write(archive.body());
    return 0;
  },
};
