/** For tests: namespaces, a resolver's side of DNS, and servers to be asked. */
import { closeSync } from "node:fs";
import { adoptSocket } from "../../kernel/fd-socket.ts";
import { connectTo, type SocketKind, socketAddress } from "../../kernel/inet.ts";
import { createNetworkNamespace, insideNetworkNamespace } from "../../kernel/namespaces.ts";
import { Netlink } from "../../kernel/rtnetlink.ts";
import { encodeName, type } from "./message.ts";
import { nameServerAddress, redirectNames } from "./redirect.ts";
import { createNameSockets, type NameSockets } from "./sockets.ts";

/** A namespace as a container's, with its sockets. */
export class TestNamespace {
  readonly fd = createNetworkNamespace();
  readonly sockets: NameSockets;

  constructor() {
    insideNetworkNamespace(this.fd, () => {
      const netlink = new Netlink();
      netlink.setLoopbackUp();
      netlink.close();
    });
    this.sockets = createNameSockets(this.fd);
    redirectNames(this.fd, this.sockets);
  }

  close(): void {
    closeSync(this.fd);
  }

  /** A client of the namespace's name server. */
  async client(kind: SocketKind = "udp"): Promise<TestClient> {
    const fd = insideNetworkNamespace(this.fd, () => connectTo(kind, socketAddress(nameServerAddress, 53)));
    const client = new TestClient(kind);
    client.socket = await adoptSocket(fd, {
      data: (_, data) => client.take(Buffer.from(data)),
      close: () => client.end(),
      end: () => client.end(),
      error: () => client.end(),
    });
    return client;
  }

  /** Asks once, by a client of its own. */
  async ask(name: string, options: QueryOptions & { kind?: SocketKind; timeoutMs?: number } = {}): Promise<Reply> {
    const client = await this.client(options.kind);
    try {
      return await client.ask(query(name, options), options.timeoutMs);
    } finally {
      client.socket!.terminate();
    }
  }
}

export interface QueryOptions {
  type?: number;
  /** Size that EDNS tells. */
  ednsBytes?: number;
  id?: number;
}

export function query(name: string, { type: asked = type.A, ednsBytes, id = 4711 }: QueryOptions = {}): Buffer {
  const head = Buffer.alloc(12);
  for (const [index, value] of [id, 0x0100, 1, 0, 0, ednsBytes === undefined ? 0 : 1].entries())
    head.writeUInt16BE(value, index * 2);
  const edns = ednsBytes === undefined ? [] : [Buffer.of(0, 0, 41, ednsBytes >> 8, ednsBytes & 255, 0, 0, 0, 0, 0, 0)];
  return Buffer.concat([head, encodeName(name)!, Buffer.of(0, asked, 0, 1), ...edns]);
}

export interface Reply {
  bytes: Buffer;
  code: number;
  truncated: boolean;
  /** Of A and AAAA records, as text; of PTR records the name. */
  answers: string[];
}

export class TestClient {
  socket: Bun.Socket | undefined;
  readonly #kind: SocketKind;
  readonly #replies: Buffer[] = [];
  #stream = Buffer.alloc(0);
  #ended = false;
  #wake: () => void = () => {};

  constructor(kind: SocketKind) {
    this.#kind = kind;
  }

  get ended(): boolean {
    return this.#ended;
  }

  async ask(bytes: Buffer, timeoutMs = 8000): Promise<Reply> {
    this.send(bytes);
    return await this.reply(timeoutMs);
  }

  send(bytes: Buffer): void {
    const length = Buffer.alloc(2);
    length.writeUInt16BE(bytes.length);
    this.socket!.write(this.#kind === "udp" ? bytes : Buffer.concat([length, bytes]));
  }

  async reply(timeoutMs = 8000): Promise<Reply> {
    const until = performance.now() + timeoutMs;
    while (this.#replies.length === 0) {
      const left = until - performance.now();
      if (left <= 0) throw new Error("no answer");
      if (this.#ended) throw new Error("the connection ended");
      const { promise, resolve } = Promise.withResolvers<void>();
      this.#wake = resolve;
      const timer = setTimeout(resolve, left);
      await promise;
      clearTimeout(timer);
    }
    return parse(this.#replies.shift()!);
  }

  take(data: Buffer): void {
    if (this.#kind === "udp") this.#replies.push(data);
    else {
      this.#stream = Buffer.concat([this.#stream, data]);
      while (this.#stream.length >= 2 && this.#stream.length >= 2 + this.#stream.readUInt16BE(0)) {
        const end = 2 + this.#stream.readUInt16BE(0);
        this.#replies.push(this.#stream.subarray(2, end));
        this.#stream = this.#stream.subarray(end);
      }
    }
    this.#wake();
  }

  end(): void {
    this.#ended = true;
    this.#wake();
  }
}

/** Reads answers whose names are all the question's. */
function parse(bytes: Buffer): Reply {
  const flags = bytes.readUInt16BE(2);
  const answers: string[] = [];
  let at = 12;
  if (bytes.readUInt16BE(4) === 1) at = bytes.indexOf(0, at) + 5;
  for (let count = bytes.readUInt16BE(6); count > 0; count--) {
    const length = bytes.readUInt16BE(at + 10);
    const data = bytes.subarray(at + 12, at + 12 + length);
    answers.push(length === 4 ? data.join(".") : length === 16 ? data.toString("hex") : labels(data));
    at += 12 + length;
  }
  return { bytes, code: flags & 0xf, truncated: (flags & 0x200) !== 0, answers };
}

function labels(data: Buffer): string {
  const found: string[] = [];
  for (let at = 0; data[at] !== 0; at += 1 + data[at]!) found.push(data.toString("latin1", at + 1, at + 1 + data[at]!));
  return found.join(".");
}

/** What an upstream server does with a query. Undefined: nothing. */
export type Behaviour = (query: Buffer, kind: SocketKind) => Buffer | undefined;

/** A server at 127.0.0.1 of this thread's namespace, over UDP and TCP at the same port. */
export class TestUpstream {
  readonly queries: { kind: SocketKind; id: number; port: number }[] = [];
  behave: Behaviour;
  port = 0;
  #udp: Bun.udp.Socket<"buffer"> | undefined;
  #tcp: Bun.TCPSocketListener<undefined> | undefined;

  constructor(behave: Behaviour) {
    this.behave = behave;
  }

  /** In the namespace of `fd`, or this thread's. */
  async start(fd?: number): Promise<this> {
    const inside = <T>(work: () => T) => (fd === undefined ? work() : insideNetworkNamespace(fd, work));
    this.#tcp = inside(() =>
      Bun.listen<undefined>({
        hostname: "127.0.0.1",
        port: 0,
        socket: {
          data: (socket, data) => {
            const bytes = Buffer.from(data).subarray(2);
            this.queries.push({ kind: "tcp", id: bytes.readUInt16BE(0), port: socket.remotePort });
            const reply = this.behave(bytes, "tcp");
            if (reply === undefined) return;
            const length = Buffer.alloc(2);
            length.writeUInt16BE(reply.length);
            socket.write(Buffer.concat([length, reply]));
          },
        },
      }),
    );
    this.port = this.#tcp.port;
    this.#udp = await inside(() =>
      Bun.udpSocket({
        hostname: "127.0.0.1",
        port: this.port,
        socket: {
          data: (socket, data, port, address) => {
            const bytes = Buffer.from(data);
            this.queries.push({ kind: "udp", id: bytes.readUInt16BE(0), port });
            const reply = this.behave(bytes, "udp");
            if (reply !== undefined) socket.send(reply, port, address);
          },
        },
      }),
    );
    return this;
  }

  close(): void {
    this.#udp?.close();
    this.#tcp?.stop(true);
  }
}

/** An upstream's answer: its code and IPv4 addresses. */
export function answerTo(asked: Buffer, { code = 0, addresses = [] as string[], flags = 0x8180 } = {}): Buffer {
  const questionEnd = asked.indexOf(0, 12) + 5;
  const head = Buffer.from(asked.subarray(0, questionEnd));
  head.writeUInt16BE(flags | code, 2);
  head.writeUInt16BE(addresses.length, 6);
  head.writeUInt16BE(0, 10);
  const records = addresses.map((address) =>
    Buffer.of(0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)),
  );
  return Buffer.concat([head, ...records]);
}
