/** Which address of a subnet a container gets, and which subnet a network. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { forbidden, invalidParameter, notFound } from "../lib/errors.ts";
import {
  type Address,
  contains,
  type Family,
  firstOf,
  formatSubnet,
  overlap,
  parseCidr,
  type Subnet,
  sizeOf,
} from "./addresses.ts";
import { type AddressPoolOption, dockerAddressPools } from "./settings.ts";

/**
 * The addresses of one subnet. They are given out in turn, so that an address that was just given back, whose
 * former holder the kernel may still be taking apart, is the last to be used again.
 */
export class AddressPool {
  readonly subnet: Subnet;
  readonly #range: Subnet;
  readonly #used = new Set<bigint>();
  /** How many of `#used` are in the range. */
  #usedInRange = 0n;
  #last: bigint;

  /** `range` is the part of the subnet to choose from; `reserved` are the addresses nobody gets, the gateway's say. */
  constructor(subnet: Subnet, range: Subnet, reserved: Address[]) {
    this.subnet = subnet;
    this.#range = range;
    this.#last = range.base - 1n;
    for (const value of edgesOf(subnet)) this.#use(value);
    for (const { value } of reserved) this.#use(value);
  }

  /** How many addresses nobody can get any more. */
  get inUse(): bigint {
    return BigInt(this.#used.size);
  }

  /** How many `allocate` can still give out. */
  get available(): bigint {
    return sizeOf(this.#range) - this.#usedInRange;
  }

  holds(address: Address): boolean {
    return contains(this.subnet, address);
  }

  /** The next free address; undefined where there is none. */
  allocate(): Address | undefined {
    if (this.available <= 0n) return undefined;
    const { family, base } = this.#range;
    const end = base + sizeOf(this.#range);
    do if (++this.#last >= end) this.#last = base;
    while (this.#used.has(this.#last));
    this.#use(this.#last);
    return { family, value: this.#last };
  }

  /** Takes an address of this subnet that was asked for. Throws Docker's sentence where it is taken. */
  claim({ value }: Address): void {
    if (this.#used.has(value)) throw forbidden("Address already in use");
    this.#use(value);
  }

  /** Marks an address as used, as a running container's at start. */
  take(address: Address): void {
    this.#use(address.value);
    if (contains(this.#range, address) && address.value > this.#last) this.#last = address.value;
  }

  release({ value }: Address): void {
    if (this.#used.delete(value) && this.#inRange(value)) this.#usedInRange--;
  }

  #use(value: bigint): void {
    if (this.#used.has(value)) return;
    this.#used.add(value);
    if (this.#inRange(value)) this.#usedInRange++;
  }

  #inRange(value: bigint): boolean {
    return contains(this.#range, { family: this.#range.family, value });
  }
}

/** The addresses of a subnet that no interface gets: its own, and of IPv4 its broadcast address (RFC 3021: not of the smallest). */
export function edgesOf(subnet: Subnet): bigint[] {
  if (subnet.family === 6) return subnet.prefixLength < 127 ? [subnet.base] : [];
  return subnet.prefixLength < 31 ? [subnet.base, subnet.base + sizeOf(subnet) - 1n] : [];
}

/** Docker's sentence for a network that finds no subnet. */
const noPool = (family: Family) =>
  `could not find an available, non-overlapping IPv${family} address pool among the defaults to assign to the network`;

/**
 * The first subnet of the family's pools that overlaps none of `taken`.
 * Throws where a pool makes no sense, or where all are taken (Docker's sentence).
 */
export function chooseSubnet(family: Family, options: AddressPoolOption[], taken: Subnet[]): Subnet {
  for (const { pool, size } of poolsOf(family, options)) {
    const end = pool.base + sizeOf(pool);
    let candidate: Subnet = { family, base: pool.base, prefixLength: size };
    while (candidate.base < end) {
      const obstacle = taken.find((other) => overlap(other, candidate));
      if (obstacle === undefined) return candidate;
      // Past the whole obstacle: pools of a million subnets are searched in as many steps as there are routes.
      const step = sizeOf(candidate);
      const past = max(candidate.base + step, obstacle.base + sizeOf(obstacle));
      candidate = { family, base: ((past + step - 1n) / step) * step, prefixLength: size };
    }
  }
  const inUse = taken.filter((subnet) => subnet.family === family).map(formatSubnet);
  throw notFound(`${noPool(family)} (in use: ${inUse.slice(0, 20).join(", ")})`);
}

function poolsOf(family: Family, options: AddressPoolOption[]): { pool: Subnet; size: number }[] {
  const parsed = options.map(({ base, size }) => {
    const pool = parseCidr(base)?.subnet;
    if (pool === undefined) throw invalidParameter(`invalid base pool ${JSON.stringify(base)}: not a CIDR`);
    const largest = pool.family === 4 ? 30 : 126;
    if (!Number.isInteger(size) || size < pool.prefixLength || size > largest)
      throw invalidParameter(`invalid pool size: ${size} (must be between ${pool.prefixLength} and ${largest})`);
    return { pool, size };
  });
  const own = parsed.filter(({ pool }) => pool.family === family);
  if (own.length > 0) return own;
  return family === 4 ? poolsOf(4, dockerAddressPools) : [{ pool: uniqueLocalPool(), size: 64 }];
}

/** The machine's own /48 of unique local addresses (RFC 4193), the same at every start. */
function uniqueLocalPool(): Subnet {
  const machine = readFirst(["/etc/machine-id", "/var/lib/dbus/machine-id", "/proc/sys/kernel/hostname"]);
  const globalId = createHash("sha256").update(`brig ${machine}`).digest("hex").slice(0, 10);
  return { family: 6, base: BigInt(`0xfd${globalId}`) << 80n, prefixLength: 48 };
}

function readFirst(paths: string[]): string {
  for (const path of paths)
    try {
      return readFileSync(path, "utf8").trim();
    } catch {} // Not every system has each of them.
  return "";
}

/** Gateway of a network that names none: the first address an interface can have. */
export function firstAddress(subnet: Subnet): Address {
  const { family, value } = firstOf(subnet);
  return { family, value: edgesOf(subnet).includes(value) ? value + 1n : value };
}

const max = (a: bigint, b: bigint) => (a > b ? a : b);
