import { containerPath } from "../../client/paths.ts";
import { isTerminal, windowSize } from "../../kernel/terminal.ts";
import type { ParsedFlags } from "../../lib/flags.ts";
import { startAttached } from "../attached.ts";
import { type CliContext, type Command, StatusError } from "../command.ts";
import { containerFlags } from "../container-flags.ts";
import { type CreateBody, createBody } from "../container-options.ts";
import { checkPullPolicy, checkWindowsFlags, createContainer } from "../create-container.ts";

const failedCode = 125;
const notExecutableCode = 126;
const notFoundCode = 127;

export const command: Command = {
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create and run a new container from an image",
  aliases: ["container run", "run"],
  args: { min: 1 },
  interspersed: false,
  flags: [
    ...containerFlags('Pull image before running ("always", "missing", "never")'),
    { name: "detach", short: "d", type: "bool", usage: "Run container in background and print container ID" },
    { name: "detach-keys", type: "string", usage: "Override the key sequence for detaching a container" },
    { name: "sig-proxy", type: "bool", default: "true", usage: "Proxy received signals to the process" },
  ],
  async run(ctx, flags) {
    const { engine } = ctx;
    checkWindowsFlags(flags);
    const body = await readOptions(ctx, flags);
    const detach = flags.bool("detach");
    if (detach) detachStreams(flags, body);
    else if (body.Tty && body.AttachStdin && !isTerminal(0)) throw new Error("the input device is not a TTY");

    let id: string;
    try {
      id = await createContainer(ctx, flags, body);
    } catch (error) {
      throw failure(ctx, error);
    }
    const start = async () => {
      try {
        await engine.call("POST", containerPath(id, "/start"));
      } catch (error) {
        throw failure(ctx, error);
      }
    };
    if (detach) {
      try {
        await start();
      } finally {
        ctx.out(`${id}\n`);
      }
      return 0;
    }
    return startAttached(ctx, {
      id,
      stdin: body.AttachStdin === true,
      stdout: body.AttachStdout === true,
      stderr: body.AttachStderr === true,
      tty: body.Tty === true,
      detachKeys: flags.string("detach-keys") || ctx.configFile.detachKeys || "",
      forwardSignals: flags.bool("sig-proxy"),
      autoRemove: flags.bool("rm"),
      start,
    });
  },
};

async function readOptions(ctx: CliContext, flags: ParsedFlags): Promise<CreateBody> {
  const { engine } = ctx;
  try {
    checkPullPolicy(flags.string("pull"));
    const size = flags.bool("tty") ? windowSize(1) : undefined;
    const consoleSize: [number, number] = [size?.rows ?? 0, size?.columns ?? 0];
    return await createBody(flags, { host: engine.host, configFile: ctx.configFile, consoleSize });
  } catch (error) {
    throw withHint(ctx, error, failedCode);
  }
}

function detachStreams(flags: ParsedFlags, body: CreateBody): void {
  if (flags.has("attach")) throw new Error("conflicting options: cannot specify both --attach and --detach");
  body.AttachStdin = false;
  body.AttachStdout = false;
  body.AttachStderr = false;
  body.StdinOnce = false;
}

/** What shells make of a command that is not there, or is none, holds for containers too. */
function failure(ctx: CliContext, error: unknown): StatusError {
  const { message } = error as Error;
  const isMissing = ["executable file not found", "no such file or directory", "system cannot find the file specified"];
  const isRefused = ["permission denied", "is a directory"];
  if (isMissing.some((part) => message.includes(part))) return withHint(ctx, error, notFoundCode);
  if (isRefused.some((part) => message.includes(part))) return withHint(ctx, error, notExecutableCode);
  return withHint(ctx, error, failedCode);
}

function withHint(ctx: CliContext, error: unknown, exitCode: number): StatusError {
  const hint = `Run '${ctx.program} run --help' for more information`;
  return new StatusError(`${ctx.program}: ${(error as Error).message}\n\n${hint}`, exitCode);
}
