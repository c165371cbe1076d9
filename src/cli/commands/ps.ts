import { Row } from "../../lib/template/values.ts";
import type { ContainerSummary } from "../../wire/engine-api.ts";
import type { CliContext, Command } from "../command.ts";
import {
  compileOrExplain,
  encodeFilters,
  executeOrExplain,
  filterFlag,
  filtersOf,
  renderListing,
  tableFormatFlag,
} from "../format.ts";
import { containerHeadings, containerRow } from "./container-row.ts";

const TABLE = "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Ports}}\\t{{.Names}}";
const RAW = `container_id: {{.ID}}
image: {{.Image}}
command: {{.Command}}
created_at: {{.CreatedAt}}
state: {{- pad .State 1 0}}
status: {{- pad .Status 1 0}}
names: {{.Names}}
labels: {{- pad .Labels 1 0}}
ports: {{- pad .Ports 1 0}}
`;

export const command: Command = {
  usage: "[OPTIONS]",
  short: "List containers",
  aliases: ["container ls", "container list", "container ps", "ps"],
  args: { min: 0, max: 0 },
  flags: [
    { name: "all", short: "a", type: "bool", usage: "Show all containers (default shows just running)" },
    filterFlag(),
    tableFormatFlag,
    {
      name: "last",
      short: "n",
      type: "int",
      default: "-1",
      usage: "Show n last created containers (includes all states)",
    },
    { name: "latest", short: "l", type: "bool", usage: "Show the latest created container (includes all states)" },
    { name: "no-trunc", type: "bool", usage: "Don't truncate output" },
    { name: "quiet", short: "q", type: "bool", usage: "Only display container IDs" },
    { name: "size", short: "s", type: "bool", usage: "Display total file sizes" },
  ],
  async run(ctx, flags) {
    const quiet = flags.bool("quiet");
    const given = chosenFormat(ctx, flags.string("format"), quiet);
    const asksSize = usesSize(given);
    const limit = flags.bool("latest") && flags.int("last") === -1 ? 1 : flags.int("last");
    const containers = await ctx.engine.json<ContainerSummary[]>("GET", "/containers/json", {
      query: {
        all: flags.bool("all") ? 1 : undefined,
        limit: limit > 0 ? limit : undefined,
        size: flags.bool("size") || (asksSize && !flags.has("size")) ? 1 : undefined,
        filters: encodeFilters(filtersOf(flags)),
      },
    });
    const nowMs = Date.now();
    const truncate = !flags.bool("no-trunc");
    ctx.out(
      renderListing({
        format: expandFormat(given, quiet, flags.bool("size")),
        headings: containerHeadings,
        rows: containers.map((container) => containerRow(container, truncate, nowMs)),
      }),
    );
    return 0;
  },
};

function chosenFormat(ctx: CliContext, format: string, quiet: boolean): string {
  if (format === "") return (!quiet && ctx.configFile.psFormat) || "table";
  if (quiet) ctx.err("WARNING: Ignoring custom format, because both --format and --quiet are set.\n");
  return format;
}

function expandFormat(format: string, quiet: boolean, size: boolean): string {
  if (format === "raw") return quiet ? "container_id: {{.ID}}" : `${RAW}${size ? "size: {{.Size}}\n" : ""}`;
  if (quiet) return "{{.ID}}";
  return format === "table" ? `${TABLE}${size ? "\\t{{.Size}}" : ""}` : format;
}

/** Whether the template shows sizes, which cost the engine time. A template that fails does so before it is asked. */
function usesSize(format: string): boolean {
  const template = compileOrExplain(format, "failed to parse template: ");
  let used = false;
  const blank = containerRow({}, true, 0);
  const members = {
    ...blank.members,
    Size: () => {
      used = true;
      return "";
    },
    Image: () => "",
    Command: () => "",
  };
  executeOrExplain(template, new Row(blank.typeName, members), "failed to execute template: ");
  return used;
}
