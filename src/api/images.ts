/** Images (Engine API, tag Image). */
import { invalidParameter } from "../lib/errors.ts";
import type { AuthConfig } from "../wire/engine-api.ts";
import { parseJson, readStream } from "./body.ts";
import type { ClientStream } from "./client-stream.ts";
import { downgradeImage, downgradeImages, platformOf } from "./compatibility.ts";
import type { Exchange } from "./exchange.ts";
import { reportProgress } from "./progress.ts";
import { booleanOf, filtersOf, stringOf } from "./query.ts";
import { ociPlatform } from "./request-shapes.ts";
import type { ApiRooms, ImagesRoom } from "./rooms.ts";
import type { Route } from "./router.ts";
import { readShape } from "./shape.ts";

export function imageRoutes({ images }: ApiRooms): Route[] {
  return [
    { method: "GET", path: "/images/json", handle: (exchange) => list(images, exchange) },
    { method: "POST", path: "/images/create", handle: (exchange) => create(images, exchange) },
    { method: "POST", path: "/images/prune", handle: (exchange) => prune(images, exchange) },
    { method: "POST", path: "/images/load", handle: (exchange) => load(images, exchange) },
    { method: "GET", path: "/images/get", handle: (exchange) => save(images, exchange, namesOf(exchange)) },
    { method: "GET", path: "/images/{name}/get", handle: (exchange) => save(images, exchange, [exchange.name]) },
    { method: "GET", path: "/images/{name}/json", handle: (exchange) => inspect(images, exchange) },
    {
      method: "GET",
      path: "/images/{name}/history",
      handle: (exchange) => exchange.json(200, images.history(exchange.name, jsonPlatformOf(exchange, "platform", 48))),
    },
    {
      method: "POST",
      path: "/images/{name}/tag",
      handle(exchange) {
        images.tag(exchange.name, stringOf(exchange.query, "repo") ?? "", stringOf(exchange.query, "tag") ?? "");
        exchange.empty(201);
      },
    },
    { method: "POST", path: "/images/{name}/push", handle: (exchange) => push(images, exchange) },
    { method: "DELETE", path: "/images/{name}", handle: (exchange) => remove(images, exchange) },
  ];
}

async function prune(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const { deleted, spaceReclaimed } = await images.prune(filtersOf(exchange.query));
  exchange.json(200, { ImagesDeleted: deleted.length === 0 ? null : deleted, SpaceReclaimed: spaceReclaimed });
}

async function list(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const { query, minor } = exchange;
  const found = await images.list({
    all: booleanOf(query, "all"),
    filters: filtersOf(query),
    sharedSize: booleanOf(query, "shared-size"),
    manifests: minor >= 47 && booleanOf(query, "manifests"),
  });
  exchange.json(200, downgradeImages(found, minor));
}

function inspect(images: ImagesRoom, exchange: Exchange): void {
  const platform = jsonPlatformOf(exchange, "platform", 49);
  const manifests = exchange.minor >= 48 && booleanOf(exchange.query, "manifests");
  if (manifests && platform !== undefined)
    throw invalidParameter("conflicting options: manifests and platform options cannot both be set");
  const image = images.inspect(exchange.name, platform, { manifests });
  exchange.json(200, downgradeImage(image, exchange.minor));
}

/** All `names` of the query, each of which may be several with commas between them. */
function namesOf({ query }: Exchange): string[] {
  const names = query.getAll("names").flatMap((text) => text.split(","));
  if (names.length === 0) throw invalidParameter("no images to export");
  return names;
}

/** Sends an archive at the client's pace. */
async function save(images: ImagesRoom, exchange: Exchange, names: string[]): Promise<void> {
  const archive = await images.save(names, jsonPlatformsOf(exchange));
  let client: ClientStream | undefined;
  for await (const bytes of archive) {
    client ??= exchange.stream("application/x-tar");
    if (!(await client.write(bytes))) return;
  }
  client?.end();
}

async function remove(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const { query, minor } = exchange;
  const options = {
    force: booleanOf(query, "force"),
    noPrune: booleanOf(query, "noprune"),
    platforms: minor < 50 ? [] : query.getAll("platforms").map(platformText),
  };
  exchange.json(200, await images.remove(exchange.name, options));
}

/** Pulls where there is `fromImage`, else imports. */
async function create(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const { query, minor } = exchange;
  const platform = platformOf(stringOf(query, "platform"), minor, 32);
  const reference = stringOf(query, "fromImage");
  const tag = stringOf(query, "tag");
  if (reference !== undefined) {
    const auth = registryAuth(exchange.request.headers["x-registry-auth"]);
    const request = { reference, tag, platform, auth, signal: exchange.clientGone };
    await reportProgress(exchange, (report) => images.pull(request, report));
    return;
  }
  const source = stringOf(query, "fromSrc");
  if (source === undefined) throw invalidParameter("either fromImage or fromSrc has to be given");
  const request = {
    source: source === "-" ? readStream(exchange.request) : source,
    repo: stringOf(query, "repo"),
    tag,
    message: stringOf(query, "message"),
    changes: query.getAll("changes"),
    platform,
    signal: exchange.clientGone,
  };
  await reportProgress(exchange, (report) => images.importTar(request, report));
}

async function push(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const request = {
    reference: exchange.name,
    tag: stringOf(exchange.query, "tag"),
    platform: jsonPlatformOf(exchange, "platform", 46),
    auth: registryAuth(exchange.request.headers["x-registry-auth"]),
    signal: exchange.clientGone,
  };
  await reportProgress(exchange, (report) => images.push(request, report));
}

async function load(images: ImagesRoom, exchange: Exchange): Promise<void> {
  const { query, request } = exchange;
  const quiet = booleanOf(query, "quiet");
  const options = { platforms: jsonPlatformsOf(exchange), signal: exchange.clientGone };
  await reportProgress(exchange, (report) => {
    const reportOrNot: typeof report = (message) => {
      if (!quiet || message.progressDetail === undefined) report(message);
    };
    return images.load(readStream(request), reportOrNot, options);
  });
}

/** A platform that clients send in JSON since API 1.`since`, as `os/architecture/variant`. Throws invalidParameter. */
function jsonPlatformOf({ query, minor }: Exchange, name: string, since: number): string | undefined {
  const text = stringOf(query, name);
  return text === undefined || minor < since ? undefined : platformText(text);
}

/** The platforms to save or load: one since API 1.48, several since 1.52. */
function jsonPlatformsOf({ query, minor }: Exchange): string[] {
  if (minor < 48) return [];
  const texts = query.getAll("platform").filter((text) => text !== "");
  return (minor < 52 ? texts.slice(0, 1) : texts).map(platformText).filter((text) => text !== "");
}

function platformText(json: string): string {
  const platform = readShape(ociPlatform, parseJson(json));
  return [platform.os, platform.architecture, platform.variant].filter(Boolean).join("/");
}

/** The credentials in `X-Registry-Auth`: JSON in base64, either alphabet. What cannot be read counts as none. */
export function registryAuth(header: string | string[] | undefined): AuthConfig | undefined {
  if (typeof header !== "string" || header === "") return undefined;
  try {
    const given: unknown = JSON.parse(Buffer.from(header, "base64url").toString("utf8"));
    return typeof given === "object" && given !== null ? authFields(given as Record<string, unknown>) : undefined;
  } catch {
    return undefined;
  }
}

function authFields(given: Record<string, unknown>): AuthConfig {
  const auth: Record<string, string> = {};
  for (const name of ["username", "password", "serveraddress", "identitytoken", "registrytoken", "auth"]) {
    const value = given[name];
    if (typeof value === "string") auth[name] = value;
  }
  return auth;
}
