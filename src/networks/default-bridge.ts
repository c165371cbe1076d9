/** The default network, `bridge`: what the daemon's configuration and the host make of it at every start. */
import type { Netlink } from "../kernel/rtnetlink.ts";
import { invalidParameter, systemError } from "../lib/errors.ts";
import {
  type Address,
  addressOfBytes,
  contains,
  type Family,
  formatAddress,
  formatSubnet,
  overlap,
  parseAddress,
  parseCidr,
  type Subnet,
  subnetOf,
} from "./addresses.ts";
import { subnetsInUse } from "./bridge.ts";
import { chooseSubnet, edgesOf, firstAddress } from "./ipam.ts";
import { isLinkName, optionNames } from "./options.ts";
import type { NetworkRecord, PoolRecord } from "./record.ts";
import type { NetworkOptions } from "./settings.ts";

/** Names of the auxiliary addresses that are gateways, where the bridge itself is none; Docker's. */
export const gatewayNames: Record<Family, string> = { 4: "DefaultGatewayIPv4", 6: "DefaultGatewayIPv6" };

/**
 * The record of the default network. `before` is that of the last time: its subnets are kept where the configuration
 * allows it and nobody has taken them. Throws where the configuration makes no sense.
 */
export function defaultBridgeRecord(
  netlink: Netlink,
  options: NetworkOptions,
  before: Pick<NetworkRecord, "created" | "ipam">,
): NetworkRecord {
  const { bridge: name } = options;
  if (!isLinkName(name)) throw invalidParameter(`invalid name of a bridge: ${JSON.stringify(name)}`);
  const link = netlink.link(name);
  const taken = subnetsInUse(netlink, link?.index);
  const pool = (family: Family): PoolRecord => {
    const { subnet, gateway } = chooseGateway(netlink, options, family, link?.index, before.ipam.config, taken);
    const wanted = family === 4 ? options.defaultGateway : options.defaultGateway6;
    return {
      Subnet: formatSubnet(subnet),
      ...rangeOf(family === 4 ? options.fixedCidr : undefined, subnet),
      Gateway: formatAddress(gateway),
      ...(wanted === undefined ? {} : { AuxiliaryAddresses: { [gatewayNames[family]]: inside(wanted, subnet) } }),
    };
  };
  return {
    driver: "bridge",
    created: before.created,
    enableIPv4: true,
    enableIPv6: options.ipv6,
    internal: false,
    attachable: false,
    configOnly: false,
    configFrom: "",
    options: {
      [optionNames.defaultBridge]: "true",
      [optionNames.icc]: String(options.icc),
      [optionNames.masquerade]: String(options.ipMasquerade),
      [optionNames.hostBinding]: options.publishAddress.includes(".") ? options.publishAddress : "0.0.0.0",
      [optionNames.name]: name,
      ...(options.mtu ? { [optionNames.mtu]: String(options.mtu) } : {}),
    },
    labels: {},
    ipam: { driver: "default", options: null, config: [pool(4), ...(options.ipv6 ? [pool(6)] : [])] },
    ownSubnets: false,
  };
}

function chooseGateway(
  netlink: Netlink,
  options: NetworkOptions,
  family: Family,
  index: number | undefined,
  before: PoolRecord[],
  taken: Subnet[],
): { subnet: Subnet; gateway: Address } {
  const bip = family === 4 ? options.bip : options.bip6;
  if (bip !== undefined) {
    const chosen = parseCidr(bip);
    if (chosen?.subnet.family !== family) throw invalidParameter(`invalid CIDR address: ${bip}`);
    const { subnet, address: gateway } = chosen;
    if (subnet.prefixLength > (family === 4 ? 30 : 126) || edgesOf(subnet).includes(gateway.value))
      throw invalidParameter(`--bip ${bip} leaves no address for a container, or is the network's own`);
    return { subnet, gateway };
  }
  if (family === 6 && options.fixedCidr6 !== undefined) {
    const subnet = parseCidr(options.fixedCidr6)?.subnet;
    if (subnet?.family !== 6) throw invalidParameter(`invalid CIDR address: ${options.fixedCidr6}`);
    return { subnet, gateway: firstAddress(subnet) };
  }
  const existing = netlink
    .addresses()
    .find(
      ({ linkIndex, address }) =>
        linkIndex === index && address.length === (family === 4 ? 4 : 16) && address[0] !== 0xfe,
    );
  if (existing !== undefined) {
    const gateway = addressOfBytes(existing.address);
    return { subnet: subnetOf(gateway, existing.prefixLength), gateway };
  }
  for (const { Subnet, Gateway } of before) {
    const subnet = parseCidr(Subnet)?.subnet;
    const gateway = parseAddress(Gateway ?? "");
    if (subnet?.family === family && gateway !== undefined && !taken.some((other) => overlap(other, subnet)))
      return { subnet, gateway };
  }
  const subnet = chooseSubnet(family, options.defaultAddressPools, taken);
  return { subnet, gateway: firstAddress(subnet) };
}

function rangeOf(fixedCidr: string | undefined, subnet: Subnet): { IPRange?: string } {
  if (fixedCidr === undefined) return {};
  const range = parseCidr(fixedCidr)?.subnet;
  if (range?.family !== subnet.family) throw invalidParameter(`invalid CIDR address: ${fixedCidr}`);
  if (range.prefixLength < subnet.prefixLength || !contains(subnet, { family: range.family, value: range.base }))
    throw invalidParameter(`--fixed-cidr ${fixedCidr} is not within the bridge's subnet ${formatSubnet(subnet)}`);
  return range.prefixLength === subnet.prefixLength ? {} : { IPRange: formatSubnet(range) };
}

function inside(gateway: string, subnet: Subnet): string {
  const address = parseAddress(gateway);
  if (address === undefined || !contains(subnet, address))
    throw systemError(`the default gateway ${gateway} is not within the bridge's subnet ${formatSubnet(subnet)}`);
  return formatAddress(address);
}
