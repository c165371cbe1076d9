/** Volumes (Engine API, tag Volume). */
import { unavailable } from "../lib/errors.ts";
import { upgradeVolumePrune } from "./compatibility.ts";
import type { Exchange } from "./exchange.ts";
import { booleanOf, filtersOf } from "./query.ts";
import { volumeCreateBody } from "./request-shapes.ts";
import type { ApiRooms, VolumesRoom } from "./rooms.ts";
import type { Route } from "./router.ts";

export function volumeRoutes({ volumes }: ApiRooms): Route[] {
  return [
    {
      method: "GET",
      path: "/volumes",
      handle(exchange) {
        exchange.json(200, { Volumes: volumes.list(Object.fromEntries(filtersOf(exchange.query))), Warnings: null });
      },
    },
    {
      method: "POST",
      path: "/volumes/create",
      async handle(exchange) {
        exchange.json(201, volumes.create((await exchange.body(volumeCreateBody)) ?? {}));
      },
    },
    { method: "POST", path: "/volumes/prune", handle: (exchange) => prune(volumes, exchange) },
    {
      method: "GET",
      path: "/volumes/{name}",
      handle(exchange) {
        exchange.json(200, volumes.get(exchange.name));
      },
    },
    {
      method: "PUT",
      path: "/volumes/{name}",
      handle() {
        throw unavailable("volume update only valid for cluster volumes, but swarm is unavailable");
      },
    },
    {
      method: "DELETE",
      path: "/volumes/{name}",
      async handle(exchange) {
        await volumes.remove(exchange.name, booleanOf(exchange.query, "force"));
        exchange.empty(204);
      },
    },
  ];
}

async function prune(volumes: VolumesRoom, exchange: Exchange): Promise<void> {
  const filters = filtersOf(exchange.query);
  upgradeVolumePrune(filters, exchange.minor);
  exchange.json(200, await volumes.prune(Object.fromEntries(filters)));
}
