/** `brig registry`: the process around a registry, and the commands on its directory. */
import { messageOf } from "../lib/errors.ts";
import { flagTable } from "../lib/flag-table.ts";
import { FlagError, type FlagSpec, HelpRequested, type ParsedFlags, parseFlags } from "../lib/flags.ts";
import { serveFlags } from "./config.ts";
import { garbageFlags } from "./garbage-command.ts";
import { userFlags, userUsage } from "./user-command.ts";

interface RegistryCommand {
  usage: string;
  short: string;
  flags: FlagSpec[];
  hasArguments?: boolean;
  /** Resolves to the exit code. */
  run(flags: ParsedFlags): Promise<number>;
}

const commands: Record<string, RegistryCommand> = {
  serve: {
    usage: "[OPTIONS]",
    short: "Serve images to everybody who speaks the Distribution API",
    flags: serveFlags,
    run: async (flags) => (await import("./serve.ts")).serve(flags),
  },
  "garbage-collect": {
    usage: "[OPTIONS]",
    short: "Remove blobs that no manifest needs",
    flags: garbageFlags,
    run: async (flags) => (await import("./garbage-command.ts")).collect(flags),
  },
  user: {
    usage: userUsage,
    short: "Manage who may do what (auth=users)",
    flags: userFlags,
    hasArguments: true,
    run: async (flags) => (await import("./user-command.ts")).manageUsers(flags),
  },
};

/** Returns the exit code; `argv` is what follows `brig registry`. */
export async function runRegistry(argv: string[]): Promise<number> {
  const [name = "--help", ...rest] = argv;
  if (name === "--help" || name === "-h" || name === "help") {
    console.log(groupHelp());
    return 0;
  }
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) {
    process.stderr.write(
      `brig: unknown command: brig registry ${name}\n\nRun 'brig registry --help' for more information\n`,
    );
    return 1;
  }
  try {
    const flags = parseFlags(command.flags, rest, { interspersed: true });
    if (flags.args.length > 0 && !command.hasArguments)
      throw new FlagError(`"brig registry ${name}" accepts no arguments`);
    return await command.run(flags);
  } catch (thrown) {
    if (thrown instanceof HelpRequested) {
      console.log(commandHelp(name, command));
      return 0;
    }
    process.stderr.write(`${messageOf(thrown)}\n`);
    if (thrown instanceof FlagError)
      process.stderr.write(`\nRun 'brig registry ${name} --help' for more information\n`);
    return thrown instanceof FlagError ? 125 : 1;
  }
}

function groupHelp(): string {
  const width = Math.max(...Object.keys(commands).map((name) => name.length)) + 2;
  const lines = Object.entries(commands).map(([name, { short }]) => `  ${name.padEnd(width)}${short}`);
  return `
Usage:  brig registry COMMAND

Run a registry

Commands:
${lines.join("\n")}

Run 'brig registry COMMAND --help' for more information on a command.`;
}

function commandHelp(name: string, { usage, short, flags }: RegistryCommand): string {
  return `
Usage:  brig registry ${name} ${usage}

${short}

Options:
${flagTable(flags, process.stdout.columns ?? 80)}`;
}
