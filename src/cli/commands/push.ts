import { parseReference, withDefaultTag } from "../../lib/reference.ts";
import { type Command, StatusError } from "../command.ts";
import { note } from "../note.ts";
import { showProgress } from "../progress.ts";
import { registryAuthHeaders } from "../registry-auth.ts";
import { platformJson } from "./load.ts";

export const command: Command = {
  usage: "[OPTIONS] NAME[:TAG]",
  short: "Upload an image to a registry",
  aliases: ["image push", "push"],
  args: { min: 1, max: 1 },
  flags: [
    { name: "all-tags", short: "a", type: "bool", usage: "Push all tags of an image to the repository" },
    { name: "disable-content-trust", type: "bool", default: "true", usage: "Skip image signing" },
    {
      name: "platform",
      type: "string",
      usage:
        "Push a platform-specific manifest as a single-platform image to the registry.\nImage index won't be pushed, meaning that other manifests, including attestations won't be preserved.\n'os[/arch[/variant]]': Explicit platform (eg. linux/amd64)",
    },
    { name: "quiet", short: "q", type: "bool", usage: "Suppress verbose output" },
  ],
  async run(ctx, flags) {
    const platform = platformJson(flags.string("platform"), `Invalid platform ${flags.string("platform")}`);
    if (platform !== undefined) ctx.out(note(ctx.isTerminal("stdout"), platformNote));
    const given = parseReference(flags.args[0]!);
    const isBareName = given.tag === undefined && given.digest === undefined;
    const all = flags.bool("all-tags");
    const quiet = flags.bool("quiet");
    if (all && !isBareName) throw new StatusError("tag can't be used with --all-tags/-a", 1);
    if (given.digest !== undefined) throw new StatusError("cannot push a digest reference", 1);
    const reference = all ? given : withDefaultTag(given);
    if (isBareName && !all && !quiet) ctx.out(`Using default tag: ${reference.tag}\n`);

    const messages = ctx.engine.jsonStream<object>("POST", `/images/${reference.familiarName}/push`, {
      query: { tag: reference.tag, platform },
      headers: await registryAuthHeaders(ctx.configFile, reference.domain),
    });
    const notes: Aux[] = [];
    const write = quiet ? () => undefined : (text: string) => ctx.out(text);
    const isTerminal = !quiet && ctx.isTerminal("stdout");
    try {
      await showProgress(messages, { write, isTerminal, columns: () => ctx.columns() }, (aux) => {
        if ((aux as Aux).manifestPushedInsteadOfIndex === true) notes.push(aux as Aux);
      });
      if (quiet) ctx.out(`${reference.name}${reference.tag === undefined ? "" : `:${reference.tag}`}\n`);
    } finally {
      for (const { originalIndex, selectedManifest } of notes)
        ctx.out(
          note(ctx.isTerminal("stdout"), [
            "Not all multiplatform-content is present and only the available single-platform image was pushed",
            `\x1b[31m${originalIndex.digest}\x1b[0m -> \x1b[32m${selectedManifest.digest}\x1b[0m`,
          ]),
        );
    }
    return 0;
  },
};

/** What the engine tells where it had to leave an index behind. */
interface Aux {
  manifestPushedInsteadOfIndex?: boolean;
  originalIndex: { digest: string };
  selectedManifest: { digest: string };
}

const platformNote = [
  "Using --platform pushes only the specified platform manifest of a multi-platform image index.",
  "Other components, like attestations, will not be included.",
  "To push the complete multi-platform image, remove the --platform flag.",
  "",
];
