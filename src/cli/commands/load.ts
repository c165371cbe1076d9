import { createReadStream, openSync } from "node:fs";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { parsePlatform } from "../option-values.ts";
import { showProgress } from "../progress.ts";

export const command: Command = {
  usage: "[OPTIONS]",
  short: "Load an image from a tar archive or STDIN",
  aliases: ["image load", "load"],
  args: { min: 0, max: 0 },
  flags: [
    { name: "input", short: "i", type: "string", usage: "Read from tar archive file, instead of STDIN" },
    {
      name: "platform",
      type: "string",
      usage: 'Load only the given platform variant. Formatted as "os[/arch[/variant]]" (e.g., "linux/amd64")',
    },
    { name: "quiet", short: "q", type: "bool", usage: "Suppress the load output" },
  ],
  async run(ctx, flags) {
    const input = flags.string("input");
    if (input === "" && ctx.isTerminal("stdin")) {
      throw new StatusError("requested load from stdin, but stdin is empty", 1);
    }
    const quiet = flags.bool("quiet") || !ctx.isTerminal("stdout");
    const body = openInput(input === "" ? "-" : input);
    const messages = ctx.engine.jsonStream<object>("POST", "/images/load", {
      query: { quiet: quiet ? 1 : 0, platform: platformJson(flags.string("platform")) },
      headers: { "Content-Type": "application/x-tar" },
      body,
    });
    await showProgress(messages, outputOf(ctx));
    return 0;
  },
};

/** stdout as a place for progress. */
export function outputOf(ctx: CliContext) {
  return {
    write: (text: string) => ctx.out(text),
    isTerminal: ctx.isTerminal("stdout"),
    columns: () => ctx.columns(),
  };
}

/** A file, or stdin for `-`. Throws with the words of Go's os.Open. */
export function openInput(path: string): AsyncIterable<Uint8Array> {
  if (path === "-") return Bun.stdin.stream() as unknown as AsyncIterable<Uint8Array>;
  let fd: number;
  try {
    fd = openSync(path, "r");
  } catch (error) {
    const reason = { ENOENT: "no such file or directory", EACCES: "permission denied" }[
      (error as NodeJS.ErrnoException).code ?? ""
    ];
    throw new StatusError(`open ${path}: ${reason ?? (error as Error).message}`, 1);
  }
  return createReadStream(path, { fd, highWaterMark: 1 << 20 });
}

/** `linux/arm/v7` as the API's JSON; undefined for an empty string. `what` begins the error where it is none. */
export function platformJson(text: string, what = "invalid platform: "): string | undefined {
  if (text === "") return undefined;
  const [os, architecture, variant] = parsePlatform(text, what).split("/");
  return JSON.stringify({ architecture, os, ...(variant === undefined ? {} : { variant }) });
}
