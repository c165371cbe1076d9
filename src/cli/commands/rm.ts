import { EngineError } from "../../client/client.ts";
import { containerPath } from "../../client/paths.ts";
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
    const remove = async (given: string) => {
      const name = given.replace(/^\/+|\/+$/g, "");
      if (name === "") throw new Error("container name cannot be empty");
      await ctx.engine.call("DELETE", containerPath(name), { query });
    };
    // Who forces wants it gone; that it was not there is worth a line, not a failure.
    return forEachContainer(ctx, flags.args, remove, (error) => force && isNotFound(error));
  },
};

function isNotFound(error: Error): boolean {
  return error instanceof EngineError && error.status === 404;
}
