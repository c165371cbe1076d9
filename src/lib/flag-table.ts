/** The table of flags in a help text, laid out as docker's. */
import { type FlagSpec, quote } from "./flags.ts";

/** The flags in alphabetical order, their texts wrapped into the columns that are left beside the names. */
export function flagTable(specs: FlagSpec[], columns: number): string {
  const shown = specs
    .filter((spec) => spec.hidden !== true && spec.deprecated === undefined && spec.sameAs === undefined)
    .sort((a, b) => (a.name < b.name ? -1 : 1))
    .map((spec) => ({ head: flagHead(spec), usage: spec.usage + defaultNote(spec) }));
  const indent = Math.max(0, ...shown.map(({ head }) => head.length)) + 3;
  return shown.map(({ head, usage }) => `${head.padEnd(indent)}${wrap(usage, indent, columns - 1)}\n`).join("");
}

const typeWords: Record<FlagSpec["type"], string> = {
  bool: "",
  string: "string",
  int: "int",
  uint: "uint",
  uint16: "uint16",
  float: "float",
  list: "list",
  optionalString: "string",
};

function flagHead(spec: FlagSpec): string {
  const name = spec.short === undefined ? `      --${spec.name}` : `  -${spec.short}, --${spec.name}`;
  const word = spec.value ?? typeWords[spec.type];
  const implied = spec.type === "optionalString" ? `[=${quote(spec.implied ?? "")}]` : "";
  return name + (word === "" ? "" : ` ${word}`) + implied;
}

function defaultNote(spec: FlagSpec): string {
  if (spec.shownDefault !== undefined) return ` (default ${spec.shownDefault})`;
  if (spec.default === undefined || ["", "false", "0"].includes(spec.default)) return "";
  const isText = spec.type === "string" || spec.type === "optionalString";
  return ` (default ${isText && spec.value === undefined ? quote(spec.default) : spec.default})`;
}

/** Room that the last line may take beyond its width, so that no single word is left for a line of its own. */
const slack = 5;
const narrowest = 24;

/** Breaks the text into lines that end before `columns`, each but the first indented. */
function wrap(text: string, indent: number, columns: number): string {
  let width = columns - indent;
  let left = indent;
  let wrapped = "";
  if (width < narrowest) {
    left = 16;
    width = columns - left;
    if (width < narrowest) return text.replaceAll("\n", `\n${" ".repeat(indent)}`);
    wrapped = `\n${" ".repeat(left)}`;
  }
  width -= slack;
  const lines: string[] = [];
  let rest = text;
  while (rest !== "") {
    const at = breakBefore(rest, width);
    lines.push(at < 0 ? rest : rest.slice(0, at));
    rest = at < 0 ? "" : rest.slice(at + 1);
  }
  return wrapped + lines.join("\n").replaceAll("\n", `\n${" ".repeat(left)}`);
}

/** Where the line ends: at a line break of the text's own, else at the last space that fits; -1 where all fits. */
function breakBefore(text: string, width: number): number {
  if (text.length < width + slack) return -1;
  const head = text.slice(0, width);
  const space = Math.max(head.lastIndexOf(" "), head.lastIndexOf("\t"), head.lastIndexOf("\n"));
  if (space <= 0) return -1;
  const newline = head.lastIndexOf("\n");
  return newline > 0 ? newline : space;
}
