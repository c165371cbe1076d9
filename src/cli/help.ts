/** Help, laid out as docker's. */
import { flagTable } from "../lib/flag-table.ts";
import type { FlagSpec } from "../lib/flags.ts";
import type { Command } from "./command.ts";

/** A heading and the commands below it. */
export interface HelpSection {
  title: string;
  commands: { name: string; short: string }[];
}

/** Help of a single command. `path` is how it was called, with the program: `docker container run`. */
export function commandHelp(program: string, path: string, command: Command, columns: number): string {
  let text = `Usage:  ${usageOf(program, path, command)}\n\n${command.long ?? command.short}\n`;
  if (command.experimental) text += `\n${experimentalNote(path)}`;
  if (command.aliases !== undefined) {
    text += `\nAliases:\n  ${command.aliases.map((alias) => `${program} ${alias}`).join(", ")}\n`;
  }
  const flags = flagTable(
    command.flags.filter(({ own }) => !own || program !== "docker"),
    columns,
  );
  return flags === "" ? text : `${text}\nOptions:\n${flags}`;
}

/** How a command is called; where there are several ways, each after the first has a line of its own. */
export function usageOf(program: string, path: string, command: Command): string {
  return `${path} ${command.usage.replaceAll("\n\tdocker ", `\n\t${program} `)}`;
}

/** Help of a group of commands, or of the program itself. `globalFlags` are the program's own. */
export function groupHelp(
  usage: string,
  short: string,
  sections: HelpSection[],
  flags: { title: string; specs: FlagSpec[] } | undefined,
  footer: string,
  columns: number,
): string {
  let text = `Usage:  ${usage}\n\n${short}\n`;
  const widest = Math.max(11, ...sections.flatMap((section) => section.commands.map(({ name }) => name.length)));
  for (const { title, commands } of sections) {
    if (commands.length === 0) continue;
    text += `\n${title}:\n`;
    for (const { name, short: line } of commands) text += `  ${name.padEnd(widest + 1)}${line}\n`;
  }
  if (flags !== undefined) text += `\n${flags.title}:\n${flagTable(flags.specs, columns)}`;
  return `${text}\n${footer}\n`;
}

/** What help says of a command that Docker calls experimental. */
export function experimentalNote(path: string): string {
  return `EXPERIMENTAL:
  ${path} is an experimental feature.
  Experimental features provide early access to product functionality. These
  features may change between releases without warning, or can be removed from a
  future release. Learn more about experimental features in our documentation:
  https://docs.docker.com/go/experimental/
`;
}
