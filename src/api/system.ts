/** The engine itself (Engine API, tag System). */
import { downgradeInfo } from "./compatibility.ts";
import { sendDiskUsage } from "./disk-usage.ts";
import { sendEvents } from "./event-stream.ts";
import type { Exchange } from "./exchange.ts";
import type { ApiRooms } from "./rooms.ts";
import type { Route } from "./router.ts";

/** What GET and HEAD /_ping tell beside the headers of all answers. */
const pingHeaders = {
  "Builder-Version": "2",
  Swarm: "inactive",
  "Cache-Control": "no-cache, no-store, must-revalidate",
  Pragma: "no-cache",
};

export function systemRoutes(rooms: ApiRooms): Route[] {
  const ping = (exchange: Exchange) => exchange.text(200, "OK", pingHeaders);
  return [
    { method: "GET", path: "/_ping", handle: ping },
    { method: "HEAD", path: "/_ping", handle: ping },
    {
      method: "GET",
      path: "/version",
      async handle(exchange) {
        exchange.json(200, await rooms.system.version());
      },
    },
    {
      method: "GET",
      path: "/info",
      async handle(exchange) {
        exchange.json(200, downgradeInfo(await rooms.system.info(), exchange.minor));
      },
    },
    { method: "GET", path: "/events", handle: (exchange) => sendEvents(rooms.events, exchange) },
    { method: "GET", path: "/system/df", handle: (exchange) => sendDiskUsage(rooms, exchange) },
  ];
}
