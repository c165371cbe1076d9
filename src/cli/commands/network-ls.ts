import { Row } from "../../lib/template/values.ts";
import type { Network } from "../../wire/engine-api.ts";
import type { Command } from "../command.ts";
import {
  encodeFilters,
  filterFlag,
  filtersOf,
  joinLabels,
  renderListing,
  tableFormatFlag,
  truncateId,
} from "../format.ts";

const HEADINGS = {
  ID: "NETWORK ID",
  Name: "NAME",
  Driver: "DRIVER",
  Scope: "SCOPE",
  IPv4: "IPV4",
  IPv6: "IPV6",
  Internal: "INTERNAL",
  Labels: "LABELS",
  CreatedAt: "CREATED AT",
};
const TABLE = "table {{.ID}}\\t{{.Name}}\\t{{.Driver}}\\t{{.Scope}}";
const RAW = "network_id: {{.ID}}\nname: {{.Name}}\ndriver: {{.Driver}}\nscope: {{.Scope}}\n";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "List networks",
  aliases: ["network ls", "network list"],
  args: { min: 0, max: 0 },
  flags: [
    filterFlag('Provide filter values (e.g. "driver=bridge")'),
    tableFormatFlag,
    { name: "no-trunc", type: "bool", usage: "Do not truncate the output" },
    { name: "quiet", short: "q", type: "bool", usage: "Only display network IDs" },
  ],
  async run(ctx, flags) {
    const networks = await ctx.engine.json<Network[]>("GET", "/networks", {
      query: { filters: encodeFilters(filtersOf(flags)) },
    });
    const quiet = flags.bool("quiet");
    let format = flags.string("format") || (!quiet && ctx.configFile.networksFormat) || "table";
    if (format === "table") format = quiet ? "{{.ID}}" : TABLE;
    else if (format === "raw") format = quiet ? "network_id: {{.ID}}" : RAW;
    const truncate = !flags.bool("no-trunc");
    const collator = new Intl.Collator("en", { numeric: true });
    const sorted = [...networks].sort((a, b) => collator.compare(a.Name ?? "", b.Name ?? ""));
    ctx.out(
      renderListing({ format, headings: HEADINGS, rows: sorted.map((network) => networkRow(network, truncate)) }),
    );
    return 0;
  },
};

function networkRow(network: Network, truncate: boolean): Row {
  const labels: Record<string, string> = network.Labels ?? {};
  return new Row("*network.networkContext", {
    ID: () => (truncate ? truncateId(network.Id ?? "") : (network.Id ?? "")),
    Name: () => network.Name ?? "",
    Driver: () => network.Driver ?? "",
    Scope: () => network.Scope ?? "",
    IPv4: () => String(network.EnableIPv4 ?? false),
    IPv6: () => String(network.EnableIPv6 ?? false),
    Internal: () => String(network.Internal ?? false),
    Labels: () => joinLabels(labels),
    Label: (name: string) => (Object.hasOwn(labels, name) ? labels[name] : ""),
    CreatedAt: () => goTime(network.Created ?? ""),
  });
}

/** A time in the zone it was sent in, as Go prints it. */
function goTime(rfc3339: string): string {
  const match = /^(\S+)T([0-9:]+(?:\.[0-9]+)?)(Z|[+-][0-9:]+)$/.exec(rfc3339);
  if (match === null) return rfc3339;
  const [, day, time, zone = "Z"] = match;
  const offset = zone === "Z" ? "+0000" : zone.replace(":", "");
  return `${day} ${time} ${offset} ${offset === "+0000" ? "UTC" : offset}`;
}
