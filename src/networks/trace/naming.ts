/** Which addresses the target of a trace has for its source, and why none. */
import { isPredefined } from "../definition.ts";
import { hostHostsFile } from "../files.ts";
import type { Inside, Source, TraceContext } from "./context.ts";
import type { TraceLog } from "./log.ts";
import { addressesInHosts, type Resolved, resolveElsewhere, resolveOnHost } from "./resolve.ts";
import {
  familyOf,
  onNetworks,
  routeOrNone,
  type Surroundings,
  type TracedContainer,
  type TraceTools,
} from "./surroundings.ts";
import type { Target } from "./target.ts";

/** Of one name. */
const addressLimit = 4;

export class Naming {
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

  /** Addresses to be tried; none where that is the end. */
  async addresses(): Promise<string[]> {
    const { host, isAddress } = this.#target;
    if (isAddress) return [host];
    const found =
      this.#source.kind === "container" ? await this.#resolveIn(this.#source.container) : await this.#resolveOutside();
    if (found === undefined) return [];
    if ("failure" in found) {
      this.#log.stop({ Kind: "name", Name: host, Text: `${host} is not known: ${found.failure}` });
      return [];
    }
    const { addresses, by } = found;
    const shown = addresses.slice(0, addressLimit).join(" and ");
    this.#log.pass({ Kind: "name", Name: host, Address: addresses[0] ?? "", Text: `${host} is ${shown}, says ${by}` });
    return addresses.slice(0, addressLimit);
  }

  async #resolveIn(container: TracedContainer): Promise<Resolved | undefined> {
    const { host } = this.#target;
    const occupancy = this.#known.occupancyOf(container);
    const inHosts = addressesInHosts(container.etc("hosts"), host);
    if (inHosts.length > 0) return { addresses: inHosts, by: `/etc/hosts of ${container.name}` };
    const isServed = occupancy !== undefined && this.#tools.names.serves(container.sandbox!);
    if (isServed) {
      const addresses = this.#tools.names.addressesOf(occupancy, host) ?? [];
      const [first] = addresses;
      if (first !== undefined)
        return { addresses, by: `the name server of network ${this.#known.networkOf(first, occupancy)}` };
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
      this.#log.stop({ Kind: "name", Name: host, Text: `${from.name} does not find ${host}: ${why}` }, next);
    if (to.pid === 0) {
      this.#log.isAwake(to, "target");
      return;
    }
    const named = (networks: string[]) => networks.filter((network) => !isPredefined(network));
    const shared = named(here).filter((network) => there.includes(network));
    if (from.sandbox === undefined)
      return stop(
        "processes on the host's network do not find containers by name",
        `brig network trace ${from.name} ${this.#known.addressOf(to) ?? to.name}`,
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
    const isHost = this.#source.kind !== "outside";
    const here = this.#source.kind === "outside" ? routeOrNone(this.#source.address).source : "127.0.0.1";
    const atHost = (by: string) => (here === "" ? { failure: "the host has no way back" } : { addresses: [here], by });
    if (host === "host") return atHost("the host");
    const container = this.#tools.find(host);
    if (container === undefined) {
      if (!isHost) return { failure: "from outside only containers and addresses can be named" };
      const inHosts = addressesInHosts(hostHostsFile(), host);
      return inHosts.length > 0 ? { addresses: inHosts, by: "/etc/hosts" } : resolveOnHost(host);
    }
    if (!this.#log.isAwake(container, "target")) return undefined;
    if (container.sandbox === undefined) return atHost("Brig: it has the host's network");
    const address = this.#known.addressOf(
      container,
      this.#source.kind === "outside" ? familyOf(this.#source.address) : undefined,
    );
    if (address !== undefined)
      return { addresses: [address], by: `Brig (${isHost ? "the host" : "outside one"} has no names for containers)` };
    this.#log.stop(
      {
        Kind: "name",
        Name: host,
        Text: `${host} has no address that is reached from there: it is ${onNetworks(container.networks)}`,
      },
      `brig network connect bridge ${container.name}`,
    );
    return undefined;
  }
}
