/** Processes run in running containers (Engine API, tag Exec). */
import { invalidParameter } from "../lib/errors.ts";
import { joinStreams, streamType } from "./attachment.ts";
import type { ClientStream } from "./client-stream.ts";
import { sizeOf } from "./containers.ts";
import type { Exchange } from "./exchange.ts";
import { execCreateBody, execStartBody } from "./request-shapes.ts";
import type { ApiRooms, ContainersRoom } from "./rooms.ts";
import type { Route } from "./router.ts";

export function execRoutes({ containers }: ApiRooms): Route[] {
  return [
    { method: "POST", path: "/containers/{id}/exec", handle: (exchange) => create(containers, exchange) },
    { method: "POST", path: "/exec/{id}/start", handle: (exchange) => start(containers, exchange), hijacks: true },
    {
      method: "POST",
      path: "/exec/{id}/resize",
      async handle(exchange) {
        await containers.execResize(exchange.name, sizeOf(exchange.query));
        exchange.empty(200);
      },
    },
    {
      method: "GET",
      path: "/exec/{id}/json",
      handle: (exchange) => exchange.json(200, containers.execInspect(exchange.name)),
    },
  ];
}

async function create(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const body = (await exchange.body(execCreateBody)) ?? {};
  if (!body.Cmd?.length) throw invalidParameter("No exec command specified");
  checkSize(body.ConsoleSize);
  exchange.json(201, await containers.execCreate(exchange.name, body));
}

async function start(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { name, minor } = exchange;
  const body = (await exchange.body(execStartBody)) ?? {};
  const { Detach: detach = false, Tty: tty = false } = body;
  containers.execInspect(name);
  const consoleSize = checkSize(body.ConsoleSize);
  // What the start says counts, not whether there is a terminal: clients read the frames that they asked for.
  const takeOver = () => exchange.takeOver(streamType(tty, minor));
  let client: ClientStream | undefined;
  // The head leaves before the process begins: the SDK for Python loses output that comes in one piece with it.
  const accepted = detach ? undefined : () => void (client = takeOver());
  const attachment = await containers.execStart(name, { detach, tty, consoleSize, accepted });
  if (!attachment) {
    exchange.empty(200);
    return;
  }
  await joinStreams(client ?? takeOver(), attachment, !tty);
}

/** `[height, width]`, or nothing where it says nothing. Throws where it is no pair. */
function checkSize(size: number[] | undefined): { height: number; width: number } | undefined {
  if (size === undefined || size.length === 0) return undefined;
  const [height = 0, width = 0] = size;
  return height === 0 && width === 0 ? undefined : { height, width };
}
