/** The addresses of one network: who has which, and which are left. */
import { forbidden, systemError } from "../lib/errors.ts";
import { type Address, type Family, formatAddress, formatSubnet, parseAddress } from "./addresses.ts";
import { gatewayNames } from "./default-bridge.ts";
import type { Pool } from "./definition.ts";
import { AddressPool } from "./ipam.ts";
import type { Placement } from "./record.ts";

/** Addresses a container asks for by hand; "" for any. */
export interface WantedAddresses {
  v4: string;
  v6: string;
}

export interface Placements {
  v4?: Placement;
  v6?: Placement;
}

/** What of a subnet is in use (Engine API, SubnetStatus). */
export interface SubnetStatus {
  IPsInUse: number;
  DynamicIPsAvailable: number;
}

export class NetworkAddresses {
  readonly #pools: { addresses: AddressPool; gateway: string }[];
  /** For sentences: `name (id)`. */
  readonly #network: string;

  constructor(pools: Pool[], network: string) {
    this.#network = network;
    this.#pools = pools.map(({ subnet, range, gateway, auxiliary }) => {
      const used = [...(gateway === undefined ? [] : [gateway]), ...auxiliary.map(({ address }) => address)];
      const replaced = auxiliary.find(({ name }) => name === gatewayNames[subnet.family])?.address;
      const shown = replaced ?? gateway;
      return {
        addresses: new AddressPool(subnet, range, used),
        gateway: shown === undefined ? "" : formatAddress(shown),
      };
    });
  }

  /** Takes an address of each family the network has; all or none. Throws Docker's sentences. */
  reserve({ v4, v6 }: WantedAddresses): Placements {
    const first = this.#reserveOne(4, v4);
    try {
      const second = this.#reserveOne(6, v6);
      return { ...(first && { v4: first }), ...(second && { v6: second }) };
    } catch (error) {
      this.release({ v4: first });
      throw error;
    }
  }

  /** Marks the addresses of a container that runs already. */
  take(placements: Placements): void {
    this.#each(placements, (pool, address) => pool.take(address));
  }

  release(placements: Placements): void {
    this.#each(placements, (pool, address) => pool.release(address));
  }

  /** By subnet. Numbers end at 2⁵³ - 1. */
  status(): Record<string, SubnetStatus> {
    const bounded = (count: bigint) =>
      Number(count > BigInt(Number.MAX_SAFE_INTEGER) ? Number.MAX_SAFE_INTEGER : count);
    return Object.fromEntries(
      this.#pools.map(({ addresses }) => [
        formatSubnet(addresses.subnet),
        { IPsInUse: bounded(addresses.inUse), DynamicIPsAvailable: bounded(addresses.available) },
      ]),
    );
  }

  #reserveOne(family: Family, wanted: string): Placement | undefined {
    const pools = this.#pools.filter(({ addresses: { subnet } }) => subnet.family === family);
    if (pools.length === 0) return undefined;
    const place = (address: Address, { addresses, gateway }: (typeof pools)[number]): Placement => ({
      address: formatAddress(address),
      prefixLength: addresses.subnet.prefixLength,
      gateway,
    });
    if (wanted !== "") {
      const address = parseAddress(wanted)!;
      const holder = pools.find(({ addresses }) => addresses.holds(address));
      if (holder === undefined) throw forbidden(`no configured subnet or ip-range contain the IP address ${wanted}`);
      holder.addresses.claim(address);
      return place(address, holder);
    }
    for (const pool of pools) {
      const address = pool.addresses.allocate();
      if (address !== undefined) return place(address, pool);
    }
    throw systemError(`no available IPv${family} addresses on this network's address pools: ${this.#network}`);
  }

  #each({ v4, v6 }: Placements, work: (pool: AddressPool, address: Address) => void): void {
    for (const placement of [v4, v6]) {
      const address = parseAddress(placement?.address ?? "");
      if (address === undefined) continue;
      for (const { addresses } of this.#pools) if (addresses.holds(address)) work(addresses, address);
    }
  }
}
