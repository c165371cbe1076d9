import type { Command } from "../command.ts";
import { objectFormatFlag } from "../format.ts";
import { inspectAll } from "../inspect.ts";
import { findOne } from "./inspect.ts";

export const command: Command = {
  usage: "[OPTIONS] VOLUME [VOLUME...]",
  short: "Display detailed information on one or more volumes",
  args: { min: 1 },
  flags: [objectFormatFlag],
  run: (ctx, flags) =>
    inspectAll(ctx, flags.args, flags.string("format"), (name) => findOne(ctx, "volume", name, false)),
};
