import type { Command } from "../command.ts";
import { objectFormatFlag } from "../format.ts";
import { fetchJson, inspectAll } from "../inspect.ts";
import { platformJson } from "./load.ts";

export const command: Command = {
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Display detailed information on one or more images",
  args: { min: 1 },
  flags: [
    objectFormatFlag,
    {
      name: "platform",
      type: "string",
      usage:
        "Inspect a specific platform of the multi-platform image.\n" +
        "If the image or the server is not multi-platform capable, the command will error out if the platform does not match.\n" +
        "'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    },
  ],
  async run(ctx, flags) {
    const platform = platformJson(flags.string("platform"), "");
    return inspectAll(ctx, flags.args, flags.string("format"), async (reference) => ({
      kind: "image",
      json: await fetchJson(ctx, `/images/${encodeURI(reference)}/json`, { platform }),
    }));
  },
};
