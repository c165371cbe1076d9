/** The event loop of the name servers' thread: descriptors and deadlines, nothing else. */
import { Epoll } from "../../kernel/epoll.ts";

/** Descriptors that are looked at in one turn. */
const capacity = 64;

/** Called when the descriptor is ready for what it waits for. */
export type Ready = (events: number) => void;

/** A descriptor on the loop. */
export interface Watch {
  readonly fd: number;
  readonly token: number;
}

/** Things that end after a fixed time, which all of them have in common. */
export class Deadlines<T> {
  readonly #due = new Map<T, number>();

  constructor(
    readonly ms: number,
    readonly expire: (item: T) => void,
  ) {}

  /** Begins, or begins anew. */
  set(item: T): void {
    this.#due.delete(item);
    this.#due.set(item, performance.now() + this.ms);
  }

  cancel(item: T): void {
    this.#due.delete(item);
  }

  /** When the next one is due; undefined where there is none. */
  get next(): number | undefined {
    for (const due of this.#due.values()) return due;
    return undefined;
  }

  run(now: number): void {
    for (const [item, due] of this.#due) {
      if (due > now) return;
      this.#due.delete(item);
      this.expire(item);
    }
  }
}

export class Loop {
  readonly #epoll = new Epoll(capacity);
  readonly #ready = new Map<number, Ready>();
  readonly #deadlines: Deadlines<never>[] = [];
  readonly #fail: (error: unknown) => void;
  #token = 0;
  /** How many descriptors are ready in this turn: who takes much at once takes less where others wait. */
  busy = 1;
  turns = 0;

  /** `fail` is told what a handler throws; the loop goes on. */
  constructor(fail: (error: unknown) => void) {
    this.#fail = fail;
  }

  watch(fd: number, events: number, ready: Ready): Watch {
    do this.#token = (this.#token + 1) >>> 0;
    while (this.#ready.has(this.#token));
    const token = this.#token;
    this.#epoll.add(fd, events, token);
    this.#ready.set(token, ready);
    return { fd, token };
  }

  change({ fd, token }: Watch, events: number): void {
    this.#epoll.modify(fd, events, token);
  }

  /** To be called before the descriptor is closed. */
  unwatch({ fd, token }: Watch): void {
    this.#ready.delete(token);
    this.#epoll.remove(fd);
  }

  deadlines<T>(ms: number, expire: (item: T) => void): Deadlines<T> {
    const queue = new Deadlines<T>(ms, expire);
    this.#deadlines.push(queue as unknown as Deadlines<never>);
    return queue;
  }

  /** One turn. Without `wait` it takes what is there. */
  turn(wait: boolean): void {
    const ready = this.#epoll.wait(wait ? this.#timeout() : 0);
    this.busy = Math.max(ready, 1);
    this.turns++;
    for (let index = 0; index < ready; index++) {
      const handler = this.#ready.get(this.#epoll.token(index));
      // Gone, by what was done earlier in this turn.
      if (handler === undefined) continue;
      try {
        handler(this.#epoll.events(index));
      } catch (error) {
        this.#fail(error);
      }
    }
    const now = performance.now();
    for (const queue of this.#deadlines) {
      try {
        queue.run(now);
      } catch (error) {
        this.#fail(error);
      }
    }
  }

  close(): void {
    this.#ready.clear();
    this.#epoll.close();
  }

  #timeout(): number {
    let first = Number.POSITIVE_INFINITY;
    for (const { next } of this.#deadlines) if (next !== undefined && next < first) first = next;
    return first === Number.POSITIVE_INFINITY ? -1 : Math.max(Math.ceil(first - performance.now()), 0);
  }
}
