/** Inside of a container's network namespace: interfaces, addresses, default routes. */
import { writeFileSync } from "node:fs";
import { insideNetworkNamespace } from "../kernel/namespaces.ts";
import { type Gateway, Netlink } from "../kernel/rtnetlink.ts";
import { messageOf, systemError } from "../lib/errors.ts";
import { addressBytes, type Family } from "./addresses.ts";
import { writeSetting } from "./bridge.ts";
import type { NetworkDriver } from "./driver.ts";
import { endpointSysctls } from "./endpoint-options.ts";
import type { Attachment, Endpoint } from "./record.ts";

/** A container on a network. */
export interface Place {
  endpoint: Endpoint;
  attachment: Attachment;
  driver: NetworkDriver;
}

const familyOf = (gateway: Gateway): Family => (typeof gateway === "number" ? gateway : gateway.length === 4 ? 4 : 6);

/**
 * Docker's order of a container's networks, where only one can have what is asked for: by priority, then those that lead
 * out by both families, by IPv6, by IPv4, then by name.
 */
export function byPriority(places: Place[]): Place[] {
  const priority = ({ endpoint }: Place) => endpoint.requested.GwPriority ?? 0;
  const ways = ({ driver, attachment }: Place) =>
    driver.gatewaysOf(attachment).reduce((sum, gateway) => sum + (familyOf(gateway) === 6 ? 2 : 1), 0);
  return [...places].sort(
    (a, b) =>
      priority(b) - priority(a) || ways(b) - ways(a) || (a.endpoint.networkName < b.endpoint.networkName ? -1 : 1),
  );
}

/** The places default routes lead through, at most one of each family, with the gateways there. */
export function defaultRoutes(places: Place[]): Map<Family, { place: Place; gateway: Gateway }> {
  const routes = new Map<Family, { place: Place; gateway: Gateway }>();
  for (const place of byPriority(places))
    for (const gateway of place.driver.gatewaysOf(place.attachment))
      if (!routes.has(familyOf(gateway))) routes.set(familyOf(gateway), { place, gateway });
  return routes;
}

/**
 * Makes the interfaces of `added` in a namespace and gives it the default routes of all its `places`.
 * `hairpin`: whether the container may reach itself by a port of the host.
 */
export function plugIn(namespaceFd: number, added: Place[], places: Place[], hairpin: (place: Place) => boolean): void {
  for (const place of added) place.driver.plug(place.attachment, namespaceFd, hairpin(place));
  insideNetworkNamespace(namespaceFd, () => {
    const netlink = new Netlink();
    try {
      for (const { attachment } of added)
        writeSetting(`net/ipv6/conf/${attachment.interfaceName}/disable_ipv6`, attachment.v6 === undefined ? "1" : "0");
      const routes = [...defaultRoutes(places).values()];
      netlink.configureContainer(
        added.map((place) => ({
          name: place.attachment.interfaceName,
          addresses: addressesOf(place),
          gateways: routes.filter((route) => route.place === place).map(({ gateway }) => gateway),
        })),
      );
      for (const { attachment, endpoint } of added)
        for (const [path, value] of endpointSysctls(endpoint.requested, attachment.interfaceName))
          writeSysctl(path, value);
    } finally {
      netlink.close();
    }
  });
}

/** Throws where there is no such setting, or it cannot have that value. */
function writeSysctl(path: string, value: string): void {
  try {
    writeFileSync(`/proc/sys/${path}`, value);
  } catch (error) {
    const isMissing = (error as NodeJS.ErrnoException).code === "ENOENT";
    const reason = isMissing ? "the kernel has no such setting" : messageOf(error);
    throw systemError(
      `failed to set sysctl ${path.replaceAll("/", ".")} to ${JSON.stringify(value)}: ${reason}`,
      error,
    );
  }
}

/** Takes an interface away and leads the default routes through the places that are left. */
export function unplug(namespaceFd: number, removed: Place, left: Place[]): void {
  insideNetworkNamespace(namespaceFd, () => {
    const netlink = new Netlink();
    try {
      removed.driver.unplug(removed.attachment, netlink);
      for (const { place, gateway } of defaultRoutes(left).values()) {
        const link = netlink.link(place.attachment.interfaceName);
        if (link !== undefined) leadThrough(netlink, link.index, gateway);
      }
    } finally {
      netlink.close();
    }
  });
}

/** A container may take its own interfaces down, or their addresses: then nothing leads through them. */
function leadThrough(netlink: Netlink, linkIndex: number, gateway: Gateway): void {
  try {
    netlink.setDefaultRoute(linkIndex, gateway);
  } catch (error) {
    if (
      !["ENETUNREACH", "ENETDOWN", "EHOSTUNREACH", "ENODEV", "EINVAL"].includes((error as { code?: string }).code ?? "")
    )
      throw error;
  }
}

function addressesOf({ attachment: { v4, v6 }, endpoint }: Place) {
  const placed = [v4, v6].flatMap((placement) =>
    placement === undefined ? [] : { address: addressBytes(placement.address)!, prefixLength: placement.prefixLength },
  );
  const linkLocal = (endpoint.requested.IPAMConfig?.LinkLocalIPs ?? []).map((text) => {
    const address = addressBytes(text)!;
    return { address, prefixLength: address.length === 4 ? 16 : 64 };
  });
  return [...placed, ...linkLocal];
}

/** In the namespace this is called in. */
export function bringLoopbackUp(): void {
  const netlink = new Netlink();
  try {
    netlink.setLoopbackUp();
  } finally {
    netlink.close();
  }
}
