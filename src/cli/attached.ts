/** Starting a container with its streams at this terminal, as run and `start -a` do. */
import type { EngineResponse } from "../client/client.ts";
import { containerPath } from "../client/paths.ts";
import { windowSize } from "../kernel/terminal.ts";
import type { ContainerWaitResponse } from "../wire/engine-api.ts";
import type { CliContext } from "./command.ts";
import { Detached } from "./detach-keys.ts";
import { onSignals } from "./signals.ts";
import { carry, type StreamOptions } from "./streams.ts";

const waitFailedCode = 125;

/** How a container is attached to, started and waited for. */
export interface AttachedStart extends StreamOptions {
  id: string;
  /** Signals of this process are handed on to the container's. */
  forwardSignals: boolean;
  /** The engine removes the container when it ends: it is gone only then. */
  autoRemove: boolean;
  start: () => Promise<void>;
}

/**
 * Attaches and begins to wait before it starts the container, so that neither a word nor the end of a short one is
 * missed. Resolves to the container's exit code, or to 0 where the user detached. Throws what `start` throws, after
 * a container that is removed by itself has gone.
 */
export async function startAttached(ctx: CliContext, options: AttachedStart): Promise<number> {
  const { engine } = ctx;
  const { id, stdin, stdout, stderr } = options;
  const stopForwarding = options.forwardSignals ? forwardSignals(ctx, id) : () => undefined;
  try {
    const [remote, waiting] = await Promise.all([
      engine.hijack(containerPath(id, "/attach"), {
        query: {
          stream: true,
          stdin: stdin || undefined,
          stdout: stdout || undefined,
          stderr: stderr || undefined,
          detachKeys: options.detachKeys,
        },
      }),
      engine.request("POST", containerPath(id, "/wait"), {
        query: { condition: options.autoRemove ? "removed" : "next-exit" },
      }),
    ]);
    const carried = carry(remote, options);
    // Somebody must listen from the beginning; what goes wrong is dealt with below.
    carried.catch(() => undefined);
    try {
      await options.start();
    } catch (error) {
      remote.close();
      if (options.autoRemove) await exitCode(ctx, waiting).catch(() => undefined);
      throw error;
    }
    const stopResizing = options.tty && stdout ? followWindow(ctx, containerPath(id, "/resize")) : () => undefined;
    try {
      await carried;
    } catch (error) {
      if (error instanceof Detached) return 0;
      throw error;
    } finally {
      stopResizing();
    }
    return await exitCode(ctx, waiting);
  } finally {
    stopForwarding();
  }
}

/** Reads a wait's answer. What the engine could not find out counts as 125. */
export async function exitCode(ctx: CliContext, waiting: EngineResponse): Promise<number> {
  try {
    const answer = await waiting.json<ContainerWaitResponse>();
    if (!answer.Error?.Message) return answer.StatusCode;
    ctx.err(`Error waiting for container: ${answer.Error.Message}\n`);
  } catch (error) {
    ctx.err(`error waiting for container: ${(error as Error).message}\n`);
  }
  return waitFailedCode;
}

/** Hands signals on to the container until the returned function is called. */
export function forwardSignals(ctx: CliContext, id: string): () => void {
  return onSignals((signal) => {
    // A container that is not running yet, or not any more, has no use for it.
    ctx.engine.call("POST", containerPath(id, "/kill"), { query: { signal } }).catch(() => undefined);
  });
}

/** Tells the engine the terminal's size now and whenever it changes, until the returned function is called. */
export function followWindow(ctx: CliContext, path: string): () => void {
  const resize = () => {
    const size = windowSize(1);
    if (size === undefined || size.rows === 0 || size.columns === 0) return;
    const query = { h: size.rows, w: size.columns };
    ctx.engine.call("POST", path, { query }).catch(() => undefined);
  };
  resize();
  process.on("SIGWINCH", resize);
  return () => process.off("SIGWINCH", resize);
}
