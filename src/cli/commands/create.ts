import { windowSize } from "../../kernel/terminal.ts";
import { type Command, StatusError } from "../command.ts";
import { containerFlags } from "../container-flags.ts";
import { type CreateBody, createBody } from "../container-options.ts";
import { checkPullPolicy, checkWindowsFlags, createContainer } from "../create-container.ts";

const optionsErrorCode = 125;

export const command: Command = {
  usage: "[OPTIONS] IMAGE [COMMAND] [ARG...]",
  short: "Create a new container",
  aliases: ["container create", "create"],
  args: { min: 1 },
  interspersed: false,
  flags: containerFlags('Pull image before creating ("always", "|missing", "never")'),
  async run(ctx, flags) {
    const { engine } = ctx;
    checkWindowsFlags(flags);
    let body: CreateBody;
    try {
      checkPullPolicy(flags.string("pull"));
      const size = windowSize(1);
      body = await createBody(flags, {
        host: engine.host,
        configFile: ctx.configFile,
        consoleSize: [size?.rows ?? 0, size?.columns ?? 0],
      });
    } catch (error) {
      const hint = `Run '${ctx.program} create --help' for more information`;
      throw new StatusError(`${ctx.program}: ${(error as Error).message}\n\n${hint}`, optionsErrorCode);
    }
    ctx.out(`${await createContainer(ctx, flags, body)}\n`);
    return 0;
  },
};
