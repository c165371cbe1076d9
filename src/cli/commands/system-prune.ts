import { EngineError } from "../../client/client.ts";
import { humanSize } from "../../lib/units.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { encodeFilters, type Filters, filterFlag, filtersOf } from "../format.ts";
import {
  forceFlag,
  mayPrune,
  type Pruned,
  pruneContainers,
  pruneImages,
  pruneNetworks,
  pruneVolumes,
} from "./prune.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Remove unused data",
  args: { min: 0, max: 0 },
  flags: [
    { name: "all", short: "a", type: "bool", usage: "Remove all unused images not just dangling ones" },
    filterFlag('Provide filter values (e.g. "label=<key>=<value>")', ""),
    forceFlag,
    { name: "volumes", type: "bool", usage: "Prune anonymous volumes" },
  ],
  async run(ctx, flags) {
    const filters = filtersOf(flags);
    const [all, volumes] = [flags.bool("all"), flags.bool("volumes")];
    if (volumes && filters.until !== undefined) {
      throw new StatusError('ERROR: The "until" filter is not supported with "--volumes"', 1);
    }
    if (!(await mayPrune(ctx, flags.bool("force"), warning(filters, all, volumes)))) return 0;
    const steps = [
      () => pruneContainers(ctx, filters),
      () => pruneNetworks(ctx, filters),
      ...(volumes ? [() => pruneVolumes(ctx, filters)] : []),
      () => pruneImages(ctx, filters, all),
      () => pruneBuildCache(ctx, filters, all),
    ];
    let reclaimedBytes = 0;
    for (const step of steps) {
      const pruned = await step();
      reclaimedBytes += pruned.reclaimedBytes;
      if (pruned.text !== "") ctx.out(`${pruned.text}\n`);
    }
    ctx.out(`Total reclaimed space: ${humanSize(reclaimedBytes)}\n`);
    return 0;
  },
};

function warning(filters: Filters, all: boolean, volumes: boolean): string {
  const items = [
    "all stopped containers",
    "all networks not used by at least one container",
    ...(volumes ? ["all anonymous volumes not used by at least one container"] : []),
    all ? "all images without at least one container associated to them" : "all dangling images",
    all ? "all build cache" : "unused build cache",
  ];
  let text = `WARNING! This will remove:\n${items.map((item) => `  - ${item}\n`).join("")}`;
  const conditions = Object.entries(filters).flatMap(([name, values]) =>
    Object.keys(values).map((value) => `  - ${name}=${value}\n`),
  );
  if (conditions.length > 0) {
    text += `\n  Items to be pruned will be filtered with:\n${conditions.sort().join("")}`;
  }
  return text;
}

async function pruneBuildCache(ctx: CliContext, filters: Filters, all: boolean): Promise<Pruned> {
  try {
    const report = await ctx.engine.json<{ CachesDeleted?: string[] | null; SpaceReclaimed?: number }>(
      "POST",
      "/build/prune",
      { query: { filters: encodeFilters(filters), all: all || undefined } },
    );
    const deleted = report.CachesDeleted ?? [];
    const text = deleted.length === 0 ? "" : `Deleted build cache objects:\n${deleted.join("\n")}\n`;
    return { text, reclaimedBytes: report.SpaceReclaimed ?? 0 };
  } catch (error) {
    // An engine that builds nothing has no cache.
    if (error instanceof EngineError && (error.status === 404 || error.status === 501)) {
      return { text: "", reclaimedBytes: 0 };
    }
    throw error;
  }
}
