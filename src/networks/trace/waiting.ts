/** Who waits for others at which port, as text. */
import { listeners } from "../../kernel/listeners.ts";
import { addressOfBytes, formatAddress } from "../addresses.ts";
import type { Target } from "./target.ts";

/** A socket that waits. */
export interface Waiting {
  text: string;
  port: number;
}

/** Where somebody waits in the namespace of a process. */
export function waiting(pid: number, protocol: Target["protocol"]): Waiting[] {
  return listeners(pid, protocol).map(({ address, port }) => ({ text: plainAddress(address), port }));
}

/** Whether a socket hears what is sent to an address. */
export function isFor(address: string): (socket: Waiting) => boolean {
  return ({ text }) => text === "::" || text === address || (text === "0.0.0.0" && address.includes("."));
}

/** IPv4 as such, also where a socket of IPv6 has it. */
function plainAddress(bytes: Uint8Array): string {
  const isMapped = bytes.length === 16 && bytes.slice(0, 12).every((byte, index) => byte === (index < 10 ? 0 : 255));
  return formatAddress(addressOfBytes(isMapped ? bytes.slice(12) : bytes));
}
