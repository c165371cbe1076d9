/**
 * IPv6 clients of a container that has IPv4 only, and clients on ::1. The packet filter cannot translate between the
 * two, nor out of ::1, so the daemon passes their bytes on: the one case in which a published port goes through a process.
 */
import { closeSync, readFileSync } from "node:fs";
import type { Socket, SocketHandler, TCPSocketListenOptions, udp } from "bun";
import { holdPort } from "../kernel/sockets.ts";
import { addressBytes } from "./addresses.ts";

/** Bun's name for a socket that leaves IPv4 alone. */
const IPV6_ONLY = 8;
/** How long a client of a UDP port may be silent, and its server too, until its answers find no way back; Docker's. */
const udpIdleMs = 90_000;
/** How many clients a UDP port may have at a time; the one that was silent for longest makes room. */
const udpClients = 1024;

/** How many clients all ports together may have: each costs two descriptors, and the daemon needs some for itself. */
const clientLimit = Math.max(16, Math.floor(descriptorLimit() / 8));
let clients = 0;

/** A port that is passed on. */
export interface PassedOnPort {
  /** Gives the port back, and ends no connection. Idempotent. */
  release(): void;
  /** The same when the container is gone: nobody is left to end the connections to it. */
  end(): void;
}

/** What the ends of a port's connections have in common. */
interface Proxy {
  sockets: Set<Socket<End>>;
  isOver: boolean;
}

/** What is known about one end of a passed-on connection. */
interface End {
  proxy: Proxy;
  other: Socket<End> | undefined;
  /** Bytes read here that the other end could not take yet. While there are any, nothing more is read. */
  waiting: Uint8Array | undefined;
  /** Whether nothing more comes from here. */
  finished: boolean;
  closed: boolean;
}

const newEnd = (proxy: Proxy, other?: Socket<End>): End => ({
  proxy,
  other,
  waiting: undefined,
  finished: false,
  closed: false,
});

/**
 * Takes a TCP port of an IPv6 address and passes connections on to a container. Throws an error with the code
 * EADDRINUSE, EADDRNOTAVAIL…
 */
export function proxyPort(
  hostname: string,
  port: number,
  containerAddress: string,
  containerPort: number,
): PassedOnPort {
  const proxy: Proxy = { sockets: new Set(), isOver: false };
  const options: TCPSocketListenOptions<End> & { ipv6Only: boolean } = {
    hostname,
    port,
    ipv6Only: true,
    exclusive: true,
    allowHalfOpen: true,
    socket: {
      ...handlers,
      open(client) {
        const end = newEnd(proxy);
        client.data = end;
        clients++;
        proxy.sockets.add(client);
        if (clients > clientLimit) {
          client.terminate();
          return;
        }
        client.pause();
        Bun.connect<End>({
          hostname: containerAddress,
          port: containerPort,
          allowHalfOpen: true,
          data: newEnd(proxy, client),
          socket: handlers,
        }).then(
          (server) => {
            if (end.closed || proxy.isOver) {
              server.terminate();
              return;
            }
            proxy.sockets.add(server);
            end.other = server;
            client.resume();
          },
          () => client.terminate(),
        );
      },
      close(client) {
        clients--;
        closed(client);
      },
    },
  };
  const listener = Bun.listen<End>(options);
  return {
    release: () => listener.stop(false),
    end() {
      proxy.isOver = true;
      listener.stop(false);
      for (const socket of [...proxy.sockets]) socket.terminate();
    },
  };
}

/** One end is gone: after the other had said its last, or because it broke off. */
function closed(socket: Socket<End>): void {
  const { data: end } = socket;
  const { other, proxy } = end;
  end.closed = true;
  end.finished = true;
  proxy.sockets.delete(socket);
  if (other === undefined) return;
  if (!other.data.finished) other.terminate();
  else if (end.waiting === undefined) other.end();
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
  close: closed,
  error() {},
};

function descriptorLimit(): number {
  const [, soft = ""] = /^Max open files\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "utf8")) ?? [];
  return Number(soft) || 1024;
}

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
): PassedOnPort {
  // Bun tells of a port that is taken a moment later; this does it now.
  closeSync(holdPort("udp", addressBytes(hostname)!, port));
  const flows = new Map<string, UdpFlow>();
  let isClosed = false;
  const end = (key: string) => {
    const flow = flows.get(key);
    if (flow === undefined) return;
    flows.delete(key);
    clients--;
    clearTimeout(flow.idle);
    flow.socket?.close();
  };
  const begin = (key: string, answer: (bytes: Uint8Array) => void): UdpFlow => {
    const [oldest] = flows.keys();
    if (oldest !== undefined && (flows.size >= udpClients || clients >= clientLimit)) end(oldest);
    clients++;
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
  const release = () => {
    isClosed = true;
    listener?.close();
    for (const key of [...flows.keys()]) end(key);
  };
  return { release, end: release };
}
