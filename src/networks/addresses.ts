/** IPv4 and IPv6 addresses and subnets: text, numbers, bytes. */
import { isIP, isIPv4 } from "node:net";

/** An IPv4 subnet. `base` is its first address as an unsigned 32-bit number. */
export interface Subnet {
  base: number;
  prefixLength: number;
}

/** The address as an unsigned 32-bit number, or undefined where the text is not one. */
export function parseIpv4(text: string): number | undefined {
  if (!isIPv4(text)) return undefined;
  return text.split(".").reduce((value, part) => value * 256 + Number(part), 0);
}

export function formatIpv4(address: number): string {
  return `${address >>> 24}.${(address >>> 16) & 255}.${(address >>> 8) & 255}.${address & 255}`;
}

/** "172.18.0.1/16" as the address in it and its subnet, or undefined where the text is not an IPv4 CIDR. */
export function parseCidr(text: string): { address: number; subnet: Subnet } | undefined {
  const [addressText, prefixText, ...rest] = text.split("/");
  const address = parseIpv4(addressText ?? "");
  if (address === undefined || prefixText === undefined || rest.length > 0 || !/^\d{1,2}$/.test(prefixText))
    return undefined;
  const prefixLength = Number(prefixText);
  if (prefixLength > 32) return undefined;
  return { address, subnet: subnetOf(address, prefixLength) };
}

/** The subnet of that size an address is in. */
export function subnetOf(address: number, prefixLength: number): Subnet {
  return { base: address - (address % sizeOf({ base: 0, prefixLength })), prefixLength };
}

/** Number of addresses in a subnet. */
export function sizeOf({ prefixLength }: Subnet): number {
  return 2 ** (32 - prefixLength);
}

export function formatSubnet({ base, prefixLength }: Subnet): string {
  return `${formatIpv4(base)}/${prefixLength}`;
}

export function contains(subnet: Subnet, address: number): boolean {
  return address >= subnet.base && address < subnet.base + sizeOf(subnet);
}

export function overlap(a: Subnet, b: Subnet): boolean {
  return contains(a, b.base) || contains(b, a.base);
}

/** An IPv4 or IPv6 address as its 4 or 16 bytes, or undefined where the text is neither. Zones are refused. */
export function addressBytes(text: string): Uint8Array | undefined {
  const family = isIP(text);
  if (family === 0 || text.includes("%")) return undefined;
  if (family === 4) return ipv4Bytes(parseIpv4(text)!);
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

export function ipv4Bytes(address: number): Uint8Array {
  return Uint8Array.of(address >>> 24, (address >>> 16) & 255, (address >>> 8) & 255, address & 255);
}

export function ipv4OfBytes(bytes: Uint8Array): number {
  return ((bytes[0]! << 24) | (bytes[1]! << 16) | (bytes[2]! << 8) | bytes[3]!) >>> 0;
}

function hexadecimalTail(ipv4: string): string {
  const address = parseIpv4(ipv4)!;
  return `${(address >>> 16).toString(16)}:${(address & 0xffff).toString(16)}`;
}
