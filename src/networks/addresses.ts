/** IPv4 and IPv6 addresses and subnets: text, numbers, bytes. */
import { isIP } from "node:net";

export type Family = 4 | 6;

/** An address. `value` is its bits as an unsigned number. */
export interface Address {
  family: Family;
  value: bigint;
}

/** A subnet. `base` is its first address. */
export interface Subnet {
  family: Family;
  base: bigint;
  prefixLength: number;
}

const bitsOf = (family: Family) => (family === 4 ? 32 : 128);

/** The address, or undefined where the text is not one. Zones are refused. */
export function parseAddress(text: string): Address | undefined {
  const bytes = addressBytes(text);
  return bytes === undefined ? undefined : addressOfBytes(bytes);
}

/** Canonical text; of IPv6 that of RFC 5952. */
export function formatAddress({ family, value }: Address): string {
  if (family === 4) return [24n, 16n, 8n, 0n].map((shift) => (value >> shift) & 255n).join(".");
  const groups = Array.from({ length: 8 }, (_, index) => Number((value >> BigInt(112 - 16 * index)) & 0xffffn));
  let start = -1;
  let length = 1;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) [start, length] = [at, end - at];
  }
  const hex = (part: number[]) => part.map((group) => group.toString(16)).join(":");
  return start < 0 ? hex(groups) : `${hex(groups.slice(0, start))}::${hex(groups.slice(start + length))}`;
}

/** "172.18.0.1/16" as the address in it and its subnet, or undefined where the text is not a CIDR. */
export function parseCidr(text: string): { address: Address; subnet: Subnet } | undefined {
  const [addressText, prefixText, ...rest] = text.split("/");
  const address = parseAddress(addressText ?? "");
  if (address === undefined || prefixText === undefined || rest.length > 0 || !/^\d{1,3}$/.test(prefixText))
    return undefined;
  const prefixLength = Number(prefixText);
  if (prefixLength > bitsOf(address.family)) return undefined;
  return { address, subnet: subnetOf(address, prefixLength) };
}

/** The subnet of that size an address is in. */
export function subnetOf({ family, value }: Address, prefixLength: number): Subnet {
  return { family, base: value - (value % sizeOf({ family, base: 0n, prefixLength })), prefixLength };
}

/** Number of addresses in a subnet. */
export function sizeOf({ family, prefixLength }: Subnet): bigint {
  return 1n << BigInt(bitsOf(family) - prefixLength);
}

export function formatSubnet({ family, base, prefixLength }: Subnet): string {
  return `${formatAddress({ family, value: base })}/${prefixLength}`;
}

export function contains(subnet: Subnet, { family, value }: Address): boolean {
  return family === subnet.family && value >= subnet.base && value < subnet.base + sizeOf(subnet);
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return contains(a, firstOf(b)) || contains(b, firstOf(a));
}

export function firstOf({ family, base }: Subnet): Address {
  return { family, value: base };
}

/** An IPv4 or IPv6 address as its 4 or 16 bytes, or undefined where the text is neither. Zones are refused. */
export function addressBytes(text: string): Uint8Array | undefined {
  const family = isIP(text);
  if (family === 0 || text.includes("%")) return undefined;
  if (family === 4) return Uint8Array.from(text.split("."), Number);
  const tail = /[^:]+\.[^:]+$/.exec(text)?.[0];
  const [head = "", rest] = (tail === undefined ? text : text.replace(tail, hexadecimalTail(tail))).split("::");
  const left = head === "" ? [] : head.split(":");
  const right = rest === undefined || rest === "" ? [] : rest.split(":");
  const groups = [...left, ...Array<string>(8 - left.length - right.length).fill("0"), ...right];
  return Uint8Array.from(
    groups.flatMap((group) => {
      const value = Number.parseInt(group, 16);
      return [value >> 8, value & 255];
    }),
  );
}

/** The address of 4 or 16 bytes. */
export function addressOfBytes(bytes: Uint8Array): Address {
  let value = 0n;
  for (const byte of bytes) value = (value << 8n) | BigInt(byte);
  return { family: bytes.length === 4 ? 4 : 6, value };
}

/** The 4 or 16 bytes of an address. */
export function bytesOfAddress({ family, value }: Address): Uint8Array {
  const length = bitsOf(family) / 8;
  return Uint8Array.from({ length }, (_, index) => Number((value >> BigInt(8 * (length - 1 - index))) & 255n));
}

function hexadecimalTail(ipv4: string): string {
  const [a = 0, b = 0, c = 0, d = 0] = addressBytes(ipv4)!;
  return `${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}
