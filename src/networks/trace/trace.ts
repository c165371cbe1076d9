/**
 * Whether and how one end reaches another, hop by hop. What Brig's own state and the kernel say is followed as a packet
 * would go; at the end the way is tried, because rules that are not Brig's are only known by that.
 */
import { closeSync } from "node:fs";
import { listeners } from "../../kernel/listeners.ts";
import { insideNetworkNamespace, openNetworkNamespace } from "../../kernel/namespaces.ts";
import { Nftables } from "../../kernel/nftables.ts";
import { type ChosenRoute, Netlink, RTN_LOCAL, RTN_UNICAST } from "../../kernel/rtnetlink.ts";
import { notFound } from "../../lib/errors.ts";
import type { Hop, TraceReport } from "../../wire/network-trace.ts";
import { addressBytes, addressOfBytes, formatAddress, parseAddress } from "../addresses.ts";
import { forwards } from "../bridge.ts";
import { BridgeNetwork } from "../bridge-network.ts";
import type { ContainerNames } from "../container-names.ts";
import { isPredefined } from "../definition.ts";
import { hostHostsFile } from "../files.ts";
import type { KnownNetwork, KnownNetworks } from "../known-networks.ts";
import type { Occupancy } from "../occupancy.ts";
import type { PacketFilter } from "../packet-filter.ts";
import type { Endpoint, PublishedPort } from "../record.ts";
import { type AttemptResult, attemptConnection, attemptEcho } from "./attempt.ts";
import { judgeForwarded } from "./forward-rules.ts";
import { obstacles } from "./other-chains.ts";
import { addressesInHosts, type Resolved, resolveElsewhere, resolveOnHost } from "./resolve.ts";
import { parseSource, parseTarget, type Target, withPort } from "./target.ts";

/** A container as a trace sees it. */
export interface TracedContainer {
  id: string;
  name: string;
  /** Docker's word for its state. */
  status: string;
  /** Its first process; 0 where it does not run. */
  pid: number;
  /** Whose networks it has: its own id, or that of another one (`container:X`); undefined: the host's. */
  sandbox: string | undefined;
  /** Networks it is on, or will be when it starts. */
  networks: string[];
  /** A file of its /etc; "" where it has none. */
  etc(name: "hosts" | "resolv.conf"): string;
}

/** What a trace looks at. */
export interface TraceTools {
  networks: KnownNetworks;
  names: ContainerNames;
  /** Of running containers, by id. */
  occupancies: ReadonlyMap<string, Occupancy>;
  /** Undefined where no network needs it, or it is left alone. */
  filter: PacketFilter | undefined;
  /** Whether the host's input rules decide about published ports. */
  judged: boolean;
  /** A container by name or id. */
  find: (nameOrId: string) => TracedContainer | undefined;
}

export interface TraceRequest {
  /** As parseSource() takes it. */
  from: string;
  /** As parseTarget() takes it. */
  to: string;
  /** Whether nothing is to be sent to the target. */
  passive: boolean;
}

/** Follows the way. Throws invalidParameter for what cannot be asked, notFound for a source that is no container. */
export function traceRoute(tools: TraceTools, request: TraceRequest): Promise<TraceReport> {
  const target = parseTarget(request.to);
  return new Trace(tools, sourceOf(tools, parseSource(request.from)), target, request.passive).run();
}

type Source =
  | { kind: "container"; container: TracedContainer }
  | { kind: "host" }
  | { kind: "outside"; address: string };

/** By what a packet comes to the host: its own processes, a container's network, or another link. */
type Entry =
  | { kind: "own" }
  | { kind: "network"; network: KnownNetwork; address: string }
  | { kind: "link"; link: string; address: string };

/** How a namespace sends to an address. */
interface RouteHere {
  type: number;
  link: string;
  gateway: string;
  source: string;
}

interface Place {
  endpoint: Endpoint;
  network: KnownNetwork;
}

/** Of one name. */
const addressLimit = 4;
const filterLeftAlone = "the daemon leaves the packet filter alone";

class Trace {
  readonly #tools: TraceTools;
  readonly #source: Source;
  readonly #target: Target;
  readonly #passive: boolean;
  readonly #hops: Hop[] = [];
  /** What the verdict says. */
  #way = "";
  #reason = "";
  #next = "";
  /** Whether a connection says nothing about whether somebody answers. */
  #isProofless = false;
  #namespaceFd: number | undefined;

  constructor(tools: TraceTools, source: Source, target: Target, passive: boolean) {
    this.#tools = tools;
    this.#source = source;
    this.#target = target;
    this.#passive = passive;
  }

  async run(): Promise<TraceReport> {
    try {
      if (!this.#begin()) return this.#report();
      return await this.#tryAll(await this.#resolve());
    } finally {
      if (this.#namespaceFd !== undefined) closeSync(this.#namespaceFd);
    }
  }

  /** A client tries the addresses of a name one after another, until one answers. */
  async #tryAll(addresses: string[]): Promise<TraceReport> {
    const named = this.#hops.length;
    const failed: TraceReport[] = [];
    for (const address of addresses.slice(0, addressLimit)) {
      this.#follow(address);
      const report = this.#report(await this.#attempt(address));
      if (report.Reaches === "yes") {
        const before = failed.flatMap(({ Hops }) => Hops.slice(named));
        return { ...report, Hops: [...report.Hops.slice(0, named), ...before, ...report.Hops.slice(named)] };
      }
      failed.push(report);
      this.#hops.length = named;
      [this.#way, this.#reason, this.#next, this.#isProofless] = ["", "", "", false];
    }
    return failed[0] ?? this.#report();
  }

  // ---- Where it begins ----

  #begin(): boolean {
    if (this.#source.kind !== "container") return true;
    const { container } = this.#source;
    if (!this.#isAwake(container, "source")) return false;
    if (container.sandbox !== undefined) this.#namespaceFd = openNetworkNamespace(container.pid);
    return true;
  }

  /** Whether a container runs. Where it does not, that is the end. */
  #isAwake({ name, status, pid }: TracedContainer, kind: "source" | "target"): boolean {
    if (pid === 0) {
      const verb = status === "created" || status === "exited" ? `start ${name}` : `ps -a --filter name=${name}`;
      this.#stop({ Kind: kind, Name: name, Text: `${name} does not run (${status})` }, `brig ${verb}`);
      return false;
    }
    if (status !== "paused") return true;
    this.#isProofless = true;
    this.#stop(
      { Kind: kind, Name: name, Text: `${name} is paused: it neither asks nor answers` },
      `brig unpause ${name}`,
    );
    return false;
  }

  readonly #inside = <T>(work: () => T): T =>
    this.#namespaceFd === undefined ? work() : insideNetworkNamespace(this.#namespaceFd, work);

  // ---- Names ----

  /** Addresses to be tried; none where that is the end. */
  async #resolve(): Promise<string[]> {
    const { host, isAddress } = this.#target;
    if (isAddress) return [host];
    const found =
      this.#source.kind === "container" ? await this.#resolveIn(this.#source.container) : await this.#resolveOutside();
    if (found === undefined) return [];
    if ("failure" in found) {
      this.#stop({ Kind: "name", Name: host, Text: `${host} is not known: ${found.failure}` });
      return [];
    }
    const { addresses, by } = found;
    const shown = addresses.slice(0, addressLimit).join(" and ");
    this.#pass({ Kind: "name", Name: host, Address: addresses[0] ?? "", Text: `${host} is ${shown}, says ${by}` });
    return addresses;
  }

  async #resolveIn(container: TracedContainer): Promise<Resolved | undefined> {
    const { host } = this.#target;
    const occupancy = this.#occupancyOf(container);
    const inHosts = addressesInHosts(container.etc("hosts"), host);
    if (inHosts.length > 0) return { addresses: inHosts, by: `/etc/hosts of ${container.name}` };
    const isServed = occupancy !== undefined && this.#tools.names.serves(container.sandbox!);
    if (isServed) {
      const addresses = this.#tools.names.addressesOf(occupancy, host) ?? [];
      const [first] = addresses;
      if (first !== undefined)
        return { addresses, by: `the name server of network ${this.#networkOf(first, occupancy)}` };
    }
    const upstreams = isServed ? this.#tools.names.upstreamsOf(occupancy) : [];
    const other = this.#tools.find(host);
    const elsewhere: Resolved =
      isServed && upstreams.length === 0
        ? { failure: "nobody outside is asked from internal networks" }
        : await resolveElsewhere(this.#inside, container.etc("resolv.conf"), host, (servers) =>
            isServed
              ? `the name server of ${container.name}, which asks ${upstreams.join(", ")},`
              : `the name server ${servers.join(", ")}`,
          );
    if (!("failure" in elsewhere)) return elsewhere;
    if (other === undefined) return elsewhere;
    this.#explainUnknown(container, other);
    return undefined;
  }

  /** A container of that name is there, and cannot be found. */
  #explainUnknown(from: TracedContainer, to: TracedContainer): undefined {
    const { host } = this.#target;
    const here = from.networks;
    const there = to.networks;
    const stop = (why: string, next: string) =>
      this.#stop({ Kind: "name", Name: host, Text: `${from.name} does not find ${host}: ${why}` }, next);
    if (to.pid === 0) {
      this.#isAwake(to, "target");
      return;
    }
    const named = (networks: string[]) => networks.filter((network) => !isPredefined(network));
    const shared = named(here).filter((network) => there.includes(network));
    if (from.sandbox === undefined)
      return stop(
        "processes on the host's network do not find containers by name",
        `brig network trace ${from.name} ${this.#addressOf(to) ?? to.name}`,
      );
    if (shared.length > 0)
      return stop(`on network ${shared[0]} it is called ${to.name}`, `brig network trace ${from.name} ${to.name}`);
    if (to.sandbox === undefined) return stop(`${to.name} is on the host's network, where it has no name`, "");
    const [network] = named(there);
    const isBoth = `${to.name} is ${onNetworks(there)}, ${from.name} ${onNetworks(here)}`;
    if (network !== undefined) return stop(isBoth, `brig network connect ${network} ${from.name}`);
    const [own] = named(here);
    if (own !== undefined) return stop(isBoth, `brig network connect ${own} ${to.name}`);
    const both = `brig network connect app ${from.name} && brig network connect app ${to.name}`;
    stop(
      here.includes("bridge") && there.includes("bridge")
        ? "containers of the default network have no names for each other"
        : isBoth,
      `brig network create app && ${both}`,
    );
  }

  /** From the host and from outside containers are meant by their names, though nobody there knows them. */
  async #resolveOutside(): Promise<Resolved | undefined> {
    const { host } = this.#target;
    const isHost = this.#source.kind === "host";
    const here = isHost ? "127.0.0.1" : this.#route(this.#sourceAddress).source;
    const atHost = (by: string) => (here === "" ? { failure: "the host has no way back" } : { addresses: [here], by });
    if (host === "host") return atHost("the host");
    const container = this.#tools.find(host);
    if (container === undefined) {
      if (!isHost) return { failure: "from outside only containers and addresses can be named" };
      const inHosts = addressesInHosts(hostHostsFile(), host);
      return inHosts.length > 0 ? { addresses: inHosts, by: "/etc/hosts" } : resolveOnHost(host);
    }
    if (!this.#isAwake(container, "target")) return undefined;
    if (container.sandbox === undefined) return atHost("Brig: it has the host's network");
    const address = this.#addressOf(container);
    if (address !== undefined)
      return { addresses: [address], by: `Brig (${isHost ? "the host" : "outside one"} has no names for containers)` };
    this.#stop(
      { Kind: "name", Name: host, Text: `${host} has no address: it is ${onNetworks(container.networks)}` },
      `brig network connect bridge ${container.name}`,
    );
    return undefined;
  }

  // ---- The way ----

  #follow(address: string): undefined {
    if (this.#source.kind === "host") return this.#atHost(address, { kind: "own" });
    if (this.#source.kind === "outside") {
      const { link } = this.#route(this.#source.address);
      return this.#atHost(address, { kind: "link", link, address: this.#source.address });
    }
    const { container } = this.#source;
    if (container.sandbox === undefined) return this.#atHost(address, { kind: "own" });
    const route = this.#routeFrom(address, container);
    if (route === undefined) return;
    if (route.type === RTN_LOCAL) {
      this.#pass({
        Kind: "route",
        Address: address,
        Route: shownRoute(route),
        Text: `${address} is ${container.name} itself`,
      });
      this.#way = "by itself";
      const gateway = this.#hostAddressFor(container);
      const hint =
        address.startsWith("127.") && gateway !== undefined
          ? `brig network trace ${container.name} ${withPort(gateway, this.#target.port, this.#target.protocol)}`
          : "";
      return this.#listening(container.pid, container.name, address, this.#target.port, hint);
    }
    const place = this.#placeOf(container, route.link);
    this.#pass({
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
      if (this.#isHost(route.gateway)) return this.#atHost(address, entry);
      return this.#unknown({
        Kind: "route",
        Address: route.gateway,
        Text: `${route.gateway} is not the host: what it does is not known`,
      });
    }
    if (this.#isHost(address)) return this.#atHost(address, entry);
    const owner = this.#ownerOf(address, place.network);
    if (owner !== undefined) return this.#within(place.network, work, owner, { source: route.source, address });
    if (!work.own)
      return this.#unknown({
        Kind: "bridge",
        Address: address,
        Text: `${address} may be somebody on ${work.link} whom Brig does not know`,
      });
    this.#stop({
      Kind: "bridge",
      Address: address,
      Network: place.network.name,
      Text: `nobody on network ${place.network.name} has the address ${address}`,
    });
  }

  #routeFrom(address: string, { name, networks }: TracedContainer): RouteHere | undefined {
    const refuse = (why: string, next: string) =>
      this.#stop({ Kind: "route", Address: address, Text: `${name} has no route to ${address}: ${why}` }, next);
    const owner = this.#ownerOf(address);
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
    const owner = place && this.#ownerOf(address, place.network);
    this.#unknown({
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
      this.#stop(
        { ...hop, Text: `${work.link} keeps containers of network ${network.name} from each other (icc=false)` },
        apart,
      );
    else {
      this.#pass({ ...hop, Text: `${name} is on the same bridge, ${work.link}` });
      const packet = { from: work.filtered, to: work.filtered, source, destination: address, port, translated: false };
      if (!work.filtered.icc) this.#filtered(packet, protocol, network.name, apart);
    }
    this.#way = `by network ${network.name} (${address})`;
    this.#atContainer(owner, address, port);
  }

  /** At the host, where a packet is its own, is led elsewhere, or is sent on. */
  #atHost(address: string, entry: Entry): undefined {
    const { port } = this.#target;
    const route = this.#hostRoute(address);
    if (route === undefined) return;
    if (route.type === RTN_LOCAL) {
      if (entry.kind !== "own" && (address.startsWith("127.") || address === "::1"))
        return this.#stop({
          Kind: "route",
          Address: address,
          Text: `${address} is whoever asks for it, and not the host`,
        });
      const led = port === undefined ? undefined : this.#publishedTo(address, entry);
      if (led !== undefined) return this.#throughPort(address, led, entry);
      const proxied = port === undefined ? undefined : this.#proxied(address);
      if (proxied !== undefined) return this.#throughProxy(address, proxied, entry);
      this.#pass({ Kind: "route", Address: address, Route: shownRoute(route), Text: `${address} is the host itself` });
      this.#way = "at the host";
      if (entry.kind !== "own") this.#passOthers("input", address);
      if (this.#isPublishedElsewhere(address)) return;
      return this.#listening(process.pid, "the host", address, port, this.#otherPortHint());
    }
    const network = this.#tools.networks
      .all()
      .find(({ work }) => work instanceof BridgeNetwork && work.link === route.link);
    if (network === undefined) return this.#toOutside(address, entry, route);
    const place = this.#ownerOf(address, network);
    const hop = { Kind: "route" as const, Address: address, Network: network.name, Route: shownRoute(route) };
    if (place === undefined)
      return this.#stop({ ...hop, Text: `nobody on network ${network.name} has the address ${address}` });
    this.#pass({ ...hop, Text: `the host sends to ${network.name} by ${route.link}` });
    this.#way = `by network ${network.name} (${address})`;
    this.#toPlace(place, address, port, entry, false);
  }

  /** A published port, translated by the packet filter. */
  #throughPort(address: string, led: { address: string; port: number; map: string }, entry: Entry): undefined {
    const { protocol, port } = this.#target;
    const place = this.#ownerOf(led.address);
    const name = place?.endpoint.containerName ?? led.address;
    if (this.#tools.judged && entry.kind === "link") this.#passOthers("input", address);
    this.#pass({
      Kind: "port",
      Name: name,
      Address: led.address,
      Rule: { Table: this.#table, Chain: "publish", Rule: `dnat to … map @${led.map}` },
      Text: `port ${port}/${protocol} of the host is published: it leads to ${withPort(led.address, led.port)} of ${name}`,
    });
    this.#way = `by the published port ${port} (${withPort(led.address, led.port)} of ${name})`;
    if (place === undefined)
      return this.#stop({ Kind: "bridge", Address: led.address, Text: `nobody has the address ${led.address}` });
    this.#toPlace(place, led.address, led.port, entry, true);
  }

  /** A published port that the daemon passes on itself. It takes connections whoever listens. */
  #throughProxy(
    address: string,
    { place, published }: { place: Place; published: PublishedPort },
    entry: Entry,
  ): undefined {
    const to = this.#addressIn(place, place.endpoint.attachment?.v6 !== undefined);
    const name = place.endpoint.containerName;
    if (entry.kind !== "own") this.#passOthers("input", address);
    this.#isProofless = true;
    this.#pass({
      Kind: "port",
      Name: name,
      Address: to,
      Text: `port ${this.#target.port} of the host is published: the daemon passes on to ${withPort(to, published.containerPort)} of ${name}`,
    });
    this.#way = `by the published port ${this.#target.port} (${withPort(to, published.containerPort)} of ${name})`;
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
    this.#pass({ Kind: "route", Address: address, Route: shownRoute(route), Text: `the host sends on ${by}` });
    this.#way = `${by} of the host (${address})`;
    if (entry.kind !== "own") {
      if (!this.#forwards(address)) return;
      const from = entry.kind === "network" ? entry.network.work!.filtered! : entry.link;
      const { port } = this.#target;
      const packet = { from, to: route.link, source: entry.address, destination: address, port, translated: false };
      this.#filtered(packet, this.#target.protocol, "", "");
      this.#passOthers("forward", address);
      if (entry.kind === "network") this.#masquerade(entry.network, address, route);
    }
    this.#unknown({
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
    this.#add({
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

  // ---- The packet filter ----

  #filtered(
    packet: Omit<Parameters<typeof judgeForwarded>[0], "family" | "protocol">,
    protocol: Target["protocol"],
    network: string,
    next: string,
  ): undefined {
    const table = this.#tools.filter?.table;
    if (table === undefined)
      return this.#add({ Kind: "filter", Result: "pass", Text: `${filterLeftAlone}: nothing of Brig's drops it` });
    const family = familyOf(packet.destination);
    const { passes, chain, rule, reason } = judgeForwarded({ ...packet, family, protocol }, table);
    const hop = {
      Kind: "filter" as const,
      ...(network !== "" && { Network: network }),
      Rule: { Table: this.#table, Chain: chain, Rule: rule },
    };
    if (passes) this.#pass({ ...hop, Text: `the packet filter lets it pass: ${reason}` });
    else this.#stop({ ...hop, Text: `the packet filter drops it: ${reason}` }, next);
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
          this.#stop({ ...hop, Text: `the chain ${chain} drops ${answers ? "the answers" : "it"}: ${reason}` });
        else if (!answers) this.#unknown({ ...hop, Text: `the chain ${chain} may drop it: ${reason}` });
      }
    } finally {
      nft.close();
    }
  }

  #forwards(address: string): boolean {
    const family = familyOf(address);
    if (forwards(family)) return true;
    const setting = family === 4 ? "net.ipv4.ip_forward" : "net.ipv6.conf.all.forwarding";
    this.#stop(
      { Kind: "route", Text: `the host forwards nothing between its links: ${setting} is 0` },
      `sysctl -w ${setting}=1`,
    );
    return false;
  }

  get #table(): string {
    return `inet ${this.#tools.filter?.table.table ?? ""}`;
  }

  // ---- The target ----

  #atContainer({ endpoint }: Place, address: string, port: number | undefined): undefined {
    const container = this.#tools.find(endpoint.containerId);
    if (container === undefined || !this.#isAwake(container, "target")) return;
    this.#listening(container.pid, container.name, address, port, "");
  }

  /** Whether somebody waits at a port in the namespace of a process. */
  #listening(pid: number, name: string, address: string, port: number | undefined, next: string): undefined {
    if (port === undefined)
      return this.#pass({ Kind: "target", Name: name, Address: address, Text: `${name} has the address ${address}` });
    const { protocol } = this.#target;
    const found = waiting(pid, protocol);
    const atPort = found.filter((listener) => listener.port === port);
    const hop = { Kind: "listener" as const, Name: name, Address: address };
    const listener = atPort.find(isFor(address));
    if (listener !== undefined)
      return this.#pass({ ...hop, Text: `${name} listens on ${withPort(listener.text, port, protocol)}` });
    const others = [...new Set(found.filter(({ text }) => text !== "127.0.0.11").map((other) => other.port))].sort(
      (a, b) => a - b,
    );
    if (atPort.length > 0) {
      const places = [...new Set(atPort.map(({ text }) => text))].join(", ");
      return this.#stop(
        { ...hop, Text: `${name} listens on ${places} only, and not on ${address}` },
        `have ${name} listen on ${address.includes(".") ? "0.0.0.0" : "::"} port ${port}`,
      );
    }
    const listed = others.length === 0 ? "nor on any other" : `but on ${others.slice(0, 8).join(", ")}`;
    this.#stop({ ...hop, Text: `nobody listens on port ${port}/${protocol} of ${name}, ${listed}` }, next);
  }

  // ---- The attempt ----

  /** Tries it. Undefined where that is not possible, not wanted, or would prove nothing. */
  async #attempt(address: string): Promise<AttemptResult | undefined> {
    const { port, protocol } = this.#target;
    if (this.#passive || this.#source.kind === "outside" || this.#isProofless) return undefined;
    if (port !== undefined && protocol === "udp") return undefined;
    const result = await (port === undefined
      ? attemptEcho(this.#inside, address)
      : attemptConnection(this.#inside, address, port));
    const what = port === undefined ? "an echo request" : "a connection";
    const texts = { answered: `${what} was answered`, refused: `${what} was refused`, silent: `${what} had no answer` };
    const Text = typeof result === "object" ? `${what} failed: ${result.failed}` : texts[result];
    // Many hosts out there do not answer echo requests.
    const isProof =
      result === "answered" ||
      port !== undefined ||
      !this.#hops.some(({ Kind, Result }) => Kind === "target" && Result === "unknown");
    this.#add({
      Kind: "attempt",
      Address: address,
      Result: result === "answered" ? "pass" : isProof ? "stop" : "unknown",
      Text,
    });
    return isProof ? result : undefined;
  }

  // ---- The report ----

  #report(attempt?: AttemptResult): TraceReport {
    const from =
      this.#source.kind === "container"
        ? this.#source.container.name
        : this.#source.kind === "host"
          ? "host"
          : this.#source.address;
    const to = withPort(this.#target.host, this.#target.port, this.#target.protocol);
    const isStopped = this.#hops.some(({ Result, Kind }) => Result === "stop" && Kind !== "attempt");
    const isUnknown = this.#hops.some(({ Result }) => Result === "unknown");
    let Reaches: TraceReport["Reaches"] = isStopped ? "no" : isUnknown ? "unknown" : "yes";
    if (attempt !== undefined) Reaches = attempt === "answered" ? "yes" : "no";
    const way = this.#way === "" ? "" : ` ${this.#way}`;
    let Verdict: string;
    if (Reaches === "yes") {
      Verdict = `${from} reaches ${to}${way}`;
      if (isStopped) Verdict += `, though it should not: ${this.#reason}`;
    } else if (Reaches === "unknown") {
      const open = this.#hops.filter(({ Result }) => Result === "unknown").map(({ Text }) => Text);
      Verdict = `${from} may reach ${to}${way}: ${open.join("; ")}`;
    } else Verdict = `${from} does not reach ${to}: ${isStopped ? this.#reason : this.#unexplained(attempt)}`;
    return { From: from, To: to, Reaches, Hops: [...this.#hops], Verdict, Next: Reaches === "yes" ? "" : this.#next };
  }

  /** Nothing of what Brig knows stops it, and yet it does not arrive. */
  #unexplained(attempt: AttemptResult | undefined): string {
    const isOutside = this.#hops.some(({ Kind, Result }) => Kind === "target" && Result === "unknown");
    if (attempt === "refused")
      return isOutside
        ? "nobody listens there, or somebody refuses it"
        : "somebody refuses it whom Brig does not know: rules of the host, or in the container";
    if (attempt === "silent")
      return isOutside
        ? "there is no answer"
        : "somebody drops it whom Brig does not know: rules of the host, or in the container";
    return `the kernel says ${typeof attempt === "object" ? attempt.failed : "no"}`;
  }

  #add(hop: Hop): undefined {
    this.#hops.push(hop);
  }

  #pass(hop: Omit<Hop, "Result">): undefined {
    this.#add({ ...hop, Result: "pass" });
  }

  #unknown(hop: Omit<Hop, "Result">): undefined {
    this.#add({ ...hop, Result: "unknown" });
  }

  /** The first one is what the verdict is about. */
  #stop(hop: Omit<Hop, "Result">, next = ""): undefined {
    this.#add({ ...hop, Result: "stop" });
    if (this.#reason !== "") return;
    this.#reason = hop.Text;
    this.#next = next;
  }

  // ---- What Brig knows ----

  #occupancyOf({ sandbox }: TracedContainer): Occupancy | undefined {
    return sandbox === undefined ? undefined : this.#tools.occupancies.get(sandbox);
  }

  #places(container: TracedContainer): Place[] {
    return (this.#occupancyOf(container)?.endpoints ?? []).flatMap((endpoint) => {
      const network = this.#tools.networks.byId(endpoint.networkId);
      return network === undefined || endpoint.attachment === undefined ? [] : { endpoint, network };
    });
  }

  #placeOf(container: TracedContainer, link: string): Place | undefined {
    return this.#places(container).find(({ endpoint }) => endpoint.attachment!.interfaceName === link);
  }

  #addressOf(container: TracedContainer): string | undefined {
    const attachments = this.#places(container).map(({ endpoint }) => endpoint.attachment!);
    return [...attachments.map(({ v4 }) => v4), ...attachments.map(({ v6 }) => v6)].find((placement) => placement)
      ?.address;
  }

  #addressIn({ endpoint }: Place, six: boolean): string {
    const { v4, v6 } = endpoint.attachment!;
    return ((six ? v6 : v4) ?? v4 ?? v6)!.address;
  }

  /** Whose address it is, on one network or any. */
  #ownerOf(address: string, only?: KnownNetwork): Place | undefined {
    for (const network of only === undefined ? this.#tools.networks.all() : [only])
      for (const endpoint of network.endpoints.values())
        if ([endpoint.attachment?.v4?.address, endpoint.attachment?.v6?.address].includes(address))
          return { endpoint, network };
    return undefined;
  }

  /** Name of the network on which a container is told an address. */
  #networkOf(address: string, { endpoints }: Occupancy): string {
    const owner = endpoints
      .flatMap(({ networkId }) => this.#tools.networks.byId(networkId) ?? [])
      .find((network) => this.#ownerOf(address, network) !== undefined);
    return owner?.name ?? "";
  }

  #isHost(address: string): boolean {
    return this.#hostRouteType(address) === RTN_LOCAL;
  }

  #hostRouteType(address: string): number | undefined {
    try {
      return routeHere(address).type;
    } catch {
      return undefined;
    }
  }

  #hostRoute(address: string): RouteHere | undefined {
    try {
      const route = routeHere(address);
      if (route.type === RTN_LOCAL || route.type === RTN_UNICAST) return route;
    } catch {
      // None.
    }
    this.#stop({ Kind: "route", Address: address, Text: `the host has no route to ${address}` });
    return undefined;
  }

  get #sourceAddress(): string {
    return this.#source.kind === "outside" ? this.#source.address : "127.0.0.1";
  }

  #route(address: string): RouteHere {
    try {
      return routeHere(address);
    } catch {
      return { type: 0, link: "", gateway: "", source: "" };
    }
  }

  /** An address by which a container reaches the host. */
  #hostAddressFor(container: TracedContainer): string | undefined {
    return this.#places(container)
      .map(({ endpoint }) => endpoint.attachment!.v4?.gateway)
      .find((gateway) => gateway);
  }

  // ---- Published ports ----

  #publishedTo(address: string, entry: Entry): { address: string; port: number; map: string } | undefined {
    const { protocol, port } = this.#target;
    // The table leaves these to whoever listens there.
    if (address === "::1" || (entry.kind !== "own" && address.startsWith("127."))) return undefined;
    return this.#tools.filter?.table.publishedTo(protocol, address, port!);
  }

  /** A port that no rule leads on: of IPv6, and of IPv4 to a container that has none. */
  #proxied(address: string): { place: Place; published: PublishedPort } | undefined {
    const { port, protocol } = this.#target;
    const family = familyOf(address);
    return this.#published().find(({ place, published }) => {
      if (published.hostPort !== port || published.protocol !== protocol) return false;
      if (family === 4 && place.endpoint.attachment?.v4 !== undefined) return false;
      const parsed = parseAddress(published.hostAddress);
      return parsed?.family === family && (parsed.value === 0n || formatAddress(parsed) === address);
    });
  }

  #published(): { place: Place; published: PublishedPort }[] {
    return this.#tools.networks
      .all()
      .flatMap((network) =>
        [...network.endpoints.values()].flatMap((endpoint) =>
          (endpoint.publishing?.ports ?? []).map((published) => ({ place: { endpoint, network }, published })),
        ),
      );
  }

  /** Whether the port is published, but not at this address of the host. That is the end then. */
  #isPublishedElsewhere(address: string): boolean {
    const { port, protocol } = this.#target;
    const found = this.#published().filter(
      ({ published }) => published.hostPort === port && published.protocol === protocol,
    );
    const [first] = found;
    // What Brig itself has at `::` hears no IPv4.
    const isHeard = ({ text, port: at }: Waiting) =>
      at === port && isFor(address)({ text, port: at }) && !(text === "::" && familyOf(address) === 4);
    if (first === undefined || waiting(process.pid, protocol).some(isHeard)) return false;
    const { containerName } = first.place.endpoint;
    const places = found.map(({ published }) => published.hostAddress).join(", ");
    this.#stop(
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
    const other = this.#published().find(
      ({ published }) => published.protocol === protocol && published.containerPort === port,
    );
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

function sourceOf({ find, occupancies }: TraceTools, text: string): Source {
  if (text === "host") return { kind: "host" };
  if (parseAddress(text) === undefined) {
    const container = find(text);
    if (container === undefined) throw notFound(`No such container: ${text}`);
    return { kind: "container", container };
  }
  for (const [id, { endpoints }] of occupancies)
    for (const { attachment } of endpoints)
      if (attachment?.v4?.address === text || attachment?.v6?.address === text) {
        const container = find(id);
        if (container !== undefined) return { kind: "container", container };
      }
  let isOwn = false;
  try {
    isOwn = routeHere(text).type === RTN_LOCAL;
  } catch {
    // No route to it; it may still send.
  }
  return isOwn ? { kind: "host" } : { kind: "outside", address: text };
}

/** How the namespace this is called in sends to an address. Throws SyscallError where it would not. */
function routeHere(address: string): RouteHere {
  const netlink = new Netlink();
  try {
    const route: ChosenRoute = netlink.routeTo(addressBytes(address)!);
    const text = (bytes: Uint8Array | undefined) => (bytes === undefined ? "" : formatAddress(addressOfBytes(bytes)));
    const link = netlink.links().find(({ index }) => index === route.linkIndex)?.name ?? "";
    return { type: route.type, link, gateway: text(route.gateway), source: text(route.source) };
  } finally {
    netlink.close();
  }
}

function shownRoute({ link, gateway, source }: RouteHere): Hop["Route"] {
  return { Interface: link, Gateway: gateway, Source: source };
}

function familyOf(address: string): 4 | 6 {
  return address.includes(":") ? 6 : 4;
}

interface Waiting {
  text: string;
  port: number;
}

/** Where somebody waits in the namespace of a process. */
function waiting(pid: number, protocol: Target["protocol"]): Waiting[] {
  return listeners(pid, protocol).map(({ address, port }) => ({ text: plainAddress(address), port }));
}

/** Whether a socket hears what is sent to an address. */
function isFor(address: string): (socket: Waiting) => boolean {
  return ({ text }) => text === "::" || text === address || (text === "0.0.0.0" && address.includes("."));
}

/** IPv4 as such, also where a socket of IPv6 has it. */
function plainAddress(bytes: Uint8Array): string {
  const isMapped = bytes.length === 16 && bytes.slice(0, 12).every((byte, index) => byte === (index < 10 ? 0 : 255));
  return formatAddress(addressOfBytes(isMapped ? bytes.slice(12) : bytes));
}

function onNetworks(networks: string[]): string {
  if (networks.length === 0) return "on no network";
  return `on ${networks.length === 1 ? "network" : "networks"} ${networks.join(" and ")}`;
}
