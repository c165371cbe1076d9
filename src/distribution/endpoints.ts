/** Which servers may have a repository, in the order in which they are asked. */
import { isIP } from "node:net";

/** One server's base, such as `https://registry-1.docker.io`. */
export interface Endpoint {
  base: string;
  /** Whether its certificate is checked. */
  verify: boolean;
  /** Mirrors are not sent anybody's password. */
  isMirror: boolean;
}

/** What of the daemon's configuration concerns images. */
export interface ImageSettings {
  /** URLs, for docker.io only. */
  registryMirrors: string[];
  /** `host`, `host:port` or an address range such as `10.0.0.0/8`. */
  insecureRegistries: string[];
  maxConcurrentDownloads: number;
  maxDownloadAttempts: number;
}

const HUB = "https://registry-1.docker.io";

/** The servers for a reference's domain. */
export function endpointsFor(domain: string, settings: ImageSettings): Endpoint[] {
  if (domain !== "docker.io") return serversOf(domain, settings);
  const mirrors = settings.registryMirrors.map((mirror) => {
    const url = new URL(mirror);
    return { base: mirror.replace(/\/+$/, ""), verify: !isInsecure(url.host, settings), isMirror: true };
  });
  return [...mirrors, { base: HUB, verify: true, isMirror: false }];
}

/** An insecure registry is tried with TLS, unchecked, and then in the clear. */
function serversOf(host: string, settings: ImageSettings): Endpoint[] {
  if (!isInsecure(host, settings)) return [{ base: `https://${host}`, verify: true, isMirror: false }];
  return [
    { base: `https://${host}`, verify: false, isMirror: false },
    { base: `http://${host}`, verify: false, isMirror: false },
  ];
}

/** Whether a `host[:port]` may be spoken to without a certificate: loopback always, others as configured. */
export function isInsecure(host: string, settings: ImageSettings): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (name === "localhost" || name === "::1") return true;
  return ["127.0.0.0/8", ...settings.insecureRegistries].some(
    (entry) => entry === host || entry === name || isInRange(name, entry),
  );
}

function isInRange(address: string, range: string): boolean {
  const [network = "", bits = ""] = range.split("/");
  if (isIP(address) !== 4 || isIP(network) !== 4 || !/^\d{1,2}$/.test(bits) || Number(bits) > 32) return false;
  const shift = 2 ** (32 - Number(bits));
  return Math.floor(numberOf(address) / shift) === Math.floor(numberOf(network) / shift);
}

const numberOf = (address: string) => address.split(".").reduce((sum, part) => sum * 256 + Number(part), 0);
