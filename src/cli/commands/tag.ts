import { parseReference, type Reference } from "../../lib/reference.ts";
import { type Command, StatusError } from "../command.ts";

export const command: Command = {
  usage: "SOURCE_IMAGE[:TAG] TARGET_IMAGE[:TAG]",
  short: "Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE",
  aliases: ["image tag", "tag"],
  args: { min: 2, max: 2 },
  flags: [],
  async run(ctx, flags) {
    const [source = "", target = ""] = flags.args;
    if (!isImageId(source)) parsed(source);
    const reference = parsed(target);
    if (reference.digest !== undefined) throw new StatusError("refusing to create a tag with a digest reference", 1);
    await ctx.engine.call("POST", `/images/${encodeURI(source)}/tag`, {
      query: { repo: reference.name, tag: reference.tag ?? "latest" },
    });
    return 0;
  },
};

function parsed(text: string): Reference {
  try {
    return parseReference(text);
  } catch (error) {
    const reason = (error as Error).message;
    throw new StatusError(`Error parsing reference: "${text}" is not a valid repository/tag: ${reason}`, 1);
  }
}

const isImageId = (text: string) => /^(sha256:)?[0-9a-f]{64}$/.test(text);
