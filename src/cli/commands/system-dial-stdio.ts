import type { Command } from "../command.ts";
import { Output } from "../streams.ts";

/** The far end of a connection by ssh: what comes in on stdin goes to the engine, and the other way. */
export const command: Command = {
  usage: "",
  short: "Proxy the stdio stream to the daemon connection. Should not be invoked manually.",
  args: { min: 0, max: 0 },
  flags: [],
  async run(ctx) {
    const engine = await ctx.engine.rawConnection();
    const send = async () => {
      for await (const bytes of Bun.stdin.stream()) await engine.writeRaw(bytes);
      engine.closeWrite();
    };
    send().catch(() => engine.close());
    const stdout = new Output(1);
    for await (const bytes of engine.readRaw()) await stdout.write(bytes);
    return 0;
  },
};
