/** Questions that are passed on to other servers, and their answers, which come back as they are. */
import { closeSync, readFileSync } from "node:fs";
import { EPOLLIN, EPOLLOUT } from "../../kernel/epoll.ts";
import {
  connectTo,
  namespaceOf,
  receive,
  type SocketKind,
  send,
  socketAddress,
  socketError,
} from "../../kernel/inet.ts";
import { insideNetworkNamespace } from "../../kernel/namespaces.ts";
import type { Deadlines, Loop, Watch } from "./loop.ts";
import { answerCode, isAnswerTo, rcode } from "./message.ts";
import { nameServerAddress } from "./redirect.ts";

/** A server that knows what Brig does not. */
export interface UpstreamServer {
  /** May end in `%` and an interface. */
  address: string;
  /** Whether it is asked from the host's network namespace, as its loopback servers must be; else from the container's. */
  hostNamespace: boolean;
  /** 53 where it is not given. */
  port?: number | undefined;
}

/** A question on its way. */
export interface Question {
  kind: SocketKind;
  /** The whole message; it must not change any more. */
  bytes: Buffer;
  questionEnd: number;
  /** Called once: with the answer, whose bytes are only valid meanwhile, or undefined where none has come. */
  done(answer: Buffer | undefined): void;
}

/** After so long the next server is asked as well; the others may still answer. */
const patienceMs = 1000;
/** How often somebody is asked: with glibc's timeout of five seconds there is no point in more. */
const leastAsks = 4;
/** For how long a server that did not answer is asked last. */
const suspicionMs = 10_000;
/** Docker's: of one container. */
const questionLimit = 1024;
/** Connections of one container's. */
const connectionLimit = 64;
/** Sockets, and with them source ports, of one container's; where there are no more, questions share them. */
const socketLimit = 32;
/** The same, of all containers together. */
const totalSocketLimit = 2048;
/** Answers that one socket may hand over in one turn. */
const receivedPerTurn = 8;

const answerBuffer = Buffer.from(new ArrayBuffer(65_536));
const idPool = new Uint16Array(512);
let idsLeft = 0;
let totalSockets = 0;

interface Upstream {
  name: Buffer;
  hostNamespace: boolean;
  suspectUntil: number;
}

interface Pending extends Patience {
  question: Question;
  order: Upstream[];
  failed: Set<Upstream>;
  asked: number;
  last: Upstream | undefined;
  tries: Attempt[];
  badAnswer: Buffer | undefined;
}

/** One question to one server. */
interface Attempt {
  cancel(): void;
}

interface SharedSocket {
  fd: number;
  watch: Watch;
  upstream: Upstream;
  /** By the id they were sent with. */
  waiting: Map<number, Pending>;
}

/** Who asks other servers for one container. */
export class Forwarder {
  readonly #loop: Loop;
  readonly #namespaceSocket: number;
  readonly #patience: Deadlines<Patience>;
  readonly #pending = new Set<Pending>();
  readonly #sockets = new Set<SharedSocket>();
  #connections = 0;
  #upstreams: Upstream[] = [];

  /** `namespaceSocket` is any socket of the container's namespace; `patience` comes from `patienceOf`. */
  constructor(loop: Loop, namespaceSocket: number, patience: Deadlines<Patience>) {
    this.#loop = loop;
    this.#namespaceSocket = namespaceSocket;
    this.#patience = patience;
  }

  /** Questions on their way go on to where they went. */
  setUpstreams(servers: readonly UpstreamServer[]): void {
    this.#upstreams = [];
    for (const server of servers) {
      // Ourselves.
      if (server.address === nameServerAddress && !server.hostNamespace) continue;
      const [address = "", scope] = server.address.split("%");
      const name = socketAddress(address, server.port ?? 53, scope === undefined ? 0 : interfaceIndex(scope));
      this.#upstreams.push({ name, hostNamespace: server.hostNamespace, suspectUntil: 0 });
    }
  }

  /** Whether there is anybody to ask. */
  get able(): boolean {
    return this.#upstreams.length > 0;
  }

  /** Asks. False, and nothing is done, where too many questions of the container's are on their way. */
  ask(question: Question): boolean {
    if (this.#pending.size >= questionLimit) return false;
    if (question.kind === "tcp" && this.#connections >= connectionLimit) return false;
    const now = performance.now();
    const trusted = this.#upstreams.filter(({ suspectUntil }) => suspectUntil <= now);
    const order = [...trusted, ...this.#upstreams.filter((upstream) => !trusted.includes(upstream))];
    const pending: Pending = {
      question,
      order,
      failed: new Set(),
      asked: 0,
      last: undefined,
      tries: [],
      badAnswer: undefined,
      end: () => this.#waitedEnough(pending),
    };
    this.#pending.add(pending);
    this.#next(pending);
    return true;
  }

  /** Nobody is told of what was on its way. */
  close(): void {
    for (const pending of this.#pending) this.#drop(pending);
  }

  #next(pending: Pending): void {
    const { order, failed, question } = pending;
    const asks = Math.max(leastAsks, order.length);
    while (failed.size < order.length && pending.asked < asks) {
      const upstream = order[pending.asked++ % order.length]!;
      if (failed.has(upstream)) continue;
      try {
        const attempt = question.kind === "udp" ? this.#askUdp(pending, upstream) : this.#askTcp(pending, upstream);
        pending.tries.push(attempt);
        pending.last = upstream;
        this.#patience.set(pending);
        return;
      } catch {
        // Unreachable from there, or out of descriptors.
        failed.add(upstream);
      }
    }
    // Those that were asked may still answer.
    if (pending.tries.length > 0 && failed.size < order.length) this.#patience.set(pending);
    else this.#finish(pending, pending.badAnswer);
  }

  #waitedEnough(pending: Pending): void {
    if (pending.last !== undefined) pending.last.suspectUntil = performance.now() + suspicionMs;
    if (pending.asked >= Math.max(leastAsks, pending.order.length)) this.#finish(pending, pending.badAnswer);
    else this.#next(pending);
  }

  #answered(pending: Pending, upstream: Upstream, answer: Buffer): void {
    upstream.suspectUntil = 0;
    const code = answerCode(answer);
    if (code !== rcode.serverFailure && code !== rcode.refused) {
      this.#finish(pending, answer);
      return;
    }
    pending.badAnswer = Buffer.from(answer);
    this.#failed(pending, upstream);
  }

  /** The next one is asked at once. */
  #failed(pending: Pending, upstream: Upstream): void {
    if (!this.#pending.has(pending)) return;
    pending.failed.add(upstream);
    if (pending.failed.size === pending.order.length) this.#finish(pending, pending.badAnswer);
    else if (pending.last === upstream) this.#next(pending);
  }

  #finish(pending: Pending, answer: Buffer | undefined): void {
    this.#drop(pending);
    answer?.writeUInt16BE(pending.question.bytes.readUInt16BE(0), 0);
    pending.question.done(answer);
  }

  #drop(pending: Pending): void {
    this.#pending.delete(pending);
    this.#patience.cancel(pending);
    for (const attempt of pending.tries) attempt.cancel();
    pending.tries = [];
  }

  #askUdp(pending: Pending, upstream: Upstream): Attempt {
    const socket = this.#socketFor(upstream);
    let id = randomId();
    while (socket.waiting.has(id)) id = randomId();
    socket.waiting.set(id, pending);
    const cancel = () => {
      if (!socket.waiting.delete(id) || socket.waiting.size > 0) return;
      this.#sockets.delete(socket);
      totalSockets--;
      this.#loop.unwatch(socket.watch);
      closeSync(socket.fd);
    };
    try {
      send(socket.fd, withId(pending.question.bytes, id));
    } catch (error) {
      cancel();
      throw error;
    }
    return { cancel };
  }

  /** A socket of its own for each question, as long as there are not too many. */
  #socketFor(upstream: Upstream): SharedSocket {
    if (this.#sockets.size >= socketLimit || totalSockets >= totalSocketLimit) {
      const shared = [...this.#sockets].filter((socket) => socket.upstream === upstream);
      if (shared.length > 0) return shared[randomId() % shared.length]!;
    }
    const fd = this.#connect("udp", upstream);
    try {
      const socket: SharedSocket = {
        fd,
        upstream,
        waiting: new Map(),
        watch: this.#loop.watch(fd, EPOLLIN, () => this.#receive(socket)),
      };
      this.#sockets.add(socket);
      totalSockets++;
      return socket;
    } catch (error) {
      closeSync(fd);
      throw error;
    }
  }

  #receive(socket: SharedSocket): void {
    for (let count = 0; count < receivedPerTurn && socket.waiting.size > 0; count++) {
      let length: number | undefined;
      try {
        length = receive(socket.fd, answerBuffer);
      } catch {
        // Nobody listens there.
        for (const pending of [...socket.waiting.values()]) this.#failed(pending, socket.upstream);
        return;
      }
      if (length === undefined) return;
      if (length < 2) continue;
      const answer = answerBuffer.subarray(0, length);
      const pending = socket.waiting.get(answer.readUInt16BE(0));
      if (pending === undefined || !isAnswerTo(answer, pending.question.bytes, pending.question.questionEnd)) continue;
      this.#answered(pending, socket.upstream, answer);
    }
  }

  #askTcp(pending: Pending, upstream: Upstream): Attempt {
    const id = randomId();
    const fd = this.#connect("tcp", upstream);
    const { bytes, questionEnd } = pending.question;
    let unsent = Buffer.alloc(2 + bytes.length);
    unsent.writeUInt16BE(bytes.length);
    unsent.set(withId(bytes, id), 2);
    let received = Buffer.alloc(0);
    let open = true;
    this.#connections++;
    const cancel = () => {
      if (!open) return;
      open = false;
      this.#connections--;
      if (watch !== undefined) this.#loop.unwatch(watch);
      closeSync(fd);
    };
    const fail = () => {
      cancel();
      this.#failed(pending, upstream);
    };
    const work = () => {
      if (unsent.length > 0) {
        if (socketError(fd) !== 0) return fail();
        unsent = unsent.subarray(send(fd, unsent) ?? 0);
        if (unsent.length === 0) this.#loop.change(watch!, EPOLLIN);
        return;
      }
      const length = receive(fd, answerBuffer);
      if (length === undefined) return;
      received = Buffer.concat([received, answerBuffer.subarray(0, length)]);
      const whole = received.length >= 2 ? 2 + received.readUInt16BE(0) : undefined;
      if (whole === undefined || received.length < whole) {
        if (length === 0) fail();
        return;
      }
      const answer = received.subarray(2, whole);
      if (answer.length < 2 || answer.readUInt16BE(0) !== id || !isAnswerTo(answer, bytes, questionEnd)) return fail();
      cancel();
      this.#answered(pending, upstream, answer);
    };
    let watch: Watch | undefined;
    try {
      watch = this.#loop.watch(fd, EPOLLIN | EPOLLOUT, () => {
        try {
          work();
        } catch {
          fail();
        }
      });
    } catch (error) {
      cancel();
      throw error;
    }
    return { cancel };
  }

  #connect(kind: SocketKind, { name, hostNamespace }: Upstream): number {
    if (hostNamespace) return connectTo(kind, name);
    const namespace = namespaceOf(this.#namespaceSocket);
    try {
      return insideNetworkNamespace(namespace, () => connectTo(kind, name));
    } finally {
      closeSync(namespace);
    }
  }
}

/** Somebody who waits for an answer. */
export interface Patience {
  end(): void;
}

/** All forwarders of a loop share it. */
export function patienceOf(loop: Loop): Deadlines<Patience> {
  return loop.deadlines<Patience>(patienceMs, (patience) => patience.end());
}

function withId(bytes: Buffer, id: number): Buffer {
  const copy = Buffer.from(bytes);
  copy.writeUInt16BE(id, 0);
  return copy;
}

function randomId(): number {
  if (idsLeft === 0) {
    crypto.getRandomValues(idPool);
    idsLeft = idPool.length;
  }
  return idPool[--idsLeft]!;
}

function interfaceIndex(name: string): number {
  if (/^\d+$/.test(name)) return Number(name);
  if (!/^[^/\s]{1,15}$/.test(name) || name.startsWith(".")) return 0;
  try {
    return Number(readFileSync(`/sys/class/net/${name}/ifindex`, "utf8"));
  } catch {
    return 0;
  }
}
