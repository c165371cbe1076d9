/** Networks and endpoints in the shapes the API shows them in. */
import type { EndpointSettings, Network, NetworkSettings } from "../wire/engine-api.ts";
import { formatIpv4, formatSubnet } from "./addresses.ts";
import type { Bridge } from "./bridge.ts";
import { portMap } from "./ports.ts";
import type { Attachment, Endpoint, NetworkRecord } from "./record.ts";
import type { NetworkOptions } from "./settings.ts";

/** A container as `GET /networks/{id}` lists it. */
export interface EndpointResource {
  Name: string;
  EndpointID: string;
  MacAddress: string;
  IPv4Address: string;
  IPv6Address: string;
}

/** The answer of `GET /networks/{id}`. */
export type NetworkWithContainers = Network & { Containers: Record<string, EndpointResource> };

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

/** One network, without its containers. `bridge` is the link behind it, where there is one. */
export function networkShape(
  id: string,
  name: string,
  record: NetworkRecord,
  bridge: Bridge | undefined,
  options: NetworkOptions,
): Network {
  const network: Network & { EnableIPv4: boolean } = {
    Name: name,
    Id: id,
    Created: record.created,
    Scope: "local",
    Driver: record.driver,
    EnableIPv4: true,
    EnableIPv6: false,
    IPAM: { Driver: "default", Options: null as never, Config: null as never },
    Internal: false,
    Attachable: false,
    Ingress: false,
    ConfigFrom: { Network: "" },
    ConfigOnly: false,
    Options: {},
    Labels: {},
  };
  if (bridge === undefined) return network;
  const range = bridge.range.prefixLength === bridge.subnet.prefixLength ? {} : { IPRange: formatSubnet(bridge.range) };
  network.IPAM!.Config = [{ Subnet: formatSubnet(bridge.subnet), ...range, Gateway: formatIpv4(bridge.gateway) }];
  network.Options = {
    "com.docker.network.bridge.default_bridge": "true",
    "com.docker.network.bridge.enable_icc": String(options.icc),
    "com.docker.network.bridge.enable_ip_masquerade": String(options.ipMasquerade),
    "com.docker.network.bridge.host_binding_ipv4": options.publishAddress === "" ? "0.0.0.0" : options.publishAddress,
    "com.docker.network.bridge.name": bridge.name,
    "com.docker.network.driver.mtu": String(bridge.mtu),
  };
  return network;
}

/** A container on a network, as the network shows it. */
export function endpointResource({ id, containerName, attachment }: Endpoint): EndpointResource {
  return {
    Name: containerName,
    EndpointID: id,
    MacAddress: attachment?.mac ?? "",
    IPv4Address: attachment === undefined ? "" : `${attachment.address}/${attachment.prefixLength}`,
    IPv6Address: "",
  };
}

/** A container's place on a network, as the container shows it. */
export function endpointSettings({
  id,
  networkId,
  requested,
  attachment,
}: Pick<Endpoint, "id" | "networkId" | "requested" | "attachment">): EndpointSettings {
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
    Gateway: attachment?.gateway ?? "",
    IPAddress: attachment?.address ?? "",
    IPPrefixLen: attachment?.prefixLength ?? 0,
    IPv6Gateway: "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    DNSNames: requested.DNSNames ?? nothing,
  };
}

/** The place on a network of a container that does not run. */
export function idleEndpoint(requested: EndpointSettings, networkId: string): EndpointSettings {
  return endpointSettings({ id: "", networkId, requested, attachment: undefined });
}

/** What `inspect` shows of a container's networking. Of a container that does not run: no endpoints. */
export function networkSettings(endpoints: Endpoint[], sandboxKey: string): FullNetworkSettings {
  const onBridge = endpoints.find(({ networkName }) => networkName === "bridge");
  const attachment: Attachment | undefined = onBridge?.attachment;
  return {
    Bridge: "",
    SandboxID: endpoints[0]?.sandboxId ?? "",
    SandboxKey: sandboxKey,
    Ports: attachment === undefined ? {} : portMap(attachment.ports, attachment.exposed),
    HairpinMode: false,
    LinkLocalIPv6Address: "",
    LinkLocalIPv6PrefixLen: 0,
    SecondaryIPAddresses: null,
    SecondaryIPv6Addresses: null,
    EndpointID: onBridge?.id ?? "",
    Gateway: attachment?.gateway ?? "",
    GlobalIPv6Address: "",
    GlobalIPv6PrefixLen: 0,
    IPAddress: attachment?.address ?? "",
    IPPrefixLen: attachment?.prefixLength ?? 0,
    IPv6Gateway: "",
    MacAddress: attachment?.mac ?? "",
    Networks: Object.fromEntries(endpoints.map((endpoint) => [endpoint.networkName, endpointSettings(endpoint)])),
  };
}
