import { execute } from "./template/exec.ts";
import { BUILTINS, DOCKER_FUNCTIONS, HEADER_FUNCTIONS } from "./template/functions.ts";
import { parse } from "./template/parser.ts";

export { TemplateError } from "./template/error.ts";

/** A parsed template. Execution throws TemplateError, which carries what had been written. */
export interface Template {
  execute(data: unknown): string;
  /** As `execute`, but a key that a map lacks is an error. */
  executeStrict(data: unknown): string;
  /** As `execute`, with functions that leave a table's headings as they are. */
  executeHeader(headings: Readonly<Record<string, string>>): string;
}

const FUNCTIONS = { ...BUILTINS, ...DOCKER_FUNCTIONS };

/**
 * Parses a template of Go's text/template with Docker's functions. Data: see template/values.ts. Throws TemplateError
 * (`template: :1: …`, with the name before the first colon).
 */
export function compileTemplate(text: string, name = ""): Template {
  const templates = parse(text, name, (called) => Object.hasOwn(FUNCTIONS, called));
  const program = { text, name, templates, functions: FUNCTIONS, missingKeyIsError: false };
  return {
    execute: (data) => execute(program, data),
    executeStrict: (data) => execute({ ...program, missingKeyIsError: true }, data),
    executeHeader: (headings) => execute({ ...program, functions: { ...FUNCTIONS, ...HEADER_FUNCTIONS } }, headings),
  };
}
