/** Which ports of the host lead to which ports of a container, and holding them so that nobody else takes them. */
import { closeSync, readFileSync } from "node:fs";
import { hasIpv6, holdPort, type TransportProtocol } from "../kernel/sockets.ts";
import { invalidParameter, messageOf, systemError } from "../lib/errors.ts";
import type { ContainerConfig, HostConfig, PortBinding, PortMap } from "../wire/engine-api.ts";
import { addressBytes } from "./addresses.ts";
import { type PassedOnPort, proxyPort, proxyUdpPort } from "./proxy.ts";
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
    (map[`${containerPort}/${protocol}`] ??= []).push({
      HostIp: hostAddress,
      // Where the container is reached at its own address there is none.
      HostPort: hostPort === 0 ? "" : String(hostPort),
    });
  return map;
}

/** A port of the host, held for a container. */
export interface HeldPort {
  port: PublishedPort;
  /** Ends no connection that goes through the daemon. Idempotent. */
  release(): void;
  /** The same when the container is gone: ends them. Idempotent. */
  end(): void;
}

const heldNowhere = { release: () => {}, end: () => {} };

/** Where published ports lead to. */
export interface PortTarget {
  v4: string | undefined;
  v6: string | undefined;
  /** Address of the host for ports that name none; undefined: what the daemon's configuration says. */
  hostBinding: string | undefined;
  /** Families in which the container is reached at its own address: there no port of the host is taken. */
  routed: { v4: boolean; v6: boolean };
}

/** All ports this daemon holds on the host. */
export class PortTable {
  /** Addresses held, by `tcp/80`. */
  readonly #held = new Map<string, string[]>();
  readonly #ipv6 = hasIpv6();
  readonly #random: { first: number; last: number };
  readonly #publishAddress: string;
  readonly #warn: (message: string) => void;
  #lastRandom: number;

  /** `warn` is told of what goes wrong after a port was taken. */
  constructor(publishAddress: string, warn: (message: string) => void) {
    this.#publishAddress = publishAddress;
    this.#warn = warn;
    this.#random = localPortRange();
    this.#lastRandom = this.#random.first - 1;
  }

  /**
   * Takes ports of the host for a container; all or none.
   * Throws Docker's sentences, without the words that name the endpoint.
   */
  hold(requests: PublishRequest[], target: PortTarget): HeldPort[] {
    const held: HeldPort[] = [];
    try {
      for (const request of requests) held.push(...this.#holdOne(request, target));
      return held;
    } catch (error) {
      for (const { release } of held) release();
      throw error;
    }
  }

  /** Takes the ports of a container that is already running. What somebody else took meanwhile is told to `onLost`. */
  holdAgain(
    ports: PublishedPort[],
    target: PortTarget,
    onLost: (port: PublishedPort, reason: string) => void,
  ): HeldPort[] {
    return ports.map((port) => {
      try {
        return this.#take(port, target);
      } catch (error) {
        onLost(port, messageOf(error));
        return { port, ...heldNowhere };
      }
    });
  }

  #holdOne(request: PublishRequest, target: PortTarget): HeldPort[] {
    const { protocol, containerPort } = request;
    const addresses = this.#hostAddresses(request.hostAddress, target);
    let failure: unknown;
    for (const hostPort of this.#candidates(request)) {
      const taken: HeldPort[] = [];
      try {
        for (const hostAddress of addresses)
          taken.push(this.#take({ protocol, containerPort, hostAddress, hostPort }, target));
        return taken;
      } catch (error) {
        for (const { release } of taken) release();
        failure ??= error;
        if (!(error instanceof PortTaken)) break;
      }
    }
    throw failure ?? systemError("all ports are allocated");
  }

  /** The addresses of the host a port is published on; of families the container does not have, those that can be passed on. */
  #hostAddresses(asked: string, { v4, hostBinding }: PortTarget): string[] {
    const address = asked || hostBinding || this.#publishAddress;
    if (address !== "" && !(address === "0.0.0.0" && asked === "")) return [address];
    return [...(v4 === undefined ? [] : ["0.0.0.0"]), ...(this.#ipv6 ? ["::"] : [])];
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

  /** Takes one port. Throws PortTaken where somebody has it. */
  #take(port: PublishedPort, { v4, v6, routed }: PortTarget): HeldPort {
    const { protocol, hostAddress, hostPort, containerPort } = port;
    const six = hostAddress.includes(":");
    if (six ? routed.v6 : routed.v4) return { port: { ...port, hostPort: 0 }, ...heldNowhere };
    const key = `${protocol}/${hostPort}`;
    const others = this.#held.get(key) ?? [];
    if (others.some((other) => collide(other, hostAddress)))
      throw new PortTaken(`Bind for ${hostAddress}:${hostPort} failed: port is already allocated`);
    const containerAddress = (six ? (v6 ?? v4) : (v4 ?? v6)) ?? "";
    const isPassedOn = six || containerAddress.includes(":");
    let passedOn: PassedOnPort;
    try {
      if (isPassedOn && protocol === "tcp" && containerAddress !== "")
        passedOn = proxyPort(hostAddress, hostPort, containerAddress, containerPort);
      else if (isPassedOn && protocol === "udp" && containerAddress !== "")
        passedOn = proxyUdpPort(hostAddress, hostPort, containerAddress, containerPort, (error) =>
          this.#warn(`[${hostAddress}]:${hostPort}/udp is published, but cannot be served: ${messageOf(error)}`),
        );
      else {
        const fd = holdPort(protocol, addressBytes(hostAddress)!, hostPort);
        const release = () => closeSync(fd);
        passedOn = { release, end: release };
      }
    } catch (error) {
      const shown = six ? `[${hostAddress}]` : hostAddress;
      const code = (error as { code?: string }).code ?? "";
      const reason = reasons[code] ?? messageOf(error);
      const sentence = `failed to bind host port for ${shown}:${hostPort}:${containerAddress}:${containerPort}/${protocol}: ${reason}`;
      throw code === "EADDRINUSE" ? new PortTaken(sentence) : systemError(sentence, error);
    }
    this.#held.set(key, [...others, hostAddress]);
    let isHeld = true;
    const giveBack = () => {
      isHeld = false;
      const left = (this.#held.get(key) ?? []).filter((other) => other !== hostAddress);
      if (left.length === 0) this.#held.delete(key);
      else this.#held.set(key, left);
    };
    return {
      port,
      release() {
        if (!isHeld) return;
        passedOn.release();
        giveBack();
      },
      end() {
        if (!isHeld) return;
        passedOn.end();
        giveBack();
      },
    };
  }
}

/** A port that is taken, where another one of a range may be free. */
class PortTaken extends Error {}

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
