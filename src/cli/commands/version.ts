import { clientApiVersion } from "../../client/client.ts";
import { decodeAs, marshalJson } from "../../lib/template/json.ts";
import { parseTypes } from "../../lib/template/types.ts";
import { TemplateError } from "../../lib/template.ts";
import type { SystemVersion } from "../../wire/engine-api.ts";
import { brigVersion, goArch, reportedVersion } from "../client-version.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { compileOrExplain, objectFormatFlag } from "../format.ts";
import { fetchJson } from "../inspect.ts";

const TYPES = `
system.versionInfo: Client system.clientVersion, Server *types.Version
system.clientVersion: Platform *system.platformInfo?, Version string?, APIVersion:ApiVersion string?, DefaultAPIVersion string?, GitCommit string?, GoVersion string?, Os string?, Arch string?, BuildTime string?, Context string
system.platformInfo: Name string?
types.Version: Platform types.Platform?, Components []types.ComponentVersion?, Version string, APIVersion:ApiVersion string, MinAPIVersion string?, GitCommit string, GoVersion string, Os string, Arch string, KernelVersion string?, Experimental bool?, BuildTime string?
types.Platform: Name string
types.ComponentVersion: Name string, Version string, Details map:string?
`;

interface VersionInfo {
  Client: Record<string, unknown> & { Platform: { Name: string } };
  Server: SystemVersion | null;
}

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Show the Docker version information",
  args: { min: 0, max: 0 },
  flags: [objectFormatFlag],
  async run(ctx, flags) {
    const format = flags.string("format");
    // Docker names this template, and its errors with it.
    const template =
      format === "" || format === "json"
        ? undefined
        : compileOrExplain(format, "template parsing error: ", 64, "version");
    let server: SystemVersion | null = null;
    let failure = "";
    try {
      server = JSON.parse(await fetchJson(ctx, "/version")) as SystemVersion;
    } catch (error) {
      failure = (error as Error).message;
    }
    const versions: VersionInfo = { Client: clientInfo(ctx), Server: server };
    if (format === "") ctx.out(text(versions));
    else {
      const data = decodeAs(parseTypes(TYPES).get("system.versionInfo")!, versions);
      try {
        ctx.out(`${template === undefined ? marshalJson(data, false) : template.execute(data)}\n`);
      } catch (error) {
        if (!(error instanceof TemplateError)) throw error;
        ctx.out(`${error.output}\n`);
        throw new StatusError([error.message, failure].filter(Boolean).join("\n"), 1);
      }
    }
    if (failure !== "") throw new StatusError(failure, 1);
    return 0;
  },
};

function clientInfo(ctx: CliContext): VersionInfo["Client"] {
  return {
    Platform: { Name: "Brig" },
    Version: reportedVersion(ctx.program),
    ApiVersion: ctx.engine.apiVersion,
    DefaultAPIVersion: clientApiVersion,
    GitCommit: `brig-${brigVersion}`,
    GoVersion: `bun${Bun.version}`,
    Os: process.platform,
    Arch: goArch(),
    BuildTime: "",
    Context: ctx.contextName,
  };
}

function text({ Client: client, Server: server }: VersionInfo): string {
  const api =
    client.ApiVersion === client.DefaultAPIVersion
      ? client.ApiVersion
      : `${client.ApiVersion} (downgraded from ${client.DefaultAPIVersion})`;
  let out = `Client: ${client.Platform.Name}
 Version:           ${client.Version}
 API version:       ${api}
 Runtime:           ${client.GoVersion}
 OS/Arch:           ${client.Os}/${client.Arch}
 Context:           ${client.Context}
`;
  if (server === null) return out;
  out += `\nServer:${server.Platform?.Name ? ` ${server.Platform.Name}` : ""}\n`;
  for (const component of server.Components ?? []) {
    out += ` ${component.Name}:\n  ${"Version:".padEnd(18)}${component.Version}\n`;
    const details: Record<string, string> = component.Details ?? {};
    out += component.Name === "Engine" ? engineText(details) : detailLines(details);
  }
  return out;
}

function engineText(details: Record<string, string>): string {
  const minimum = details.MinAPIVersion ? ` (minimum version ${details.MinAPIVersion})` : "";
  const lines: [string, string][] = [
    ["API version:", `${details.ApiVersion ?? ""}${minimum}`],
    ["Go version:", details.GoVersion ?? ""],
    ["Git commit:", details.GitCommit ?? ""],
    ["Built:", buildTime(details.BuildTime ?? "")],
    ["OS/Arch:", `${details.Os ?? ""}/${details.Arch ?? ""}`],
    ["Experimental:", details.Experimental ?? "false"],
  ];
  return lines.map(([name, value]) => `  ${name.padEnd(18)}${value}\n`).join("");
}

function detailLines(details: Record<string, string>): string {
  return Object.keys(details)
    .sort()
    .map((name) => `  ${`${name}:`.padEnd(18)}${details[name]}\n`)
    .join("");
}

/** RFC 3339 as `Thu Aug 13 05:35:47 2026`; anything else as it is. */
function buildTime(text: string): string {
  const date = new Date(text);
  if (!/^\d{4}-\d\d-\d\dT/.test(text) || Number.isNaN(date.getTime())) return text;
  const [weekday, day, month, year, time] = date.toUTCString().replace(",", "").split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time} ${year}`;
}
