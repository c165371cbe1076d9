import { Row } from "../../lib/template/values.ts";
import type { Command } from "../command.ts";
import { ellipsis, encodeFilters, filterFlag, filtersOf, renderListing } from "../format.ts";
import { registryAuthHeaders } from "../registry-auth.ts";

interface SearchResult {
  star_count: number;
  is_official: boolean;
  name: string;
  is_automated: boolean;
  description: string;
}

export const command: Command = {
  usage: "[OPTIONS] TERM",
  short: "Search Docker Hub for images",
  args: { min: 1, max: 1 },
  flags: [
    filterFlag(),
    { name: "format", type: "string", usage: "Pretty-print search using a Go template" },
    { name: "limit", type: "int", usage: "Max number of search results" },
    { name: "no-trunc", type: "bool", usage: "Don't truncate output" },
  ],
  async run(ctx, flags) {
    const term = flags.args[0]!;
    const first = term.split("/")[0]!;
    const domain = term.includes("/") && (/[.:]/.test(first) || first === "localhost") ? first : "docker.io";
    const results = await ctx.engine.json<SearchResult[]>("GET", "/images/search", {
      query: {
        term,
        limit: Number(flags.string("limit")) > 0 ? flags.string("limit") : undefined,
        filters: encodeFilters(filtersOf(flags)),
      },
      headers: await registryAuthHeaders(ctx.configFile, domain),
    });
    const noTruncation = flags.bool("no-trunc");
    const isJson = flags.string("format") === "json" || /\{\{-? *json +\. *-?\}\}/.test(flags.string("format"));
    ctx.out(
      renderListing({
        format: expandFormat(flags.string("format")),
        headings: {
          Name: "NAME",
          Description: "DESCRIPTION",
          StarCount: "STARS",
          IsOfficial: "OFFICIAL",
        },
        rows: results.map(
          (result) =>
            new Row("*registry.searchContext", {
              Name: () => result.name,
              Description: () => descriptionOf(result.description, noTruncation),
              StarCount: () => String(result.star_count),
              IsOfficial: () => (isJson ? String(result.is_official) : result.is_official ? "[OK]" : ""),
            }),
        ),
      }),
    );
    return 0;
  },
};

const table = "table {{.Name}}\\t{{.Description}}\\t{{.StarCount}}\\t{{.IsOfficial}}";
const expandFormat = (format: string) => (format === "" || format === "table" ? table : format);

/** On one line, and at most 45 columns wide unless all is wanted. */
function descriptionOf(text: string, whole: boolean): string {
  const line = text.replaceAll("\n", " ").replaceAll("\r", " ");
  return whole ? line : ellipsis(line, 45);
}
