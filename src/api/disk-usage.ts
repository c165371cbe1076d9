/** GET /system/df */
import { invalidParameter } from "../lib/errors.ts";
import type { ImageSummary } from "../wire/engine-api.ts";
import { downgradeImages, downgradeSummaries } from "./compatibility.ts";
import type { Exchange } from "./exchange.ts";
import { booleanOf } from "./query.ts";
import type { ApiRooms } from "./rooms.ts";

const kinds = ["container", "image", "volume", "build-cache"] as const;
type Kind = (typeof kinds)[number];

interface Usage {
  ActiveCount: number;
  TotalCount: number;
  /** Bytes. */
  Reclaimable: number;
  TotalSize: number;
  Items?: unknown[];
}

/** Answers with what takes how much room; in one list per kind until 1.51, summed up by kind since. */
export async function sendDiskUsage(rooms: ApiRooms, exchange: Exchange): Promise<void> {
  const { query, minor } = exchange;
  const wanted = new Set<Kind>(query.has("type") ? query.getAll("type").map(kindOf) : kinds);
  const [images, containers, volumes] = await Promise.all([
    wanted.has("image")
      ? rooms.images.list({ all: false, filters: new Map(), sharedSize: true, containers: true })
      : undefined,
    wanted.has("container")
      ? rooms.containers.list({ all: true, limit: 0, size: true, filters: new Map() })
      : undefined,
    wanted.has("volume") ? rooms.volumes.listWithUsage() : undefined,
  ]);
  const layersSize = images ? rooms.images.layersSize : 0;
  if (minor < 52) {
    exchange.json(200, {
      LayersSize: layersSize,
      Images: images && downgradeImages(images, minor),
      Containers: containers && downgradeSummaries(containers, minor),
      Volumes: volumes,
      BuildCache: wanted.has("build-cache") ? [] : undefined,
    });
    return;
  }
  const verbose = booleanOf(query, "verbose");
  const usage = <T>(items: T[] | undefined, isActive: (item: T) => boolean, sizeOf: (item: T) => number) =>
    items && summarise(items, isActive, sizeOf, verbose);
  exchange.json(200, {
    ImageUsage: images && imageUsage(images, layersSize, verbose),
    ContainerUsage: usage(
      containers,
      ({ State }) => State === "running" || State === "paused" || State === "restarting",
      ({ SizeRw }) => SizeRw ?? 0,
    ),
    VolumeUsage: usage(
      volumes,
      ({ UsageData }) => (UsageData?.RefCount ?? 0) > 0,
      ({ UsageData }) => Math.max(0, UsageData?.Size ?? 0),
    ),
    BuildCacheUsage: wanted.has("build-cache")
      ? summarise(
          [],
          () => false,
          () => 0,
          verbose,
        )
      : undefined,
  });
}

/** What images have in common counts once in all, and can be reclaimed with the last of them. */
function imageUsage(images: ImageSummary[], layersSize: number, verbose: boolean): Usage {
  const isActive = ({ Containers }: ImageSummary) => Containers > 0;
  const used = sum(images.filter(isActive), ({ Size, SharedSize }) => Size - Math.max(0, SharedSize));
  const usage = summarise(images, isActive, () => 0, verbose);
  return { ...usage, TotalSize: layersSize, Reclaimable: layersSize - used };
}

function summarise<T>(
  items: T[],
  isActive: (item: T) => boolean,
  sizeOf: (item: T) => number,
  verbose: boolean,
): Usage {
  return {
    ActiveCount: items.filter(isActive).length,
    TotalCount: items.length,
    Reclaimable: sum(items, (item) => (isActive(item) ? 0 : sizeOf(item))),
    TotalSize: sum(items, sizeOf),
    ...(verbose && { Items: items }),
  };
}

function sum<T>(items: T[], sizeOf: (item: T) => number): number {
  return items.reduce((total, item) => total + sizeOf(item), 0);
}

function kindOf(name: string): Kind {
  const kind = kinds.find((each) => each === name);
  if (kind === undefined) throw invalidParameter(`unknown object type: ${name}`);
  return kind;
}
