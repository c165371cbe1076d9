/** What a command is, and what it is given to work with. */
import type { EngineClient } from "../client/client.ts";
import type { ConfigFile } from "../client/config-file.ts";
import type { FlagSpec, ParsedFlags } from "../lib/flags.ts";

/** How many arguments a command takes; where `max` is left out, as many as one likes. */
export interface ArgCount {
  min: number;
  max?: number;
}

/**
 * One command. Its name is its place in tree.ts, so that one command can stand at several places
 * (`run` and `container run`).
 */
export interface Command {
  /** What follows the name in the usage line: `[OPTIONS] CONTAINER [CONTAINER...]`. */
  usage: string;
  /** One line for the list of commands, and the first line of its help. */
  short: string;
  /** What its help says in place of `short`. */
  long?: string;
  /** What stands under `EXPERIMENTAL` in its help. */
  experimental?: boolean;
  /** Every path the command is known by, without the program: `["container run", "run"]`. */
  aliases?: string[];
  args: ArgCount;
  flags: FlagSpec[];
  /** False where the first argument ends the flags, because what follows belongs to somebody else. */
  interspersed?: boolean;
  /**
   * Does it. Resolves to the exit code. What it throws is printed on stderr: a StatusError with its own exit code,
   * anything else with 1.
   */
  run(ctx: CliContext, flags: ParsedFlags): Promise<number>;
}

/** What every command is given. Nothing here costs anything before it is used. */
export interface CliContext {
  /** What the program calls itself: `brig`, or `docker` where it was called so. */
  readonly program: string;
  /** The command as it was typed, with the program: `docker container run`. */
  readonly path: string;
  /** The client of the chosen engine. Connects when the first request is sent. */
  readonly engine: EngineClient;
  /** The user's config.json; empty where there is none. */
  readonly configFile: ConfigFile;
  /** `DOCKER_CONFIG`, `--config`, or `~/.docker`. */
  readonly configDir: string;
  /** Name of the context in use. */
  readonly contextName: string;
  readonly debug: boolean;
  /** Writes to stdout, all of it, before it returns. Not for the streams of containers. */
  out(text: string | Uint8Array): void;
  /** Writes to stderr, all of it, before it returns. */
  err(text: string): void;
  /** Whether stdin, stdout or stderr is a terminal. */
  isTerminal(stream: "stdin" | "stdout" | "stderr"): boolean;
  /** Columns of the terminal at stdout, or undefined where there is none. */
  columns(): number | undefined;
  /** Asks `question [y/N] ` on stdout and reads one line; true for y. */
  confirm(question: string): Promise<boolean>;
}

/** An end with an exit code of its own. An empty message prints nothing. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  constructor(
    message: string,
    readonly exitCode: number,
  ) {
    super(message);
  }
}
