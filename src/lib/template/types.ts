import type { GoField, GoType } from "./values.ts";

const SIMPLE: Record<string, GoType> = {
  string: { kind: "string", name: "string" },
  bool: { kind: "bool", name: "bool" },
  int: { kind: "int", name: "int" },
  float64: { kind: "float64", name: "float64" },
  any: { kind: "any", name: "interface {}" },
  time: { kind: "time", name: "time.Time" },
};

/**
 * Reads declarations of structs, one a line: `pkg.Name: Field type, Other:jsonName type?, +Embedded type`. A type is
 * `string bool int float64 any time`, another struct's name, or made with `*`, `[]`, `map:`; `=Name:type` gives a type
 * a name of its own; `?` behind a type stands for omitempty; `-` as JSON name keeps a field out of JSON.
 */
export function parseTypes(source: string): Map<string, GoType> {
  const structs = new Map<string, GoType & { kind: "struct" }>();
  const lines = source
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "");
  const nameOf = (line: string) => line.slice(0, line.indexOf(":"));
  for (const line of lines) structs.set(nameOf(line), { kind: "struct", name: nameOf(line), fields: [] });
  for (const line of lines) {
    const fields = line
      .slice(nameOf(line).length + 1)
      .trim()
      .split(", ");
    structs.get(nameOf(line))!.fields = fields
      .filter((field) => field !== "")
      .map((field) => parseField(field, structs));
  }
  return structs;
}

function parseField(text: string, structs: ReadonlyMap<string, GoType>): GoField {
  const [names = "", typeText = ""] = text.split(" ");
  const embedded = names.startsWith("+");
  const [name = "", json] = names.replace("+", "").split(":");
  return {
    name,
    json: json === "-" ? undefined : (json ?? name),
    omitEmpty: typeText.endsWith("?"),
    embedded,
    type: parseType(typeText.replace("?", ""), structs),
  };
}

function parseType(text: string, structs: ReadonlyMap<string, GoType>): GoType {
  if (text.startsWith("=")) {
    const colon = text.indexOf(":");
    return { ...parseType(text.slice(colon + 1), structs), name: text.slice(1, colon) };
  }
  if (text.startsWith("*")) {
    const elem = parseType(text.slice(1), structs);
    return { kind: "pointer", name: `*${elem.name}`, elem };
  }
  if (text.startsWith("[]")) {
    const elem = parseType(text.slice(2), structs);
    return { kind: "slice", name: `[]${elem.name}`, elem };
  }
  if (text.startsWith("map:")) {
    const elem = parseType(text.slice(4), structs);
    return { kind: "map", name: `map[string]${elem.name}`, elem };
  }
  const type = Object.hasOwn(SIMPLE, text) ? SIMPLE[text] : structs.get(text);
  if (type === undefined) throw new Error(`no type is called ${text}`);
  return type;
}
