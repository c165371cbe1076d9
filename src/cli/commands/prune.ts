/** What the prune commands share. */
import type { FlagSpec } from "../../lib/flags.ts";
import { humanSize } from "../../lib/units.ts";
import type { CliContext } from "../command.ts";
import { encodeFilters, type Filters } from "../format.ts";

export const forceFlag: FlagSpec = {
  name: "force",
  short: "f",
  type: "bool",
  usage: "Do not prompt for confirmation",
};

/** What was removed, ready to be printed, and how much room that made. */
export interface Pruned {
  text: string;
  reclaimedBytes: number;
}

const QUESTION = "Are you sure you want to continue?";

/** Asks, unless forced, after saying what will happen. */
export async function mayPrune(ctx: CliContext, force: boolean, warning: string): Promise<boolean> {
  return force || ctx.confirm(`${warning}\n${QUESTION}`);
}

/** Prints the outcome of one prune command. */
export function printPruned(ctx: CliContext, { text, reclaimedBytes }: Pruned): void {
  if (text !== "") ctx.out(`${text}\n`);
  ctx.out(`Total reclaimed space: ${humanSize(reclaimedBytes)}\n`);
}

function listed(title: string, lines: readonly string[]): string {
  return lines.length === 0 ? "" : `${title}:\n${lines.map((line) => `${line}\n`).join("")}`;
}

export async function pruneContainers(ctx: CliContext, filters: Filters): Promise<Pruned> {
  const report = await ctx.engine.json<{ ContainersDeleted?: string[] | null; SpaceReclaimed?: number }>(
    "POST",
    "/containers/prune",
    { query: { filters: encodeFilters(filters) } },
  );
  return {
    text: listed("Deleted Containers", report.ContainersDeleted ?? []),
    reclaimedBytes: report.SpaceReclaimed ?? 0,
  };
}

export async function pruneNetworks(ctx: CliContext, filters: Filters): Promise<Pruned> {
  const report = await ctx.engine.json<{ NetworksDeleted?: string[] | null }>("POST", "/networks/prune", {
    query: { filters: encodeFilters(filters) },
  });
  return { text: listed("Deleted Networks", report.NetworksDeleted ?? []), reclaimedBytes: 0 };
}

export async function pruneVolumes(ctx: CliContext, filters: Filters): Promise<Pruned> {
  const report = await ctx.engine.json<{ VolumesDeleted?: string[] | null; SpaceReclaimed?: number }>(
    "POST",
    "/volumes/prune",
    { query: { filters: encodeFilters(filters) } },
  );
  return {
    text: listed("Deleted Volumes", report.VolumesDeleted ?? []),
    reclaimedBytes: report.SpaceReclaimed ?? 0,
  };
}

/** `all`: images that no container uses, not only those without a name. */
export async function pruneImages(ctx: CliContext, filters: Filters, all: boolean): Promise<Pruned> {
  const report = await ctx.engine.json<{
    ImagesDeleted?: { Untagged?: string; Deleted?: string }[] | null;
    SpaceReclaimed?: number;
  }>("POST", "/images/prune", {
    query: { filters: encodeFilters({ ...filters, dangling: { ...filters.dangling, [String(!all)]: true } }) },
  });
  const lines = (report.ImagesDeleted ?? []).map((item) =>
    item.Untagged ? `untagged: ${item.Untagged}` : `deleted: ${item.Deleted ?? ""}`,
  );
  return { text: listed("Deleted Images", lines), reclaimedBytes: report.SpaceReclaimed ?? 0 };
}
