/** Who is found by which name on a network. */
import type { EndpointSettings } from "../wire/engine-api.ts";
import { addressBytes } from "./addresses.ts";
import type { EndpointNames } from "./names/name-servers.ts";
import type { Endpoint } from "./record.ts";

/** Docker's names of an endpoint, in order and each once. `hostname` is the container's own, `id` its id. */
export function dnsNames(name: string, aliases: string[], id: string, hostname: string): string[] {
  return [...new Set([name, ...aliases, id.slice(0, 12), hostname].filter((word) => word !== ""))];
}

/** An endpoint as name servers know it. */
export function endpointNames({ names, containerName, networkName, attachment }: Endpoint): EndpointNames {
  const bytes = (address: string | undefined) => (address === undefined ? undefined : addressBytes(address));
  return {
    names,
    fullName: `${containerName}.${networkName}`,
    v4: bytes(attachment?.v4?.address),
    v6: bytes(attachment?.v6?.address),
  };
}

/** A container's own names for others on a network: `container:alias`, or the container's name alone. */
export function linksOf({ Links }: EndpointSettings): Record<string, string> | undefined {
  if (Links === undefined || Links === null || Links.length === 0) return undefined;
  return Object.fromEntries(
    Links.map((link) => {
      const [target = "", alias] = link.replace(/^\//, "").split(":");
      // Others are found by the beginning of their ids.
      return [alias || target, /^[0-9a-f]{64}$/.test(target) ? target.slice(0, 12) : target];
    }),
  );
}
