import { parseReference, type Reference } from "../../lib/reference.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { showProgress } from "../progress.ts";
import { registryAuthHeaders } from "../registry-auth.ts";

export const command: Command = {
  usage: "[OPTIONS] NAME[:TAG|@DIGEST]",
  short: "Download an image from a registry",
  aliases: ["image pull", "pull"],
  args: { min: 1, max: 1 },
  flags: [
    { name: "all-tags", short: "a", type: "bool", usage: "Download all tagged images in the repository" },
    { name: "disable-content-trust", type: "bool", default: "true", usage: "Skip image verification" },
    { name: "platform", type: "string", usage: "Set platform if server is multi-platform capable" },
    { name: "quiet", short: "q", type: "bool", usage: "Suppress verbose output" },
  ],
  async run(ctx, flags) {
    const reference = parseReference(flags.args[0] ?? "");
    const allTags = flags.bool("all-tags");
    const quiet = flags.bool("quiet");
    if (allTags && (reference.tag !== undefined || reference.digest !== undefined)) {
      throw new StatusError("tag can't be used with --all-tags/-a", 1);
    }
    let tag = reference.digest ?? reference.tag;
    if (!allTags && tag === undefined) {
      tag = "latest";
      if (!quiet) ctx.out("Using default tag: latest\n");
    }
    const write = quiet ? () => undefined : (text: string) => ctx.out(text);
    await pullImage(ctx, reference, { tag, platform: flags.string("platform") }, write, ctx.isTerminal("stdout"));
    ctx.out(`${fullName(reference, tag)}\n`);
    return 0;
  },
};

function fullName(reference: Reference, tag: string | undefined): string {
  if (tag === undefined) return reference.name;
  return reference.name + (tag.includes(":") ? `@${tag}` : `:${tag}`);
}

/**
 * Pulls, showing progress through `write`. Without a tag all tags come. Throws what the engine reports.
 */
export async function pullImage(
  ctx: CliContext,
  reference: Reference,
  { tag, platform }: { tag: string | undefined; platform?: string | undefined },
  write: (text: string) => void,
  isTerminal: boolean,
): Promise<void> {
  const messages = ctx.engine.jsonStream<object>("POST", "/images/create", {
    query: { fromImage: reference.name, tag, platform },
    headers: await registryAuthHeaders(ctx.configFile, reference.domain),
  });
  await showProgress(messages, { write, isTerminal, columns: () => ctx.columns() });
}
