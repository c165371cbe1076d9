import { EngineError } from "../../client/client.ts";
import type { Row } from "../../lib/template/values.ts";
import type { ContainerSummary } from "../../wire/engine-api.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { renderListing, tableFormatFlag } from "../format.ts";
import { type Sample, statsHeadings, statsRow } from "./stats-row.ts";

const TABLE =
  "table {{.ID}}\\t{{.Name}}\\t{{.CPUPerc}}\\t{{.MemUsage}}\\t{{.MemPerc}}\\t{{.NetIO}}\\t{{.BlockIO}}\\t{{.PIDs}}";
const REFRESH_MS = 500;

/** A container that is being watched, and what was last heard of it. */
interface Watched {
  name: string;
  sample: Sample | undefined;
  failed: boolean;
}

export const command: Command = {
  usage: "[OPTIONS] [CONTAINER...]",
  short: "Display a live stream of container(s) resource usage statistics",
  aliases: ["container stats", "stats"],
  args: { min: 0 },
  flags: [
    { name: "all", short: "a", type: "bool", usage: "Show all containers (default shows just running)" },
    tableFormatFlag,
    { name: "no-stream", type: "bool", usage: "Disable streaming stats and only pull the first result" },
    { name: "no-trunc", type: "bool", usage: "Do not truncate output" },
  ],
  async run(ctx, flags) {
    let format = flags.string("format") || ctx.configFile.statsFormat || "table";
    if (format === "table") format = TABLE;
    const names = flags.args.length > 0 ? flags.args : await listNames(ctx, flags.bool("all"));
    const watched = new Map(names.map((name) => [name, { name, sample: undefined, failed: false } as Watched]));
    const truncate = !flags.bool("no-trunc");
    const render = () =>
      renderListing({
        format,
        headings: statsHeadings,
        rows: [...watched.values()]
          .filter((one) => !one.failed)
          .map((one): Row => statsRow(one.name, one.sample, truncate)),
      });
    if (flags.bool("no-stream")) return once(ctx, watched, render);
    return stream(ctx, watched, flags.args.length === 0 ? flags.bool("all") : undefined, render);
  },
};

async function listNames(ctx: CliContext, all: boolean): Promise<string[]> {
  const containers = await ctx.engine.json<ContainerSummary[]>("GET", "/containers/json", {
    query: { all: all || undefined },
  });
  return containers.map((container) => (container.Id ?? "").slice(0, 12));
}

async function once(ctx: CliContext, watched: Map<string, Watched>, render: () => string): Promise<number> {
  const errors: string[] = [];
  await Promise.all(
    [...watched.values()].map(async (one) => {
      try {
        one.sample = await ctx.engine.json<Sample>("GET", `/containers/${encodeURIComponent(one.name)}/stats`, {
          query: { stream: "false" },
        });
      } catch (error) {
        one.failed = true;
        errors.push((error as Error).message);
      }
    }),
  );
  if (errors.length > 0) throw new StatusError(errors.join("\n"), 1);
  ctx.out(render());
  return 0;
}

/** Draws anew twice a second. With `all` defined the engine's events add containers and take them away. */
async function stream(
  ctx: CliContext,
  watched: Map<string, Watched>,
  all: boolean | undefined,
  render: () => string,
): Promise<number> {
  const errors: string[] = [];
  const follow = async (one: Watched) => {
    try {
      const path = `/containers/${encodeURIComponent(one.name)}/stats`;
      for await (const sample of ctx.engine.jsonStream<Sample>("GET", path, { query: { stream: "true" } })) {
        one.sample = sample;
        if (!watched.has(one.name)) return;
      }
    } catch (error) {
      if (all === undefined && error instanceof EngineError) errors.push(error.message);
      else if (!(error instanceof EngineError)) throw error;
      one.failed = true;
      watched.delete(one.name);
    }
  };
  const watch = (name: string) => {
    if (watched.has(name)) return;
    const one = { name, sample: undefined, failed: false };
    watched.set(name, one);
    void follow(one);
  };
  let lost: unknown;
  const followAll = [...watched.values()].map((one) => follow(one));
  for (const following of followAll) following.catch((error: unknown) => (lost = error));
  if (all !== undefined)
    void followEvents(ctx, all, watch, (name) => watched.delete(name)).catch((error) => (lost = error));
  for (;;) {
    await Bun.sleep(REFRESH_MS);
    if (lost !== undefined) throw lost;
    if (errors.length > 0) throw new StatusError(errors.join("\n"), 1);
    const lines = render().split("\n").join("\x1b[K\n");
    ctx.out(`\x1b[H${lines}\x1b[J`);
    if (all === undefined && watched.size === 0) return 0;
  }
}

async function followEvents(
  ctx: CliContext,
  all: boolean,
  add: (name: string) => void,
  remove: (name: string) => void,
): Promise<void> {
  const filters = JSON.stringify({ type: { container: true } });
  const events = ctx.engine.jsonStream<{ Action: string; Actor: { ID: string } }>("GET", "/events", {
    query: { filters },
  });
  for await (const { Action, Actor } of events) {
    const name = Actor.ID.slice(0, 12);
    if (Action === "start" || (Action === "create" && all)) add(name);
    else if (Action === "destroy" || (Action === "die" && !all)) remove(name);
  }
}
