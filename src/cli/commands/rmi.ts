import { EngineError } from "../../client/client.ts";
import type { ImageDeleteResponseItem } from "../../wire/engine-api.ts";
import { type Command, StatusError } from "../command.ts";
import { platformJson } from "./load.ts";

export const command: Command = {
  usage: "[OPTIONS] IMAGE [IMAGE...]",
  short: "Remove one or more images",
  aliases: ["image rm", "image remove", "rmi"],
  args: { min: 1 },
  flags: [
    { name: "force", short: "f", type: "bool", usage: "Force removal of the image" },
    { name: "no-prune", type: "bool", usage: "Do not delete untagged parents" },
    {
      name: "platform",
      type: "list",
      value: "strings",
      usage: 'Remove only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
  ],
  async run(ctx, flags) {
    const force = flags.bool("force");
    const errors: string[] = [];
    let failed = false;
    for (const name of flags.args) {
      try {
        const items = await ctx.engine.json<ImageDeleteResponseItem[]>("DELETE", `/images/${encodeURI(name)}`, {
          query: {
            force: force || undefined,
            noprune: flags.bool("no-prune") || undefined,
            platforms: flags.list("platform").map((platform) => platformJson(platform, "") ?? ""),
          },
        });
        for (const { Deleted, Untagged } of items ?? []) {
          ctx.out(Deleted ? `Deleted: ${Deleted}\n` : `Untagged: ${Untagged ?? ""}\n`);
        }
      } catch (error) {
        if (!(error instanceof EngineError && error.status === 404 && force)) failed = true;
        errors.push((error as Error).message);
      }
    }
    if (errors.length === 0) return 0;
    if (failed) throw new StatusError(errors.join("\n"), 1);
    ctx.err(`${errors.join("\n")}\n`);
    return 0;
  },
};
