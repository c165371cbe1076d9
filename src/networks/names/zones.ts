/** Names of containers, by network, and what of them one container sees. */

/** What an endpoint is called on its network. */
export interface EndpointNames {
  /** Name, aliases, short id. Case does not matter. */
  names: readonly string[];
  /** The name that its addresses are told to have, `web.mynet`. */
  fullName: string;
  /** 4 bytes. */
  v4?: Uint8Array | undefined;
  /** 16 bytes. */
  v6?: Uint8Array | undefined;
}

/** A network as one container sees it. */
export interface NetworkView {
  id: string;
  /** `web.mynet` is looked for in the network `mynet` only. */
  name: string;
  /** Links: the container's own names for others on the network, and which names these are. */
  links?: Readonly<Record<string, string>> | undefined;
}

/** All that one name stands for. */
class NameSet {
  readonly v4 = new Rotation();
  readonly v6 = new Rotation();
  holders = 0;
}

/** Addresses, handed out so that each is the first in turn. */
class Rotation {
  readonly addresses: Uint8Array[] = [];
  #turn = 0;

  next(): Uint8Array[] {
    const { length } = this.addresses;
    if (length < 2) return this.addresses;
    this.#turn = (this.#turn + 1) % length;
    return [...this.addresses.slice(this.#turn), ...this.addresses.slice(0, this.#turn)];
  }

  remove(address: Uint8Array): void {
    const index = this.addresses.indexOf(address);
    if (index >= 0) this.addresses.splice(index, 1);
  }
}

interface Zone {
  endpoints: Map<string, EndpointNames>;
  names: Map<string, NameSet>;
  /** By address. */
  fullNames: Map<string, string>;
}

export class Zones {
  readonly #zones = new Map<string, Zone>();

  /** Puts an endpoint on a network, in the place of what it was called before. */
  set(networkId: string, endpointId: string, names: EndpointNames): void {
    this.remove(networkId, endpointId);
    let zone = this.#zones.get(networkId);
    if (zone === undefined) {
      zone = { endpoints: new Map(), names: new Map(), fullNames: new Map() };
      this.#zones.set(networkId, zone);
    }
    zone.endpoints.set(endpointId, names);
    const { v4, v6, fullName } = names;
    for (const name of wordsOf(names)) {
      let set = zone.names.get(name);
      if (set === undefined) zone.names.set(name, (set = new NameSet()));
      set.holders++;
      if (v4 !== undefined) set.v4.addresses.push(v4);
      if (v6 !== undefined) set.v6.addresses.push(v6);
    }
    for (const address of [v4, v6]) if (address !== undefined) zone.fullNames.set(addressKey(address), fullName);
  }

  remove(networkId: string, endpointId: string): void {
    const zone = this.#zones.get(networkId);
    const names = zone?.endpoints.get(endpointId);
    if (zone === undefined || names === undefined) return;
    zone.endpoints.delete(endpointId);
    if (zone.endpoints.size === 0) {
      this.#zones.delete(networkId);
      return;
    }
    const { v4, v6, fullName } = names;
    for (const name of wordsOf(names)) {
      const set = zone.names.get(name)!;
      if (--set.holders === 0) zone.names.delete(name);
      if (v4 !== undefined) set.v4.remove(v4);
      if (v6 !== undefined) set.v6.remove(v6);
    }
    for (const address of [v4, v6])
      if (address !== undefined && zone.fullNames.get(addressKey(address)) === fullName)
        zone.fullNames.delete(addressKey(address));
  }

  /**
   * Addresses of a name (lower case, without the last dot): those on the first of the networks that has one of that
   * family. Empty where the name is known but has none; undefined where nobody is called that.
   */
  addresses(networks: readonly NetworkView[], name: string, family: "v4" | "v6"): Uint8Array[] | undefined {
    const known = this.#search(networks, name, undefined, family);
    if (known !== undefined || !name.includes(".")) return known;
    for (const network of networks) {
      const suffix = `.${network.name.toLowerCase()}`;
      if (!name.endsWith(suffix)) continue;
      const found = this.#search(networks, name.slice(0, -suffix.length), network, family);
      if (found !== undefined) return found;
    }
    return undefined;
  }

  /** The name of an address on one of the networks. */
  nameOf(networks: readonly NetworkView[], address: Uint8Array): string | undefined {
    const key = addressKey(address);
    for (const { id } of networks) {
      const name = this.#zones.get(id)?.fullNames.get(key);
      if (name !== undefined) return name;
    }
    return undefined;
  }

  #search(
    networks: readonly NetworkView[],
    name: string,
    only: NetworkView | undefined,
    family: "v4" | "v6",
  ): Uint8Array[] | undefined {
    let known: Uint8Array[] | undefined;
    // A link goes before what others are called.
    for (const linked of [true, false])
      for (const network of networks) {
        if (only !== undefined && network !== only) continue;
        const link = linkOf(network, name);
        if (linked !== (link !== undefined)) continue;
        const rotation = this.#zones.get(network.id)?.names.get(link ?? name)?.[family];
        if (rotation === undefined) continue;
        if (rotation.addresses.length > 0) return rotation.next();
        known = rotation.addresses;
      }
    return known;
  }
}

function linkOf({ links }: NetworkView, name: string): string | undefined {
  return links !== undefined && Object.hasOwn(links, name) ? links[name]!.toLowerCase() : undefined;
}

function wordsOf({ names }: EndpointNames): Set<string> {
  return new Set(names.map((name) => name.toLowerCase()));
}

function addressKey(address: Uint8Array): string {
  return Buffer.from(address.buffer, address.byteOffset, address.length).toString("latin1");
}
