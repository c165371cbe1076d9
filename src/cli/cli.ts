/** The command line's frame: finds the command, reads its flags, runs it, prints what went wrong. */
import { windowSize } from "../kernel/terminal.ts";
import { FlagError, type FlagSpec, HelpRequested, type ParsedFlags, parseFlags } from "../lib/flags.ts";
import { type ArgCount, type Command, StatusError } from "./command.ts";
import { Context, print } from "./context.ts";
import { commandHelp, groupHelp, type HelpSection, usageOf } from "./help.ts";
import { type CommandEntry, type CommandGroup, commands, groups } from "./tree.ts";

const version = "0.1.0";
/** The version of Docker's command line whose words and output this one speaks. */
const dockerVersion = "28.2.2";
const flagErrorCode = 125;

function globalFlags(): FlagSpec[] {
  const configDir = process.env.DOCKER_CONFIG || `${process.env.HOME || "/root"}/.docker`;
  return [
    {
      name: "config",
      type: "string",
      default: "",
      shownDefault: `"${configDir}"`,
      usage: "Location of client config files",
    },
    {
      name: "context",
      short: "c",
      type: "string",
      usage:
        "Name of the context to use to connect to the daemon (overrides DOCKER_HOST env var and default context set " +
        'with "docker context use")',
    },
    { name: "debug", short: "D", type: "bool", usage: "Enable debug mode" },
    { name: "host", short: "H", type: "list", usage: "Daemon socket to connect to" },
    {
      name: "log-level",
      short: "l",
      type: "string",
      default: "info",
      usage: 'Set the logging level ("debug", "info", "warn", "error", "fatal")',
    },
    { name: "tls", type: "bool", usage: "Use TLS; implied by --tlsverify" },
    {
      name: "tlscacert",
      type: "string",
      shownDefault: `"${configDir}/ca.pem"`,
      usage: "Trust certs signed only by this CA",
    },
    { name: "tlscert", type: "string", shownDefault: `"${configDir}/cert.pem"`, usage: "Path to TLS certificate file" },
    { name: "tlskey", type: "string", shownDefault: `"${configDir}/key.pem"`, usage: "Path to TLS key file" },
    { name: "tlsverify", type: "bool", usage: "Use TLS and verify the remote" },
    { name: "version", short: "v", type: "bool", usage: "Print version information and quit" },
  ];
}

/** Runs one command line (`argv` without the program). Resolves to the exit code; everything is printed by then. */
export async function runCli(program: string, argv: string[]): Promise<number> {
  try {
    return await dispatch(program, argv);
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (message !== "") print(2, `${message}\n`);
    return error instanceof StatusError ? error.exitCode : 1;
  }
}

async function dispatch(program: string, argv: string[]): Promise<number> {
  let global: ParsedFlags;
  try {
    global = parseFlags(globalFlags(), argv, { interspersed: false });
  } catch (error) {
    if (error instanceof HelpRequested) return printHelp(await programHelp(program));
    throw flagError(error, program, `${program} [OPTIONS] COMMAND [ARG...]`);
  }
  if (global.bool("version")) return printVersion(program);
  checkLogLevel(global.string("log-level"));
  const [name, ...rest] = global.args;
  if (name === undefined) {
    print(2, await programHelp(program));
    return 0;
  }
  if (name === "help") return helpFor(program, rest);
  const entry = find(commands, name);
  if (entry !== undefined) return runCommand(program, `${program} ${name}`, entry, rest, global);
  const group = groups.find((one) => one.name === name);
  if (group !== undefined) return runGroup(program, group, rest, global);
  throw new Error(`${program}: unknown command: ${program} ${name}\n\nRun '${program} --help' for more information`);
}

/** Nothing is logged; a level that is none is refused as docker does. */
function checkLogLevel(level: string): void {
  if (!/^(panic|fatal|error|warn|warning|info|debug|trace)$/i.test(level))
    throw new Error(`Unable to parse logging level: ${level}`);
}

async function runGroup(program: string, group: CommandGroup, argv: string[], global: ParsedFlags): Promise<number> {
  const path = `${program} ${group.name}`;
  let args: string[];
  try {
    args = parseFlags([], argv, { interspersed: false }).args;
  } catch (error) {
    if (error instanceof HelpRequested) return printHelp(await helpOfGroup(program, group));
    throw flagError(error, path, path);
  }
  const [name, ...rest] = args;
  if (name === undefined) {
    print(2, await helpOfGroup(program, group));
    return 0;
  }
  const entry = find(group.commands, name);
  if (entry === undefined) {
    const usage = `Usage:  ${path}\n\nRun '${path} --help' for more information`;
    throw new Error(`${program}: unknown command: ${path} ${name}\n\n${usage}`);
  }
  return runCommand(program, `${path} ${entry.name}`, entry, rest, global);
}

async function runCommand(
  program: string,
  path: string,
  entry: CommandEntry,
  argv: string[],
  global: ParsedFlags,
): Promise<number> {
  const { command } = await entry.load();
  let flags: ParsedFlags;
  try {
    flags = parseFlags(command.flags, argv, { interspersed: command.interspersed !== false });
  } catch (error) {
    if (error instanceof HelpRequested) return printHelp(commandHelp(program, path, command, helpColumns()));
    throw flagError(error, path, usageOf(program, path, command));
  }
  for (const line of flags.warnings) print(1, `${line}\n`);
  checkArgs(program, path, command, flags.args.length);
  return command.run(await Context.create(program, path, global), flags);
}

function checkArgs(program: string, path: string, command: Command, count: number): void {
  const { min, max } = command.args;
  if (count >= min && (max === undefined || count <= max)) return;
  // Docker's client refers to its help in three ways, depending on the rule that was broken.
  const refer = max === undefined ? "See" : min === 0 && max > 0 ? "SRun" : "Run";
  throw new Error(
    `${program}: '${path}' ${argsSentence(command.args)}\n\nUsage:  ${usageOf(program, path, command)}\n\n` +
      `${refer} '${path} --help' for more information`,
  );
}

function argsSentence({ min, max }: ArgCount): string {
  const plural = (count: number) => (count === 1 ? "argument" : "arguments");
  if (max === 0) return "accepts no arguments";
  if (max === undefined) return `requires at least ${min} ${plural(min)}`;
  if (max === min) return `requires ${min} ${plural(min)}`;
  if (min === 0) return `requires at most ${max} ${plural(max)}`;
  return `requires at least ${min} and at most ${max} ${plural(max)}`;
}

function flagError(error: unknown, path: string, usageLine: string): unknown {
  if (!(error instanceof FlagError)) return error;
  const text = `${error.message}\n\nUsage:  ${usageLine}\n\nRun '${path} --help' for more information`;
  return new StatusError(text, flagErrorCode);
}

function find(entries: CommandEntry[], name: string): CommandEntry | undefined {
  return entries.find((entry) => entry.name === name || entry.aliases?.includes(name));
}

async function helpFor(program: string, words: string[]): Promise<number> {
  const [name, inner] = words;
  if (name === undefined) return printHelp(await programHelp(program));
  const entry = find(commands, name);
  const group = groups.find((one) => one.name === name);
  const nested = group !== undefined && inner !== undefined ? find(group.commands, inner) : undefined;
  const found = entry ?? nested;
  if (found !== undefined) {
    const path = entry === undefined ? `${program} ${name} ${found.name}` : `${program} ${name}`;
    return printHelp(commandHelp(program, path, (await found.load()).command, helpColumns()));
  }
  if (group !== undefined && inner === undefined) return printHelp(await helpOfGroup(program, group));
  throw new Error(`unknown help topic: ${words.join(" ")}`);
}

function printHelp(text: string): number {
  print(1, text);
  return 0;
}

function printVersion(program: string): number {
  // Scripts read the number behind these words and decide by it what the command line can do.
  const text =
    program === "docker" ? `Docker version ${dockerVersion}, build brig-${version}` : `Brig version ${version}`;
  return printHelp(`${text}\n`);
}

function helpColumns(): number {
  return windowSize(0)?.columns || 80;
}

async function sectionOf(program: string, title: string, entries: CommandEntry[]): Promise<HelpSection> {
  const shown = entries.filter(({ hidden, own }) => !hidden && (!own || program !== "docker"));
  return {
    title,
    commands: await Promise.all(
      shown.map(async (entry) => ({ name: entry.name, short: (await entry.load()).command.short })),
    ),
  };
}

async function helpOfGroup(program: string, group: CommandGroup): Promise<string> {
  const path = `${program} ${group.name}`;
  const section = await sectionOf(program, "Commands", [...group.commands].sort(byName));
  const footer = `Run '${path} COMMAND --help' for more information on a command.`;
  const about = group.long === undefined ? group.short : group.long(path);
  return groupHelp(`${path} COMMAND`, about, [section], undefined, footer, helpColumns());
}

/** Programs of their own, which main.ts finds before this one is asked. */
const ownCommands = [
  { name: "daemon", short: "Run the engine" },
  { name: "registry", short: "Run a registry, and manage it" },
];

async function programHelp(program: string): Promise<string> {
  const shownGroups = groups.filter((group) => group.hidden !== true).sort(byName);
  const sections = [
    await sectionOf(
      program,
      "Common Commands",
      commands.filter((entry) => entry.section === "common"),
    ),
    { title: "Management Commands", commands: shownGroups.map(({ name, short }) => ({ name, short })) },
    await sectionOf(program, "Commands", commands.filter((entry) => entry.section !== "common").sort(byName)),
    // Not for whoever thinks that this is docker.
    { title: "Brig's Own Commands", commands: program === "brig" ? ownCommands : [] },
  ];
  return groupHelp(
    `${program} [OPTIONS] COMMAND`,
    "A self-sufficient runtime for containers",
    sections,
    { title: "Global Options", specs: globalFlags() },
    `Run '${program} COMMAND --help' for more information on a command.`,
    helpColumns(),
  );
}

function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : 1;
}
