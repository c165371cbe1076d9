import { containerPath } from "../../client/paths.ts";
import { messageOf } from "../../lib/errors.ts";
import { type Command, StatusError } from "../command.ts";
import { checkOutputPath, writeOutputFile } from "../output-file.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Export a container's filesystem as a tar archive",
  aliases: ["container export", "export"],
  args: { min: 1, max: 1 },
  flags: [{ name: "output", short: "o", type: "string", usage: "Write to a file, instead of STDOUT" }],
  async run(ctx, flags) {
    const output = flags.string("output");
    if (output === "" && ctx.isTerminal("stdout"))
      throw new StatusError("cowardly refusing to save to a terminal. Use the -o flag or redirect", 1);
    if (output !== "") {
      try {
        checkOutputPath(output);
      } catch (error) {
        throw new StatusError(`failed to export container: ${messageOf(error)}`, 1);
      }
    }
    const archive = await ctx.engine.request("GET", containerPath(flags.args[0]!, "/export"));
    if (output === "") for await (const chunk of archive.body()) ctx.out(chunk);
    else await writeOutputFile(output, archive.body());
    return 0;
  },
};
