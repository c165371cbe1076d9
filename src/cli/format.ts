/** What listing commands share: their flags, their templates, their tables. */
import type { FlagSpec, ParsedFlags } from "../lib/flags.ts";
import { alignColumns } from "../lib/table.ts";
import { Row } from "../lib/template/values.ts";
import { compileTemplate, type Template, TemplateError } from "../lib/template.ts";
import { StatusError } from "./command.ts";

const TABLE_FORMATS = `'table':            Print output in table format with column headers (default)
'table TEMPLATE':   Print output in table format using the given Go template
`;

function formatUsage(table: boolean): string {
  return `Format output using a custom template:
${table ? TABLE_FORMATS : ""}'json':             Print in JSON format
'TEMPLATE':         Print output using the given Go template.
Refer to https://docs.docker.com/go/formatting/ for more information about formatting output with templates`;
}

/** `--format` of commands that print tables. */
export const tableFormatFlag: FlagSpec = { name: "format", type: "string", usage: formatUsage(true) };

/** `-f, --format` of commands that print one object. */
export const objectFormatFlag: FlagSpec = { name: "format", short: "f", type: "string", usage: formatUsage(false) };

/** `--filter`, with `-f` unless the letter stands for something else there. */
export function filterFlag(
  usage = "Filter output based on conditions provided",
  short: string | undefined = "f",
): FlagSpec {
  const spec: FlagSpec = { name: "filter", type: "list", value: "filter", usage, parse: parseFilter };
  return short === undefined || short === "" ? spec : { ...spec, short };
}

function parseFilter(text: string): { name: string; value: string } | undefined {
  if (text === "") return undefined;
  const equals = text.indexOf("=");
  if (equals === -1) throw new Error("bad format of filter (expected name=value)");
  return { name: text.slice(0, equals).trim().toLowerCase(), value: text.slice(equals + 1).trim() };
}

/** Conditions by name, each with its values. */
export type Filters = Record<string, Record<string, boolean>>;

/** The filters of a command line, and further ones. */
export function filtersOf(flags: ParsedFlags): Filters {
  const filters: Filters = {};
  for (const filter of flags.values<{ name: string; value: string } | undefined>("filter")) {
    if (filter !== undefined) addFilter(filters, filter.name, filter.value);
  }
  return filters;
}

export function addFilter(filters: Filters, name: string, value: string): void {
  filters[name] ??= {};
  filters[name][value] = true;
}

/** Filters as the API's query wants them; undefined where there are none. */
export function encodeFilters(filters: Filters): string | undefined {
  return Object.keys(filters).length === 0 ? undefined : JSON.stringify(filters);
}

/** Everything a listing's output depends on. */
export interface Listing {
  /** `table`, `table TEMPLATE`, `json` or a template; what it stands for has been put in already. */
  format: string;
  /** Heading of every column that a table can show. */
  headings: Readonly<Record<string, string>>;
  rows: Iterable<Row>;
}

/** The text of a listing. Throws StatusError with Docker's wording where the template is at fault. */
export function renderListing(listing: Listing): string {
  const isTable = isTableFormat(listing.format);
  const template = parseFormat(listing.format);
  let body = "";
  for (const row of listing.rows) body += `${executeOrExplain(template, row, "template parsing error: ")}\n`;
  if (!isTable) return body;
  return alignColumns(`${headingsOf(template, listing.headings)}\n${body}`);
}

/** Parses what `--format` says. Throws StatusError. */
export function parseFormat(format: string, context = "template parsing error: "): Template {
  let text = format;
  if (isTableFormat(format)) text = format.slice("table".length);
  else if (format === "json") text = "{{json .}}";
  text = text
    .replace(/^ +| +$/g, "")
    .replaceAll("\\t", "\t")
    .replaceAll("\\n", "\n");
  return compileOrExplain(text, context);
}

/** compileTemplate with a StatusError that says what it was about; `name` is what errors call the template. */
export function compileOrExplain(text: string, context: string, exitCode = 1, name = ""): Template {
  try {
    return compileTemplate(text, name);
  } catch (error) {
    if (error instanceof TemplateError) throw new StatusError(context + error.message, exitCode);
    throw error;
  }
}

/** Executes with a StatusError that says what it was about. */
export function executeOrExplain(template: Template, data: unknown, context: string): string {
  try {
    return template.execute(data);
  } catch (error) {
    if (error instanceof TemplateError) throw new StatusError(context + error.message, 1);
    throw error;
  }
}

function headingsOf(template: Template, headings: Readonly<Record<string, string>>): string {
  try {
    return template.executeHeader({ ...headings, Label: labelHeading } as unknown as Record<string, string>);
  } catch (error) {
    // Docker, too, shows as much of the headings as could be made.
    if (error instanceof TemplateError) return error.output;
    throw error;
  }
}

/** A label's heading is the last part of its name. */
function labelHeading(name: string): string {
  return (name.split(".").at(-1) ?? "").replace(/[-_]/g, " ");
}

export function isTableFormat(format: string): boolean {
  return format.startsWith("table");
}

/** An id as tables show it: without its algorithm, twelve digits. */
export function truncateId(id: string): string {
  const colon = id.indexOf(":");
  return id.slice(colon + 1, colon + 13);
}

/** At most `columns` wide, an ellipsis for what is cut off. Wide characters count twice. */
export function ellipsis(text: string, columns: number): string {
  // As many bytes as UTF-16 units: all of it is ASCII.
  if (Buffer.byteLength(text) === text.length) {
    return text.length <= columns ? text : `${text.slice(0, columns - 1)}…`;
  }
  let width = 0;
  let kept = "";
  let shown = 0;
  for (const char of text) {
    const size = Bun.stringWidth(char);
    width += size;
    if (width <= columns - 1) {
      kept += char;
      shown = width;
    }
  }
  return width <= columns || shown === width ? text : `${kept}…`;
}

/** Labels as listings show them. */
export function joinLabels(labels: Record<string, string> | null | undefined): string {
  return Object.entries(labels ?? {})
    .map(([key, value]) => `${key}=${value}`)
    .sort()
    .join(",");
}

/** A point in time in the user's zone as Go prints it: `2024-05-01 10:00:00 +0200 CEST`. `fraction`: its digits. */
export function localTimeText(unixMs: number, fraction = ""): string {
  const date = new Date(unixMs);
  const two = (value: number) => String(value).padStart(2, "0");
  const offsetMinutes = -date.getTimezoneOffset();
  const size = Math.abs(offsetMinutes);
  const offset = `${offsetMinutes < 0 ? "-" : "+"}${two(Math.floor(size / 60))}${two(size % 60)}`;
  const day = `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())}`;
  const time = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`;
  const digits = fraction.replace(/0+$/, "");
  return `${day} ${time}${digits === "" ? "" : `.${digits}`} ${offset} ${zoneName(date, offsetMinutes)}`;
}

function zoneName(date: Date, offsetMinutes: number): string {
  if (offsetMinutes === 0 && Intl.DateTimeFormat().resolvedOptions().timeZone === "UTC") return "UTC";
  const parts = new Intl.DateTimeFormat("en-US", { timeZoneName: "short" }).formatToParts(date);
  const name = parts.find((part) => part.type === "timeZoneName")?.value ?? "UTC";
  const match = /^GMT([+-])(\d+)(?::(\d+))?$/.exec(name);
  if (match === null) return name;
  return `${match[1]}${match[2]?.padStart(2, "0")}${match[3] ?? ""}`;
}

/** A row of a listing, by the name of the type that errors in its template mention. */
export function row(typeName: string, members: Readonly<Record<string, unknown>>): Row {
  return new Row(`*formatter.${typeName}`, members);
}
