/** The way from the source of a trace to one address, as a packet would go. */
import { Nftables } from "../../kernel/nftables.ts";
import { RTN_LOCAL, RTN_UNICAST } from "../../kernel/rtnetlink.ts";
import { forwards } from "../bridge.ts";
import { BridgeNetwork } from "../bridge-network.ts";
import type { KnownNetwork } from "../known-networks.ts";
import type { PublishedPort } from "../record.ts";
import type { Inside, Source, TraceContext } from "./context.ts";
import { judgeForwarded } from "./forward-rules.ts";
import type { TraceLog } from "./log.ts";
import { obstacles } from "./other-chains.ts";
import {
  familyOf,
  onNetworks,
  type Place,
  type RouteHere,
  routeHere,
  routeOrNone,
  type Surroundings,
  shownRoute,
  type TracedContainer,
  type TraceTools,
} from "./surroundings.ts";
import { type Target, withPort } from "./target.ts";
import { isFor, type Waiting, waiting } from "./waiting.ts";

/** By what a packet comes to the host: its own processes, a container's network, or another link. */
type Entry =
  | { kind: "own" }
  | { kind: "network"; network: KnownNetwork; address: string }
  | { kind: "link"; link: string; address: string };

const filterLeftAlone = "the daemon leaves the packet filter alone";

export class Way {
  readonly #tools: TraceTools;
  readonly #known: Surroundings;
  readonly #log: TraceLog;
  readonly #source: Source;
  readonly #target: Target;
  readonly #inside: Inside;

  constructor({ tools, known, log, source, target, inside }: TraceContext) {
    this.#tools = tools;
    this.#known = known;
    this.#log = log;
    this.#source = source;
    this.#target = target;
    this.#inside = inside;
  }

  /** Follows it; the log tells. */
  follow(address: string): undefined {
    if (this.#source.kind === "host") return this.#atHost(address, { kind: "own" });
    if (this.#source.kind === "outside") {
      const { link } = routeOrNone(this.#source.address);
      if (link !== "") return this.#atHost(address, { kind: "link", link, address: this.#source.address });
      return this.#log.stop({
        Kind: "source",
        Address: this.#source.address,
        Text: `the host has no route back to ${this.#source.address}`,
      });
    }
    const { container } = this.#source;
    if (container.sandbox === undefined) return this.#atHost(address, { kind: "own" });
    const route = this.#routeFrom(address, container);
    if (route === undefined) return;
    if (route.type === RTN_LOCAL) {
      this.#log.pass({
        Kind: "route",
        Address: address,
        Route: shownRoute(route),
        Text: `${address} is ${container.name} itself`,
      });
      this.#log.way = "by itself";
      const gateway = this.#known.hostAddressFor(container);
      const hint =
        address.startsWith("127.") && gateway !== undefined
          ? `brig network trace ${container.name} ${withPort(gateway, this.#target.port, this.#target.protocol)}`
          : "";
      return this.#listening(container.pid, container.name, address, this.#target.port, hint);
    }
    const place = this.#known.placeOf(container, route.link);
    this.#log.pass({
      Kind: "route",
      Address: address,
      Route: shownRoute(route),
      ...(place && { Network: place.network.name }),
      Text: `${container.name} sends from ${route.source || "no address"} by ${route.link}${place ? ` on network ${place.network.name}` : ""}${route.gateway === "" ? "" : ` to the gateway ${route.gateway}`}`,
    });
    const { work } = place?.network ?? {};
    if (place === undefined || !(work instanceof BridgeNetwork)) return this.#byForeignLink(address, place);
    const entry: Entry = { kind: "network", network: place.network, address: route.source };
    if (route.gateway !== "") {
      if (this.#known.isHost(route.gateway)) return this.#atHost(address, entry);
      return this.#log.unknown({
        Kind: "route",
        Address: route.gateway,
        Text: `${route.gateway} is not the host: what it does is not known`,
      });
    }
    if (this.#known.isHost(address)) return this.#atHost(address, entry);
    const owner = this.#known.ownerOf(address, place.network);
    if (owner !== undefined) return this.#within(place.network, work, owner, { source: route.source, address });
    if (!work.own)
      return this.#log.unknown({
        Kind: "bridge",
        Address: address,
        Text: `${address} may be somebody on ${work.link} whom Brig does not know`,
      });
    this.#log.stop({
      Kind: "bridge",
      Address: address,
      Network: place.network.name,
      Text: `nobody on network ${place.network.name} has the address ${address}`,
    });
  }

  #routeFrom(address: string, { name, networks }: TracedContainer): RouteHere | undefined {
    const refuse = (why: string, next: string) =>
      this.#log.stop({ Kind: "route", Address: address, Text: `${name} has no route to ${address}: ${why}` }, next);
    const owner = this.#known.ownerOf(address);
    const connect = `brig network connect ${owner === undefined ? "bridge" : owner.network.name} ${name}`;
    try {
      const route = this.#inside(() => routeHere(address));
      if (route.type === RTN_UNICAST || route.type === RTN_LOCAL) return route;
      refuse("its own routes refuse it", "");
    } catch {
      const known = networks.flatMap((network) => this.#tools.networks.lookUp(network) ?? []);
      if (known.every(({ driver }) => driver === "null"))
        refuse(
          `it is ${onNetworks(networks)}`,
          networks.includes("none") ? `brig network disconnect none ${name} && ${connect}` : connect,
        );
      else if (known.every(({ internal }) => internal))
        refuse(`it is ${onNetworks(networks)}, ${known.length === 1 ? "which is" : "which are"} internal`, connect);
      else if (address.includes(":") && !known.some(({ enableIPv6 }) => enableIPv6))
        refuse("none of its networks has IPv6", "brig network create --ipv6 …");
      else refuse("none of its networks leads there", "");
    }
    return undefined;
  }

  /** By a link of which Brig's host sees nothing: macvlan, ipvlan, or one that somebody else has put there. */
  #byForeignLink(address: string, place: Place | undefined): undefined {
    const owner = place && this.#known.ownerOf(address, place.network);
    this.#log.unknown({
      Kind: "bridge",
      Address: address,
      ...(place && { Network: place.network.name }),
      Text:
        place === undefined
          ? "the interface is none of Brig's"
          : `network ${place.network.name} (${place.network.driver}) passes by the host: Brig has no say`,
    });
    if (owner !== undefined) this.#atContainer(owner, address, this.#target.port);
  }

  /** From one container to another on the same bridge. */
  #within(
    network: KnownNetwork,
    work: BridgeNetwork,
    owner: Place,
    addresses: { source: string; address: string },
  ): undefined {
    const { protocol, port } = this.#target;
    const { source, address } = addresses;
    const name = owner.endpoint.containerName;
    const hop = { Kind: "bridge" as const, Network: network.name, Address: address, Name: name };
    const apart = "put both on a network of their own: brig network create app";
    if (work.isolated)
      this.#log.stop(
        { ...hop, Text: `${work.link} keeps containers of network ${network.name} from each other (icc=false)` },
        apart,
      );
    else {
      this.#log.pass({ ...hop, Text: `${name} is on the same bridge, ${work.link}` });
      const packet = { from: work.filtered, to: work.filtered, source, destination: address, port, translated: false };
      if (!work.filtered.icc) this.#filtered(packet, protocol, network.name, apart);
    }
    this.#log.way = `by network ${network.name} (${address})`;
    this.#atContainer(owner, address, port);
  }

  /** At the host, where a packet is its own, is led elsewhere, or is sent on. */
  #atHost(address: string, entry: Entry): undefined {
    const { port } = this.#target;
    const route = this.#hostRoute(address);
    if (route === undefined) return;
    if (route.type === RTN_LOCAL) {
      if (entry.kind !== "own" && (address.startsWith("127.") || address === "::1"))
        return this.#log.stop({
          Kind: "route",
          Address: address,
          Text: `${address} is whoever asks for it, and not the host`,
        });
      const led = port === undefined ? undefined : this.#publishedTo(address, entry);
      if (led !== undefined) return this.#throughPort(address, led, entry);
      const proxied = port === undefined ? undefined : this.#known.proxied(address, this.#target);
      if (proxied !== undefined) return this.#throughProxy(address, proxied, entry);
      this.#log.pass({
        Kind: "route",
        Address: address,
        Route: shownRoute(route),
        Text: `${address} is the host itself`,
      });
      this.#log.way = "at the host";
      if (entry.kind !== "own") this.#passOthers("input", address);
      if (this.#isPublishedElsewhere(address)) return;
      return this.#listening(process.pid, "the host", address, port, this.#otherPortHint());
    }
    const network = this.#tools.networks
      .all()
      .find(({ work }) => work instanceof BridgeNetwork && work.link === route.link);
    if (network === undefined) return this.#toOutside(address, entry, route);
    const place = this.#known.ownerOf(address, network);
    const hop = { Kind: "route" as const, Address: address, Network: network.name, Route: shownRoute(route) };
    if (place === undefined)
      return this.#log.stop({ ...hop, Text: `nobody on network ${network.name} has the address ${address}` });
    this.#log.pass({ ...hop, Text: `the host sends to ${network.name} by ${route.link}` });
    this.#log.way = `by network ${network.name} (${address})`;
    this.#toPlace(place, address, port, entry, false);
  }

  /** A published port, translated by the packet filter. */
  #throughPort(address: string, led: { address: string; port: number; map: string }, entry: Entry): undefined {
    const { protocol, port } = this.#target;
    const place = this.#known.ownerOf(led.address);
    const name = place?.endpoint.containerName ?? led.address;
    if (this.#tools.judged && entry.kind === "link") this.#passOthers("input", address);
    this.#log.pass({
      Kind: "port",
      Name: name,
      Address: led.address,
      Rule: { Table: this.#table, Chain: "publish", Rule: `dnat to … map @${led.map}` },
      Text: `port ${port}/${protocol} of the host is published: it leads to ${withPort(led.address, led.port)} of ${name}`,
    });
    this.#log.way = `by the published port ${port} (${withPort(led.address, led.port)} of ${name})`;
    if (place === undefined)
      return this.#log.stop({ Kind: "bridge", Address: led.address, Text: `nobody has the address ${led.address}` });
    this.#toPlace(place, led.address, led.port, entry, true);
  }

  /** A published port that the daemon passes on itself. It takes connections whoever listens. */
  #throughProxy(
    address: string,
    { place, published }: { place: Place; published: PublishedPort },
    entry: Entry,
  ): undefined {
    const to = this.#known.addressIn(place, place.endpoint.attachment?.v6 !== undefined);
    const name = place.endpoint.containerName;
    if (entry.kind !== "own") this.#passOthers("input", address);
    this.#log.isProofless = true;
    this.#log.pass({
      Kind: "port",
      Name: name,
      Address: to,
      Text: `port ${this.#target.port} of the host is published: the daemon passes on to ${withPort(to, published.containerPort)} of ${name}`,
    });
    this.#log.way = `by the published port ${this.#target.port} (${withPort(to, published.containerPort)} of ${name})`;
    this.#atContainer(place, to, published.containerPort);
  }

  /** Out of the host to a container's bridge. */
  #toPlace(place: Place, address: string, port: number | undefined, entry: Entry, translated: boolean): undefined {
    if (entry.kind !== "own") {
      if (!this.#forwards(address)) return;
      const to = place.network.work!.filtered!;
      const from = entry.kind === "network" ? entry.network.work!.filtered! : entry.link;
      const packet = { from, to, source: entry.address, destination: address, port, translated };
      this.#filtered(packet, this.#target.protocol, place.network.name, this.#crossHint(place, entry, port));
      this.#passOthers("forward", address);
    } else this.#passOthers("input", address, { answers: true });
    this.#atContainer(place, address, port);
  }

  #toOutside(address: string, entry: Entry, route: RouteHere): undefined {
    const by = `by ${route.link}${route.gateway === "" ? "" : ` to the gateway ${route.gateway}`}`;
    this.#log.pass({ Kind: "route", Address: address, Route: shownRoute(route), Text: `the host sends on ${by}` });
    this.#log.way = `${by} of the host (${address})`;
    if (entry.kind !== "own") {
      if (!this.#forwards(address)) return;
      const from = entry.kind === "network" ? entry.network.work!.filtered! : entry.link;
      const { port } = this.#target;
      const packet = { from, to: route.link, source: entry.address, destination: address, port, translated: false };
      this.#filtered(packet, this.#target.protocol, "", "");
      this.#passOthers("forward", address);
      if (entry.kind === "network") this.#masquerade(entry.network, address, route);
    }
    this.#log.unknown({
      Kind: "target",
      Address: address,
      Text: `${address} is not on this host: what happens there is not known to Brig`,
    });
  }

  #masquerade({ name, internal, work }: KnownNetwork, address: string, { source }: RouteHere): undefined {
    const { masquerade, sourceAddress, gatewayMode } = work!.filtered!;
    const version = address.includes(":") ? "v6" : "v4";
    if (internal || this.#tools.filter === undefined) return;
    const isHidden = gatewayMode[version].startsWith("nat") && masquerade[version];
    const shown = sourceAddress[version] ?? source;
    this.#log.add({
      Kind: "masquerade",
      Result: isHidden ? "pass" : "unknown",
      Network: name,
      ...(isHidden && { Address: shown }),
      Rule: {
        Table: this.#table,
        Chain: "routed",
        Rule: isHidden ? `iifname @masquerade${version[1]} masquerade` : "no masquerade",
      },
      Text: isHidden
        ? `it leaves under the host's address ${shown}`
        : `it leaves under the container's own address: others need a route back to network ${name}`,
    });
  }

  #filtered(
    packet: Omit<Parameters<typeof judgeForwarded>[0], "family" | "protocol">,
    protocol: Target["protocol"],
    network: string,
    next: string,
  ): undefined {
    const table = this.#tools.filter?.table;
    if (table === undefined)
      return this.#log.add({ Kind: "filter", Result: "pass", Text: `${filterLeftAlone}: nothing of Brig's drops it` });
    const family = familyOf(packet.destination);
    const { passes, chain, rule, reason } = judgeForwarded({ ...packet, family, protocol }, table);
    const hop = {
      Kind: "filter" as const,
      ...(network !== "" && { Network: network }),
      Rule: { Table: this.#table, Chain: chain, Rule: rule },
    };
    if (passes) this.#log.pass({ ...hop, Text: `the packet filter lets it pass: ${reason}` });
    else this.#log.stop({ ...hop, Text: `the packet filter drops it: ${reason}` }, next);
  }

  /**
   * Chains of others. Only what is certain to drop ends the way. `answers`: the packet is an answer, which rules usually
   * let pass.
   */
  #passOthers(hook: "forward" | "input", address: string, { answers = false } = {}): undefined {
    const family = familyOf(address);
    const nft = new Nftables();
    try {
      for (const { chain, certain, reason } of obstacles(nft, hook, family, this.#tools.filter?.table.table ?? "")) {
        const hop = {
          Kind: "filter" as const,
          Rule: { Table: chain.split(" ").slice(0, 2).join(" "), Chain: chain.split(" ")[2] ?? "", Rule: reason },
        };
        if (certain)
          this.#log.stop({ ...hop, Text: `the chain ${chain} drops ${answers ? "the answers" : "it"}: ${reason}` });
        else if (!answers) this.#log.unknown({ ...hop, Text: `the chain ${chain} may drop it: ${reason}` });
      }
    } finally {
      nft.close();
    }
  }

  #forwards(address: string): boolean {
    const family = familyOf(address);
    if (forwards(family)) return true;
    const setting = family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
    this.#log.stop(
      { Kind: "route", Text: `the host forwards nothing between its links: ${setting} is 0` },
      `sysctl -w ${setting}=1`,
    );
    return false;
  }

  get #table(): string {
    return `inet ${this.#tools.filter?.table.table ?? ""}`;
  }

  #atContainer({ endpoint }: Place, address: string, port: number | undefined): undefined {
    const container = this.#tools.find(endpoint.containerId);
    if (container === undefined || !this.#log.isAwake(container, "target")) return;
    this.#listening(container.pid, container.name, address, port, "");
  }

  /** Whether somebody waits at a port in the namespace of a process. */
  #listening(pid: number, name: string, address: string, port: number | undefined, next: string): undefined {
    if (port === undefined)
      return this.#log.pass({
        Kind: "target",
        Name: name,
        Address: address,
        Text: `${name} has the address ${address}`,
      });
    const { protocol } = this.#target;
    const found = waiting(pid, protocol);
    const atPort = found.filter((listener) => listener.port === port);
    const hop = { Kind: "listener" as const, Name: name, Address: address };
    const listener = atPort.find(isFor(address));
    if (listener !== undefined)
      return this.#log.pass({ ...hop, Text: `${name} listens on ${withPort(listener.text, port, protocol)}` });
    const others = [...new Set(found.filter(({ text }) => text !== "127.0.0.11").map((other) => other.port))].sort(
      (a, b) => a - b,
    );
    if (atPort.length > 0) {
      const places = [...new Set(atPort.map(({ text }) => text))].join(", ");
      return this.#log.stop(
        { ...hop, Text: `${name} listens on ${places} only, and not on ${address}` },
        `have ${name} listen on ${address.includes(".") ? "0.0.0.0" : "::"} port ${port}`,
      );
    }
    const listed = others.length === 0 ? "nor on any other" : `but on ${others.slice(0, 8).join(", ")}`;
    this.#log.stop({ ...hop, Text: `nobody listens on port ${port}/${protocol} of ${name}, ${listed}` }, next);
  }

  #hostRoute(address: string): RouteHere | undefined {
    try {
      const route = routeHere(address);
      if (route.type === RTN_LOCAL || route.type === RTN_UNICAST) return route;
    } catch {
      // None.
    }
    this.#log.stop({ Kind: "route", Address: address, Text: `the host has no route to ${address}` });
    return undefined;
  }

  #publishedTo(address: string, entry: Entry): { address: string; port: number; map: string } | undefined {
    const { protocol, port } = this.#target;
    // The table leaves these to whoever listens there.
    if (address === "::1" || (entry.kind !== "own" && address.startsWith("127."))) return undefined;
    return this.#tools.filter?.table.publishedTo(protocol, address, port!);
  }

  /** Whether the port is published, but not at this address of the host. That is the end then. */
  #isPublishedElsewhere(address: string): boolean {
    const { port, protocol } = this.#target;
    const found = this.#known
      .published()
      .filter(({ published }) => published.hostPort === port && published.protocol === protocol);
    const [first] = found;
    // What Brig itself has at `::` hears no IPv4.
    const isHeard = ({ text, port: at }: Waiting) =>
      at === port && isFor(address)({ text, port: at }) && !(text === "::" && familyOf(address) === 4);
    if (first === undefined || waiting(process.pid, protocol).some(isHeard)) return false;
    const { containerName } = first.place.endpoint;
    const places = found.map(({ published }) => published.hostAddress).join(", ");
    this.#log.stop(
      {
        Kind: "port",
        Name: containerName,
        Address: address,
        Text: `port ${port}/${protocol} of ${containerName} is published on ${places} only, and not on ${address}`,
      },
      `brig update --publish-add ${withPort(address, port)}:${first.published.containerPort} ${containerName}`,
    );
    return true;
  }

  /** Perhaps it is published as another port. */
  #otherPortHint(): string {
    const { port, protocol } = this.#target;
    const other = this.#known
      .published()
      .find(({ published }) => published.protocol === protocol && published.containerPort === port);
    return other === undefined
      ? ""
      : `port ${port} of ${other.place.endpoint.containerName} is published as port ${other.published.hostPort}`;
  }

  /** What helps where a container's own address is not reached. */
  #crossHint({ endpoint, network }: Place, entry: Entry, port: number | undefined): string {
    const { containerName } = endpoint;
    if (entry.kind === "network" && this.#source.kind === "container")
      return `brig network connect ${network.name} ${this.#source.container.name}`;
    const published = endpoint.publishing?.ports.find(({ containerPort }) => containerPort === port);
    if (published !== undefined) return `use port ${published.hostPort} of the host, which leads there`;
    return port === undefined || network.internal ? "" : `brig update --publish-add ${port}:${port} ${containerName}`;
  }
}
