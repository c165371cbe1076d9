/** Networks (Engine API, tag Network). */
import { invalidParameter, notFound } from "../lib/errors.ts";
import type { Exchange } from "./exchange.ts";
import { networkFilter, networkPruneFilter } from "./network-filter.ts";
import { booleanOf, filtersOf, stringOf } from "./query.ts";
import { networkConnectBody, networkCreateBody, networkDisconnectBody } from "./request-shapes.ts";
import type { ApiRooms, ContainersRoom, NetworksRoom } from "./rooms.ts";
import type { Route } from "./router.ts";

/** What Go reads as a boolean; stricter than Docker's other parameters. */
const booleanWord = /^(?:[01tf]|true|false)$/i;

export function networkRoutes({ networks, containers }: ApiRooms): Route[] {
  return [
    {
      method: "GET",
      path: "/networks",
      handle: (exchange) =>
        exchange.json(200, networks.list().filter(networkFilter(filtersOf(exchange.query), networks))),
    },
    {
      method: "POST",
      path: "/networks/create",
      async handle(exchange) {
        exchange.json(201, networks.create((await exchange.body(networkCreateBody)) ?? {}));
      },
    },
    {
      method: "POST",
      path: "/networks/prune",
      handle(exchange) {
        const removed = networks.prune(networkPruneFilter(filtersOf(exchange.query)));
        exchange.json(200, { NetworksDeleted: removed.length === 0 ? null : removed });
      },
    },
    // Brig's own.
    {
      method: "POST",
      path: "/networks/reset",
      handle(exchange) {
        networks.reset();
        exchange.empty(204);
      },
    },
    // Brig's own.
    { method: "GET", path: "/networks/trace", handle: (exchange) => trace(containers, networks, exchange) },
    { method: "GET", path: "/networks/{id}", handle: (exchange) => inspect(networks, exchange.name, exchange) },
    {
      method: "DELETE",
      path: "/networks/{id}",
      handle(exchange) {
        networks.remove(exchange.name);
        exchange.empty(204);
      },
    },
    {
      method: "POST",
      path: "/networks/{id}/connect",
      async handle(exchange) {
        const body = await exchange.body(networkConnectBody);
        await containers.connect(body?.Container ?? "", exchange.name, body?.EndpointConfig ?? {});
        exchange.empty(200);
      },
    },
    {
      method: "POST",
      path: "/networks/{id}/disconnect",
      async handle(exchange) {
        const body = await exchange.body(networkDisconnectBody);
        await containers.disconnect(body?.Container ?? "", exchange.name, body?.Force ?? false);
        exchange.empty(200);
      },
    },
  ];
}

/** A network may be called `trace`: it is meant where nothing is asked. */
async function trace(containers: ContainersRoom, networks: NetworksRoom, exchange: Exchange): Promise<void> {
  const from = exchange.query.get("from");
  const to = exchange.query.get("to");
  if (from === null && to === null) return inspect(networks, "trace", exchange);
  const passive = booleanOf(exchange.query, "passive");
  exchange.json(200, await containers.trace({ from: from ?? "", to: to ?? "", passive }));
}

function inspect(networks: NetworksRoom, name: string, exchange: Exchange): void {
  const verbose = stringOf(exchange.query, "verbose");
  if (verbose !== undefined && !booleanWord.test(verbose))
    throw invalidParameter(
      `invalid value for verbose: ${verbose}: strconv.ParseBool: parsing ${JSON.stringify(verbose)}: invalid syntax`,
    );
  const { Status, ...network } = networks.inspect(name);
  const scope = stringOf(exchange.query, "scope");
  if (scope !== undefined && scope !== network.Scope) throw notFound(`network ${name} not found`);
  exchange.json(200, exchange.minor >= 52 ? { ...network, Status } : network);
}
