import type { ContextMeta } from "../../client/endpoint.ts";
import { Row } from "../../lib/template/values.ts";
import type { Command } from "../command.ts";
import { renderListing, tableFormatFlag } from "../format.ts";
import { contextExists, defaultContext, listContexts } from "./context-store.ts";

const HEADINGS = {
  Name: "NAME",
  Description: "DESCRIPTION",
  DockerEndpoint: "DOCKER ENDPOINT",
  Error: "ERROR",
};
const TABLE = "table {{.Name}}{{if .Current}} *{{end}}\\t{{.Description}}\\t{{.DockerEndpoint}}\\t{{.Error}}";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "List contexts",
  aliases: ["context ls", "context list"],
  args: { min: 0, max: 0 },
  flags: [tableFormatFlag, { name: "quiet", short: "q", type: "bool", usage: "Only show context names" }],
  async run(ctx, flags) {
    const current = ctx.contextName;
    const builtin = defaultContext();
    builtin.Metadata.Description = "Current DOCKER_HOST based configuration";
    const contexts = [...listContexts(ctx.configDir), builtin].sort((a, b) => (a.Name < b.Name ? -1 : 1));
    const rows = contexts.map((context) => contextRow(context, current, ""));
    if (current !== "default" && !contextExists(ctx.configDir, current)) {
      const missing: ContextMeta = { Name: current, Metadata: {}, Endpoints: {} };
      rows.push(contextRow(missing, current, "context not found"));
    }
    let format = flags.string("format") || "table";
    if (format === "table") format = TABLE;
    if (flags.bool("quiet")) format = "{{.Name}}";
    ctx.out(renderListing({ format, headings: HEADINGS, rows }));
    if (process.env.DOCKER_HOST) {
      ctx.err(
        "Warning: DOCKER_HOST environment variable overrides the active context. " +
          "To use a context, either set the global --context flag, or unset DOCKER_HOST environment variable.\n",
      );
    }
    return 0;
  },
};

function contextRow(context: ContextMeta, current: string, error: string): Row {
  return new Row("*formatter.clientContextContext", {
    Current: () => context.Name === current,
    Name: () => context.Name,
    Description: () => context.Metadata.Description ?? "",
    DockerEndpoint: () => context.Endpoints.docker?.Host ?? "",
    Error: () => error,
  });
}
