/** Stand-ins for the rooms below, for the tests of this room: each does what a test gives it, or says it was not told. */
import { connect, type Socket } from "node:net";
import { Events } from "../events/events.ts";
import type { ApiRooms, Attachment } from "./rooms.ts";

type Parts<T> = { [K in keyof T]?: Partial<T[K]> };

function silent(name: string, given: object = {}): never {
  return new Proxy(given, {
    get(target, method) {
      const given: unknown = Reflect.get(target, method);
      if (typeof given === "function") return given.bind(target);
      return method === "stats"
        ? undefined
        : () => {
            throw new Error(`the test has not said what ${name}.${String(method)} does`);
          };
    },
  }) as never;
}

/** Rooms with what the test needs of them. Errors are kept in `logged`. */
export function fakeRooms(parts: Parts<Omit<ApiRooms, "events" | "log" | "version">>): ApiRooms & { logged: string[] } {
  const logged: string[] = [];
  return {
    containers: silent("containers", parts.containers),
    images: silent("images", parts.images),
    networks: silent("networks", parts.networks),
    volumes: silent("volumes", parts.volumes),
    system: silent("system", parts.system),
    events: new Events(),
    log: { debug: () => {}, error: (message) => logged.push(message) },
    version: "0.0-test",
    logged,
  };
}

/** A container's streams under a test's hands. */
export class FakeAttachment implements Attachment {
  readonly received: string[] = [];
  detached = false;
  stdinClosed = false;
  /** While set, `write` does not resolve. */
  blocked: Promise<void> | undefined;
  #queue: { stream: 1 | 2; data: Uint8Array }[] = [];
  #wake: (() => void) | undefined;
  #ended = false;
  /** How many chunks have been pulled. */
  pulled = 0;

  constructor(readonly tty = false) {}

  say(text: string | Uint8Array, stream: 1 | 2 = 1): void {
    this.#queue.push({ stream, data: typeof text === "string" ? Buffer.from(text) : text });
    this.#wake?.();
  }

  exit(): void {
    this.#ended = true;
    this.#wake?.();
  }

  readonly output = this.#read();

  async *#read() {
    for (;;) {
      const next = this.#queue.shift();
      if (next) {
        this.pulled++;
        yield next;
      } else if (this.#ended) return;
      else
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
    }
  }

  async write(data: Uint8Array): Promise<void> {
    this.received.push(Buffer.from(data).toString());
    await this.blocked;
  }

  closeStdin(): void {
    this.stdinClosed = true;
  }

  detach(): void {
    this.detached = true;
    this.exit();
  }
}

/** A connection that speaks bytes, as a client of another make might. */
export class RawClient {
  text = "";
  ended = false;
  closed = false;
  readonly socket: Socket;

  private constructor(socket: Socket) {
    this.socket = socket;
    socket.on("data", (data) => {
      this.text += data.toString("latin1");
    });
    socket.on("end", () => {
      this.ended = true;
    });
    socket.on("close", () => {
      this.closed = true;
    });
    socket.on("error", () => {});
  }

  static async open(path: string, firstBytes: string): Promise<RawClient> {
    const socket = connect({ path, allowHalfOpen: true });
    const client = new RawClient(socket);
    await new Promise((resolve) => socket.once("connect", resolve));
    socket.write(firstBytes, "latin1");
    return client;
  }
}

/** Resolves when `holds` does; throws after two seconds. */
export async function until(holds: () => boolean, what = "condition"): Promise<void> {
  const deadline = Date.now() + 2_000;
  while (!holds()) {
    if (Date.now() > deadline) throw new Error(`${what} did not come about`);
    await Bun.sleep(5);
  }
}
