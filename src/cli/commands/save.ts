import { messageOf } from "../../lib/errors.ts";
import { type Command, StatusError } from "../command.ts";
import { checkOutputPath, writeOutputFile } from "../output-file.ts";
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
    const output = flags.string("output");
    if (output === "" && ctx.isTerminal("stdout"))
      throw new StatusError("cowardly refusing to save to a terminal. Use the -o flag or redirect", 1);
    if (output !== "") {
      try {
        checkOutputPath(output);
      } catch (error) {
        throw new StatusError(`failed to save image: ${messageOf(error)}`, 1);
      }
    }
    const archive = await ctx.engine.request("GET", "/images/get", {
      query: { names: flags.args, platform: platformJson(flags.string("platform")) },
    });
    if (output === "") for await (const chunk of archive.body()) ctx.out(chunk);
    else await writeOutputFile(output, archive.body());
    return 0;
  },
};
