/** exec: other processes in a running container. */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { expectMove } from "../kernel/cgroups.ts";
import { conflict, invalidParameter, messageOf, notFound } from "../lib/errors.ts";
import type { Attachment, Console } from "../runtime/console.ts";
import { parseDetachKeys } from "../runtime/detach-keys.ts";
import { containerEnvironment } from "../runtime/environment.ts";
import { hostFacts } from "../runtime/host-facts.ts";
import { buildExecProcess } from "../runtime/spec.ts";
import { resolveUser } from "../runtime/user.ts";
import { announce } from "./announce.ts";
import { withDetachKeys } from "./attach.ts";
import type { Container } from "./container.ts";
import { bundleDir } from "./paths.ts";
import type { Rooms } from "./rooms.ts";
import { exitCodeFor } from "./start.ts";

/** POST /containers/{id}/exec */
export interface ExecConfig {
  AttachStdin?: boolean;
  AttachStdout?: boolean;
  AttachStderr?: boolean;
  ConsoleSize?: number[];
  DetachKeys?: string;
  Tty?: boolean;
  Env?: string[];
  Cmd?: string[];
  Privileged?: boolean;
  User?: string;
  WorkingDir?: string;
}

/** POST /exec/{id}/start */
export interface ExecStart {
  detach: boolean;
  tty: boolean;
  consoleSize?: { height: number; width: number };
  /** Called when nothing refuses the start any more, and the process has not begun. */
  accepted?: () => void;
}

/** An exec from its creation until its container's run ends. Nothing of it is stored: a new daemon does not know it. */
export class Exec {
  readonly id = randomBytes(32).toString("hex");
  started = false;
  running = false;
  exitCode: number | null = null;
  pid = 0;
  /** ms since 1970; 0 while it has not ended. */
  endedAtMs = 0;
  console: Console | undefined;
  /** From its start until its process begins, or fails to. */
  launching: Promise<unknown> | undefined;

  constructor(
    readonly container: Container,
    readonly config: ExecConfig,
  ) {}

  /** As events have it: with a blank after the command also where no arguments follow. */
  get commandLine(): string {
    const [command = "", ...args] = this.config.Cmd ?? [];
    return `${command} ${args.join(" ")}`;
  }
}

/** How long an ended exec can still be asked for its exit code. */
const keepEndedMs = 300_000;

/** Makes an exec. Throws where the container does not run or stands still, and where no command is named, or keys that are none. */
export function createExec(rooms: Rooms, container: Container, config: ExecConfig): Exec {
  if (!config.Cmd?.length) throw invalidParameter("No exec command specified");
  if (config.DetachKeys) parseDetachKeys(config.DetachKeys);
  requireReady(container);
  for (const exec of container.execs)
    if (exec.endedAtMs !== 0 && Date.now() - exec.endedAtMs > keepEndedMs) forget(rooms, exec);
  expectMove();
  const exec = new Exec(container, config);
  container.execs.add(exec);
  rooms.execs.set(exec.id, exec);
  announce(rooms, container, `exec_create: ${exec.commandLine}`, { execID: exec.id });
  return exec;
}

function forget(rooms: Rooms, exec: Exec): void {
  exec.container.execs.delete(exec);
  rooms.execs.delete(exec.id);
}

function requireReady({ record, id, running }: Container): void {
  if (record.state.status === "paused") throw conflict(`Container ${id} is paused, unpause the container before exec`);
  if (record.state.status === "restarting")
    throw conflict(`Container ${id} is restarting, wait until the container is running`);
  if (!running) throw conflict(`container ${id} is not running`);
}

/**
 * Starts it. With `detach` returns when the process runs; otherwise the client's streams. A command that cannot be
 * executed is then told in the stream, as Docker does, and by the exit code.
 */
export async function startExec(rooms: Rooms, exec: Exec, options: ExecStart): Promise<Attachment | undefined> {
  const { container } = exec;
  requireReady(container);
  if (exec.started)
    throw conflict(`Error: Exec command ${exec.id} ${exec.running ? "is already running" : "has already run"}`);
  exec.started = true;
  exec.running = true;
  announce(rooms, container, `exec_start: ${exec.commandLine}`, { execID: exec.id });
  options.accepted?.();
  try {
    const launching = launch(rooms, exec, options);
    exec.launching = launching;
    return await launching;
  } catch (error) {
    exec.running = false;
    exec.endedAtMs = Date.now();
    const code = exitCodeFor(messageOf(error));
    exec.exitCode = code === 127 ? 127 : 126;
    if (options.detach) throw error;
    return failedAttachment(exec, messageOf(error));
  }
}

async function launch(rooms: Rooms, exec: Exec, options: ExecStart): Promise<Attachment | undefined> {
  const { container, config } = exec;
  const { record, id } = container;
  const { settings } = rooms;
  const tty = config.Tty ?? false;
  // Its end is being dealt with: nothing must be mounted or made in its place any more.
  if (!rooms.rootfs.isMounted(id)) throw conflict(`container ${id} is not running`);
  const user = resolveUser(rooms.rootfs.mount(id, record.diffIds), config.User || record.config.User || "", [
    ...(config.User ? [] : (record.hostConfig.GroupAdd ?? [])),
  ]);
  const { height, width } = options.consoleSize ?? { height: config.ConsoleSize?.[0], width: config.ConsoleSize?.[1] };
  const started = await rooms.runtimeFor(record.hostConfig.Runtime ?? "").exec({
    id,
    directory: join(bundleDir(settings, id), `exec-${exec.id}`),
    openStdin: config.AttachStdin ?? false,
    attach: options.detach
      ? undefined
      : {
          stdin: config.AttachStdin ?? false,
          stdout: config.AttachStdout ?? false,
          stderr: config.AttachStderr ?? false,
        },
    process: buildExecProcess({
      args: config.Cmd ?? [],
      env: containerEnvironment([...(record.config.Env ?? []), ...(config.Env ?? [])], {
        hostname: record.config.Hostname ?? "",
        home: user.home,
        tty,
      }),
      cwd: config.WorkingDir || record.config.WorkingDir || "/",
      user,
      tty,
      consoleSize: height && width ? [height, width] : undefined,
      privileged: config.Privileged ?? false,
      hostConfig: record.hostConfig,
      defaultNoNewPrivileges: settings.noNewPrivileges,
      defaultUlimits: settings.ulimits,
      host: hostFacts(),
    }),
  });
  exec.pid = started.pid;
  exec.console = started.console;
  const ended = started.exit.then((exitCode) => {
    exec.running = false;
    exec.exitCode = exitCode;
    exec.endedAtMs = Date.now();
    announce(rooms, container, "exec_die", { execID: exec.id, exitCode: String(exitCode) });
  });
  const { attachment } = started;
  if (attachment === undefined) return undefined;
  const detached = Promise.withResolvers<void>();
  const complete: Attachment = {
    tty: attachment.tty,
    // Who has read to the end may ask for the exit code at once.
    output: followedBy(attachment.output, Promise.race([ended, detached.promise])),
    write: (data) => attachment.write(data),
    closeStdin: () => attachment.closeStdin(),
    detach() {
      detached.resolve();
      attachment.detach();
    },
  };
  return tty && config.AttachStdin ? withDetachKeys(rooms, container, complete, config.DetachKeys) : complete;
}

async function* followedBy(output: Attachment["output"], ended: Promise<void>): Attachment["output"] {
  yield* output;
  await ended;
}

function failedAttachment(exec: Exec, message: string): Attachment {
  return {
    tty: exec.config.Tty ?? false,
    output: (async function* () {
      yield { stream: 1 as const, data: Buffer.from(`${message}\r\n`) };
    })(),
    write: async () => undefined,
    closeStdin: () => undefined,
    detach: () => undefined,
  };
}

/** The container's processes are gone, its execs' among them. They can be asked for a while how they ended. */
export function endExecs(rooms: Rooms, container: Container): void {
  for (const exec of container.execs) {
    exec.console?.close();
    setTimeout(() => forget(rooms, exec), keepEndedMs).unref();
  }
}

/** GET /exec/{id}/json */
export function inspectExec(exec: Exec) {
  const { config, container } = exec;
  const [entrypoint = "", ...args] = config.Cmd ?? [];
  return {
    ID: exec.id,
    Running: exec.running,
    ExitCode: exec.exitCode,
    ProcessConfig: {
      tty: config.Tty ?? false,
      entrypoint,
      arguments: args,
      privileged: config.Privileged ?? false,
      ...(config.User ? { user: config.User } : {}),
    },
    OpenStdin: config.AttachStdin ?? false,
    OpenStderr: config.AttachStderr ?? false,
    OpenStdout: config.AttachStdout ?? false,
    CanRemove: false,
    ContainerID: container.id,
    DetachKeys: config.DetachKeys ?? "",
    Pid: exec.pid,
  };
}

/** POST /exec/{id}/resize. Waits for the process of one that is being started. Throws where it does not run. */
export async function resizeExec(exec: Exec, size: { height: number; width: number }): Promise<void> {
  await exec.launching?.catch(() => undefined);
  if (!exec.running || exec.console === undefined) throw conflict(`Exec process ${exec.id} is not running`);
  exec.console.resize(size.height, size.width);
}

/** Finds an exec by its id. Throws `No such exec instance`. */
export function findExec(rooms: Rooms, id: string): Exec {
  const exec = rooms.execs.get(id);
  if (exec === undefined) throw notFound(`No such exec instance: ${id}`);
  return exec;
}
