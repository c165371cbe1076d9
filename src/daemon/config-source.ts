/** Where the daemon's settings come from: the file, the flags, and that they do not contradict each other. */
import { readFileSync } from "node:fs";
import { invalidParameter, messageOf } from "../lib/errors.ts";
import type { ParsedFlags } from "../lib/flags.ts";
import { checkShape, configKeys } from "./config-keys.ts";
import { daemonFlags } from "./options.ts";

/** The options of a file by their keys. */
export type ConfigFile = Record<string, unknown>;

const fileLimitBytes = 2 ** 20;

/**
 * The options in a configuration file; none where it is empty, or is not there and nobody named it.
 * Throws with Docker's sentences for what is no object of known keys with values of their kinds.
 */
export function readConfigFile(path: string, wasNamed: boolean): ConfigFile {
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (thrown) {
    if ((thrown as NodeJS.ErrnoException).code !== "ENOENT") throw thrown;
    if (!wasNamed) return {};
    throw invalidParameter(`open ${path}: no such file or directory`);
  }
  if (text.length > fileLimitBytes) throw invalidParameter(`it is larger than ${fileLimitBytes} bytes`);
  if (text.trim() === "") return {};
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch (thrown) {
    throw invalidParameter(`it is no JSON: ${messageOf(thrown)}`);
  }
  if (typeof parsed !== "object" || parsed === null || Array.isArray(parsed))
    throw invalidParameter("json: cannot unmarshal into a map of options: it is no object");
  const given = Object.entries(parsed).filter(([, value]) => value !== null);
  const unknown = given.map(([key]) => key).filter((key) => !Object.hasOwn(configKeys, key));
  if (unknown.length > 0)
    throw invalidParameter(
      `the following directives don't match any configuration option: ${unknown.sort().join(", ")}`,
    );
  for (const [key, value] of given) checkShape(key, value);
  return Object.fromEntries(given);
}

const flagNames = new Set(daemonFlags.map(({ name }) => name));
/** The flag that sets the same as a key, if there is one. */
export const flagOf = (key: string) => {
  const name = configKeys[key]!.flag ?? key;
  return flagNames.has(name) ? name : undefined;
};

/** A value as Go's %v prints it. */
function shown(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(shown).join(" ")}]`;
  if (typeof value !== "object" || value === null) return String(value);
  return `map[${Object.keys(value)
    .sort()
    .map((key) => `${key}:${shown((value as ConfigFile)[key])}`)
    .join(" ")}]`;
}

/** Names and paths of runtimes from both places are put together; every other key has one place. */
export function checkConflicts(file: ConfigFile, flags: ParsedFlags): void {
  const conflicts: string[] = [];
  for (const [key, value] of Object.entries(file)) {
    const flag = flagOf(key);
    if (flag === undefined || key === "runtimes" || !flags.has(flag)) continue;
    const { shape } = configKeys[key]!;
    const texts = flags.list(flag);
    const fromFlag =
      shape === "stringMap"
        ? shown(mapOf(texts))
        : shape === "strings" || shape === "any"
          ? shown(texts)
          : shape === "bool"
            ? String(flags.bool(flag))
            : flags.string(flag);
    conflicts.push(`${key}: (from flag: ${fromFlag}, from file: ${shown(value)})`);
  }
  if (conflicts.length > 0)
    throw invalidParameter(
      `the following directives are specified both as a flag and in the configuration file: ${conflicts.sort().join(", ")}`,
    );
}

/** Texts `key=value` as a map; the last of several wins. */
export function mapOf(pairs: readonly string[]): Record<string, string> {
  return Object.fromEntries(pairs.map((pair) => [pair.split("=", 1)[0]!, pair.slice(pair.indexOf("=") + 1)]));
}

/** One key's value from whichever place it is in, else the flag's default. */
export class Settings {
  constructor(
    readonly file: ConfigFile,
    readonly flags: ParsedFlags,
  ) {}

  string(key: string): string {
    return (this.file[key] as string | undefined) ?? this.#flag(key, (flag) => this.flags.string(flag), "");
  }

  bool(key: string): boolean {
    return (this.file[key] as boolean | undefined) ?? this.#flag(key, (flag) => this.flags.bool(flag), false);
  }

  int(key: string): number {
    return (this.file[key] as number | undefined) ?? this.#flag(key, (flag) => this.flags.int(flag), 0);
  }

  strings(key: string): string[] {
    return (this.file[key] as string[] | undefined) ?? this.#flag(key, (flag) => this.flags.list(flag), []);
  }

  /** What a flag's `parse` made of each of its values; only the file's own value where it has one. */
  parsed<T>(key: string, fromFile: (value: unknown) => T[]): T[] {
    const value = this.file[key];
    return value === undefined ? this.#flag(key, (flag) => this.flags.values<T>(flag), []) : fromFile(value);
  }

  #flag<T>(key: string, read: (flag: string) => T, otherwise: T): T {
    const flag = flagOf(key);
    return flag === undefined ? otherwise : read(flag);
  }
}
