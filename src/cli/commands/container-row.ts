/** A container as `ps` and `system df -v` show it. */
import { goQuote } from "../../lib/template/quote.ts";
import { type Row, Typed } from "../../lib/template/values.ts";
import { humanDuration, humanSize } from "../../lib/units.ts";
import type { ContainerSummary, PortSummary } from "../../wire/engine-api.ts";
import { ellipsis, joinLabels, localTimeText, row, truncateId } from "../format.ts";
import { joinHostPort } from "./port-text.ts";

const COMMAND_COLUMNS = 20;
const MOUNT_COLUMNS = 15;
/** The engine does not say yet which of an image's platforms runs. */
const NO_PLATFORM = new Typed(
  { kind: "pointer", name: "*v1.Platform", elem: { kind: "struct", name: "v1.Platform", fields: [] } },
  null,
);

/** Headings of the columns a table of containers can have. */
export const containerHeadings: Readonly<Record<string, string>> = {
  ID: "CONTAINER ID",
  Names: "NAMES",
  Image: "IMAGE",
  Command: "COMMAND",
  CreatedAt: "CREATED AT",
  RunningFor: "CREATED",
  Ports: "PORTS",
  State: "STATE",
  Status: "STATUS",
  Size: "SIZE",
  Labels: "LABELS",
  Mounts: "MOUNTS",
  LocalVolumes: "LOCAL VOLUMES",
  Networks: "NETWORKS",
  Platform: "PLATFORM",
};

/** The row of a container. `truncate`: ids, commands and the like in their short forms. */
export function containerRow(container: ContainerSummary, truncate: boolean, nowMs: number): Row {
  const createdMs = (container.Created ?? 0) * 1000;
  return row("ContainerContext", {
    ID: () => (truncate ? truncateId(container.Id ?? "") : (container.Id ?? "")),
    Names: () => names(container, truncate),
    Image: () => imageName(container, truncate),
    Command: () => goQuote(truncate ? ellipsis(container.Command ?? "", COMMAND_COLUMNS) : (container.Command ?? "")),
    CreatedAt: () => localTimeText(createdMs),
    RunningFor: () => `${humanDuration(nowMs - createdMs)} ago`,
    Ports: () => portsText(container.Ports ?? []),
    State: () => container.State ?? "",
    Status: () => container.Status ?? "",
    Size: () => sizeText(container),
    Labels: () => joinLabels(container.Labels),
    Label: (name: string) => labelOf(container, name),
    Mounts: () => mounts(container, truncate),
    LocalVolumes: () => String((container.Mounts ?? []).filter((mount) => mount.Driver === "local").length),
    Networks: () => Object.keys(container.NetworkSettings?.Networks ?? {}).join(","),
    Platform: () => NO_PLATFORM,
  });
}

function labelOf(container: ContainerSummary, name: string): string {
  const labels = container.Labels ?? {};
  return Object.hasOwn(labels, name) ? (labels[name] ?? "") : "";
}

/** Names that links gave a container are left out of the short form. */
function names(container: ContainerSummary, truncate: boolean): string {
  const all = (container.Names ?? []).map((name) => name.slice(1));
  const own = truncate ? all.find((name) => !name.includes("/")) : undefined;
  return own ?? all.join(",");
}

function imageName(container: ContainerSummary, truncate: boolean): string {
  const image = container.Image ?? "";
  if (image === "") return "<no image>";
  if (!truncate) return image;
  const short = truncateId(container.ImageID ?? "");
  if (short === truncateId(image)) return short;
  return image.replace(/@[a-z0-9+.-]+:[0-9a-f]+$/, "").replace(/^docker\.io\/(library\/)?/, "");
}

function sizeText(container: ContainerSummary): string {
  const own = humanSize(container.SizeRw ?? 0, 3);
  const virtual = container.SizeRootFs ?? 0;
  return virtual > 0 ? `${own} (virtual ${humanSize(virtual, 3)})` : own;
}

function mounts(container: ContainerSummary, truncate: boolean): string {
  return (container.Mounts ?? [])
    .map((mount) => mount.Name || mount.Source || "")
    .map((name) => (truncate ? ellipsis(name, MOUNT_COLUMNS) : name))
    .join(",");
}

function comparePorts(a: PortSummary, b: PortSummary): number {
  return (
    (a.PrivatePort ?? 0) - (b.PrivatePort ?? 0) ||
    compareText(a.IP ?? "", b.IP ?? "") ||
    (a.PublicPort ?? 0) - (b.PublicPort ?? 0) ||
    compareText(a.Type ?? "", b.Type ?? "")
  );
}

function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

interface PortRange {
  ip: string;
  type: string;
  first: number;
  last: number;
}

/** Ports in one line: those that keep their number as ranges, then each that is mapped to another number. */
export function portsText(ports: readonly PortSummary[]): string {
  const open = new Map<string, PortRange>();
  const closed: string[] = [];
  const mapped: string[] = [];
  for (const port of [...ports].sort(comparePorts)) {
    const { IP: ip = "", PrivatePort: inside = 0, PublicPort: outside = 0, Type: type = "" } = port;
    if (ip !== "" && outside !== inside) {
      mapped.push(`${joinHostPort(ip, String(outside))}->${inside}/${type}`);
      continue;
    }
    const key = `${ip}/${type}`;
    const range = open.get(key);
    if (range !== undefined && inside === range.last + 1) range.last = inside;
    else {
      if (range !== undefined) closed.push(rangeText(range));
      open.set(key, { ip, type, first: inside, last: inside });
    }
  }
  return [...closed, ...[...open.values()].map(rangeText), ...mapped].join(", ");
}

function rangeText({ ip, type, first, last }: PortRange): string {
  const range = first === last ? String(first) : `${first}-${last}`;
  return ip === "" ? `${range}/${type}` : `${joinHostPort(ip, range)}->${range}/${type}`;
}
