/**
 * Bytes to and from the engine. Bun's own sockets are used because node:net alone would double the time
 * that the command line needs to start.
 */
import type { Socket } from "bun";

/** A two-way stream of bytes with half-close. Reading is by pull; who does not read holds the sender back. */
export interface Transport {
  /** The next bytes, or undefined at the other side's end. Throws where the connection broke. */
  read(): Promise<Uint8Array | undefined>;
  /** Resolves when the bytes are on their way. Throws where the connection broke. */
  write(bytes: Uint8Array): Promise<void>;
  /** Says that nothing more will be written; reading goes on. */
  closeWrite(): void;
  close(): void;
}

/** Certificates and keys in PEM. */
export interface TlsOptions {
  ca?: string;
  cert?: string;
  key?: string;
  /** Whether the other side's certificate must be good. */
  verify: boolean;
  serverName?: string;
}

/** Where a socket leads. */
export type SocketAddress = { unix: string } | { hostname: string; port: number; tls?: TlsOptions };

/** More unread bytes than this stop the socket until they are read. */
const queueLimitBytes = 4 << 20;

class SocketTransport implements Transport {
  socket: Socket | undefined;
  readonly #queue: Uint8Array[] = [];
  #queuedBytes = 0;
  #paused = false;
  #ended = false;
  #closed = false;
  #failure: Error | undefined;
  #wakeReader: (() => void) | undefined;
  #wakeWriter: (() => void) | undefined;

  async read(): Promise<Uint8Array | undefined> {
    while (this.#queue.length === 0) {
      if (this.#failure !== undefined) throw this.#failure;
      if (this.#ended) return undefined;
      await new Promise<void>((resolve) => {
        this.#wakeReader = resolve;
      });
    }
    const bytes = this.#queue.shift()!;
    this.#queuedBytes -= bytes.length;
    if (this.#paused && this.#queuedBytes < queueLimitBytes / 2) {
      this.#paused = false;
      this.socket!.resume();
    }
    return bytes;
  }

  async write(bytes: Uint8Array): Promise<void> {
    let rest = bytes;
    while (rest.length > 0) {
      if (this.#closed) throw this.#failure ?? new Error("broken pipe");
      const written = this.socket!.write(rest);
      if (written < 0) throw this.#failure ?? new Error("broken pipe");
      rest = rest.subarray(written);
      if (rest.length === 0) return;
      await new Promise<void>((resolve) => {
        this.#wakeWriter = resolve;
      });
    }
  }

  closeWrite(): void {
    if (!this.#closed) this.socket!.shutdown();
  }

  close(): void {
    this.#ended = true;
    if (!this.#closed) this.socket!.end();
    this.#closed = true;
    this.#wake();
  }

  received(bytes: Uint8Array): void {
    this.#queue.push(bytes);
    this.#queuedBytes += bytes.length;
    if (!this.#paused && this.#queuedBytes > queueLimitBytes) {
      this.#paused = true;
      this.socket!.pause();
    }
    this.#wakeReader?.();
  }

  ended(): void {
    this.#ended = true;
    this.#wakeReader?.();
  }

  gone(error?: Error): void {
    this.#ended = true;
    this.#closed = true;
    if (error !== undefined) this.#failure = error;
    this.#wake();
  }

  drained(): void {
    this.#wakeWriter?.();
  }

  #wake(): void {
    this.#wakeReader?.();
    this.#wakeWriter?.();
  }
}

/** Connects; throws Node's system errors (`code` ENOENT, ECONNREFUSED, EACCES…). */
export async function connectSocket(address: SocketAddress): Promise<Transport> {
  const transport = new SocketTransport();
  let secured: (() => void) | undefined;
  let refused: ((error: Error) => void) | undefined;
  const handlers = {
    binaryType: "uint8array" as const,
    data: (_: Socket, bytes: Uint8Array) => transport.received(bytes),
    drain: () => transport.drained(),
    end: () => transport.ended(),
    close: () => {
      transport.gone();
      refused?.(new Error("EOF"));
    },
    error: (_: Socket, error: Error) => transport.gone(error),
    handshake: (_: Socket, _success: boolean, problem: Error | null) => {
      const verify = "tls" in address && address.tls?.verify;
      if (problem && verify) refused?.(problem);
      else secured?.();
    },
  };
  if ("unix" in address) {
    transport.socket = await Bun.connect({ unix: address.unix, allowHalfOpen: true, socket: handlers });
    return transport;
  }
  const { hostname, port, tls } = address;
  if (tls === undefined) {
    transport.socket = await Bun.connect({ hostname, port, allowHalfOpen: true, socket: handlers });
    return transport;
  }
  const handshake = new Promise<void>((resolve, reject) => {
    secured = resolve;
    refused = reject;
  });
  transport.socket = await Bun.connect({
    hostname,
    port,
    allowHalfOpen: true,
    tls: {
      ...(tls.ca === undefined ? {} : { ca: tls.ca }),
      ...(tls.cert === undefined ? {} : { cert: tls.cert }),
      ...(tls.key === undefined ? {} : { key: tls.key }),
      rejectUnauthorized: tls.verify,
      serverName: tls.serverName ?? hostname,
    },
    socket: handlers,
  });
  await handshake;
  return transport;
}

/** A program whose stdin and stdout are the connection, as `ssh host docker system dial-stdio` is one. */
export function connectProcess(argv: string[]): Transport {
  const child = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
  const reader = child.stdout.getReader();
  return {
    async read() {
      const { value, done } = await reader.read();
      return done ? undefined : value;
    },
    async write(bytes) {
      child.stdin.write(bytes);
      await child.stdin.flush();
    },
    closeWrite() {
      child.stdin.end();
    },
    close() {
      child.kill();
    },
  };
}
