/**
 * One conmon process: it runs `<runtime> create` or `exec`, holds the terminal or the pipes, writes the log and records
 * the exit code. Interface: conmon(8), and of its sources parent_pipe_fd.c and conmon.c.
 */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { adoptSocket } from "../kernel/fd-socket.ts";
import { systemError } from "../lib/errors.ts";

/** What conmon says on its sync pipe: a pid (or an exit code), negative with a message where the runtime failed. */
export interface SyncMessage {
  data: number;
  message?: string;
}

export interface ConmonOptions {
  conmonPath: string;
  /** conmon's working directory and the place of its files. */
  directory: string;
  args: string[];
  /** Whether conmon is to say when its attach socket listens (`--exec-attach`). */
  attachPipe: boolean;
  /** Descriptors conmon holds open as long as it runs, as keptFdsStart and so on. Not with an attach pipe. */
  keptFds?: readonly number[] | undefined;
}

/** Number of the first of a conmon's `keptFds`, as conmon has it. */
export const keptFdsStart = 5;

const stderrFile = "conmon.stderr";
const startPipe = 3;
const syncPipe = 4;
const attachPipe = 5;

/**
 * A conmon that loads while its caller does other things: it goes on only when released. It has a session of its own,
 * so neither a signal to the daemon's group nor the daemon's death reaches it.
 */
export class Conmon {
  readonly pid: number;
  /** Resolves when the process is gone. */
  readonly exited: Promise<void>;
  readonly #directory: string;
  readonly #sync: MessagePipe;
  readonly #attach: MessagePipe | undefined;
  readonly #process: Bun.Subprocess;
  #startFd: number | undefined;

  /** Throws systemError with the package's name where conmon is not installed. */
  constructor(options: ConmonOptions) {
    const { conmonPath, directory, args, keptFds = [] } = options;
    const stderr = openSync(join(directory, stderrFile), "w", 0o600);
    try {
      this.#process = Bun.spawn({
        cmd: [conmonPath, ...args],
        cwd: directory,
        // conmon stamps log lines with local time, and the runtime passes the rest on to hooks: nothing of ours.
        env: {
          PATH: "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          TZ: "UTC0",
          // Where conmon makes its console socket; the path must fit into a socket's address.
          TMPDIR: directory.length < 80 ? directory : "/run",
          // conmon 2.1 looks once more at a connection it has just freed, where a write to it failed before it saw the
          // end: harmless, unless glibc has given the memory back to the kernel by then. Never, says this (mallopt(3)).
          MALLOC_TRIM_THRESHOLD_: String(2 ** 40),
          _OCI_STARTPIPE: String(startPipe),
          _OCI_SYNCPIPE: String(syncPipe),
          ...(options.attachPipe ? { _OCI_ATTACHPIPE: String(attachPipe) } : {}),
        },
        stdio: [
          "ignore",
          "ignore",
          stderr,
          "socket-fd",
          "socket-fd",
          ...(options.attachPipe ? (["socket-fd"] as const) : keptFds),
        ],
        detached: true,
      });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") {
        throw systemError(`conmon was not found at ${conmonPath}: install the package conmon (apt-get install conmon)`);
      }
      throw error;
    } finally {
      closeSync(stderr);
    }
    // The containers are no reason for the daemon to stay.
    this.#process.unref();
    this.pid = this.#process.pid;
    this.exited = this.#process.exited.then(() => undefined);
    this.#directory = directory;
    const fds = this.#process.stdio;
    this.#startFd = fds[startPipe]!;
    this.#sync = new MessagePipe(fds[syncPipe]!);
    this.#attach = options.attachPipe ? new MessagePipe(fds[attachPipe]!) : undefined;
  }

  /** Lets conmon go on: to run the runtime, or with an attach pipe first to open its socket and then to run it. */
  release(): void {
    if (this.#startFd === undefined) return;
    try {
      writeSync(this.#startFd, "x");
    } catch {} // It is gone: nextMessage says why.
  }

  /** Resolves when the attach socket listens; a second release() then lets the runtime start. */
  async attachable(): Promise<void> {
    if ((await this.#attach!.next()) === undefined) throw this.#failure();
  }

  /** The next message. Throws systemError with conmon's own words where it ended without one. */
  async nextMessage(): Promise<SyncMessage> {
    const message = await this.#sync.next();
    if (message === undefined) throw this.#failure();
    return message;
  }

  /** Closes our ends of the pipes: nothing more is to be said or heard. */
  disconnect(): void {
    if (this.#startFd !== undefined) closeSync(this.#startFd);
    this.#startFd = undefined;
    this.#sync.close();
    this.#attach?.close();
  }

  kill(): void {
    this.#process.kill("SIGKILL");
  }

  #failure(): Error {
    let words = "";
    try {
      words = readFileSync(join(this.#directory, stderrFile), "utf8").trim();
    } catch {} // Somebody has cleaned up already.
    return systemError(`conmon ended unexpectedly${words === "" ? "" : `: ${words.slice(-2000)}`}`);
  }
}

/** Reads lines of JSON from a socket's fd, which it owns. */
class MessagePipe {
  readonly #messages: SyncMessage[] = [];
  #text = "";
  #ended = false;
  #wake: (() => void) | undefined;
  #socket: Bun.Socket | undefined;

  constructor(fd: number) {
    const end = () => {
      this.#ended = true;
      this.#wake?.();
    };
    void adoptSocket(fd, {
      open: (socket) => {
        this.#socket = socket;
        if (this.#ended) socket.end();
      },
      data: (_, data) => this.#take(data.toString("utf8")),
      end: (socket) => {
        socket.end();
        end();
      },
      close: end,
      error: end,
    }).catch(end);
  }

  async next(): Promise<SyncMessage | undefined> {
    while (this.#messages.length === 0 && !this.#ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    return this.#messages.shift();
  }

  close(): void {
    this.#ended = true;
    this.#socket?.end();
    this.#wake?.();
  }

  #take(text: string): void {
    this.#text += text;
    const lines = this.#text.split("\n");
    this.#text = lines.pop()!;
    for (const line of lines) this.#messages.push(parseMessage(line));
    this.#wake?.();
  }
}

/** conmon escapes most of a message but not all control characters, so JSON.parse may refuse it. */
function parseMessage(line: string): SyncMessage {
  try {
    return JSON.parse(line) as SyncMessage;
  } catch {
    const data = Number(/"data"\s*:\s*(-?\d+)/.exec(line)?.[1] ?? -1);
    return { data, message: /"message"\s*:\s*"(.*)"\s*\}?$/s.exec(line)?.[1] ?? line };
  }
}
