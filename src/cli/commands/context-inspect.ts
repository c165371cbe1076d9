import { contextDir } from "../../client/endpoint.ts";
import { marshalJson } from "../../lib/template/json.ts";
import type { Command } from "../command.ts";
import { objectFormatFlag } from "../format.ts";
import { inspectAll } from "../inspect.ts";
import { findContext, readTls } from "./context-store.ts";

const IN_MEMORY = "<IN MEMORY>";

export const command: Command = {
  usage: "[OPTIONS] [CONTEXT] [CONTEXT...]",
  short: "Display detailed information on one or more contexts",
  args: { min: 0 },
  flags: [objectFormatFlag],
  run(ctx, flags) {
    const names = flags.args.length === 0 ? [ctx.contextName] : flags.args;
    return inspectAll(ctx, names, flags.string("format"), async (name) => {
      const context = findContext(ctx.configDir, name);
      const tls = Object.keys(readTls(ctx.configDir, name));
      const path = (kind: "meta" | "tls") => (name === "default" ? IN_MEMORY : contextDir(ctx.configDir, kind, name));
      // Docker's order of members, and its escapes.
      const members: [string, unknown][] = [
        ["Name", context.Name],
        ["Metadata", context.Metadata],
        ["Endpoints", context.Endpoints],
        ["TLSMaterial", tls.length === 0 ? {} : { docker: tls }],
        ["Storage", { MetadataPath: path("meta"), TLSPath: path("tls") }],
      ];
      return { json: `{${members.map(([key, value]) => `"${key}":${marshalJson(value, true)}`).join(",")}}` };
    });
  },
};
