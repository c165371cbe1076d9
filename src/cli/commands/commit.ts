import { parseReference, withDefaultTag } from "../../lib/reference.ts";
import { type Command, StatusError } from "../command.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [REPOSITORY[:TAG]]",
  short: "Create a new image from a container's changes",
  aliases: ["container commit", "commit"],
  args: { min: 1, max: 2 },
  flags: [
    { name: "author", short: "a", type: "string", usage: 'Author (e.g., "John Hannibal Smith <hannibal@a-team.com>")' },
    { name: "change", short: "c", type: "list", usage: "Apply Dockerfile instruction to the created image" },
    { name: "message", short: "m", type: "string", usage: "Commit message" },
    { name: "pause", short: "p", type: "bool", default: "true", usage: "Pause container during commit" },
  ],
  async run(ctx, flags) {
    const [container = "", target = ""] = flags.args;
    if (container.trim() === "") throw new StatusError("invalid container name or ID: value is empty", 1);
    const name = target === "" ? undefined : withDefaultTag(parseReference(target));
    if (name?.digest !== undefined) throw new StatusError("refusing to create a tag with a digest reference", 1);
    const { Id } = await ctx.engine.json<{ Id: string }>("POST", "/commit", {
      query: {
        container: container.trim(),
        repo: name?.familiarName,
        tag: name?.tag,
        comment: flags.string("message"),
        author: flags.string("author"),
        changes: flags.list("change"),
        pause: flags.bool("pause") ? undefined : 0,
      },
    });
    ctx.out(`${Id}\n`);
    return 0;
  },
};
