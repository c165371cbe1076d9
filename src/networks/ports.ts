/** Which ports of the host lead to which ports of a container, and holding them so that nobody else takes them. */
import { closeSync, readFileSync } from "node:fs";
import { hasIpv6, holdPort, type TransportProtocol } from "../kernel/sockets.ts";
import { invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import type { ContainerConfig, HostConfig, PortBinding, PortMap } from "../wire/engine-api.ts";
import { addressBytes } from "./addresses.ts";
import { proxyPort } from "./proxy.ts";
import type { PublishedPort } from "./record.ts";

/** What was asked for: one port of a container, on any port of the host between two. */
export interface PublishRequest {
  protocol: TransportProtocol;
  containerPort: number;
  /** "" for every address of both families. */
  hostAddress: string;
  /** 0 for any free port. */
  firstHostPort: number;
  lastHostPort: number;
}

/** A key of a PortMap: `80`, `80/tcp`. Throws Docker's sentence. */
export function parsePort(text: string): { port: number; protocol: TransportProtocol } {
  const [portText = "", protocol = "tcp", ...rest] = text.split("/");
  const port = portNumber(portText);
  if (rest.length > 0 || !isProtocol(protocol))
    throw invalidParameter(`invalid proto: ${text.slice(portText.length + 1)}`);
  if (port === 0) throw invalidParameter(`invalid port specification: ${JSON.stringify(portText)}`);
  return { port, protocol };
}

/** The ports a container asks for, in the order of its configuration. Throws Docker's sentences. */
export function publishRequests(config: ContainerConfig, hostConfig: HostConfig): PublishRequest[] {
  const requests: PublishRequest[] = [];
  const add = (key: string, bindings: PortBinding[]) => {
    const { port, protocol } = parsePort(key);
    for (const { HostIp = "", HostPort = "" } of bindings) {
      const hostAddress = HostIp.replace(/^\[(.*)\]$/, "$1");
      if (hostAddress !== "" && addressBytes(hostAddress) === undefined)
        throw invalidParameter(`invalid IP address: ${HostIp}`);
      const [first = "", last = first, ...rest] = HostPort === "" ? ["0"] : HostPort.split("-");
      const firstHostPort = portNumber(first, HostPort);
      const lastHostPort = portNumber(last, HostPort);
      if (rest.length > 0 || lastHostPort < firstHostPort)
        throw invalidParameter(`invalid port specification: ${JSON.stringify(HostPort)}`);
      requests.push({ protocol, containerPort: port, hostAddress, firstHostPort, lastHostPort });
    }
  };
  const bound = hostConfig.PortBindings ?? {};
  for (const [key, bindings] of Object.entries(bound))
    add(key, bindings === null || bindings.length === 0 ? [{}] : bindings);
  if (hostConfig.PublishAllPorts === true)
    for (const key of Object.keys(config.ExposedPorts ?? {})) if (!Object.hasOwn(bound, key)) add(key, [{}]);
  return requests;
}

/** The API's form of published ports and of those that are only exposed. */
export function portMap(ports: PublishedPort[], exposed: string[]): PortMap {
  const map: PortMap = {};
  for (const key of exposed) map[key] = null;
  for (const { protocol, containerPort, hostAddress, hostPort } of ports)
    (map[`${containerPort}/${protocol}`] ??= []).push({ HostIp: hostAddress, HostPort: String(hostPort) });
  return map;
}

/** Ports held for one container. */
export interface HeldPorts {
  ports: PublishedPort[];
  release(): void;
}

/** All ports this daemon holds on the host. */
export class PortTable {
  /** Addresses held, by `tcp/80`. */
  readonly #held = new Map<string, string[]>();
  readonly #ipv6 = hasIpv6();
  readonly #random: { first: number; last: number };
  readonly #publishAddress: string;
  #lastRandom: number;

  constructor(publishAddress: string) {
    this.#publishAddress = publishAddress === "0.0.0.0" ? "" : publishAddress;
    this.#random = localPortRange();
    this.#lastRandom = this.#random.first - 1;
  }

  /**
   * Takes ports of the host for a container at `containerAddress`; all or none.
   * Throws Docker's sentences, without the words that name the endpoint.
   */
  hold(requests: PublishRequest[], containerAddress: string): HeldPorts {
    const held = new Holding();
    try {
      for (const request of requests) this.#holdOne(request, containerAddress, held);
      return held;
    } catch (error) {
      held.release();
      throw error;
    }
  }

  /** Takes the ports of a container that is already running. What somebody else took meanwhile is told to `onLost`. */
  holdAgain(
    ports: PublishedPort[],
    containerAddress: string,
    onLost: (port: PublishedPort, reason: string) => void,
  ): HeldPorts {
    const held = new Holding();
    for (const port of ports)
      try {
        held.add(port, this.#take(port, containerAddress));
      } catch (error) {
        held.add(port, () => {});
        onLost(port, messageOf(error));
      }
    return held;
  }

  #holdOne(request: PublishRequest, containerAddress: string, held: Holding): void {
    const { protocol, containerPort } = request;
    const address = request.hostAddress === "" ? this.#publishAddress : request.hostAddress;
    const addresses = address !== "" ? [address] : this.#ipv6 ? ["0.0.0.0", "::"] : ["0.0.0.0"];
    let failure: unknown;
    for (const hostPort of this.#candidates(request)) {
      const ports = addresses.map((hostAddress) => ({ protocol, containerPort, hostAddress, hostPort }));
      const taken: (() => void)[] = [];
      try {
        for (const port of ports) taken.push(this.#take(port, containerAddress));
        for (const [index, port] of ports.entries()) held.add(port, taken[index]!);
        return;
      } catch (error) {
        for (const release of taken) release();
        failure ??= error;
        if (!(error instanceof PortTaken)) break;
      }
    }
    throw failure ?? systemError("all ports are allocated");
  }

  *#candidates({ firstHostPort, lastHostPort }: PublishRequest): Generator<number> {
    if (firstHostPort !== 0) {
      for (let port = firstHostPort; port <= lastHostPort; port++) yield port;
      return;
    }
    const { first, last } = this.#random;
    for (let tried = first; tried <= last; tried++) {
      if (++this.#lastRandom > last) this.#lastRandom = first;
      yield this.#lastRandom;
    }
  }

  /** Takes one port and returns what gives it back. */
  #take(port: PublishedPort, containerAddress: string): () => void {
    const { protocol, hostAddress, hostPort, containerPort } = port;
    const key = `${protocol}/${hostPort}`;
    const bytes = addressBytes(hostAddress)!;
    const others = this.#held.get(key) ?? [];
    if (others.some((other) => collide(other, hostAddress)))
      throw new PortTaken(`Bind for ${hostAddress}:${hostPort} failed: port is already allocated`);
    let close: () => void;
    try {
      if (bytes.length === 16 && protocol === "tcp")
        close = proxyPort(hostAddress, hostPort, containerAddress, containerPort);
      else {
        const fd = holdPort(protocol, bytes, hostPort);
        close = () => closeSync(fd);
      }
    } catch (error) {
      const shown = bytes.length === 16 ? `[${hostAddress}]` : hostAddress;
      const code = (error as { code?: string }).code ?? "";
      const reason = reasons[code] ?? messageOf(error);
      const sentence = `failed to bind host port for ${shown}:${hostPort}:${containerAddress}:${containerPort}/${protocol}: ${reason}`;
      throw code === "EADDRINUSE" ? new PortTaken(sentence) : systemError(sentence, error);
    }
    this.#held.set(key, [...others, hostAddress]);
    return () => {
      close();
      const left = (this.#held.get(key) ?? []).filter((other) => other !== hostAddress);
      if (left.length === 0) this.#held.delete(key);
      else this.#held.set(key, left);
    };
  }
}

/** A port that is taken, where another one of a range may be free. */
class PortTaken extends Error {}

class Holding implements HeldPorts {
  readonly ports: PublishedPort[] = [];
  #release: (() => void)[] = [];

  add(port: PublishedPort, release: () => void): void {
    this.ports.push(port);
    this.#release.push(release);
  }

  release(): void {
    const release = this.#release;
    this.#release = [];
    for (const one of release) one();
  }
}

/** Go's words, which Docker shows. */
const reasons: Record<string, string> = {
  EADDRINUSE: "address already in use",
  EADDRNOTAVAIL: "cannot assign requested address",
  EACCES: "permission denied",
  EAFNOSUPPORT: "address family not supported by protocol",
  E93: "protocol not supported",
  E94: "socket type not supported",
};

function collide(a: string, b: string): boolean {
  if (a === b) return true;
  if (a.includes(":") !== b.includes(":")) return false;
  return [a, b].some((address) => address === "0.0.0.0" || address === "::");
}

function isProtocol(text: string): text is TransportProtocol {
  return text === "tcp" || text === "udp" || text === "sctp";
}

function portNumber(text: string, shown = text): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : Number.NaN;
  if (!(port <= 65535)) throw invalidParameter(`invalid port specification: ${JSON.stringify(shown)}`);
  return port;
}

/** Where Docker looks for random ports too. */
function localPortRange(): { first: number; last: number } {
  const [first, last] = readFileSync("/proc/sys/net/ipv4/ip_local_port_range", "utf8").trim().split(/\s+/).map(Number);
  return { first: first ?? 32768, last: last ?? 60999 };
}
