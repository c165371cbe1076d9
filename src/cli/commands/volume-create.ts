import type { Volume } from "../../wire/engine-api.ts";
import { type Command, StatusError } from "../command.ts";
import { keyValues } from "./key-values.ts";

export const command: Command = {
  usage: "[OPTIONS] [VOLUME]",
  short: "Create a volume",
  args: { min: 0, max: 1 },
  flags: [
    { name: "driver", short: "d", type: "string", default: "local", usage: "Specify volume driver name" },
    { name: "label", type: "list", usage: "Set metadata for a volume" },
    { name: "name", type: "string", hidden: true, usage: "Specify volume name" },
    {
      name: "opt",
      short: "o",
      type: "list",
      value: "map",
      shownDefault: "map[]",
      usage: "Set driver specific options",
    },
  ],
  async run(ctx, flags) {
    if (flags.args[0] !== undefined && flags.string("name") !== "") {
      throw new StatusError(
        "conflicting options: cannot specify a volume-name through both --name and as a positional arg",
        1,
      );
    }
    const volume = await ctx.engine.json<Volume>("POST", "/volumes/create", {
      json: {
        Name: flags.args[0] ?? flags.string("name"),
        Driver: flags.string("driver"),
        DriverOpts: keyValues(flags.list("opt")),
        Labels: keyValues(flags.list("label")),
      },
    });
    ctx.out(`${volume.Name}\n`);
    return 0;
  },
};
