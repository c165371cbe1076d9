/** Networks (Engine API, tag Network). */
import { invalidParameter, notFound } from "../lib/errors.ts";
import type { Exchange } from "./exchange.ts";
import { networkFilter } from "./network-filter.ts";
import { filtersOf, stringOf } from "./query.ts";
import type { ApiRooms, NetworksRoom } from "./rooms.ts";
import type { Route } from "./router.ts";

/** What Go reads as a boolean; stricter than Docker's other parameters. */
const booleanWord = /^(?:[01tf]|true|false)$/i;

export function networkRoutes({ networks }: ApiRooms): Route[] {
  return [
    {
      method: "GET",
      path: "/networks",
      handle: (exchange) => exchange.json(200, networks.list().filter(networkFilter(filtersOf(exchange.query)))),
    },
    { method: "GET", path: "/networks/{id}", handle: (exchange) => inspect(networks, exchange) },
  ];
}

function inspect(networks: NetworksRoom, exchange: Exchange): void {
  const verbose = stringOf(exchange.query, "verbose");
  if (verbose !== undefined && !booleanWord.test(verbose))
    throw invalidParameter(
      `invalid value for verbose: ${verbose}: strconv.ParseBool: parsing ${JSON.stringify(verbose)}: invalid syntax`,
    );
  const network = networks.inspect(exchange.name);
  const scope = stringOf(exchange.query, "scope");
  if (scope !== undefined && scope !== network.Scope) throw notFound(`network ${exchange.name} not found`);
  exchange.json(200, network);
}
