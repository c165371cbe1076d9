/** IP addresses and ranges of them, such as `10.0.0.0/8` and `fd00::/8`. */
import { BlockList, isIP } from "node:net";

/** Whether an address lies in a range. False where either is none. */
export function isInRange(address: string, range: string): boolean {
  const [network = "", bits = ""] = range.split("/");
  const family = isIP(network);
  if (family === 0 || !/^\d{1,3}$/.test(bits) || Number(bits) > (family === 4 ? 32 : 128)) return false;
  if (isIP(address) !== family) return false;
  const kind = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(network, Number(bits), kind);
  return list.check(address, kind);
}

/** Whether a host name or address is this machine, whatever its network. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || isInRange(host, "127.0.0.0/8");
}
