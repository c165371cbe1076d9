import { marshalJson, parseExactJson } from "../../lib/template/json.ts";
import { Row } from "../../lib/template/values.ts";
import { TemplateError } from "../../lib/template.ts";
import type { SystemInfo } from "../../wire/engine-api.ts";
import { brigVersion, goArch, reportedVersion } from "../client-version.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { compileOrExplain, objectFormatFlag } from "../format.ts";
import { fetchJson } from "../inspect.ts";
import { infoText, infoWarnings } from "./info-text.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Display system-wide information",
  aliases: ["system info", "info"],
  args: { min: 0, max: 0 },
  flags: [objectFormatFlag],
  async run(ctx, flags) {
    const format = flags.string("format");
    const template =
      format === "" || format === "json" ? undefined : compileOrExplain(format, "template parsing error: ", 64);
    let json = "";
    let failure = "";
    try {
      json = await fetchJson(ctx, "/info");
    } catch (error) {
      failure = (error as Error).message;
    }
    if (format === "") {
      const server = json === "" ? undefined : (JSON.parse(json) as SystemInfo);
      ctx.out(clientText(ctx) + infoText(server));
      if (server !== undefined) ctx.err(infoWarnings(server));
    } else {
      const data = { ...(parseExactJson(json || "{}") as object), ...errorsOf(failure), ClientInfo: clientInfo(ctx) };
      try {
        ctx.out(
          `${template === undefined ? marshalJson(data, false) : template.execute(new Row("system.dockerInfo", data))}\n`,
        );
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error;
        ctx.out(`${error.output}\n`);
        throw new StatusError([failure, error.message].filter(Boolean).join("\n"), 1);
      }
    }
    if (failure !== "") throw new StatusError(failure, 1);
    return 0;
  },
};

function errorsOf(failure: string): object {
  return failure === "" ? {} : { ServerErrors: [failure], ServerVersion: "" };
}

function clientInfo(ctx: CliContext): Record<string, unknown> {
  return {
    Debug: ctx.debug,
    Platform: { Name: "Brig" },
    Version: reportedVersion(ctx.program),
    DefaultAPIVersion: ctx.engine.apiVersion,
    GitCommit: `brig-${brigVersion}`,
    GoVersion: `bun${Bun.version}`,
    Os: process.platform,
    Arch: goArch(),
    BuildTime: "",
    Context: ctx.contextName,
    Plugins: [],
    Warnings: null,
  };
}

function clientText(ctx: CliContext): string {
  return `Client: Brig
 Version:    ${reportedVersion(ctx.program)}
 Context:    ${ctx.contextName}
 Debug Mode: ${ctx.debug}
`;
}
