/** Containers (Engine API, tag Container). */

import { invalidParameter } from "../lib/errors.ts";
import type { ContainerPathStat } from "../wire/engine-api.ts";
import { joinStreams, streamType } from "./attachment.ts";
import { ClientGone, readStream } from "./body.ts";
import { ClientStream } from "./client-stream.ts";
import { downgradeInspect, downgradeSummaries, platformOf, upgradeCreateBody } from "./compatibility.ts";
import type { Exchange } from "./exchange.ts";
import { sendLogs } from "./logs.ts";
import { booleanOf, filtersOf, integerOf, requiredIntegerOf, stringOf } from "./query.ts";
import { createBody, updateBody } from "./request-shapes.ts";
import type { ApiRooms, AttachOptions, ContainersRoom } from "./rooms.ts";
import type { Route } from "./router.ts";
import { handshake, webSocketStream } from "./websocket.ts";

export function containerRoutes({ containers }: ApiRooms): Route[] {
  const bound =
    (handle: (containers: ContainersRoom, exchange: Exchange) => Promise<void>) =>
    (exchange: Exchange): Promise<void> =>
      handle(containers, exchange);
  /** POST routes that answer with nothing but 204. */
  const act = (verb: string, perform: (exchange: Exchange) => Promise<void> | void): Route => ({
    method: "POST",
    path: `/containers/{id}/${verb}`,
    async handle(exchange) {
      await perform(exchange);
      exchange.empty(204);
    },
  });
  return [
    { method: "GET", path: "/containers/json", handle: bound(list) },
    { method: "POST", path: "/containers/create", handle: bound(create) },
    { method: "POST", path: "/containers/prune", handle: bound(prune) },
    { method: "GET", path: "/containers/{id}/json", handle: bound(inspect) },
    { method: "GET", path: "/containers/{id}/top", handle: bound(top) },
    { method: "GET", path: "/containers/{id}/logs", handle: bound(sendLogs) },
    { method: "GET", path: "/containers/{id}/changes", handle: bound(changes) },
    { method: "GET", path: "/containers/{id}/export", handle: bound(exportFiles) },
    { method: "HEAD", path: "/containers/{id}/archive", handle: bound(statPath) },
    { method: "GET", path: "/containers/{id}/archive", handle: bound(readArchive) },
    { method: "PUT", path: "/containers/{id}/archive", handle: bound(extractArchive) },
    { method: "POST", path: "/commit", handle: bound(commit) },
    { method: "GET", path: "/containers/{id}/stats", handle: bound(stats) },
    { method: "GET", path: "/containers/{id}/attach/ws", handle: bound(attachByWebSocket), hijacks: true },
    { method: "POST", path: "/containers/{id}/attach", handle: bound(attach), hijacks: true },
    { method: "POST", path: "/containers/{id}/wait", handle: bound(wait) },
    { method: "POST", path: "/containers/{id}/resize", handle: bound(resize) },
    { method: "POST", path: "/containers/{id}/update", handle: bound(update) },
    { method: "DELETE", path: "/containers/{id}", handle: bound(remove) },
    act("start", ({ name }) => containers.start(name)),
    act("stop", ({ name, query }) => containers.stop(name, stopOptions(query))),
    act("restart", ({ name, query }) => containers.restart(name, stopOptions(query))),
    act("kill", ({ name, query }) => containers.kill(name, stringOf(query, "signal"))),
    act("pause", ({ name }) => containers.pause(name)),
    act("unpause", ({ name }) => containers.unpause(name)),
    act("rename", ({ name, query }) => containers.rename(name, newNameOf(query))),
  ];
}

async function list(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { query, minor } = exchange;
  const found = await containers.list({
    all: booleanOf(query, "all"),
    limit: Math.max(0, integerOf(query, "limit") ?? 0),
    size: booleanOf(query, "size"),
    filters: filtersOf(query),
  });
  exchange.json(200, downgradeSummaries(found, minor));
}

async function create(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { query, minor } = exchange;
  const body = await exchange.body(createBody);
  if (body === undefined) throw invalidParameter("invalid JSON: got EOF while reading request body");
  const { HostConfig: ownHostConfig, NetworkingConfig: ownNetworking, ...ownConfig } = body;
  if (Object.keys(ownConfig).length === 0)
    throw invalidParameter("config cannot be empty in order to create a container");
  upgradeCreateBody(body, minor);
  const { HostConfig: hostConfig = {}, NetworkingConfig: networkingConfig, ...config } = body;
  const created = await containers.create({
    name: stringOf(query, "name"),
    platform: platformOf(stringOf(query, "platform"), minor, 41),
    config,
    hostConfig,
    networkingConfig,
  });
  exchange.json(201, created);
}

async function inspect(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const container = await containers.inspect(exchange.name, { size: booleanOf(exchange.query, "size") });
  exchange.json(200, downgradeInspect(container, exchange.minor));
}

async function top(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  exchange.json(200, await containers.top(exchange.name, stringOf(exchange.query, "ps_args") ?? "-ef"));
}

async function resize(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  await containers.resize(exchange.name, sizeOf(exchange.query));
  exchange.empty(200);
}

async function update(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  exchange.json(200, await containers.update(exchange.name, (await exchange.body(updateBody)) ?? {}));
}

async function remove(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { query } = exchange;
  const options = { force: booleanOf(query, "force"), volumes: booleanOf(query, "v"), link: booleanOf(query, "link") };
  await containers.remove(exchange.name, options);
  exchange.empty(204);
}

async function prune(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { deleted, spaceReclaimed } = await containers.prune(filtersOf(exchange.query));
  exchange.json(200, { ContainersDeleted: deleted, SpaceReclaimed: spaceReclaimed });
}

async function changes(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const found = await containers.diff(exchange.name, exchange.clientGone);
  exchange.json(200, found.length === 0 ? null : found);
}

async function exportFiles(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  let client: ClientStream | undefined;
  const take = async (piece: Uint8Array) => {
    client ??= exchange.stream("application/octet-stream");
    if (!(await client.write(piece))) throw new ClientGone();
  };
  await containers.export(exchange.name, take, exchange.clientGone);
  client?.end();
}

/** The path in the query; a container's files have no other address. */
function pathOf({ query }: Exchange): string {
  const path = query.get("path");
  if (!path) throw invalidParameter("bad parameter: pathcannot be empty");
  return path;
}

const statHeader = (stat: ContainerPathStat) => ({
  "X-Docker-Container-Path-Stat": Buffer.from(JSON.stringify(stat)).toString("base64"),
});

async function statPath(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  exchange.empty(200, statHeader(await containers.statPath(exchange.name, pathOf(exchange))));
}

async function readArchive(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  let client: ClientStream | undefined;
  const begin = (stat: ContainerPathStat) => {
    client = exchange.stream("application/x-tar", 200, statHeader(stat));
  };
  const take = async (piece: Uint8Array) => {
    if (!(await client!.write(piece))) throw new ClientGone();
  };
  await containers.readArchive(exchange.name, pathOf(exchange), begin, take, exchange.clientGone);
  client?.end();
}

async function extractArchive(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { query, request, clientGone } = exchange;
  await containers.extractArchive(exchange.name, {
    path: pathOf(exchange),
    noOverwriteDirNonDir: booleanOf(query, "noOverwriteDirNonDir"),
    copyUIDGID: booleanOf(query, "copyUIDGID"),
    source: readStream(request),
    signal: clientGone,
  });
  exchange.empty(200);
}

async function commit(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { query, clientGone } = exchange;
  const { HostConfig: _, NetworkingConfig: __, ...config } = (await exchange.body(createBody)) ?? {};
  const name = stringOf(query, "container");
  if (name === undefined) throw invalidParameter('invalid name or ID supplied: ""');
  const Id = await containers.commit(name, {
    repo: stringOf(query, "repo") ?? "",
    tag: stringOf(query, "tag") ?? "",
    comment: stringOf(query, "comment") ?? "",
    author: stringOf(query, "author") ?? "",
    pause: booleanOf(query, "pause", true),
    changes: query.getAll("changes"),
    ...(Object.keys(config).length === 0 ? {} : { config }),
    signal: clientGone,
  });
  exchange.json(201, { Id });
}

const conditions = ["not-running", "next-exit", "removed"] as const;

async function wait(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { query, name, minor } = exchange;
  const wanted = (minor >= 30 && stringOf(query, "condition")) || "not-running";
  const condition = conditions.find((each) => each === wanted);
  if (condition === undefined) throw invalidParameter(`invalid condition: ${JSON.stringify(wanted)}`);
  containers.find(name);
  // The wait is on before the status leaves: clients start the container when they see it.
  const ended = containers.wait(name, condition, exchange.clientGone);
  if (minor < 30) {
    exchange.json(200, await ended);
    return;
  }
  const client = exchange.stream("application/json");
  try {
    await client.write(`${JSON.stringify(await ended)}\n`);
    client.end();
  } catch (error) {
    if (!client.gone.aborted) throw error;
  }
}

async function stats(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { query, name } = exchange;
  containers.find(name);
  const options = {
    stream: booleanOf(query, "stream", true),
    oneShot: booleanOf(query, "one-shot"),
    signal: exchange.clientGone,
  };
  const client = exchange.stream("application/json");
  for await (const snapshot of containers.stats(name, options)) {
    if (!(await client.write(`${JSON.stringify(snapshot)}\n`))) break;
  }
  client.end();
}

async function attach(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const attachment = await containers.attach(exchange.name, attachOptions(exchange.query));
  const client = exchange.takeOver(streamType(attachment.tty, exchange.minor));
  await joinStreams(client, attachment, !attachment.tty);
}

async function attachByWebSocket(containers: ContainersRoom, exchange: Exchange): Promise<void> {
  const { upgrade, request } = exchange;
  if (!upgrade) throw invalidParameter("not websocket protocol");
  const answer = handshake(request);
  const attachment = await containers.attach(exchange.name, attachOptions(exchange.query));
  exchange.markAnswered();
  upgrade.socket.write(answer);
  const stream = webSocketStream(upgrade.socket, upgrade.head);
  await joinStreams(new ClientStream(stream, stream), attachment, false);
}

function attachOptions(query: URLSearchParams): AttachOptions {
  return {
    stdin: booleanOf(query, "stdin"),
    stdout: booleanOf(query, "stdout"),
    stderr: booleanOf(query, "stderr"),
    stream: booleanOf(query, "stream"),
    logs: booleanOf(query, "logs"),
    detachKeys: stringOf(query, "detachKeys"),
  };
}

function stopOptions(query: URLSearchParams): { signal?: string; timeoutSeconds?: number } {
  return { signal: stringOf(query, "signal"), timeoutSeconds: integerOf(query, "t") };
}

/** `h` and `w`, in characters. */
export function sizeOf(query: URLSearchParams): { height: number; width: number } {
  return { height: requiredIntegerOf(query, "h"), width: requiredIntegerOf(query, "w") };
}

function newNameOf(query: URLSearchParams): string {
  const name = stringOf(query, "name");
  if (name === undefined) throw invalidParameter("Neither old nor new names may be empty");
  return name;
}
