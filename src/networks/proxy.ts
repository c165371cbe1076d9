/**
 * IPv6 clients of a container that has IPv4 only. The packet filter cannot translate between the two, so the daemon
 * passes their bytes on: the one case in which a published port goes through a process.
 */
import type { Socket, SocketHandler, TCPSocketListenOptions } from "bun";

/** What is known about one end of a passed-on connection. */
interface End {
  other: Socket<End> | undefined;
  /** Bytes read here that the other end could not take yet. While there are any, nothing more is read. */
  waiting: Uint8Array | undefined;
  finished: boolean;
}

/**
 * Takes a TCP port of an IPv6 address and passes connections on to a container. Returns what gives the port back,
 * and ends no connection. Throws an error with the code EADDRINUSE, EADDRNOTAVAIL…
 */
export function proxyPort(hostname: string, port: number, containerAddress: string, containerPort: number): () => void {
  const options: TCPSocketListenOptions<End> & { ipv6Only: boolean } = {
    hostname,
    port,
    ipv6Only: true,
    exclusive: true,
    allowHalfOpen: true,
    socket: {
      ...handlers,
      open(client) {
        const end: End = { other: undefined, waiting: undefined, finished: false };
        client.data = end;
        client.pause();
        Bun.connect<End>({
          hostname: containerAddress,
          port: containerPort,
          allowHalfOpen: true,
          data: { other: client, waiting: undefined, finished: false },
          socket: handlers,
        }).then(
          (server) => {
            end.other = server;
            client.resume();
          },
          () => client.terminate(),
        );
      },
    },
  };
  const listener = Bun.listen<End>(options);
  return () => listener.stop(false);
}

const handlers: SocketHandler<End> = {
  binaryType: "uint8array",
  data(socket, bytes: Uint8Array) {
    const { data: end } = socket;
    if (end.waiting !== undefined) {
      end.waiting = Buffer.concat([end.waiting, bytes]);
      return;
    }
    const written = Math.max(0, end.other?.write(bytes) ?? 0);
    if (written === bytes.length) return;
    end.waiting = Uint8Array.from(bytes.subarray(written));
    socket.pause();
  },
  drain(socket) {
    const source = socket.data.other;
    const waiting = source?.data.waiting;
    if (source === undefined || waiting === undefined) return;
    const written = Math.max(0, socket.write(waiting));
    if (written < waiting.length) {
      source.data.waiting = waiting.subarray(written);
      return;
    }
    source.data.waiting = undefined;
    if (source.data.finished) socket.shutdown();
    else source.resume();
  },
  end({ data: end }) {
    end.finished = true;
    if (end.waiting === undefined) end.other?.shutdown();
  },
  close({ data: end }) {
    end.other?.end();
  },
  error() {},
};
