import { EngineError } from "../../client/client.ts";
import type { Command } from "../command.ts";
import { forEachContainer } from "./each-container.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Remove one or more containers",
  aliases: ["container rm", "container remove", "rm"],
  args: { min: 1 },
  flags: [
    {
      name: "force",
      short: "f",
      type: "bool",
      usage: "Force the removal of a running container (uses SIGKILL)",
    },
    { name: "link", short: "l", type: "bool", usage: "Remove the specified link" },
    {
      name: "volumes",
      short: "v",
      type: "bool",
      usage: "Remove anonymous volumes associated with the container",
    },
  ],
  run(ctx, flags) {
    const force = flags.bool("force");
    const query = {
      v: flags.bool("volumes") || undefined,
      link: flags.bool("link") || undefined,
      force: force || undefined,
    };
    let missing = false;
    return forEachContainer(ctx, flags.args, async (given) => {
      const name = given.replace(/^\/+|\/+$/g, "");
      if (name === "") throw new Error("Container name cannot be empty");
      try {
        await ctx.engine.call("DELETE", `/containers/${encodeURIComponent(name)}`, { query });
      } catch (error) {
        if (force && error instanceof EngineError && error.status === 404) missing = true;
        throw error;
      }
    }).then((code) => (missing && code === 1 ? code : code));
  },
};
