import { containerPath } from "../../client/paths.ts";
import { isTerminal, windowSize } from "../../kernel/terminal.ts";
import type { ParsedFlags } from "../../lib/flags.ts";
import type { IDResponse } from "../../wire/engine-api.ts";
import { followWindow } from "../attached.ts";
import type { CliContext, Command } from "../command.ts";
import { parseEnv, readEnvFiles } from "../key-values.ts";
import { carry } from "../streams.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER COMMAND [ARG...]",
  short: "Execute a command in a running container",
  aliases: ["container exec", "exec"],
  args: { min: 2 },
  interspersed: false,
  flags: [
    { name: "detach", short: "d", type: "bool", usage: "Detached mode: run command in the background" },
    { name: "detach-keys", type: "string", usage: "Override the key sequence for detaching a container" },
    { name: "env", short: "e", type: "list", usage: "Set environment variables", parse: parseEnv },
    { name: "env-file", type: "list", usage: "Read in a file of environment variables" },
    { name: "interactive", short: "i", type: "bool", usage: "Keep STDIN open even if not attached" },
    { name: "privileged", type: "bool", usage: "Give extended privileges to the command" },
    { name: "tty", short: "t", type: "bool", usage: "Allocate a pseudo-TTY" },
    { name: "user", short: "u", type: "string", usage: 'Username or UID (format: "<name|uid>[:<group|gid>]")' },
    { name: "workdir", short: "w", type: "string", usage: "Working directory inside the container" },
  ],
  async run(ctx, flags) {
    const { engine } = ctx;
    const [container = "", ...words] = flags.args;
    const detach = flags.bool("detach");
    const tty = flags.bool("tty");
    const stdin = flags.bool("interactive") && !detach;
    const detachKeys = flags.string("detach-keys") || ctx.configFile.detachKeys || "";
    if (stdin && tty && !isTerminal(0)) {
      // That there is no such container is the more helpful complaint.
      await engine.call("GET", containerPath(container, "/json"));
      throw new Error("the input device is not a TTY");
    }
    const size = tty ? windowSize(1) : undefined;
    const console = tty ? { Tty: true, ConsoleSize: [size?.rows ?? 0, size?.columns ?? 0] } : { Tty: false };
    const { Id: id } = await engine.json<IDResponse>("POST", containerPath(container, "/exec"), {
      json: {
        User: flags.string("user"),
        Privileged: flags.bool("privileged"),
        ...console,
        AttachStdin: stdin,
        AttachStdout: !detach,
        AttachStderr: !detach,
        Detach: detach,
        DetachKeys: detachKeys,
        ...(await environment(flags)),
        WorkingDir: flags.string("workdir"),
        Cmd: words,
      },
    });
    if (id === "") throw new Error("exec ID empty");
    const json = { Detach: detach, ...console };
    if (detach) {
      await engine.call("POST", `/exec/${id}/start`, { json });
      return 0;
    }
    const remote = await engine.hijack(`/exec/${id}/start`, { json });
    const stopResizing = tty ? followWindow(ctx, `/exec/${id}/resize`) : () => undefined;
    try {
      await carry(remote, { stdin, stdout: true, stderr: true, tty, detachKeys });
    } finally {
      stopResizing();
    }
    return exitCodeOf(ctx, id);
  },
};

async function environment(flags: ParsedFlags): Promise<{ Env?: string[] }> {
  const variables = [...(await readEnvFiles(flags.list("env-file"))), ...flags.values<string>("env")];
  return variables.length === 0 ? {} : { Env: variables };
}

async function exitCodeOf(ctx: CliContext, id: string): Promise<number> {
  const { ExitCode: code } = await ctx.engine.json<{ ExitCode: number | null }>("GET", `/exec/${id}/json`);
  return code ?? 0;
}
