/** The places where the API is served: unix sockets, TCP with and without TLS, and sockets that systemd hands over. */
import { chmodSync, chownSync, lstatSync, mkdirSync, readFileSync, rmSync } from "node:fs";
import type { Server } from "node:http";
import { connect, createServer as createNetServer, type Server as NetServer, type Socket } from "node:net";
import { dirname, join } from "node:path";
import { invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import type { Api, TlsContext } from "./server.ts";

const firstPassedFd = 3;
const defaultPort = 2375;
const defaultTlsPort = 2376;
const defaultGroup = "docker";
const socketMode = 0o660;
/** How long answers that are on their way get when the daemon stops. */
const closePatienceMs = 500;

export interface ListenOptions {
  /** Owner group of unix sockets; by name or number. */
  group: string;
  /** For tcp; plain where undefined. Files in PEM. `verify` asks clients for a certificate that `caFile` has signed. */
  tls?: { certFile: string; keyFile: string; caFile?: string; verify: boolean };
  /** The daemon's run root; sockets that systemd hands over need one of our own there. */
  runRoot: string;
  log: { info(message: string): void; warn(message: string): void };
}

export interface Listening {
  /** As given, with the port filled in where it was 0. */
  hosts: string[];
  /** Takes no more requests, waits a little for those under way, then hangs up. Removes its unix sockets. */
  close(): Promise<void>;
}

/**
 * Serves `api` at every one of `hosts` (`unix://`, `tcp://`, `fd://`). Throws, and serves none, where one of them
 * cannot be: invalidParameter for one that is no host, system for one that is taken.
 */
export async function listen(api: Api, hosts: string[], options: ListenOptions): Promise<Listening> {
  const listeners: Listener[] = [];
  try {
    for (const host of hosts) {
      const opened = await open(api, host, options);
      listeners.push(...opened);
      for (const { host } of opened) options.log.info(`API listen on ${host.replace(/^unix:\/\//, "")}`);
    }
  } catch (error) {
    await closeAll(listeners, 0);
    throw error;
  }
  return { hosts: listeners.map(({ host }) => host), close: () => closeAll(listeners, closePatienceMs) };
}

interface Listener {
  host: string;
  close(patienceMs: number): Promise<void>;
}

async function closeAll(listeners: Listener[], patienceMs: number): Promise<void> {
  await Promise.all(listeners.map((listener) => listener.close(patienceMs)));
}

async function open(api: Api, host: string, options: ListenOptions): Promise<Listener[]> {
  const [scheme, rest] = splitHost(host);
  switch (scheme) {
    case "unix":
      return [await openUnix(api, rest || "/run/brig/brig.sock", options)];
    case "tcp":
      return [await openTcp(api, rest, options)];
    case "fd":
      return openPassed(api, rest, options);
    default:
      throw invalidParameter(`invalid bind address format: ${host}`);
  }
}

function splitHost(host: string): [scheme: string, rest: string] {
  const colon = host.indexOf("://");
  if (colon >= 0) return [host.slice(0, colon), host.slice(colon + 3)];
  return host.startsWith("/") ? ["unix", host] : ["tcp", host];
}

async function openUnix(api: Api, path: string, options: ListenOptions): Promise<Listener> {
  mkdirSync(dirname(path), { recursive: true });
  await removeStale(path);
  const gid = groupId(options);
  const server = api.createServer();
  await bind(server, path);
  if (gid !== undefined) chownSync(path, 0, gid);
  chmodSync(path, socketMode);
  const inode = lstatSync(path).ino;
  return {
    host: `unix://${path}`,
    async close(patienceMs) {
      await stop(server, patienceMs);
      // Another daemon may have put its own there meanwhile.
      if (lstatSync(path, { throwIfNoEntry: false })?.ino === inode) rmSync(path, { force: true });
    },
  };
}

/** Listens at `path`, for root alone. */
async function bind(server: Server, path: string): Promise<void> {
  // The bind happens within the call, and nobody may connect before the owner is set.
  const umask = process.umask(0o177);
  let listening: Promise<void>;
  try {
    listening = started(server, path);
    server.listen(path);
  } finally {
    process.umask(umask);
  }
  await listening;
}

/** Makes room for a socket. Throws where something else stands there, or somebody answers. */
async function removeStale(path: string): Promise<void> {
  const found = lstatSync(path, { throwIfNoEntry: false });
  if (!found) return;
  if (!found.isSocket()) throw systemError(`can't create unix socket ${path}: the path exists and is no socket`);
  if (await answers(path)) throw systemError(`can't create unix socket ${path}: another daemon listens there`);
  rmSync(path, { force: true });
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(path);
    probe.once("connect", () => {
      probe.destroy();
      resolve(true);
    });
    probe.once("error", () => resolve(false));
  });
}

/** The group's number; undefined where the default group does not exist, which is no fault. */
function groupId({ group, log }: ListenOptions): number | undefined {
  if (group === "") return undefined;
  if (/^\d+$/.test(group)) return Number(group);
  for (const line of readFileSync("/etc/group", "utf8").split("\n")) {
    const [name, , gid] = line.split(":");
    if (name === group && gid) return Number(gid);
  }
  if (group !== defaultGroup) throw invalidParameter(`group ${group} not found`);
  log.warn(`could not change group of the socket to ${group}: group ${group} not found`);
  return undefined;
}

async function openTcp(api: Api, address: string, { tls, log }: ListenOptions): Promise<Listener> {
  const { hostname, port } = parseAddress(address, tls ? defaultTlsPort : defaultPort);
  if (!tls)
    log.warn(
      `Binding to IP address ${hostname}:${port} without --tlsverify is insecure and gives root access on this machine to everyone who has access to your network.`,
    );
  const server = api.createServer(tls && readTls(tls));
  const listening = started(server, address);
  server.listen(port, hostname);
  await listening;
  const bound = server.address();
  const shown = hostname.includes(":") ? `[${hostname}]` : hostname;
  return {
    host: `tcp://${shown}:${typeof bound === "object" ? bound?.port : port}`,
    close: (patienceMs) => stop(server, patienceMs),
  };
}

function parseAddress(address: string, otherwise: number): { hostname: string; port: number } {
  const parts = /^(?:\[([^\]]*)\]|([^:/]*))(?::(\d{1,5}))?\/?$/.exec(address);
  const port = Number(parts?.[3] ?? otherwise);
  if (!parts || port > 65_535) throw invalidParameter(`invalid bind address format: tcp://${address}`);
  return { hostname: parts[1] || parts[2] || "127.0.0.1", port };
}

function readTls({ certFile, keyFile, caFile, verify }: NonNullable<ListenOptions["tls"]>): TlsContext {
  try {
    return {
      cert: readFileSync(certFile),
      key: readFileSync(keyFile),
      ca: verify && caFile ? readFileSync(caFile) : undefined,
      requestCert: verify,
      rejectUnauthorized: verify,
    };
  } catch (error) {
    throw systemError(`could not read TLS files: ${messageOf(error)}`, error);
  }
}

/** Sockets that systemd opened (sd_listen_fds(3)): all of them, or the one of that number or name. */
async function openPassed(api: Api, wanted: string, { runRoot }: ListenOptions): Promise<Listener[]> {
  const { LISTEN_PID: pid, LISTEN_FDS: count = "0", LISTEN_FDNAMES: names = "" } = process.env;
  const passed = pid === String(process.pid) ? Number(count) : 0;
  const nameOf = names.split(":");
  const fds = Array.from({ length: passed }, (_, index) => firstPassedFd + index).filter(
    (fd) => wanted === "" || wanted === "*" || wanted === String(fd) || wanted === nameOf[fd - firstPassedFd],
  );
  if (fds.length === 0)
    throw systemError(
      passed === 0
        ? "no sockets found via socket activation: make sure the service was started by systemd"
        : `failed to find systemd socket ${wanted}`,
    );
  return Promise.all(fds.map((fd) => openFd(api, fd, runRoot)));
}

/**
 * Bun's HTTP server takes no descriptors, its net server does; and HTTP on connections handed over by the latter loses
 * what follows an upgrade. So each connection is carried on to a private socket that HTTP listens on.
 */
async function openFd(api: Api, fd: number, runRoot: string): Promise<Listener> {
  const path = join(runRoot, `api-fd${fd}.sock`);
  mkdirSync(runRoot, { recursive: true });
  await removeStale(path);
  const http = api.createServer();
  const connections = new Set<Socket>();
  const doorway = createNetServer({ allowHalfOpen: true }, (client) => {
    connections.add(client);
    client.once("close", () => connections.delete(client));
    carry(client, connect({ path, allowHalfOpen: true }));
  });
  await bind(http, path);
  const listening = started(doorway, `fd://${fd}`);
  doorway.listen({ fd });
  await listening;
  return {
    host: `fd://${fd}`,
    async close(patienceMs) {
      doorway.close();
      await stop(http, patienceMs);
      for (const client of connections) client.destroy();
      rmSync(path, { force: true });
    },
  };
}

/** Joins two connections, each half by itself. */
function carry(one: Socket, other: Socket): void {
  one.pipe(other);
  other.pipe(one);
  for (const [from, to] of [
    [one, other],
    [other, one],
  ] as const) {
    from.on("error", () => {});
    from.once("close", () => to.destroySoon());
  }
}

function started(server: NetServer, where: string): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once("listening", resolve);
    server.once("error", (error) => reject(systemError(`failed to listen on ${where}: ${error.message}`, error)));
  });
}

async function stop(server: Server, patienceMs: number): Promise<void> {
  const closed = new Promise<void>((resolve) => server.close(() => resolve()));
  server.closeIdleConnections();
  await Promise.race([closed, Bun.sleep(patienceMs)]);
  server.closeAllConnections();
}
