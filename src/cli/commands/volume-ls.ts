import type { VolumeListResponse } from "../../wire/engine-api.ts";
import type { Command } from "../command.ts";
import { encodeFilters, filterFlag, filtersOf, renderListing, tableFormatFlag } from "../format.ts";
import { volumeHeadings, volumeRow } from "./volume-row.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "List volumes",
  aliases: ["volume ls", "volume list"],
  args: { min: 0, max: 0 },
  flags: [
    filterFlag('Provide filter values (e.g. "dangling=true")'),
    tableFormatFlag,
    { name: "quiet", short: "q", type: "bool", usage: "Only display volume names" },
  ],
  async run(ctx, flags) {
    const { Volumes } = await ctx.engine.json<VolumeListResponse>("GET", "/volumes", {
      query: { filters: encodeFilters(filtersOf(flags)) },
    });
    const quiet = flags.bool("quiet");
    let format = flags.string("format") || (!quiet && ctx.configFile.volumesFormat) || "table";
    if (format === "table") format = quiet ? "{{.Name}}" : "table {{.Driver}}\\t{{.Name}}";
    else if (format === "raw") format = quiet ? "name: {{.Name}}" : "name: {{.Name}}\ndriver: {{.Driver}}\n";
    const collator = new Intl.Collator("en", { numeric: true });
    const volumes = [...(Volumes ?? [])].sort((a, b) => collator.compare(a.Name, b.Name));
    ctx.out(renderListing({ format, headings: volumeHeadings, rows: volumes.map(volumeRow) }));
    return 0;
  },
};
