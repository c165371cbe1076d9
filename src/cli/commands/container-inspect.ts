import type { Command } from "../command.ts";
import { objectFormatFlag } from "../format.ts";
import { inspectAll } from "../inspect.ts";
import { findOne } from "./inspect.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Display detailed information on one or more containers",
  args: { min: 1 },
  flags: [objectFormatFlag, { name: "size", short: "s", type: "bool", usage: "Display total file sizes" }],
  run: (ctx, flags) =>
    inspectAll(ctx, flags.args, flags.string("format"), (name) => findOne(ctx, "container", name, flags.bool("size"))),
};
