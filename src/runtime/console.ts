/**
 * A container's (or exec's) streams: one connection to conmon's attach socket, shared by any number of clients. One,
 * because conmon closes the process' stdin when any connection ends, and because each connection costs conmon a copy.
 */
import { closeSync } from "node:fs";
import { join } from "node:path";
import { adoptSocket } from "../kernel/fd-socket.ts";
import { SyscallError } from "../kernel/libc.ts";
import { connectSeqpacket, duplicate, receivePacket, shutdownWrite } from "../kernel/seqpacket.ts";
import { sendResize } from "./control.ts";

/** Which of a container's streams a client wants. */
export interface AttachOptions {
  stdin: boolean;
  stdout: boolean;
  stderr: boolean;
}

/** A piece of output. A terminal's is all of stream 1. */
export interface OutputChunk {
  stream: 1 | 2;
  data: Uint8Array;
}

/** A client's end of a container's streams. */
export interface Attachment {
  /** Raw bytes if true, frames else. */
  readonly tty: boolean;
  /** Ends when the process has ended or after detach(). Whoever does not read holds the process up in the end. */
  readonly output: AsyncIterable<OutputChunk>;
  /** To the process' stdin; resolves when conmon has taken it, or nobody is there to take it. */
  write(data: Uint8Array): Promise<void>;
  /** No more stdin from this client. */
  closeStdin(): void;
  /** The client went away. */
  detach(): void;
}

export interface ConsoleOptions {
  /** The directory of conmon's `attach` and `ctl`: bundle or exec directory. */
  directory: string;
  tty: boolean;
  /** Whether the process' stdin ends with the client's (StdinOnce without a terminal). */
  closesStdin: boolean;
  /** Whether the process still runs: asked while a client that does not read holds up the output. */
  isAlive?: () => boolean;
}

/** conmon reads at most 32 KiB of a packet and drops the rest of it (CONN_SOCK_BUF_SIZE). */
const stdinPacketBytes = 32 * 1024;
/** More than conmon ever sends in one (STDIO_BUF_SIZE and its mark). */
const outputPacketBytes = 32 * 1024;
const stderrMark = 3;
const highWaterBytes = 1024 * 1024;
const lowWaterBytes = 256 * 1024;
const chunkBytes = 64 * 1024;
const stalledCheckMs = 250;
const resizePauseMs = 50;

export class Console {
  readonly tty: boolean;
  readonly #options: ConsoleOptions;
  readonly #clients = new Set<Client>();
  #socket: Bun.Socket | undefined;
  /** Outlives the event loop's own: see #takeRest. */
  #fd: number | undefined;
  #connecting: Promise<void> | undefined;
  #ended = false;
  #paused = false;
  /** The process is dead: what is left of its output is taken whether it is read or not. */
  #finishing = false;
  #stdinClosed = false;
  #stalledTimer: Timer | undefined;
  #drained: (() => void) | undefined;
  /** Settled once there is somebody to write to, or never will be: what a client sends before its start waits for it. */
  readonly #ready = Promise.withResolvers<void>();
  #writing: Promise<void> = this.#ready.promise;
  #resizing = false;
  #nextSize: [rows: number, columns: number] | undefined;
  /** How much is to be done yet by #writing. */
  #unsent = 0;

  constructor(options: ConsoleOptions) {
    this.#options = options;
    this.tty = options.tty;
  }

  /** Whether it is of no use any more: the process it was for has ended. */
  get hasEnded(): boolean {
    return this.#ended;
  }

  /** How many clients are attached. */
  get clientCount(): number {
    return this.#clients.size;
  }

  /** Adds a client: also before there is anything to connect to, so that it misses nothing. */
  attach(options: AttachOptions): Attachment {
    const client = new Client(this.tty, options, {
      write: (data) => this.#write(data),
      closeStdin: () => this.#closeStdin(),
      left: (leaver) => this.#left(leaver),
      taken: () => this.#resumeIfDrained(),
    });
    if (this.#ended) client.end();
    else this.#clients.add(client);
    return client;
  }

  /** Connects where clients wait for it, or have left stdin behind: between the creation of the process and its start. */
  async connectIfAwaited(): Promise<void> {
    if (this.#clients.size > 0 || this.#unsent > 0) await this.connect();
  }

  /** Connects to conmon; does nothing where that is done. A conmon that is gone ends all clients' output. */
  async connect(): Promise<void> {
    if (this.#ended || this.#socket !== undefined) return;
    this.#connecting ??= this.#open().finally(() => {
      this.#connecting = undefined;
    });
    await this.#connecting;
  }

  /** Sets the terminal's size, or will in a moment; false where there is nobody to tell. */
  resize(rows: number, columns: number): boolean {
    if (this.#resizing) {
      this.#nextSize = [rows, columns];
      return true;
    }
    // Two sizes that conmon reads at once are the first one twice to it.
    this.#resizing = true;
    setTimeout(() => {
      this.#resizing = false;
      const size = this.#nextSize;
      this.#nextSize = undefined;
      if (size !== undefined && !this.#ended) this.resize(...size);
    }, resizePauseMs).unref();
    return sendResize(join(this.#options.directory, "ctl"), rows, columns);
  }

  /** The process has ended, or never will begin: clients get what was written until now, and then the end. */
  close(): void {
    if (this.#ended) return;
    // conmon has closed its end by now: what lies in the socket comes first, then its end.
    if (this.#socket !== undefined) this.#finish();
    else if (this.#connecting === undefined) this.#end();
  }

  async #open(): Promise<void> {
    try {
      const fd = await connectPatiently(join(this.#options.directory, "attach"));
      this.#fd = duplicate(fd);
      await this.#adopt(fd);
    } catch {
      this.#end();
      return;
    }
    this.#ready.resolve();
  }

  async #adopt(fd: number): Promise<void> {
    const over = (socket: Bun.Socket) => {
      if (socket === this.#socket) this.#end();
    };
    await adoptSocket(fd, {
      open: (socket) => {
        this.#socket = socket;
      },
      data: (_, packet) => this.#receive(packet),
      drain: () => this.#drained?.(),
      end: (socket) => {
        over(socket);
        socket.end();
      },
      close: over,
      error: over,
    });
  }

  #receive(packet: Uint8Array): void {
    if (this.#clients.size === 0) this.#disconnectIfUseless();
    const stream = packet[0] === stderrMark ? 2 : 1;
    const data = packet.subarray(1);
    let queued = 0;
    for (const client of this.#clients) queued = Math.max(queued, client.push(stream, data));
    if (queued > highWaterBytes && !this.#paused && !this.#finishing) this.#pause();
  }

  #pause(): void {
    this.#paused = true;
    this.#socket?.pause();
    // conmon writes the exit code only after the last output was taken. Once the process is dead, what is left of its
    // output is small: it is taken into memory, so that no idle client can keep a dead container from ending.
    this.#stalledTimer = setInterval(() => {
      if (this.#options.isAlive?.() === false) this.#finish();
    }, stalledCheckMs).unref();
  }

  #finish(): void {
    this.#finishing = true;
    this.#unpause();
  }

  #unpause(): void {
    if (!this.#paused) return;
    this.#paused = false;
    clearInterval(this.#stalledTimer);
    this.#socket?.resume();
  }

  #resumeIfDrained(): void {
    if (!this.#paused) return;
    for (const client of this.#clients) if (client.queuedBytes > lowWaterBytes) return;
    this.#unpause();
  }

  #write(data: Uint8Array): Promise<void> {
    return this.#enqueue(() => this.#send(data));
  }

  #enqueue(step: () => Promise<void> | void): Promise<void> {
    this.#unsent++;
    this.#writing = this.#writing.then(step).finally(() => {
      this.#unsent--;
    });
    return this.#writing;
  }

  async #send(data: Uint8Array): Promise<void> {
    for (let offset = 0; offset < data.length; ) {
      if (this.#ended || this.#stdinClosed || this.#socket === undefined) return;
      const packet = data.subarray(offset, offset + stdinPacketBytes);
      // A packet goes whole or not at all.
      if (this.#socket.write(packet) === packet.length) offset += packet.length;
      else {
        await new Promise<void>((resolve) => {
          this.#drained = resolve;
        });
        this.#drained = undefined;
      }
    }
  }

  #closeStdin(): void {
    if (!this.#options.closesStdin) return;
    void this.#enqueue(() => {
      if (this.#stdinClosed || this.#ended || this.#socket === undefined) return;
      this.#stdinClosed = true;
      if (this.#fd !== undefined) shutdownWrite(this.#fd);
    });
  }

  #left(client: Client): void {
    this.#clients.delete(client);
    if (client.wantsStdin) this.#closeStdin();
    this.#resumeIfDrained();
  }

  /**
   * Without clients conmon need not copy anything for us; but where leaving would close stdin, we stay and discard.
   * Not before there is output: conmon lets go of a connection when it writes, and a silent one may be used again.
   */
  #disconnectIfUseless(): void {
    if (this.#socket === undefined || this.#unsent > 0 || (this.#options.closesStdin && !this.#stdinClosed)) return;
    const socket = this.#socket;
    this.#forget();
    socket.terminate();
  }

  #end(): void {
    if (this.#ended) return;
    this.#takeRest();
    this.#ended = true;
    this.#ready.resolve();
    this.#forget();
    for (const client of this.#clients) client.end();
    this.#clients.clear();
  }

  /**
   * Where conmon ends before it has read all of stdin, the kernel tells us that first (ECONNRESET, once), and the event
   * loop hangs up: what conmon had said last is still there, behind the error.
   */
  #takeRest(): void {
    const packet = Buffer.allocUnsafe(outputPacketBytes);
    for (let failures = 0; failures < 2 && this.#fd !== undefined; ) {
      try {
        const length = receivePacket(this.#fd, packet);
        if (!length) return;
        this.#receive(Buffer.from(packet.subarray(0, length)));
      } catch {
        failures++;
      }
    }
  }

  #forget(): void {
    if (this.#fd !== undefined) closeSync(this.#fd);
    this.#fd = undefined;
    clearInterval(this.#stalledTimer);
    this.#paused = false;
    this.#socket = undefined;
    this.#drained?.();
  }
}

interface ClientHooks {
  write(data: Uint8Array): Promise<void>;
  closeStdin(): void;
  left(client: Client): void;
  taken(): void;
}

class Client implements Attachment {
  readonly output: AsyncIterable<OutputChunk>;
  readonly wantsStdin: boolean;
  queuedBytes = 0;
  readonly #wanted: [unknown, boolean, boolean];
  readonly #hooks: ClientHooks;
  #queue: OutputChunk[] = [];
  #head = 0;
  #ended = false;
  #detached = false;
  #wake: (() => void) | undefined;

  constructor(
    readonly tty: boolean,
    options: AttachOptions,
    hooks: ClientHooks,
  ) {
    this.wantsStdin = options.stdin;
    this.#wanted = [undefined, options.stdout, options.stderr];
    this.#hooks = hooks;
    this.output = this.#read();
  }

  /** Returns how many bytes wait for this client. */
  push(stream: 1 | 2, data: Uint8Array): number {
    // conmon's message that the runtime failed may come as stderr of a terminal.
    if (this.tty ? this.#wanted[1] || this.#wanted[2] : this.#wanted[stream]) {
      this.#queue.push({ stream, data });
      this.queuedBytes += data.length;
      this.#wake?.();
    }
    return this.queuedBytes;
  }

  end(): void {
    this.#ended = true;
    this.#wake?.();
  }

  async write(data: Uint8Array): Promise<void> {
    if (this.wantsStdin && !this.#detached) await this.#hooks.write(data);
  }

  closeStdin(): void {
    if (this.wantsStdin && !this.#detached) this.#hooks.closeStdin();
  }

  detach(): void {
    if (this.#detached) return;
    this.#detached = true;
    this.#queue = [];
    this.#head = 0;
    this.queuedBytes = 0;
    this.end();
    this.#hooks.left(this);
  }

  async *#read(): AsyncGenerator<OutputChunk, void, void> {
    try {
      for (;;) {
        const chunk = this.#take();
        if (chunk !== undefined) yield chunk;
        else if (this.#ended) return;
        else {
          await new Promise<void>((resolve) => {
            this.#wake = resolve;
          });
          this.#wake = undefined;
        }
      }
    } finally {
      this.detach();
    }
  }

  /** The next piece; small neighbours of one stream are joined, which saves a frame and a write for each. */
  #take(): OutputChunk | undefined {
    const first = this.#queue[this.#head];
    if (first === undefined) return undefined;
    let next = this.#head + 1;
    let length = first.data.length;
    for (let chunk = this.#queue[next]; chunk !== undefined; chunk = this.#queue[++next]) {
      if (chunk.stream !== first.stream || length + chunk.data.length > chunkBytes) break;
      length += chunk.data.length;
    }
    const data =
      next === this.#head + 1
        ? first.data
        : Buffer.concat(
            this.#queue.slice(this.#head, next).map((chunk) => chunk.data),
            length,
          );
    this.#head = next;
    if (this.#head === this.#queue.length) {
      this.#queue = [];
      this.#head = 0;
    } else if (this.#head > 1024) {
      this.#queue.splice(0, this.#head);
      this.#head = 0;
    }
    this.queuedBytes -= length;
    this.#hooks.taken();
    return { stream: first.stream, data };
  }
}

/** conmon's backlog holds ten connections; it empties within milliseconds. */
async function connectPatiently(path: string): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    try {
      return connectSeqpacket(path);
    } catch (error) {
      if (!(error instanceof SyscallError) || error.code !== "EAGAIN" || attempt === 100) throw error;
      await Bun.sleep(5);
    }
  }
}
