/** `brig daemon --help` */
import { flagTable } from "../lib/flag-table.ts";
import { daemonFlags } from "./options.ts";

const defaultColumns = 80;

export function daemonHelp(): string {
  return `
Usage:  brig daemon [OPTIONS]

The engine: serves the API and looks after containers, which go on when it ends.

Options:
${flagTable(daemonFlags, process.stdout.columns ?? defaultColumns)}`;
}
