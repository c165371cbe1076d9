import type { ImageSummary } from "../../wire/engine-api.ts";
import { type Command, StatusError } from "../command.ts";
import { addFilter, encodeFilters, filterFlag, filtersOf, renderListing, tableFormatFlag } from "../format.ts";
import { imageHeadings, imageRows } from "./image-row.ts";
import { imageTree } from "./image-tree.ts";

export const command: Command = {
  usage: "[OPTIONS] [REPOSITORY[:TAG]]",
  short: "List images",
  aliases: ["image ls", "image list", "images"],
  args: { min: 0, max: 1 },
  flags: [
    { name: "all", short: "a", type: "bool", usage: "Show all images (default hides intermediate images)" },
    { name: "digests", type: "bool", usage: "Show digests" },
    filterFlag(),
    tableFormatFlag,
    { name: "no-trunc", type: "bool", usage: "Don't truncate output" },
    { name: "quiet", short: "q", type: "bool", usage: "Only show image IDs" },
    { name: "tree", type: "bool", usage: "List multi-platform images as a tree (EXPERIMENTAL)" },
  ],
  async run(ctx, flags) {
    const filters = filtersOf(flags);
    if (flags.args[0] !== undefined) addFilter(filters, "reference", flags.args[0]);
    if (flags.bool("tree")) {
      for (const [name, shown] of treeConflicts)
        if (flags.has(name)) throw new StatusError(`--${shown} is not yet supported with --tree`, 1);
      const listed = await ctx.engine.json<ImageSummary[]>("GET", "/images/json", {
        query: { all: flags.bool("all") || undefined, filters: encodeFilters(filters), manifests: 1 },
      });
      ctx.out(imageTree(listed, flags.bool("all"), { isTerminal: ctx.isTerminal("stdout"), columns: ctx.columns() }));
      return 0;
    }
    const images = await ctx.engine.json<ImageSummary[]>("GET", "/images/json", {
      query: { all: flags.bool("all") || undefined, filters: encodeFilters(filters) },
    });
    const quiet = flags.bool("quiet");
    const digests = flags.bool("digests");
    const chosen = flags.string("format") || (!quiet && ctx.configFile.imagesFormat) || "table";
    const format = expandFormat(chosen, quiet, digests);
    const nowMs = Date.now();
    const truncate = !flags.bool("no-trunc");
    const withDigests = digests || format.includes("{{.Digest}}");
    ctx.out(
      renderListing({
        format,
        headings: imageHeadings,
        rows: images.flatMap((image) => imageRows(image, truncate, withDigests, nowMs)),
      }),
    );
    return 0;
  },
};

/** Flags that have no effect on a tree, by the names that Docker calls them. */
const treeConflicts = [
  ["quiet", "quiet"],
  ["no-trunc", "no-trunc"],
  ["digests", "show-digest"],
  ["format", "format"],
] as const;

function expandFormat(format: string, quiet: boolean, digests: boolean): string {
  const digestLine = digests ? "digest: {{.Digest}}\n" : "";
  switch (format) {
    case "table":
      if (quiet) return "{{.ID}}";
      return `table {{.Repository}}\\t{{.Tag}}\\t${digests ? "{{.Digest}}\\t" : ""}{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}`;
    case "raw":
      if (quiet) return "image_id: {{.ID}}";
      return `repository: {{ .Repository }}
tag: {{.Tag}}
${digestLine}image_id: {{.ID}}
created_at: {{.CreatedAt}}
virtual_size: {{.Size}}
`;
  }
  const lacksDigest = digests && format.startsWith("table") && !format.includes("{{.Digest}}");
  return lacksDigest ? `${format}\\t{{.Digest}}` : format;
}
