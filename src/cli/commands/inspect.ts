import { EngineError } from "../../client/client.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { objectFormatFlag } from "../format.ts";
import { fetchJson, type Inspected, inspectAll, isNotFound } from "../inspect.ts";
import type { Inspectable } from "./inspect-types.ts";

const TYPES = ["config", "container", "image", "network", "node", "plugin", "secret", "service", "task", "volume"];

/** Where each type is looked up, in the order in which a name is tried. */
const PATHS: Record<string, (reference: string) => string> = {
  container: (reference) => `/containers/${reference}/json`,
  image: (reference) => `/images/${reference}/json`,
  network: (reference) => `/networks/${reference}`,
  volume: (reference) => `/volumes/${reference}`,
  service: (reference) => `/services/${reference}`,
  task: (reference) => `/tasks/${reference}`,
  node: (reference) => `/nodes/${reference}`,
  plugin: (reference) => `/plugins/${reference}/json`,
  secret: (reference) => `/secrets/${reference}`,
  config: (reference) => `/configs/${reference}`,
};
const TYPED = new Set(["container", "image", "network", "volume"]);

export const command: Command = {
  usage: "[OPTIONS] NAME|ID [NAME|ID...]",
  short: "Return low-level information on Docker objects",
  args: { min: 1 },
  flags: [
    objectFormatFlag,
    { name: "size", short: "s", type: "bool", usage: "Display total file sizes if the type is container" },
    { name: "type", type: "string", usage: "Only inspect objects of the given type" },
  ],
  async run(ctx, flags) {
    const type = flags.string("type");
    const names = TYPES.map((name) => `"${name}"`).join(", ");
    if (flags.has("type") && type === "") throw new StatusError(`type is empty: must be one of ${names}`, 1);
    if (type !== "" && !TYPES.includes(type)) {
      throw new StatusError(`unknown type: "${type}": must be one of ${names}`, 1);
    }
    const size = flags.bool("size");
    const find = (reference: string) =>
      type === "" ? findAny(ctx, reference, size) : findOne(ctx, type, reference, size);
    return inspectAll(ctx, flags.args, flags.string("format"), find);
  },
};

/** An object of one type. Throws EngineError. */
export async function findOne(ctx: CliContext, type: string, reference: string, size: boolean): Promise<Inspected> {
  const path = PATHS[type]!(encodeURIComponent(reference).replaceAll("%2F", "/").replaceAll("%3A", ":"));
  const json = await fetchJson(ctx, path, size && type === "container" ? { size: 1 } : {});
  if (size && type !== "container") ctx.err(`WARNING: --size ignored for ${type}\n`);
  return TYPED.has(type) ? { json, kind: type as Inspectable } : { json };
}

async function findAny(ctx: CliContext, reference: string, size: boolean): Promise<Inspected> {
  for (const type of Object.keys(PATHS)) {
    try {
      return await findOne(ctx, type, reference, size);
    } catch (error) {
      if (!isNotFound(error) && !saysNotThisEngine(error)) throw error;
    }
  }
  throw new StatusError(`Error: No such object: ${reference}`, 1);
}

/** Engines that are in no swarm, or know no plugins, have no such object either. */
function saysNotThisEngine(error: unknown): boolean {
  if (!(error instanceof EngineError)) return false;
  return error.status === 503 || error.status === 501 || /invalid reference|page not found/.test(error.reason);
}
