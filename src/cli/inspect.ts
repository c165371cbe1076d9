/** How all the inspect commands print what they found. */

import { EngineError } from "../client/client.ts";
import { indentJson } from "../lib/json-indent.ts";
import { decodeAs, parseExactJson, parseRawJson } from "../lib/template/json.ts";
import { type Template, TemplateError } from "../lib/template.ts";
import type { CliContext } from "./command.ts";
import { StatusError } from "./command.ts";
import { type Inspectable, inspectType } from "./commands/inspect-types.ts";
import { compileOrExplain } from "./format.ts";

/** An object as the engine described it. */
export interface Inspected {
  /** JSON as it came. */
  json: string;
  /** What type it has, where templates know one. */
  kind?: Inspectable;
}

/**
 * Prints the objects by their references, in the format of `--format`. What was found before an error is printed,
 * then the errors, one a line. Resolves to the exit code. Throws StatusError for a template that cannot be parsed.
 */
export async function inspectAll(
  ctx: CliContext,
  references: readonly string[],
  format: string,
  find: (reference: string) => Promise<Inspected>,
): Promise<number> {
  const isJson = format === "" || format === "json";
  const template = isJson ? undefined : compileOrExplain(format, "template parsing error: ", 64);
  const found: Inspected[] = [];
  const errors: string[] = [];
  let text = "";
  for (const reference of references) {
    let object: Inspected;
    try {
      object = await find(reference);
    } catch (error) {
      errors.push((error as Error).message);
      continue;
    }
    found.push(object);
    if (template === undefined) continue;
    try {
      text += `${executeOn(template, object)}\n`;
    } catch (error) {
      if (!(error instanceof TemplateError)) throw error;
      // A template that fails on one object ends it all, as Docker has it.
      ctx.out(text === "" ? "\n" : text);
      throw new StatusError([...errors, `template parsing error: ${error.message}`].join("\n"), 1);
    }
  }
  if (template !== undefined) ctx.out(text === "" ? "\n" : text);
  else if (format === "json") ctx.out(`[${found.map(compact).join(",")}]\n`);
  else ctx.out(`${indentJson(`[${found.map((object) => object.json.trim()).join(",")}]`, "    ")}\n`);
  if (errors.length > 0) throw new StatusError(errors.join("\n"), 1);
  return 0;
}

/** Tries the typed object first, as scripts expect zero values, then what the engine really said. */
function executeOn(template: Template, { json, kind }: Inspected): string {
  if (kind !== undefined) {
    try {
      return template.execute(decodeAs(inspectType(kind), parseExactJson(json)));
    } catch (error) {
      if (!(error instanceof TemplateError || error instanceof TypeError)) throw error;
    }
  }
  return template.executeStrict(parseRawJson(json));
}

/** One line of JSON; `--format json` shows it as the engine sent it. */
function compact(object: Inspected): string {
  return object.json.trim();
}

/** Fetches an object's JSON. */
export async function fetchJson(ctx: CliContext, path: string, query = {}): Promise<string> {
  const response = await ctx.engine.request("GET", path, { query });
  return response.text();
}

/** Whether the engine said that there is no such thing. */
export function isNotFound(error: unknown): boolean {
  return error instanceof EngineError && error.status === 404;
}
