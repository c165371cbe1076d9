import type { ParsedFlags } from "../../lib/flags.ts";
import { type Command, StatusError } from "../command.ts";
import { keyValues } from "./key-values.ts";

export const command: Command = {
  usage: "[OPTIONS] NETWORK",
  short: "Create a network",
  args: { min: 1, max: 1 },
  flags: [
    { name: "attachable", type: "bool", usage: "Enable manual container attachment" },
    {
      name: "aux-address",
      type: "list",
      value: "map",
      shownDefault: "map[]",
      usage: "Auxiliary IPv4 or IPv6 addresses used by Network driver",
    },
    { name: "config-from", type: "string", usage: "The network from which to copy the configuration" },
    { name: "config-only", type: "bool", usage: "Create a configuration only network" },
    { name: "driver", short: "d", type: "string", default: "bridge", usage: "Driver to manage the Network" },
    { name: "gateway", type: "list", value: "strings", usage: "IPv4 or IPv6 Gateway for the master subnet" },
    { name: "ingress", type: "bool", usage: "Create swarm routing-mesh network" },
    { name: "internal", type: "bool", usage: "Restrict external access to the network" },
    { name: "ip-range", type: "list", value: "strings", usage: "Allocate container ip from a sub-range" },
    { name: "ipam-driver", type: "string", default: "default", usage: "IP Address Management Driver" },
    { name: "ipam-opt", type: "list", value: "map", shownDefault: "map[]", usage: "Set IPAM driver specific options" },
    { name: "ipv4", type: "bool", default: "true", usage: "Enable or disable IPv4 address assignment" },
    { name: "ipv6", type: "bool", usage: "Enable or disable IPv6 address assignment" },
    { name: "label", type: "list", usage: "Set metadata on a network" },
    {
      name: "opt",
      short: "o",
      type: "list",
      value: "map",
      shownDefault: "map[]",
      usage: "Set driver specific options",
    },
    { name: "scope", type: "string", usage: "Control the network's scope" },
    {
      name: "subnet",
      type: "list",
      value: "strings",
      usage: "Subnet in CIDR format that represents a network segment",
    },
  ],
  async run(ctx, flags) {
    const configFrom = flags.string("config-from");
    const created = await ctx.engine.json<{ Id: string; Warning?: string }>("POST", "/networks/create", {
      json: {
        Name: flags.args[0],
        Driver: flags.string("driver"),
        Scope: flags.string("scope"),
        Options: keyValues(flags.list("opt")),
        Labels: keyValues(flags.list("label")),
        IPAM: {
          Driver: flags.string("ipam-driver"),
          Options: keyValues(flags.list("ipam-opt")),
          Config: ipamConfigs(flags),
        },
        Internal: flags.bool("internal"),
        Attachable: flags.bool("attachable"),
        Ingress: flags.bool("ingress"),
        ConfigOnly: flags.bool("config-only"),
        ConfigFrom: configFrom === "" ? null : { Network: configFrom },
        ...(flags.has("ipv4") ? { EnableIPv4: flags.bool("ipv4") } : {}),
        ...(flags.has("ipv6") ? { EnableIPv6: flags.bool("ipv6") } : {}),
      },
    });
    if (created.Warning) ctx.err(`WARNING: ${created.Warning}\n`);
    ctx.out(`${created.Id}\n`);
    return 0;
  },
};

interface IpamConfig {
  Subnet: string;
  IPRange?: string;
  Gateway?: string;
  AuxiliaryAddresses?: Record<string, string>;
}

/** Ranges, gateways and addresses go to the subnet that holds them; Docker refuses those that none holds. */
function ipamConfigs(flags: ParsedFlags): IpamConfig[] {
  const words = (name: string) => flags.list(name).flatMap((text) => text.split(","));
  const configs = words("subnet").map((subnet): IpamConfig => ({ Subnet: subnet }));
  if (configs.length < words("ip-range").length || configs.length < words("gateway").length) {
    throw new StatusError("every ip-range or gateway must have a corresponding subnet", 1);
  }
  for (const range of words("ip-range")) holderOf(configs, range, "ip-range").IPRange = range;
  for (const gateway of words("gateway")) holderOf(configs, gateway, "gateway").Gateway = gateway;
  for (const [name, address] of Object.entries(keyValues(flags.list("aux-address")))) {
    const config = holderOf(configs, address, "aux-address");
    config.AuxiliaryAddresses = { ...config.AuxiliaryAddresses, [name]: address };
  }
  return configs;
}

function holderOf(configs: IpamConfig[], address: string, what: string): IpamConfig {
  const plain = address.split("/")[0] ?? "";
  const holder = configs.find(({ Subnet }) => contains(Subnet, plain));
  if (holder !== undefined) return holder;
  const noun = what === "ip-range" ? "range" : what;
  throw new StatusError(`no matching subnet for ${noun} ${address}`, 1);
}

function contains(subnet: string, address: string): boolean {
  const [network = "", bits = "0"] = subnet.split("/");
  if (network.includes(":") !== address.includes(":")) return false;
  const size = network.includes(":") ? 128 : 32;
  const shift = BigInt(Math.max(0, size - Number(bits)));
  const [a, b] = [addressNumber(network), addressNumber(address)];
  return a !== undefined && b !== undefined && a >> shift === b >> shift;
}

function addressNumber(address: string): bigint | undefined {
  try {
    if (!address.includes(":")) {
      const parts = address.split(".");
      if (parts.length !== 4) return undefined;
      return parts.reduce((sum, part) => sum * 256n + BigInt(part), 0n);
    }
    const [head = "", tail] = address.split("::");
    const groups = (text: string | undefined) => (text ? text.split(":") : []);
    const missing = 8 - groups(head).length - groups(tail).length;
    const all = tail === undefined ? groups(head) : [...groups(head), ...Array(missing).fill("0"), ...groups(tail)];
    return all.reduce((sum, group) => sum * 65536n + BigInt(`0x${group}`), 0n);
  } catch {
    return undefined;
  }
}
