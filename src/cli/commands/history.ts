import { Row } from "../../lib/template/values.ts";
import { humanDuration, humanSize } from "../../lib/units.ts";
import type { Command } from "../command.ts";
import { ellipsis, localTimeText, renderListing, tableFormatFlag, truncateId } from "../format.ts";
import { platformJson } from "./load.ts";

const CREATED_BY_COLUMNS = 45;

interface HistoryItem {
  Id?: string;
  Created?: number;
  CreatedBy?: string;
  Size?: number;
  Comment?: string;
}

const HEADINGS = {
  ID: "IMAGE",
  CreatedSince: "CREATED",
  CreatedAt: "CREATED AT",
  CreatedBy: "CREATED BY",
  Size: "SIZE",
  Comment: "COMMENT",
};

export const command: Command = {
  usage: "[OPTIONS] IMAGE",
  short: "Show the history of an image",
  aliases: ["image history", "history"],
  args: { min: 1, max: 1 },
  flags: [
    tableFormatFlag,
    {
      name: "human",
      short: "H",
      type: "bool",
      default: "true",
      usage: "Print sizes and dates in human readable format",
    },
    { name: "no-trunc", type: "bool", usage: "Don't truncate output" },
    {
      name: "platform",
      type: "string",
      usage: 'Show history for the given platform. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    { name: "quiet", short: "q", type: "bool", usage: "Only show image IDs" },
  ],
  async run(ctx, flags) {
    const items = await ctx.engine.json<HistoryItem[]>("GET", `/images/${encodeURI(flags.args[0] ?? "")}/history`, {
      query: { platform: platformJson(flags.string("platform")) },
    });
    const human = flags.bool("human");
    let format = flags.string("format") || "table";
    if (format === "table") {
      const created = human ? "{{.CreatedSince}}" : "{{.CreatedAt}}";
      const table = `table {{.ID}}\\t${created}\\t{{.CreatedBy}}\\t{{.Size}}\\t{{.Comment}}`;
      format = flags.bool("quiet") ? "{{.ID}}" : table;
    }
    const truncate = !flags.bool("no-trunc");
    const nowMs = Date.now();
    const rows = items.map((item) => historyRow(item, human, truncate, nowMs));
    ctx.out(renderListing({ format, headings: HEADINGS, rows }));
    return 0;
  },
};

function historyRow(item: HistoryItem, human: boolean, truncate: boolean, nowMs: number): Row {
  const createdMs = (item.Created ?? 0) * 1000;
  return new Row("*image.historyContext", {
    ID: () => (truncate && item.Id !== "<missing>" ? truncateId(item.Id ?? "") : (item.Id ?? "")),
    CreatedAt: () => rfc3339(createdMs),
    CreatedSince: () => (createdMs <= 0 ? "N/A" : `${humanDuration(nowMs - createdMs)} ago`),
    CreatedBy: () => {
      const text = (item.CreatedBy ?? "").replaceAll("\t", " ");
      return truncate ? ellipsis(text, CREATED_BY_COLUMNS) : text;
    },
    Size: () => (human ? humanSize(item.Size ?? 0, 3) : String(item.Size ?? 0)),
    Comment: () => item.Comment ?? "",
  });
}

/** The user's local time as RFC 3339, to the second. */
function rfc3339(unixMs: number): string {
  const [day = "", time = "", offset = ""] = localTimeText(unixMs).split(" ");
  return `${day}T${time}${offset === "+0000" ? "Z" : `${offset.slice(0, 3)}:${offset.slice(3)}`}`;
}
