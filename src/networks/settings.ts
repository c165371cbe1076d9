/** What the daemon's configuration says about networks. */
import type { PublishPolicy } from "./packet-filter.ts";

/** All of it has been checked for its type by the daemon's configuration, not yet for its sense. */
export interface NetworkOptions {
  /** Name of the default bridge, or "none" for no default bridge. */
  bridge: string;
  /** Address of the default bridge with its prefix length, 172.18.0.1/16 say; of either family. */
  bip?: string;
  bip6?: string;
  /** Part of the bridge's subnet that containers get addresses of. */
  fixedCidr?: string;
  fixedCidr6?: string;
  /** Whether containers of the default bridge have IPv6. */
  ipv6: boolean;
  /** Where the default bridge's containers send what is for others, where that is not the bridge. */
  defaultGateway?: string;
  defaultGateway6?: string;
  /** Where the subnet is taken from without `bip`. Empty: Docker's pools. */
  defaultAddressPools: AddressPoolOption[];
  /** Of bridges and their containers; the uplink's where absent or 0. */
  mtu?: number;
  /** Options that new networks of a driver get where they name no value of their own. */
  defaultNetworkOptions: { driver: string; name: string; value: string }[];
  /** Whether containers of the default bridge may talk to each other. */
  icc: boolean;
  /** Whether to turn on the host's forwarding, and of IPv6 when a network has it. */
  ipForward: boolean;
  /** Whether published ports are reached at the container's own address from anywhere. */
  allowDirectRouting: boolean;
  /** Whether containers reach the outside under the host's address. */
  ipMasquerade: boolean;
  /** Whether to touch the packet filter at all. Without it no port is published. */
  packetFilter: boolean;
  /** Where ports are published that name no address of the host; "" or 0.0.0.0 for all of them. */
  publishAddress: string;
  /** Whether the host's own input rules decide about packets from outside to published ports. */
  publishPolicy: PublishPolicy;
  dns: string[];
  dnsSearch: string[];
  dnsOptions: string[];
  /** What `host-gateway` in an extra host stands for; the default bridge's addresses where empty. */
  hostGatewayIps: string[];
}

export interface AddressPoolOption {
  /** CIDR. */
  base: string;
  /** Prefix length of the subnets to make of it. */
  size: number;
}

/** Docker's own pools, documented with `--default-address-pool`. */
export const dockerAddressPools: AddressPoolOption[] = [
  { base: "172.17.0.0/16", size: 16 },
  { base: "172.18.0.0/16", size: 16 },
  { base: "172.19.0.0/16", size: 16 },
  { base: "172.20.0.0/14", size: 16 },
  { base: "172.24.0.0/14", size: 16 },
  { base: "172.28.0.0/14", size: 16 },
  { base: "192.168.0.0/16", size: 20 },
];
