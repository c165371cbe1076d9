/** attach: a client's end of a container's streams. */

import { isAlive } from "../kernel/process.ts";
import { conflict } from "../lib/errors.ts";
import { type Attachment, Console } from "../runtime/console.ts";
import { DetachFilter, parseDetachKeys } from "../runtime/detach-keys.ts";
import { announce } from "./announce.ts";
import type { Container } from "./container.ts";
import { logChunks } from "./logs.ts";
import { bundleDir } from "./paths.ts";
import type { Rooms } from "./rooms.ts";

/** POST /containers/{id}/attach */
export interface AttachRequest {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
  /** Goes on with what comes; false ends after the logs. */
  stream: boolean;
  /** Begins with what was written before. */
  logs: boolean;
  /** Keys that end the attachment, as `--detach-keys` has them. */
  detachKeys?: string;
}

/**
 * Joins a client to a container: one that runs, or one that is about to be started. Throws where it is paused or about
 * to be restarted, and on keys that are none.
 */
export async function attachToContainer(
  rooms: Rooms,
  container: Container,
  request: AttachRequest,
): Promise<Attachment> {
  const { status } = container.record.state;
  if (status === "paused") throw conflict(`container ${container.id} is paused, unpause the container before attach`);
  if (status === "restarting")
    throw conflict(`container ${container.id} is restarting, wait until the container is running`);
  if (status === "removing" || status === "dead")
    throw conflict(`container ${container.id} is marked for removal and cannot be attached to`);
  if (request.detachKeys) parseDetachKeys(request.detachKeys);
  const before = request.logs ? logChunks(rooms, container, request) : undefined;
  const tty = container.record.config.Tty ?? false;
  announce(rooms, container, "attach");
  if (!request.stream) return onlyLogs(tty, before);
  const console = consoleOf(rooms, container);
  const attachment = console.attach(request);
  if (container.running) await console.connect();
  const detachable =
    tty && request.stdin ? withDetachKeys(rooms, container, attachment, request.detachKeys) : attachment;
  return before === undefined ? detachable : { ...methodsOf(detachable), output: concat(before, detachable.output) };
}

/** The container's console, made with its first client or its start. */
export function consoleOf(rooms: Rooms, container: Container): Console {
  const { config } = container.record;
  const tty = config.Tty ?? false;
  // A client that came while the last run was ending has joined what is no more.
  if (container.console !== undefined && !container.console.hasEnded) return container.console;
  container.console = new Console({
    directory: bundleDir(rooms.settings, container.id),
    tty,
    closesStdin: !tty && (config.OpenStdin ?? false) && (config.StdinOnce ?? false),
    isAlive: () => isAlive(container.record.state.pid, container.record.state.pidStartTime),
  });
  return container.console;
}

/** POST /containers/{id}/resize. Throws where the container does not run. */
export function resizeContainer(rooms: Rooms, container: Container, size: { height: number; width: number }): void {
  if (!container.running) throw conflict(`Container ${container.id} is not running`);
  consoleOf(rooms, container).resize(size.height, size.width);
  announce(rooms, container, "resize", { height: String(size.height), width: String(size.width) });
}

/** The same attachment, but that it ends when stdin has the keys. */
export function withDetachKeys(
  rooms: Rooms,
  container: Container,
  attachment: Attachment,
  keys: string | undefined,
): Attachment {
  const filter = new DetachFilter(parseDetachKeys(keys ?? ""));
  return {
    ...methodsOf(attachment),
    async write(data) {
      const { pass, detached } = filter.feed(data);
      if (pass.length > 0) await attachment.write(pass);
      if (!detached) return;
      attachment.detach();
      announce(rooms, container, "detach");
    },
  };
}

function methodsOf(attachment: Attachment): Attachment {
  return {
    tty: attachment.tty,
    output: attachment.output,
    write: (data) => attachment.write(data),
    closeStdin: () => attachment.closeStdin(),
    detach: () => attachment.detach(),
  };
}

function onlyLogs(tty: boolean, frames: Attachment["output"] | undefined): Attachment {
  return {
    tty,
    output: frames ?? (async function* () {})(),
    write: async () => undefined,
    closeStdin: () => undefined,
    detach: () => undefined,
  };
}

async function* concat(...parts: Attachment["output"][]): Attachment["output"] {
  for (const part of parts) yield* part;
}
