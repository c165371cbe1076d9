/** The name server of one container, at work in the name servers' thread. */
import { closeSync } from "node:fs";
import { EPOLLERR, EPOLLHUP, EPOLLIN, EPOLLOUT } from "../../kernel/epoll.ts";
import { accept, DatagramBatch, receive, send, sendDatagram } from "../../kernel/inet.ts";
import { SyscallError } from "../../kernel/libc.ts";
import { Forwarder, type Patience, patienceOf, type UpstreamServer } from "./forward.ts";
import type { Deadlines, Loop, Watch } from "./loop.ts";
import {
  type Answers,
  maximumUdpBytes,
  plainLimitBytes,
  type Query,
  rcode,
  readQuery,
  reverseAddress,
  type,
  writeAnswer,
} from "./message.ts";
import type { NetworkView, Zones } from "./zones.ts";

/** What a container sees. */
export interface View {
  /** Networks in the order in which names are looked for. */
  networks: readonly NetworkView[];
  /** Who is asked for other names, in that order; nobody: they cannot be told (SERVFAIL). */
  upstreams: readonly UpstreamServer[];
}

/** A longer query is none. */
const queryBytes = 2048;
const batchSlots = 32;
/** What all containers together may ask in one turn of the loop, if each asks much. */
const turnBudget = 64;
const leastPerTurn = 2;
const connectionLimit = 64;
/** Docker's. */
const idleMs = 8000;
/** Bytes taken from a connection in one turn: some fifty queries. */
const streamBytes = 1024;
/** Answers waiting for a client that does not read them. */
const backlogBytes = 128 * 1024;
const acceptsPerTurn = 8;
const exhaustedMs = 200;

/** What all servers of a thread have in common. */
export class ServerTools {
  readonly batch = new DatagramBatch(batchSlots, queryBytes, maximumUdpBytes);
  readonly stream = Buffer.from(new ArrayBuffer(streamBytes));
  readonly message = Buffer.from(new ArrayBuffer(2 + 65_535));
  readonly patience: Deadlines<Patience>;
  readonly idle: Deadlines<Connection>;
  readonly exhausted: Deadlines<NameServer>;

  constructor(
    readonly loop: Loop,
    readonly zones: Zones,
  ) {
    this.patience = patienceOf(loop);
    this.idle = loop.deadlines<Connection>(idleMs, (connection) => connection.close());
    this.exhausted = loop.deadlines<NameServer>(exhaustedMs, (server) => server.acceptAgain());
  }
}

export class NameServer {
  readonly #tools: ServerTools;
  readonly #udpFd: number;
  readonly #tcpFd: number;
  readonly #udp: Watch;
  readonly #tcp: Watch;
  readonly #forwarder: Forwarder;
  /** In the order of their last activity. */
  readonly connections = new Set<Connection>();
  /** Queries over UDP that were passed on: a client that repeats one gets the same answer. */
  readonly #passedOn = new Set<string>();
  #networks: readonly NetworkView[];
  #turn = 0;
  #allowance = 0;

  /** Owns both descriptors. */
  constructor(tools: ServerTools, sockets: { udpFd: number; tcpFd: number }, view: View) {
    const { loop } = tools;
    this.#tools = tools;
    this.#udpFd = sockets.udpFd;
    this.#tcpFd = sockets.tcpFd;
    this.#networks = view.networks;
    this.#forwarder = new Forwarder(loop, this.#udpFd, tools.patience);
    this.#forwarder.setUpstreams(view.upstreams);
    DatagramBatch.rewind(this.#udpFd);
    this.#udp = loop.watch(this.#udpFd, EPOLLIN, () => this.#receive());
    this.#tcp = loop.watch(this.#tcpFd, EPOLLIN, () => this.#accept());
  }

  set view({ networks, upstreams }: View) {
    this.#networks = networks;
    this.#forwarder.setUpstreams(upstreams);
  }

  close(): void {
    const { loop, exhausted } = this.#tools;
    this.#forwarder.close();
    for (const connection of this.connections) connection.close();
    exhausted.cancel(this);
    loop.unwatch(this.#udp);
    loop.unwatch(this.#tcp);
    closeSync(this.#udpFd);
    closeSync(this.#tcpFd);
  }

  /** How many queries it may still answer in this turn, however many ways they come by. */
  allowance(): number {
    const { loop } = this.#tools;
    if (this.#turn !== loop.turns) {
      this.#turn = loop.turns;
      this.#allowance = Math.min(Math.max(Math.floor(turnBudget / loop.busy), leastPerTurn), batchSlots);
    }
    return this.#allowance;
  }

  spend(count: number): void {
    this.#allowance -= count;
  }

  acceptAgain(): void {
    this.#tools.loop.change(this.#tcp, EPOLLIN);
  }

  #receive(): void {
    const { batch } = this.#tools;
    const allowance = this.allowance();
    if (allowance <= 0) return;
    const count = batch.read(this.#udpFd, allowance);
    // It is said to be readable: where to read is beyond what is there.
    if (count === 0) DatagramBatch.rewind(this.#udpFd);
    this.spend(count);
    try {
      for (let slot = 0; slot < count; slot++) this.#answerDatagram(slot);
      batch.flush(this.#udpFd);
    } finally {
      batch.take(this.#udpFd, count);
    }
  }

  #answerDatagram(slot: number): void {
    const { batch } = this.#tools;
    const length = batch.length(slot);
    const start = slot * queryBytes;
    const query = length === undefined ? undefined : readQuery(batch.questions, start, length);
    if (query === undefined) return;
    let answer = this.#answer(query);
    if (answer === undefined) {
      if (this.#passOnDatagram(query, slot, length!)) return;
      answer = { code: rcode.refused, recursion: true };
    }
    const at = slot * maximumUdpBytes;
    const limit = Math.min(query.ednsBytes ?? plainLimitBytes, maximumUdpBytes);
    batch.answer(slot, writeAnswer(batch.answers, at, limit, query, { bytes: batch.questions, start }, answer));
  }

  #passOnDatagram(query: Query, slot: number, length: number): boolean {
    const { batch, message } = this.#tools;
    const sender = batch.sender(slot);
    const key = `${sender.toString("latin1", 0, 8)}${query.id}`;
    if (this.#passedOn.has(key)) return true;
    const bytes = Buffer.from(batch.questions.subarray(slot * queryBytes, slot * queryBytes + length));
    this.#passedOn.add(key);
    const asked = this.#forwarder.ask({
      kind: "udp",
      bytes,
      questionEnd: query.questionEnd,
      done: (answer) => {
        this.#passedOn.delete(key);
        if (answer !== undefined) sendDatagram(this.#udpFd, answer, answer.length, sender);
        else {
          const written = writeAnswer(message, 0, plainLimitBytes, query, { bytes, start: 0 }, unanswered);
          sendDatagram(this.#udpFd, message, written, sender);
        }
      },
    });
    if (!asked) this.#passedOn.delete(key);
    return asked;
  }

  #accept(): void {
    const { loop, exhausted } = this.#tools;
    try {
      for (let count = 0; count < acceptsPerTurn; count++) {
        const fd = accept(this.#tcpFd);
        if (fd === undefined) return;
        // Who has been silent for longest makes room.
        if (this.connections.size >= connectionLimit)
          for (const oldest of this.connections) {
            oldest.close();
            break;
          }
        this.connections.add(new Connection(this.#tools, fd, this));
      }
    } catch (error) {
      if (!(error instanceof SyscallError)) throw error;
      // Out of descriptors: who is waiting goes on to.
      loop.change(this.#tcp, 0);
      exhausted.set(this);
    }
  }

  /** One message of a connection. */
  talk(connection: Connection, bytes: Buffer): void {
    const { message } = this.#tools;
    const query = readQuery(bytes, 0, bytes.length);
    if (query === undefined) {
      connection.close();
      return;
    }
    const reply = (question: Buffer, answer: Answer) => {
      const written = writeAnswer(message, 2, 65_535, query, { bytes: question, start: 0 }, answer);
      message.writeUInt16BE(written, 0);
      connection.send(message.subarray(0, 2 + written));
    };
    const answer = this.#answer(query);
    if (answer !== undefined) {
      reply(bytes, answer);
      return;
    }
    const copy = Buffer.from(bytes);
    const asked = this.#forwarder.ask({
      kind: "tcp",
      bytes: copy,
      questionEnd: query.questionEnd,
      done: (passed) => {
        if (passed === undefined) reply(copy, unanswered);
        else {
          const head = Buffer.alloc(2);
          head.writeUInt16BE(passed.length);
          connection.send(Buffer.concat([head, passed]));
        }
      },
    });
    if (!asked) reply(copy, { code: rcode.refused, recursion: true });
  }

  /** Undefined where others are to be asked. */
  #answer(query: Query): Answer | undefined {
    const { zones } = this.#tools;
    const networks = this.#networks;
    if (query.failure !== undefined) return { code: query.failure, recursion: query.failure === rcode.refused };
    const { name } = query;
    if (name !== undefined && name !== "") {
      let answers: Answers | undefined;
      switch (query.type) {
        case type.A:
          answers = zones.addresses(networks, name, "v4");
          break;
        case type.AAAA:
          answers = zones.addresses(networks, name, "v6");
          break;
        case type.ANY: {
          const v4 = zones.addresses(networks, name, "v4");
          const v6 = zones.addresses(networks, name, "v6");
          if (v4 !== undefined || v6 !== undefined) answers = [...(v4 ?? []), ...(v6 ?? [])];
          break;
        }
        // Elsewhere the name may mean somebody else, whose addresses are in these.
        case type.MX:
        case type.SVCB:
        case type.HTTPS:
          if (zones.addresses(networks, name, "v4") !== undefined) answers = [];
          break;
        case type.PTR: {
          const address = reverseAddress(name);
          const found = address === undefined ? undefined : zones.nameOf(networks, address);
          if (found !== undefined) answers = [found];
          break;
        }
      }
      if (answers !== undefined) return { code: rcode.ok, answers, recursion: true };
    }
    return this.#forwarder.able ? undefined : unanswered;
  }
}

interface Answer {
  code: number;
  answers?: Answers;
  recursion: boolean;
}

/** Docker's answer where nobody can tell. */
const unanswered: Answer = { code: rcode.serverFailure, recursion: false };

/** A client's connection: messages, each behind its length. */
class Connection {
  readonly #tools: ServerTools;
  readonly #fd: number;
  readonly #watch: Watch;
  readonly #server: NameServer;
  #received = Buffer.alloc(0);
  #unsent: Buffer = Buffer.alloc(0);
  /** Answers to what came together go together. */
  #gathering: Buffer[] | undefined;
  #open = true;

  constructor(tools: ServerTools, fd: number, server: NameServer) {
    this.#tools = tools;
    this.#fd = fd;
    this.#server = server;
    try {
      this.#watch = tools.loop.watch(fd, EPOLLIN, (events) => this.#ready(events));
    } catch (error) {
      closeSync(fd);
      throw error;
    }
    tools.idle.set(this);
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    this.#server.connections.delete(this);
    this.#tools.idle.cancel(this);
    this.#tools.loop.unwatch(this.#watch);
    closeSync(this.#fd);
  }

  /** Does nothing where the connection is gone. */
  send(bytes: Buffer): void {
    if (!this.#open) return;
    if (this.#gathering !== undefined) {
      this.#gathering.push(Buffer.from(bytes));
      return;
    }
    if (this.#unsent.length + bytes.length > backlogBytes) {
      this.close();
      return;
    }
    const waited = this.#unsent.length > 0;
    this.#unsent = waited ? Buffer.concat([this.#unsent, bytes]) : bytes;
    if (waited) return;
    this.#flush();
    // What the caller gave is his again.
    if (this.#unsent.length > 0) {
      this.#unsent = Buffer.from(this.#unsent);
      this.#tools.loop.change(this.#watch, EPOLLIN | EPOLLOUT);
    }
  }

  #flush(): void {
    try {
      this.#unsent = this.#unsent.subarray(send(this.#fd, this.#unsent) ?? 0);
    } catch {
      this.#unsent = Buffer.alloc(0);
      this.close();
    }
  }

  #ready(events: number): void {
    if (this.#unsent.length > 0) {
      this.#flush();
      if (this.#open && this.#unsent.length === 0) this.#tools.loop.change(this.#watch, EPOLLIN);
    }
    if (this.#open && (events & (EPOLLIN | EPOLLERR | EPOLLHUP)) !== 0) this.#receive();
  }

  #receive(): void {
    const { stream, idle } = this.#tools;
    if (this.#server.allowance() <= 0) return;
    let length: number | undefined;
    try {
      length = receive(this.#fd, stream);
    } catch {
      length = 0;
    }
    if (length === undefined) return;
    if (length === 0) {
      this.close();
      return;
    }
    let bytes = Buffer.concat([this.#received, stream.subarray(0, length)]);
    const gathered: Buffer[] = [];
    this.#gathering = gathered;
    while (this.#open && bytes.length >= 2) {
      const end = 2 + bytes.readUInt16BE(0);
      // Nobody has so much to ask.
      if (end > 2 + queryBytes) {
        this.close();
        return;
      }
      if (bytes.length < end) break;
      // Only whole messages count as activity.
      this.#server.connections.delete(this);
      this.#server.connections.add(this);
      idle.set(this);
      this.#server.spend(1);
      this.#server.talk(this, bytes.subarray(2, end));
      bytes = bytes.subarray(end);
    }
    this.#received = Buffer.from(bytes);
    this.#gathering = undefined;
    if (gathered.length > 0) this.send(gathered.length === 1 ? gathered[0]! : Buffer.concat(gathered));
  }
}
