/** Networks and endpoints in the shapes the API shows them in. */
import type { EndpointSettings, Network, NetworkSettings } from "../wire/engine-api.ts";
import type { SubnetStatus } from "./network-addresses.ts";
import { optionNames } from "./options.ts";
import { portMap } from "./ports.ts";
import type { Endpoint, NetworkRecord, Placement } from "./record.ts";

/** A container as `GET /networks/{id}` lists it. */
export interface EndpointResource {
  Name: string;
  EndpointID: string;
  MacAddress: string;
  IPv4Address: string;
  IPv6Address: string;
}

/** The answer of `GET /networks/{id}`. */
export type NetworkWithContainers = Network & {
  Containers: Record<string, EndpointResource>;
  Status: { IPAM: { Subnets: Record<string, SubnetStatus> } };
};

/** NetworkSettings with the fields that API versions before 1.52 show of the default bridge. */
export type FullNetworkSettings = NetworkSettings & {
  Bridge: string;
  HairpinMode: boolean;
  LinkLocalIPv6Address: string;
  LinkLocalIPv6PrefixLen: number;
  SecondaryIPAddresses: null;
  SecondaryIPv6Addresses: null;
  EndpointID: string;
  Gateway: string;
  GlobalIPv6Address: string;
  GlobalIPv6PrefixLen: number;
  IPAddress: string;
  IPPrefixLen: number;
  IPv6Gateway: string;
  MacAddress: string;
};

/** One network, without its containers. `mtu` is that of its links, where it has any. */
export function networkShape(
  { id, name, ...record }: NetworkRecord & { id: string; name: string },
  mtu: number | undefined,
): Network {
  const { ipam, options } = record;
  const isDefaultBridge = options[optionNames.defaultBridge] === "true";
  return {
    Name: name,
    Id: id,
    Created: record.created,
    Scope: "local",
    Driver: record.driver,
    EnableIPv4: record.enableIPv4,
    EnableIPv6: record.enableIPv6,
    IPAM: {
      Driver: ipam.driver,
      Options: ipam.options as never,
      Config: ipam.config.length === 0 ? (null as never) : ipam.config,
    },
    Internal: record.internal,
    Attachable: record.attachable,
    Ingress: false,
    ConfigFrom: { Network: record.configFrom },
    ConfigOnly: record.configOnly,
    Options: isDefaultBridge ? { ...options, [optionNames.mtu]: String(mtu) } : options,
    Labels: record.labels,
  };
}

/** A container on a network, as the network shows it. */
export function endpointResource({ id, containerName, attachment }: Endpoint): EndpointResource {
  return {
    Name: containerName,
    EndpointID: id,
    MacAddress: attachment?.mac ?? "",
    IPv4Address: withPrefix(attachment?.v4),
    IPv6Address: withPrefix(attachment?.v6),
  };
}

function withPrefix(placement: Placement | undefined): string {
  return placement === undefined ? "" : `${placement.address}/${placement.prefixLength}`;
}

/** A container's place on a network, as the container shows it. */
export function endpointSettings({
  id,
  networkId,
  requested,
  attachment,
  names,
}: Pick<Endpoint, "id" | "networkId" | "requested" | "attachment" | "names">): EndpointSettings {
  const nothing = null as never;
  return {
    IPAMConfig: requested.IPAMConfig ?? nothing,
    Links: requested.Links ?? nothing,
    Aliases: requested.Aliases ?? nothing,
    MacAddress: attachment?.mac ?? "",
    DriverOpts: requested.DriverOpts ?? null,
    GwPriority: requested.GwPriority ?? 0,
    NetworkID: networkId,
    EndpointID: id,
    Gateway: attachment?.v4?.gateway ?? "",
    IPAddress: attachment?.v4?.address ?? "",
    IPPrefixLen: attachment?.v4?.prefixLength ?? 0,
    IPv6Gateway: attachment?.v6?.gateway ?? "",
    GlobalIPv6Address: attachment?.v6?.address ?? "",
    GlobalIPv6PrefixLen: attachment?.v6?.prefixLength ?? 0,
    DNSNames: names.length > 0 ? names : nothing,
  };
}

/** The place on a network of a container that does not run. */
export function idleEndpoint(requested: EndpointSettings, networkId: string): EndpointSettings {
  return endpointSettings({ id: "", networkId, requested, attachment: undefined, names: [] });
}

/** What `inspect` shows of a container's networking. Of a container that does not run: no endpoints. */
export function networkSettings(endpoints: Endpoint[], sandboxKey: string): FullNetworkSettings {
  const onBridge = endpoints.find(({ networkName }) => networkName === "bridge");
  const { v4, v6, mac = "" } = onBridge?.attachment ?? {};
  const publishing = endpoints.find((endpoint) => endpoint.publishing !== undefined)?.publishing;
  return {
    Bridge: "",
    SandboxID: endpoints[0]?.sandboxId ?? "",
    SandboxKey: sandboxKey,
    Ports: publishing === undefined ? {} : portMap(publishing.ports, publishing.exposed),
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: onBridge?.id ?? "",
    Gateway: v4?.gateway ?? "",
    GlobalIPv6Address: v6?.address ?? "",
    GlobalIPv6PrefixLen: v6?.prefixLength ?? 0,
    IPAddress: v4?.address ?? "",
    IPPrefixLen: v4?.prefixLength ?? 0,
    IPv6Gateway: v6?.gateway ?? "",
    MacAddress: mac,
    Networks: Object.fromEntries(endpoints.map((endpoint) => [endpoint.networkName, endpointSettings(endpoint)])),
  };
}
