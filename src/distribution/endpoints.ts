/** Which servers may have a repository, in the order in which they are asked. */
import { isInRange, isLoopback } from "./address-ranges.ts";
import { type Certificates, certificatesFor } from "./certificates.ts";
import type { ProxySettings } from "./proxies.ts";
import { ConnectionError } from "./registry-errors.ts";

/** One server's base, such as `https://registry-1.docker.io`. */
export interface Endpoint {
  base: string;
  /** Whether its certificate is checked. */
  verify: boolean;
  /** Mirrors are not sent anybody's password. */
  isMirror: boolean;
  certificates: Certificates | undefined;
  proxies: ProxySettings;
}

/** What of the daemon's configuration concerns images. */
export interface ImageSettings {
  /** URLs, for docker.io only. */
  registryMirrors: string[];
  /** `host`, `host:port` or an address range such as `10.0.0.0/8` or `fd00::/8`. */
  insecureRegistries: string[];
  maxConcurrentDownloads: number;
  maxConcurrentUploads: number;
  maxDownloadAttempts: number;
  proxies: ProxySettings;
}

const HUB = "https://registry-1.docker.io";

/** The servers for a reference's domain. Throws invalidParameter where their certificates are incomplete. */
export function endpointsFor(domain: string, settings: ImageSettings): Endpoint[] {
  if (domain !== "docker.io") return originsOf(domain, settings);
  const mirrors = settings.registryMirrors.map((mirror) => ({
    ...originOf(mirror.replace(/\/+$/, ""), !isInsecure(new URL(mirror).host, settings), settings),
    isMirror: true,
  }));
  return [...mirrors, ...originsOf(domain, settings)];
}

/** The servers that images of a domain are pushed to: those that have them first hand. */
export function originsOf(domain: string, settings: ImageSettings): Endpoint[] {
  if (domain === "docker.io") return [originOf(HUB, true, settings)];
  if (!isInsecure(domain, settings)) return [originOf(`https://${domain}`, true, settings)];
  // An insecure registry is tried with TLS, unchecked, and then in the clear.
  return [originOf(`https://${domain}`, false, settings), originOf(`http://${domain}`, false, settings)];
}

/** Asks one server after the other, as long as none answers at all. Throws what the last one that was asked brought. */
export async function askInTurn<T>(endpoints: Endpoint[], ask: (endpoint: Endpoint) => Promise<T>): Promise<T> {
  let last: unknown;
  for (const endpoint of endpoints) {
    try {
      return await ask(endpoint);
    } catch (thrown) {
      last = thrown;
      if (!(thrown instanceof ConnectionError)) break;
    }
  }
  throw last;
}

function originOf(base: string, verify: boolean, { proxies }: ImageSettings): Endpoint {
  const certificates = verify ? certificatesFor(new URL(base).host) : undefined;
  return { base, verify, isMirror: false, certificates, proxies };
}

/** Whether a `host[:port]` may be spoken to without a certificate: loopback always, others as configured. */
export function isInsecure(host: string, settings: ImageSettings): boolean {
  const name = host.replace(/:\d+$/, "").replace(/^\[|\]$/g, "");
  if (isLoopback(name)) return true;
  return settings.insecureRegistries.some((entry) => entry === host || entry === name || isInRange(name, entry));
}
