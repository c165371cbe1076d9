/** `images --tree`: each image with the platforms it has. */
import { humanSize } from "../../lib/units.ts";
import type { ImageManifestSummary, ImageSummary, OCIPlatform } from "../../wire/engine-api.ts";
import { ellipsis, truncateId } from "../format.ts";

/** Where the tree is shown. */
export interface TreeOutput {
  isTerminal: boolean;
  /** Undefined where nobody knows. */
  columns: number | undefined;
}

/** What a line says beside its name. */
interface Details {
  id: string;
  diskUsageBytes: number;
  contentBytes: number;
  isUsed: boolean;
}

interface Line extends Details {
  names: string[];
  platforms: (Details & { platform: string; isAvailable: boolean })[];
}

interface Column {
  title: string;
  width: number;
  align: "left" | "right";
  /** Plain text, or with colors where `style` is undefined. */
  value(details: Details): string;
  isChip?: boolean;
}

const SPACING = "   ";
const MIN_NAME_WIDTH = 12;
const MIN_WIDTH = 20;
const DEFAULT_WIDTH = 80;

const colored = (codes: string, text: string) => `${codes}${text}\x1b[0m`;
const titleCodes = "\x1b[39m\x1b[1m";
const warningCodes = "\x1b[93m";
const nameCodes = "\x1b[34m\x1b[1m";
const normalCodes = "\x1b[39m";
const faintCodes = "\x1b[39m\x1b[2m";
const chip = "\x1b[38;5;0m\x1b[48;5;14m U \x1b[0m";
const infoHeader = "\x1b[1m\x1b[106m\x1b[30mi\x1b[0m\x1b[0m \x1b[96mInfo → \x1b[0m\x1b[0m";

/** The whole text, as docker's client prints it; headings are bold whatever the output is. */
export function imageTree(images: ImageSummary[], all: boolean, { isTerminal, columns: known }: TreeOutput): string {
  const width = Math.max(known || DEFAULT_WIDTH, MIN_WIDTH);
  const lines = images
    .filter((image) => all || !isDangling(image))
    .sort((one, other) => other.Created - one.Created)
    .map(lineOf);
  const styled = (codes: string, text: string) => (isTerminal ? colored(codes, text) : text);
  const columns = columnsFor(width, lines, isTerminal);
  const [first, ...rest] = columns as [Column, ...Column[]];
  const details = (codes: string, of: Details) =>
    rest.map((column) => SPACING + cell(column, column.value(of), column.isChip ? undefined : codes, styled)).join("");
  const warning = "WARNING: This is an experimental feature. The output may change and shouldn't be depended on.";
  const legend = isTerminal ? `${infoHeader} ${chip} In Use ` : "Info ->  U In Use ";
  let text = `${styled(warningCodes, warning)}\n${" ".repeat(Math.max(width - Bun.stringWidth(legend), 0))}${legend}\n\n`;
  text += `${columns.map((column) => cell(column, column.title.toUpperCase(), titleCodes, colored)).join(SPACING)}\n`;
  const isSpaced = lines.some(({ platforms }) => platforms.length > 0);
  for (const line of lines) {
    const names = line.names.toSorted((one, other) => other.length - one.length);
    for (const name of names.slice(0, -1)) text += `${styled(nameCodes, known ? ellipsis(name, known) : name)}\n`;
    const last = names.at(-1);
    text += last === undefined ? cell(first, "<untagged>", faintCodes, styled) : cell(first, last, nameCodes, styled);
    text += `${details(normalCodes, line)}\n`;
    line.platforms.forEach((entry, index) => {
      const branch = index === line.platforms.length - 1 ? "└─" : "├─";
      const codes = entry.isAvailable ? normalCodes : faintCodes;
      text += `${cell(first, `${branch} ${entry.platform}`, codes, styled)}${details(codes, entry)}\n`;
    });
    if (isSpaced) text += "\n";
  }
  return text;
}

function lineOf(image: ImageSummary): Line {
  const manifests = image.Manifests ?? [];
  const platforms = manifests.filter(({ Kind: kind }) => kind === "image").map(platformLine);
  return {
    names: (image.RepoTags ?? []).filter((name) => name !== "<none>:<none>"),
    platforms,
    id: image.Id,
    diskUsageBytes: image.Size,
    contentBytes: manifests.reduce((sum, { Size: size }) => sum + size.Content, 0),
    isUsed: image.Containers > 0 || platforms.some(({ isUsed }) => isUsed),
  };
}

function platformLine({ ID: id, Available: isAvailable, Size: size, ImageData: data }: ImageManifestSummary) {
  return {
    platform: platformText(data?.Platform),
    isAvailable,
    id,
    diskUsageBytes: size.Total,
    contentBytes: size.Content,
    isUsed: (data?.Containers ?? []).length > 0,
  };
}

function platformText({ os, architecture, variant }: OCIPlatform = {}): string {
  return os ? [os, architecture, variant].filter(Boolean).join("/") : "unknown";
}

function isDangling({ RepoTags: tags = [], RepoDigests: digests = [] }: ImageSummary): boolean {
  return tags.length + digests.length === 0 || (tags[0] === "<none>:<none>" && digests[0] === "<none>@<none>");
}

/** The name's column is as narrow as it may be; columns on the right go where there is no room for them. */
function columnsFor(width: number, lines: Line[], isTerminal: boolean): Column[] {
  const bytes = (text: string) => Buffer.byteLength(text);
  const names = lines.flatMap(({ names, platforms }) => [
    ...names.map(bytes),
    ...platforms.map(({ platform }) => bytes(`└─ ${platform}`)),
  ]);
  const hasChip = lines.some(({ isUsed }) => isUsed);
  const details: Column[] = [
    { title: "ID", width: 12, align: "left", value: ({ id }) => truncateId(id) },
    { title: "Disk usage", width: 10, align: "right", value: (of) => humanSize(of.diskUsageBytes, 3) },
    { title: "Content size", width: 12, align: "right", value: (of) => humanSize(of.contentBytes, 3) },
    {
      title: "Extra",
      width: "Extra".length,
      align: "left",
      isChip: true,
      value: ({ isUsed }) => (hasChip && isUsed ? (isTerminal ? chip : "U") : ""),
    },
  ];
  let room = width;
  const kept = details.findIndex((column) => {
    const needed = column.width + SPACING.length;
    if (room - needed < MIN_NAME_WIDTH) return true;
    room -= needed;
    return false;
  });
  const nameWidth = Math.min(room, Math.max("Image".length, ...names));
  const first: Column = { title: "Image", width: nameWidth, align: "left", value: () => "" };
  return [first, ...(kept < 0 ? details : details.slice(0, kept))];
}

function cell(
  { width, align }: Column,
  text: string,
  codes: string | undefined,
  styled: (codes: string, text: string) => string,
): string {
  const shown = ellipsis(text, width);
  const cellText = codes === undefined ? text : styled(codes, shown);
  const padding = " ".repeat(Math.max(width - Bun.stringWidth(text), 0));
  return align === "left" ? cellText + padding : padding + cellText;
}
