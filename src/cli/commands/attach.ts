import { containerPath } from "../../client/paths.ts";
import { isTerminal, windowSize } from "../../kernel/terminal.ts";
import type { ContainerInspectResponse } from "../../wire/engine-api.ts";
import { exitCode, followWindow, forwardSignals } from "../attached.ts";
import type { CliContext, Command } from "../command.ts";
import { carry } from "../streams.ts";

export const command: Command = {
  usage: "[OPTIONS] CONTAINER",
  short: "Attach local standard input, output, and error streams to a running container",
  aliases: ["container attach", "attach"],
  args: { min: 1, max: 1 },
  flags: [
    { name: "detach-keys", type: "string", usage: "Override the key sequence for detaching a container" },
    { name: "no-stdin", type: "bool", usage: "Do not attach STDIN" },
    { name: "sig-proxy", type: "bool", default: "true", usage: "Proxy all received signals to the process" },
  ],
  async run(ctx, flags) {
    const { engine } = ctx;
    const container = await engine.json<ContainerInspectResponse>("GET", containerPath(flags.args[0]!, "/json"));
    checkState(container);
    const id = container.Id ?? flags.args[0]!;
    const tty = container.Config?.Tty === true;
    const stdin = !flags.bool("no-stdin") && container.Config?.OpenStdin === true;
    if (stdin && tty && !isTerminal(0)) throw new Error("the input device is not a TTY");
    const detachKeys = flags.string("detach-keys") || ctx.configFile.detachKeys || "";

    const stopForwarding = flags.bool("sig-proxy") && !tty ? forwardSignals(ctx, id) : () => undefined;
    try {
      const [waiting, remote] = await Promise.all([
        engine.request("POST", containerPath(id, "/wait")),
        engine.hijack(containerPath(id, "/attach"), {
          query: { stream: true, stdin: stdin || undefined, stdout: true, stderr: true, detachKeys },
        }),
      ]);
      const stopResizing = tty ? redraw(ctx, id) : () => undefined;
      try {
        await carry(remote, { stdin, stdout: true, stderr: true, tty, detachKeys });
      } finally {
        stopResizing();
      }
      return await exitCode(ctx, waiting);
    } finally {
      stopForwarding();
    }
  },
};

function checkState({ State: state }: ContainerInspectResponse): void {
  if (state?.Paused) throw new Error("You cannot attach to a paused container, unpause it first");
  if (state?.Restarting) throw new Error("You cannot attach to a restarting container, wait until it is running");
  if (!state?.Running) throw new Error("You cannot attach to a stopped container, start it first");
}

/** A program draws its screen anew when its size changes, which a newcomer needs it to do. */
function redraw(ctx: CliContext, id: string): () => void {
  const path = containerPath(id, "/resize");
  const size = windowSize(1);
  if (size === undefined) return () => undefined;
  const changed = ctx.engine.call("POST", path, { query: { h: size.rows + 1, w: size.columns + 1 } });
  let stop: () => void = () => undefined;
  let stopped = false;
  changed
    .catch(() => undefined)
    .then(() => {
      if (!stopped) stop = followWindow(ctx, path);
    });
  return () => {
    stopped = true;
    stop();
  };
}
