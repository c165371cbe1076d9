/** A volume as `volume ls` and `system df -v` show it. */
import type { Row } from "../../lib/template/values.ts";
import { humanSize } from "../../lib/units.ts";
import type { Volume } from "../../wire/engine-api.ts";
import { joinLabels, row } from "../format.ts";

const UNKNOWN = "N/A";

/** Headings of the columns a table of volumes can have. */
export const volumeHeadings: Readonly<Record<string, string>> = {
  Name: "VOLUME NAME",
  Driver: "DRIVER",
  Scope: "SCOPE",
  Availability: "AVAILABILITY",
  Mountpoint: "MOUNTPOINT",
  Labels: "LABELS",
  Links: "LINKS",
  Size: "SIZE",
  Group: "GROUP",
  Status: "STATUS",
};

export function volumeRow(volume: Volume): Row {
  const usage = volume.UsageData;
  const labels: Record<string, string> = volume.Labels ?? {};
  return row("volumeContext", {
    Name: () => volume.Name,
    Driver: () => volume.Driver,
    Scope: () => volume.Scope,
    Mountpoint: () => volume.Mountpoint,
    Labels: () => joinLabels(labels),
    Label: (name: string) => (Object.hasOwn(labels, name) ? labels[name] : ""),
    Links: () => (usage ? String(usage.RefCount) : UNKNOWN),
    Size: () => (usage && usage.Size !== -1 ? humanSize(usage.Size) : UNKNOWN),
    Availability: () => UNKNOWN,
    Group: () => UNKNOWN,
    Status: () => UNKNOWN,
  });
}
