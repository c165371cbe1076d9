import type { ContextMeta } from "../../client/endpoint.ts";
import { readTar } from "../../lib/tar.ts";
import { type Command, StatusError } from "../command.ts";
import { checkName, contextExists, writeContext, writeTls } from "./context-store.ts";
import { openInput } from "./load.ts";

/** What a context's description or a certificate may measure. */
const FILE_LIMIT_BYTES = 10 << 20;

export const command: Command = {
  usage: "CONTEXT FILE|-",
  short: "Import a context from a tar or zip file",
  args: { min: 2, max: 2 },
  flags: [],
  async run(ctx, flags) {
    const [name = "", source = ""] = flags.args;
    checkName(name);
    if (contextExists(ctx.configDir, name)) throw new StatusError(`context "${name}" already exists`, 1);
    let meta: ContextMeta | undefined;
    const tls: Record<string, Buffer> = {};
    for await (const { entry, body } of readTar(openInput(source))) {
      if (entry.type !== "file") continue;
      if (entry.size > FILE_LIMIT_BYTES) throw new StatusError(`${entry.name} is too large`, 1);
      const bytes = await collect(body);
      const pem = /^tls\/docker\/((?:ca|cert|key)\.pem)$/.exec(entry.name)?.[1];
      if (entry.name === "meta.json") meta = JSON.parse(bytes.toString("utf8")) as ContextMeta;
      else if (pem !== undefined) tls[pem] = bytes;
      else throw new StatusError(`${entry.name}: unexpected context file`, 1);
    }
    if (meta === undefined) throw new StatusError("invalid context: no metadata found", 1);
    writeTls(ctx.configDir, name, tls);
    writeContext(ctx.configDir, { Name: name, Metadata: meta.Metadata ?? {}, Endpoints: meta.Endpoints ?? {} });
    ctx.out(`${name}\n`);
    ctx.err(`Successfully imported context "${name}"\n`);
    return 0;
  },
};

async function collect(body: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const parts: Buffer[] = [];
  for await (const chunk of body) parts.push(Buffer.from(chunk));
  return Buffer.concat(parts);
}
