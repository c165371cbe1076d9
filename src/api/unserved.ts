/** What the API has and Brig has not: routes that say so, each with the status its clients expect. */
import { notFound, notImplemented, unavailable } from "../lib/errors.ts";
import type { Route } from "./router.ts";

function notYet(method: Route["method"], path: string): Route {
  return {
    method,
    path,
    handle() {
      throw notImplemented("not implemented yet");
    },
  };
}

function noSwarm(method: Route["method"], path: string): Route {
  return {
    method,
    path,
    handle() {
      throw unavailable(
        'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
      );
    },
  };
}

export const unservedRoutes: Route[] = [
  notYet("POST", "/build"),
  // Nothing can be built yet, so there is no cache.
  {
    method: "POST",
    path: "/build/prune",
    handle: (exchange) => exchange.json(200, { CachesDeleted: null, SpaceReclaimed: 0 }),
  },
  notYet("POST", "/build/cancel"),
  notYet("POST", "/session"),
  { method: "GET", path: "/plugins", handle: (exchange) => exchange.json(200, []) },
  notYet("GET", "/plugins/privileges"),
  notYet("POST", "/plugins/pull"),
  notYet("POST", "/plugins/create"),
  {
    method: "GET",
    path: "/plugins/{name}/json",
    handle: ({ name }) => {
      throw notFound(`plugin ${JSON.stringify(name)} not found`);
    },
  },
  notYet("DELETE", "/plugins/{name}"),
  ...["enable", "disable", "upgrade", "push", "set"].map((verb) => notYet("POST", `/plugins/{name}/${verb}`)),
  notYet("POST", "/swarm/init"),
  notYet("POST", "/swarm/join"),
  noSwarm("GET", "/swarm"),
  noSwarm("GET", "/swarm/unlockkey"),
  noSwarm("POST", "/swarm/leave"),
  noSwarm("POST", "/swarm/update"),
  noSwarm("POST", "/swarm/unlock"),
  ...["services", "secrets", "configs"].flatMap((kind) => [
    noSwarm("GET", `/${kind}`),
    noSwarm("POST", `/${kind}/create`),
    noSwarm("GET", `/${kind}/{id}`),
    noSwarm("DELETE", `/${kind}/{id}`),
    noSwarm("POST", `/${kind}/{id}/update`),
  ]),
  ...["services", "tasks"].map((kind) => noSwarm("GET", `/${kind}/{id}/logs`)),
  noSwarm("GET", "/nodes"),
  noSwarm("GET", "/nodes/{id}"),
  noSwarm("DELETE", "/nodes/{id}"),
  noSwarm("POST", "/nodes/{id}/update"),
  noSwarm("GET", "/tasks"),
  noSwarm("GET", "/tasks/{id}"),
];
