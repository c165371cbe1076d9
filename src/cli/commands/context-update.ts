import type { Command } from "../command.ts";
import { checkName, findContext, parseEndpoint, writeContext, writeTls } from "./context-store.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTEXT",
  short: "Update a context",
  args: { min: 1, max: 1 },
  flags: [
    { name: "description", type: "string", usage: "Description of the context" },
    {
      name: "docker",
      type: "list",
      value: "stringToString",
      shownDefault: "[]",
      usage: "set the docker endpoint",
    },
  ],
  async run(ctx, flags) {
    const [name = ""] = flags.args;
    checkName(name);
    const context = findContext(ctx.configDir, name);
    if (flags.string("description") !== "") context.Metadata.Description = flags.string("description");
    if (flags.has("docker")) {
      const { endpoint, tls } = parseEndpoint(ctx, flags.list("docker"));
      context.Endpoints.docker = endpoint;
      writeTls(ctx.configDir, name, tls);
    }
    writeContext(ctx.configDir, context);
    ctx.out(`${name}\n`);
    ctx.err(`Successfully updated context "${name}"\n`);
    return 0;
  },
};
