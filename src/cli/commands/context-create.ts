import { type Command, StatusError } from "../command.ts";
import {
  checkName,
  contextExists,
  findContext,
  parseEndpoint,
  readTls,
  writeContext,
  writeTls,
} from "./context-store.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTEXT",
  short: "Create a context",
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
    { name: "from", type: "string", usage: "create context from a named context" },
  ],
  async run(ctx, flags) {
    const [name = ""] = flags.args;
    checkName(name);
    if (contextExists(ctx.configDir, name)) throw new StatusError(`context "${name}" already exists`, 1);
    const from = flags.string("from");
    const description = flags.string("description");
    let { endpoint, tls } = flags.has("docker")
      ? parseEndpoint(ctx, flags.list("docker"))
      : { endpoint: undefined, tls: {} };
    let metadata = {};
    if (endpoint === undefined) {
      const source = findContext(ctx.configDir, from || ctx.contextName);
      endpoint = { ...source.Endpoints.docker };
      tls = readTls(ctx.configDir, source.Name);
      if (from !== "") metadata = source.Metadata;
    }
    if (description !== "") metadata = { ...metadata, Description: description };
    writeTls(ctx.configDir, name, tls);
    writeContext(ctx.configDir, { Name: name, Metadata: metadata, Endpoints: { docker: endpoint } });
    ctx.out(`${name}\n`);
    ctx.err(`Successfully created context "${name}"\n`);
    return 0;
  },
};
