import { type GoType, type Row, Typed } from "../../lib/template/values.ts";
import { humanSize } from "../../lib/units.ts";
import type { ContainerSummary, ImageSummary, Volume } from "../../wire/engine-api.ts";
import type { CliContext, Command } from "../command.ts";
import { compileOrExplain, executeOrExplain, isTableFormat, renderListing, row, tableFormatFlag } from "../format.ts";
import { containerHeadings, containerRow } from "./container-row.ts";
import { imageHeadings, imageRow, namesOf } from "./image-row.ts";
import { volumeHeadings, volumeRow } from "./volume-row.ts";

/** What the API answers up to version 1.51. */
interface DiskUsage {
  LayersSize?: number;
  Images?: ImageSummary[] | null;
  Containers?: ContainerSummary[] | null;
  Volumes?: Volume[] | null;
  BuildCache?: BuildCacheItem[] | null;
}

interface BuildCacheItem {
  ID: string;
  Type?: string;
  Size: number;
  CreatedAt?: string;
  LastUsedAt?: string | null;
  UsageCount?: number;
  InUse?: boolean;
  Shared?: boolean;
}

const HEADINGS = { Type: "TYPE", TotalCount: "TOTAL", Active: "ACTIVE", Size: "SIZE", Reclaimable: "RECLAIMABLE" };
const TABLE = "table {{.Type}}\\t{{.TotalCount}}\\t{{.Active}}\\t{{.Size}}\\t{{.Reclaimable}}";
const IMAGES =
  "table {{.Repository}}\\t{{.Tag}}\\t{{.ID}}\\t{{.CreatedSince}}\\t{{.Size}}\\t{{.SharedSize}}\\t{{.UniqueSize}}\\t{{.Containers}}";
const CONTAINERS =
  "table {{.ID}}\\t{{.Image}}\\t{{.Command}}\\t{{.LocalVolumes}}\\t{{.Size}}\\t{{.RunningFor}}\\t{{.Status}}\\t{{.Names}}";
const VOLUMES = "table {{.Name}}\\t{{.Links}}\\t{{.Size}}";
const CACHE = "CACHE ID   CACHE TYPE   SIZE      CREATED   LAST USED   USAGE     SHARED\n";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Show docker disk usage",
  args: { min: 0, max: 0 },
  flags: [
    tableFormatFlag,
    { name: "verbose", short: "v", type: "bool", usage: "Show detailed information on space usage" },
  ],
  async run(ctx, flags) {
    const usage = await ctx.engine.json<DiskUsage>("GET", "/system/df");
    const format = flags.string("format") || "table";
    if (flags.bool("verbose")) showDetails(ctx, usage, format);
    else {
      ctx.out(renderListing({ format: format === "table" ? TABLE : format, headings: HEADINGS, rows: summary(usage) }));
    }
    return 0;
  },
};

function summary(usage: DiskUsage): Row[] {
  const images = usage.Images ?? [];
  const containers = usage.Containers ?? [];
  const volumes = usage.Volumes ?? [];
  const cache = usage.BuildCache ?? [];
  const layers = usage.LayersSize ?? 0;
  const used = images.filter((image) => image.Containers > 0);
  const usedBytes = sum(
    used.filter((image) => image.Size !== -1).map((image) => image.Size - Math.max(0, image.SharedSize)),
  );
  const isRunning = (container: ContainerSummary) =>
    ["running", "paused", "restarting"].includes(container.State ?? "");
  const idleBytes = sum(containers.filter((one) => !isRunning(one)).map((one) => one.SizeRw ?? 0));
  const sizeOf = (volume: Volume) => Math.max(0, volume.UsageData?.Size ?? 0);
  const inUse = volumes.filter((volume) => (volume.UsageData?.RefCount ?? 0) > 0);
  const containerBytes = sum(containers.map((one) => one.SizeRw ?? 0));
  const volumeBytes = sum(volumes.map(sizeOf));
  const own = cache.filter((item) => item.Shared !== true);
  const idle = own.filter((item) => item.InUse !== true);
  return [
    usageRow("Images", images.length, used.length, layers, percent(layers - usedBytes, layers)),
    usageRow(
      "Containers",
      containers.length,
      containers.filter(isRunning).length,
      containerBytes,
      percent(idleBytes, containerBytes),
    ),
    usageRow(
      "Local Volumes",
      volumes.length,
      inUse.length,
      volumeBytes,
      percent(volumeBytes - sum(inUse.map(sizeOf)), volumeBytes),
    ),
    usageRow(
      "Build Cache",
      cache.length,
      cache.filter((item) => item.InUse === true).length,
      sum(own.map((item) => item.Size)),
      humanSize(sum(idle.map((item) => item.Size))),
    ),
  ];
}

function usageRow(type: string, total: number, active: number, size: number, reclaimable: string): Row {
  return row(`diskUsage${type.replace("Local ", "").replace("Build Cache", "Builder")}Context`, {
    Type: () => type,
    TotalCount: () => String(total),
    Active: () => String(active),
    Size: () => humanSize(size),
    Reclaimable: () => reclaimable,
  });
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}

function percent(part: number, whole: number): string {
  return whole > 0 ? `${humanSize(part)} (${Math.trunc((part * 100) / whole)}%)` : humanSize(part);
}

/** A struct, so that JSON has the fields in their order. */
function report(fields: Record<string, readonly unknown[]>): Typed {
  const type: GoType = { kind: "slice", name: "[]any", elem: { kind: "any", name: "any" } };
  const names = Object.keys(fields);
  const struct = names.map((name) => ({ name, json: name, omitEmpty: false, embedded: false, type }));
  return new Typed({ kind: "struct", name: "diskUsageContext", fields: struct }, fields);
}

function showDetails(ctx: CliContext, usage: DiskUsage, format: string): void {
  const nowMs = Date.now();
  const wholeIds = !isTableFormat(format);
  const images = (usage.Images ?? []).map((image) =>
    imageRow(image, { ...namesOf(image, false)[0]!, digest: "" }, !wholeIds, nowMs),
  );
  const containers = (usage.Containers ?? []).map((container) =>
    // Docker's sizes here are those of the writable layers alone.
    containerRow({ ...container, SizeRootFs: 0 }, !wholeIds, nowMs),
  );
  const volumes = (usage.Volumes ?? []).map(volumeRow);
  if (wholeIds) {
    const data = report({
      Images: images,
      Containers: containers,
      Volumes: volumes,
      BuildCache: usage.BuildCache ?? [],
    });
    const template = compileOrExplain(format === "json" ? "{{json .}}" : format, "template parsing error: ");
    ctx.out(executeOrExplain(template, data, "template parsing error: "));
    return;
  }
  const cache = usage.BuildCache ?? [];
  const cacheBytes = sum(cache.filter((item) => item.Shared !== true).map((item) => item.Size));
  ctx.out(
    `Images space usage:\n\n${renderListing({ format: IMAGES, headings: imageHeadings, rows: images })}` +
      `\nContainers space usage:\n\n${renderListing({ format: CONTAINERS, headings: containerHeadings, rows: containers })}` +
      `\nLocal Volumes space usage:\n\n${renderListing({ format: VOLUMES, headings: volumeHeadings, rows: volumes })}` +
      `\nBuild cache usage: ${humanSize(cacheBytes)}\n\n${CACHE}`,
  );
}
