/**
 * IPv6 clients of a container that has IPv4 only, and clients on ::1. The packet filter cannot translate between the
 * two, nor out of ::1, so the daemon passes their bytes on: the one case in which a published port goes through a process.
 */
import { closeSync } from "node:fs";
import type { Socket, SocketHandler, TCPSocketListenOptions, udp } from "bun";
import { holdPort } from "../kernel/sockets.ts";
import { addressBytes } from "./addresses.ts";

/** Bun's name for a socket that leaves IPv4 alone. */
const IPV6_ONLY = 8;
/** How long a client of a UDP port may be silent, and its server too, until its answers find no way back; Docker's. */
const udpIdleMs = 90_000;
/** How many clients a UDP port may have at a time; the one that was silent for longest makes room. */
const udpClients = 1024;

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
    ipv6Only: hostname.includes(":"),
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

/** The way of one client's datagrams, and of the answers to them. */
interface UdpFlow {
  /** Undefined until it is there. */
  socket: udp.ConnectedSocket<"buffer"> | undefined;
  /** What has come before. */
  early: Uint8Array[];
  idle: NodeJS.Timeout;
}

/** The same for a UDP port. `failed` is told where the port was taken, but cannot be served. */
export function proxyUdpPort(
  hostname: string,
  port: number,
  containerAddress: string,
  containerPort: number,
  failed: (error: unknown) => void,
): () => void {
  // Bun tells of a port that is taken a moment later; this does it now.
  closeSync(holdPort("udp", addressBytes(hostname)!, port));
  const flows = new Map<string, UdpFlow>();
  let isClosed = false;
  const end = (key: string) => {
    const flow = flows.get(key);
    if (flow === undefined) return;
    flows.delete(key);
    clearTimeout(flow.idle);
    flow.socket?.close();
  };
  const begin = (key: string, answer: (bytes: Uint8Array) => void): UdpFlow => {
    const [oldest] = flows.keys();
    if (flows.size >= udpClients) end(oldest!);
    const flow: UdpFlow = { socket: undefined, early: [], idle: setTimeout(() => end(key), udpIdleMs).unref() };
    Bun.udpSocket({
      hostname: containerAddress.includes(":") ? "::" : "0.0.0.0",
      connect: { hostname: containerAddress, port: containerPort },
      socket: {
        data(_socket, bytes) {
          flow.idle.refresh();
          answer(bytes);
        },
        error() {},
      },
    }).then(
      (socket) => {
        if (flows.get(key) !== flow) return socket.close();
        flow.socket = socket;
        for (const bytes of flow.early.splice(0)) socket.send(bytes);
      },
      () => end(key),
    );
    return flow;
  };
  const options: udp.SocketOptions<"buffer"> & { flags: number } = {
    hostname,
    port,
    flags: hostname.includes(":") ? IPV6_ONLY : 0,
    socket: {
      data(socket, bytes, clientPort, client) {
        const key = `${client} ${clientPort}`;
        const flow = flows.get(key) ?? begin(key, (answer) => void socket.send(answer, clientPort, client));
        // The last to be heard is the last in the map.
        flows.delete(key);
        flows.set(key, flow);
        flow.idle.refresh();
        if (flow.socket !== undefined) flow.socket.send(bytes);
        else if (flow.early.length < 16) flow.early.push(Uint8Array.from(bytes));
      },
      error() {},
    },
  };
  let listener: { close(): void } | undefined;
  Bun.udpSocket(options).then((socket) => {
    if (isClosed) socket.close();
    else listener = socket;
  }, failed);
  return () => {
    isClosed = true;
    listener?.close();
    for (const key of [...flows.keys()]) end(key);
  };
}
