/** What happened, for whoever asks: the last events, and all that come. */
import { nowNs } from "../lib/time.ts";
import type { EventMessage } from "../wire/engine-api.ts";
import { type EventFilters, eventFilter } from "./filter.ts";

export type { EventFilters } from "./filter.ts";

/** What an event is about. */
export type EventType = "container" | "image" | "network" | "volume" | "daemon" | "builder";

/** Which events a listener wants. Times are nanoseconds since 1970, both ends included. */
export interface EventQuery {
  sinceNs?: bigint;
  untilNs?: bigint;
  filters: EventFilters;
}

interface Listener {
  passes(event: EventMessage): boolean;
  onEvent(event: EventMessage): void;
}

/** How many events are remembered; what Docker remembers too. */
const remembered = 1024;
/**
 * `timeNano` leaves as a JSON number, and numbers of that size are 256 apart in JavaScript: whole microseconds keep
 * two events from showing the same time.
 */
const tickNs = 1_000n;

export class Events {
  /** Oldest first; cut back to `remembered` when it has twice as many. */
  #past: EventMessage[] = [];
  readonly #listeners = new Set<Listener>();
  #lastNs = 0n;

  /** Tells all listeners, before it returns. A listener that throws does not keep the others from hearing. */
  publish(type: EventType, action: string, id: string, attributes: Record<string, string>): void {
    const now = (nowNs() / tickNs) * tickNs;
    this.#lastNs = now > this.#lastNs ? now : this.#lastNs + tickNs;
    const event: EventMessage = {
      Type: type,
      Action: action,
      Actor: { ID: id, Attributes: attributes },
      scope: "local",
      time: Number(this.#lastNs / 1_000_000_000n),
      timeNano: Number(this.#lastNs),
    };
    this.#past.push(event);
    if (this.#past.length >= 2 * remembered) this.#past = this.#past.slice(-remembered);
    for (const listener of this.#listeners) {
      try {
        if (listener.passes(event)) listener.onEvent(event);
      } catch {
        this.#listeners.delete(listener);
      }
    }
  }

  /**
   * Calls `onEvent` for each event that matches: at once for those remembered between `sinceNs` and `untilNs`, where
   * one of them is given, then for those that come. Returns what ends it; `untilNs` by itself does not.
   */
  subscribe(query: EventQuery, onEvent: (event: EventMessage) => void): () => void {
    const passes = eventFilter(query.filters);
    const since = query.sinceNs === undefined ? 0 : Number(query.sinceNs);
    const until = query.untilNs === undefined ? Number.POSITIVE_INFINITY : Number(query.untilNs);
    const within = ({ timeNano = 0 }: EventMessage) => timeNano >= since && timeNano <= until;
    if (query.sinceNs !== undefined || query.untilNs !== undefined) {
      for (const event of this.#past.slice(-remembered)) if (within(event) && passes(event)) onEvent(event);
    }
    const listener: Listener = { passes: (event) => within(event) && passes(event), onEvent };
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How many listen now; `NEventsListener` of GET /info. */
  get listenerCount(): number {
    return this.#listeners.size;
  }
}
