import type { Query } from "../../client/client.ts";
import { containerPath } from "../../client/paths.ts";
import type { FlagSpec, ParsedFlags } from "../../lib/flags.ts";
import type { Command } from "../command.ts";
import { forEachContainer } from "./each-container.ts";

/** How a container is asked to end; stop and restart share it. */
export const stopFlags: FlagSpec[] = [
  { name: "signal", short: "s", type: "string", usage: "Signal to send to the container" },
  { name: "timeout", short: "t", type: "int", usage: "Seconds to wait before killing the container" },
  { name: "time", type: "int", sameAs: "timeout", deprecated: "use --timeout instead", usage: "" },
];

/** The flags as the API's query. */
export function stopQuery(flags: ParsedFlags): Query {
  return { signal: flags.string("signal"), t: flags.has("timeout") ? flags.int("timeout") : undefined };
}

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Stop one or more running containers",
  aliases: ["container stop", "stop"],
  args: { min: 1 },
  flags: stopFlags,
  run(ctx, flags) {
    return forEachContainer(ctx, flags.args, async (name) => {
      await ctx.engine.call("POST", containerPath(name, "/stop"), { query: stopQuery(flags) });
    });
  },
};
