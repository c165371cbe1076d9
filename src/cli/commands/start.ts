import { containerPath } from "../../client/paths.ts";
import type { ContainerInspectResponse } from "../../wire/engine-api.ts";
import { startAttached } from "../attached.ts";
import type { CliContext, Command } from "../command.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER [CONTAINER...]",
  short: "Start one or more stopped containers",
  aliases: ["container start", "start"],
  args: { min: 1 },
  flags: [
    { name: "attach", short: "a", type: "bool", usage: "Attach STDOUT/STDERR and forward signals" },
    { name: "checkpoint", type: "string", hidden: true, usage: "Restore from this checkpoint" },
    { name: "checkpoint-dir", type: "string", hidden: true, usage: "Use a custom checkpoint storage directory" },
    { name: "detach-keys", type: "string", usage: "Override the key sequence for detaching a container" },
    { name: "interactive", short: "i", type: "bool", usage: "Attach container's STDIN" },
  ],
  async run(ctx, flags) {
    const query = { checkpoint: flags.string("checkpoint"), "checkpoint-dir": flags.string("checkpoint-dir") };
    const interactive = flags.bool("interactive");
    if (!interactive && !flags.bool("attach")) return startAll(ctx, flags.args, query);

    if (flags.args.length > 1) throw new Error("you cannot start and attach multiple containers at once");
    const container = await ctx.engine.json<ContainerInspectResponse>("GET", containerPath(flags.args[0]!, "/json"));
    const { Config: config, HostConfig: hostConfig } = container;
    const id = container.Id ?? flags.args[0]!;
    return startAttached(ctx, {
      id,
      stdin: interactive && config?.OpenStdin === true,
      stdout: true,
      stderr: true,
      tty: config?.Tty === true,
      detachKeys: flags.string("detach-keys") || ctx.configFile.detachKeys || "",
      forwardSignals: flags.bool("attach") && config?.Tty !== true,
      autoRemove: hostConfig?.AutoRemove === true,
      start: async () => {
        await ctx.engine.call("POST", containerPath(id, "/start"), { query });
      },
    });
  },
};

async function startAll(ctx: CliContext, names: string[], query: Record<string, string>): Promise<number> {
  const failed: string[] = [];
  for (const name of names) {
    try {
      await ctx.engine.call("POST", containerPath(name, "/start"), { query });
      ctx.out(`${name}\n`);
    } catch (error) {
      ctx.err(`${(error as Error).message}\n`);
      failed.push(name);
    }
  }
  if (failed.length > 0) throw new Error(`Error: failed to start containers: ${failed.join(", ")}`);
  return 0;
}
