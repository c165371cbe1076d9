/** Which address of a subnet a container gets, and which subnet a bridge. */
import { invalidParameter, systemError } from "../lib/errors.ts";
import { contains, formatSubnet, overlap, parseCidr, type Subnet, sizeOf } from "./addresses.ts";
import { type AddressPoolOption, dockerAddressPools } from "./settings.ts";

/**
 * The addresses of one subnet. They are given out in turn, so that an address that was just given back, whose
 * former holder the kernel may still be taking apart, is the last to be used again.
 */
export class AddressPool {
  readonly #range: Subnet;
  readonly #used = new Set<number>();
  readonly #first: number;
  readonly #end: number;
  #last: number;

  /** `range` is the part of the subnet to choose from; `reserved` are the addresses nobody gets, the gateway's say. */
  constructor(subnet: Subnet, range: Subnet, reserved: number[]) {
    this.#range = range;
    // The network's own address and its broadcast address, except in the subnets too small to have them (RFC 3021).
    const edges = subnet.prefixLength < 31 ? [subnet.base, subnet.base + sizeOf(subnet) - 1] : [];
    this.#first = range.base;
    this.#end = range.base + sizeOf(range);
    this.#last = this.#first - 1;
    for (const address of [...edges, ...reserved]) if (contains(range, address)) this.#used.add(address);
  }

  /** The next free address. Throws Docker's sentence, without the network's name, where there is none. */
  allocate(): number {
    if (this.#used.size >= sizeOf(this.#range))
      throw systemError("no available IPv4 addresses on this network's address pools");
    do if (++this.#last >= this.#end) this.#last = this.#first;
    while (this.#used.has(this.#last));
    this.#used.add(this.#last);
    return this.#last;
  }

  /** Marks an address as used, as a running container's at start. */
  take(address: number): void {
    if (!contains(this.#range, address)) return;
    this.#used.add(address);
    if (address > this.#last) this.#last = address;
  }

  release(address: number): void {
    this.#used.delete(address);
  }
}

/**
 * The first subnet of the pools that overlaps none of `taken`.
 * Throws where a pool makes no sense, or where all are taken (Docker's sentence).
 */
export function chooseSubnet(pools: AddressPoolOption[], taken: Subnet[]): Subnet {
  for (const { base, size } of pools.length === 0 ? dockerAddressPools : pools) {
    const pool = parseCidr(base)?.subnet;
    if (pool === undefined) throw invalidParameter(`invalid base pool ${JSON.stringify(base)}: not an IPv4 CIDR`);
    if (!Number.isInteger(size) || size < pool.prefixLength || size > 30)
      throw invalidParameter(`invalid pool size: ${size} (must be between ${pool.prefixLength} and 30)`);
    const end = pool.base + sizeOf(pool);
    let candidate: Subnet = { base: pool.base, prefixLength: size };
    while (candidate.base < end) {
      const obstacle = taken.find((other) => overlap(other, candidate));
      if (obstacle === undefined) return candidate;
      // Past the whole obstacle: pools of a million subnets are searched in as many steps as there are routes.
      const past = Math.max(candidate.base + sizeOf(candidate), obstacle.base + sizeOf(obstacle));
      candidate = { base: Math.ceil(past / sizeOf(candidate)) * sizeOf(candidate), prefixLength: size };
    }
  }
  throw systemError(
    `could not find an available, non-overlapping IPv4 address pool among the defaults to assign to the network (in use: ${taken.map(formatSubnet).slice(0, 20).join(", ")})`,
  );
}
