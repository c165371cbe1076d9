/** What is asked of registries and changes nothing here (Engine API, tags System, Image and Distribution). */
import type { LoginRequest } from "../images/login.ts";
import { invalidParameter } from "../lib/errors.ts";
import type { Exchange } from "./exchange.ts";
import { registryAuth } from "./images.ts";
import { filtersOf, integerOf } from "./query.ts";
import { authConfig } from "./request-shapes.ts";
import type { ApiRooms, ImagesRoom } from "./rooms.ts";
import type { Route } from "./router.ts";

export function registryRoutes({ images }: ApiRooms): Route[] {
  return [
    { method: "POST", path: "/auth", handle: (exchange) => authenticate(images, exchange) },
    { method: "GET", path: "/images/search", handle: (exchange) => search(images, exchange) },
    { method: "GET", path: "/distribution/{name}/json", handle: (exchange) => distribution(images, exchange) },
  ];
}

async function authenticate(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const request: LoginRequest = (await exchange.body(authConfig)) ?? {};
  const token = await images.login(request);
  exchange.json(200, { Status: "Login Succeeded", IdentityToken: token });
}

async function search(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const { query, request, clientGone: signal } = exchange;
  const auth = registryAuth(request.headers["x-registry-auth"]);
  const term = query.get("term") ?? "";
  exchange.json(
    200,
    await images.search({
      term,
      limit: integerOf(query, "limit"),
      filters: filtersOf(query),
      signal,
      ...(auth && { auth }),
    }),
  );
}

async function distribution(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const { name, request, clientGone: signal } = exchange;
  if (name === "") throw invalidParameter("invalid reference format");
  const auth = registryAuth(request.headers["x-registry-auth"]);
  exchange.json(200, await images.remoteDescriptor(name, { signal, ...(auth && { auth }) }));
}
