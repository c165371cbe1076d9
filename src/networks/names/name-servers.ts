/**
 * The name servers of all containers, at 127.0.0.11 of each one's network namespace. They have one thread together, which
 * begins with the first name: neither a busy daemon nor a flood from one container makes the others wait.
 */
import { closeSync } from "node:fs";
import { addToEventFd, createEventFd } from "../../kernel/epoll.ts";
import type { UpstreamServer } from "./forward.ts";
import type { View } from "./name-server.ts";
import type { NameSockets } from "./sockets.ts";
import type { FromThread, ToThread } from "./thread.ts";
import type { EndpointNames, NetworkView } from "./zones.ts";

export type { EndpointNames, NetworkView, UpstreamServer, View };

/** How long a thread that failed is waited for before another begins. */
const restartMs = 500;

export class NameServers {
  readonly #warn: (message: string) => void;
  /** All that the thread knows, so that another can take its place. */
  readonly #endpoints = new Map<string, Map<string, EndpointNames>>();
  readonly #served = new Map<string, { sockets: NameSockets; view: View }>();
  #thread: { worker: Worker; wakeFd: number; ended: PromiseWithResolvers<void> } | undefined;
  #closed = false;

  constructor({ warn }: { warn: (message: string) => void }) {
    this.#warn = warn;
  }

  /**
   * Says what an endpoint is called on its network and where it is, in the place of what was said before. Whoever is
   * served on the network finds it from then on. The cost does not depend on how many there are.
   */
  setEndpoint(networkId: string, endpointId: string, names: EndpointNames): void {
    let endpoints = this.#endpoints.get(networkId);
    if (endpoints === undefined) this.#endpoints.set(networkId, (endpoints = new Map()));
    endpoints.set(endpointId, names);
    this.#tell({ kind: "endpoint", networkId, endpointId, names });
  }

  /** Its names are not known any more. Idempotent. */
  removeEndpoint(networkId: string, endpointId: string): void {
    const endpoints = this.#endpoints.get(networkId);
    if (endpoints?.delete(endpointId) !== true) return;
    if (endpoints.size === 0) this.#endpoints.delete(networkId);
    this.#tell({ kind: "endpoint", networkId, endpointId, names: undefined });
  }

  /** Answers what comes to the sockets, which it owns from then on. `key` is the container. */
  serve(key: string, sockets: NameSockets, view: View): void {
    const lower = lowerLinks(view);
    this.#served.set(key, { sockets, view: lower });
    this.#tell({ kind: "serve", key, udpFd: sockets.udpFd, tcpFd: sockets.tcpFd, view: lower });
  }

  /** Changes what a container sees: its networks, links, and who is asked for other names. */
  setView(key: string, view: View): void {
    const served = this.#served.get(key);
    if (served === undefined) return;
    served.view = lowerLinks(view);
    this.#tell({ kind: "view", key, view: served.view });
  }

  /**
   * Closes a container's sockets; as long as they are open its namespace lives on. Idempotent. Queries are still answered
   * for an instant.
   */
  stop(key: string): void {
    if (this.#served.delete(key)) this.#tell({ kind: "stop", key });
  }

  serves(key: string): boolean {
    return this.#served.has(key);
  }

  /** Ends the thread. Sockets that conmon holds take queries on, for the next daemon. */
  async close(): Promise<void> {
    if (this.#closed) return;
    const thread = this.#thread;
    if (thread !== undefined) this.#tell({ kind: "end" });
    this.#closed = true;
    if (thread === undefined) return;
    await thread.ended.promise;
    thread.worker.terminate();
    closeSync(thread.wakeFd);
  }

  #tell(message: ToThread): void {
    if (this.#closed) return;
    // A new thread is told everything, this included.
    if (this.#thread === undefined) this.#begin();
    else this.#post(message);
  }

  #post(message: ToThread): void {
    const { worker, wakeFd } = this.#thread!;
    worker.postMessage(message);
    addToEventFd(wakeFd, 1);
  }

  #begin(): void {
    const worker = new Worker(workerEntry(), { smol: true });
    worker.unref();
    const wakeFd = createEventFd();
    const ended = Promise.withResolvers<void>();
    this.#thread = { worker, wakeFd, ended };
    worker.onmessage = ({ data }: MessageEvent<FromThread>) => {
      if (data.kind === "ended") ended.resolve();
      else this.#warn(`name servers: ${data.message}`);
    };
    const died = (why: string) => {
      ended.resolve();
      if (this.#closed || this.#thread?.worker !== worker) return;
      this.#warn(`the name servers' thread failed, and begins anew: ${why}`);
      this.#thread = undefined;
      closeSync(wakeFd);
      setTimeout(() => {
        if (!this.#closed && this.#thread === undefined) this.#begin();
      }, restartMs).unref();
    };
    worker.onerror = (event) => died(event.message);
    worker.addEventListener("close", () => died("it ended"));
    this.#post({ kind: "begin", wakeFd });
    for (const [networkId, endpoints] of this.#endpoints)
      for (const [endpointId, names] of endpoints) this.#post({ kind: "endpoint", networkId, endpointId, names });
    for (const [key, { sockets, view }] of this.#served)
      this.#post({ kind: "serve", key, udpFd: sockets.udpFd, tcpFd: sockets.tcpFd, view });
  }
}

/** Names are compared in lower case. */
export function lowerLinks({ networks, upstreams }: View): View {
  return {
    upstreams,
    networks: networks.map(({ id, name, links }) => ({
      id,
      name,
      links:
        links === undefined
          ? undefined
          : Object.fromEntries(Object.entries(links).map(([alias, target]) => [alias.toLowerCase(), target])),
    })),
  };
}

/** In the executable modules have no files of their own; an entry keeps its path below `src/`. */
function workerEntry(): string {
  return Bun.isStandaloneExecutable
    ? "/$bunfs/root/networks/names/names.worker.js"
    : new URL("./names.worker.ts", import.meta.url).href;
}
