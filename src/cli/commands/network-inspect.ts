import type { Command } from "../command.ts";
import { objectFormatFlag } from "../format.ts";
import { fetchJson, inspectAll } from "../inspect.ts";

export const command: Command = {
  usage: "[OPTIONS] NETWORK [NETWORK...]",
  short: "Display detailed information on one or more networks",
  args: { min: 1 },
  flags: [objectFormatFlag, { name: "verbose", short: "v", type: "bool", usage: "Verbose output for diagnostics" }],
  run: (ctx, flags) =>
    inspectAll(ctx, flags.args, flags.string("format"), async (name) => ({
      kind: "network",
      json: await fetchJson(ctx, `/networks/${encodeURIComponent(name)}`, {
        verbose: flags.bool("verbose") ? "true" : undefined,
      }),
    })),
};
