/** `--network` and the flags that speak of the container's place in it. */
import { parseInteger } from "../lib/flags.ts";
import type { EndpointSettings } from "../wire/engine-api.ts";
import { parseCsvRow } from "./csv.ts";
import { cut } from "./key-values.ts";

/** One `--network`, in its short or its long form. */
export interface NetworkOption {
  target: string;
  aliases: string[];
  links: string[];
  linkLocalIps: string[];
  ipv4: string;
  ipv6: string;
  macAddress: string;
  driverOptions: Record<string, string> | undefined;
  gatewayPriority: number;
}

/** The flags that hold for the first network. */
export interface ContainerNetworkFlags {
  aliases: string[];
  links: string[];
  linkLocalIps: string[];
  ipv4: string;
  ipv6: string;
  macAddress: string;
}

function optionFor(target: string): NetworkOption {
  return {
    target,
    aliases: [],
    links: [],
    linkLocalIps: [],
    ipv4: "",
    ipv6: "",
    macAddress: "",
    driverOptions: undefined,
    gatewayPriority: 0,
  };
}

/** Reads one `--network`: a name, or `name=…,alias=…,ip=…`. Throws with docker's sentences. */
export function parseNetwork(text: string): NetworkOption {
  if (!/\w+=\w+(,\w+=\w+)*/.test(text)) return optionFor(text);
  const option = optionFor("");
  for (const field of parseCsvRow(text)) {
    const [name, value] = cut(field);
    if (value === undefined) throw new Error(`invalid field ${field}`);
    const key = name.trim().toLowerCase();
    switch (key) {
      case "name":
        option.target = value;
        break;
      case "alias":
        option.aliases.push(value);
        break;
      case "ip":
        option.ipv4 = value;
        break;
      case "ip6":
        option.ipv6 = value;
        break;
      case "mac-address":
        option.macAddress = value;
        break;
      case "link-local-ip":
        option.linkLocalIps.push(value);
        break;
      case "driver-opt": {
        const [optionName, optionValue] = cut(value);
        if (optionValue === undefined) throw new Error("invalid key value pair format in driver options");
        (option.driverOptions ??= {})[optionName.trim().toLowerCase()] = optionValue.trim();
        break;
      }
      case "gw-priority":
        option.gatewayPriority = parsePriority(value);
        break;
      default:
        throw new Error(`invalid field key ${key}`);
    }
  }
  if (option.target === "") throw new Error("network name/id is not specified");
  return option;
}

function parsePriority(text: string): number {
  try {
    return Number(parseInteger(text, "ParseInt", 64, 10));
  } catch (error) {
    const reason = (error as Error).message.split(": ").at(-1);
    throw new Error(`invalid gw-priority (${text}): ${reason}`);
  }
}

/** The endpoints to create, by network. Throws with docker's sentences where the flags contradict each other. */
export function endpointsOf(options: NetworkOption[], flags: ContainerNetworkFlags): Record<string, EndpointSettings> {
  const endpoints = new Map<string, EndpointSettings>();
  const networks = options.length === 0 ? [optionFor("default")] : options;
  for (const [index, network] of networks.entries()) {
    const option = index === 0 ? withContainerFlags(network, flags) : network;
    const endpoint = endpointOf(option);
    if (endpoints.has(option.target)) throw new Error(`network "${option.target}" is specified multiple times`);
    endpoints.set(option.target, endpoint);
  }
  const userDefined = options.filter(({ target }) => isUserDefined(target)).length;
  if (userDefined > 0 && userDefined < options.length) {
    throw new Error("conflicting options: cannot attach both user-defined and non-user-defined network-modes");
  }
  // Where nothing is said but a name of Docker's own, older engines must not be troubled with an endpoint.
  if (options.length === 1 && userDefined === 0 && Object.keys([...endpoints.values()][0]!).length === 0) return {};
  return Object.fromEntries(endpoints);
}

function withContainerFlags(option: NetworkOption, flags: ContainerNetworkFlags): NetworkOption {
  const conflict = (both: boolean, what: string) => {
    if (both) throw new Error(`conflicting options: cannot specify both ${what}`);
  };
  conflict(option.aliases.length > 0 && flags.aliases.length > 0, "--network-alias and per-network alias");
  conflict(option.ipv4 !== "" && flags.ipv4 !== "", "--ip and per-network IPv4 address");
  conflict(option.ipv6 !== "" && flags.ipv6 !== "", "--ip6 and per-network IPv6 address");
  conflict(option.macAddress !== "" && flags.macAddress !== "", "--mac-address and per-network MAC address");
  conflict(
    option.linkLocalIps.length > 0 && flags.linkLocalIps.length > 0,
    "--link-local-ip and per-network link-local IP addresses",
  );
  return {
    ...option,
    aliases: [...option.aliases, ...flags.aliases],
    links: isUserDefined(option.target) ? flags.links : [],
    linkLocalIps: [...option.linkLocalIps, ...flags.linkLocalIps],
    ipv4: option.ipv4 || flags.ipv4,
    ipv6: option.ipv6 || flags.ipv6,
    macAddress: option.macAddress || flags.macAddress,
  };
}

function endpointOf(option: NetworkOption): EndpointSettings {
  if (option.target.trim() === "") throw new Error("no name set for network");
  if (!isUserDefined(option.target) && option.aliases.length > 0) {
    throw new Error("network-scoped aliases are only supported for user-defined networks");
  }
  if (option.macAddress !== "") checkMacAddress(option.macAddress);
  const ipam = {
    ...(option.ipv4 === "" ? {} : { IPv4Address: option.ipv4 }),
    ...(option.ipv6 === "" ? {} : { IPv6Address: option.ipv6 }),
    ...(option.linkLocalIps.length === 0 ? {} : { LinkLocalIPs: option.linkLocalIps }),
  };
  return {
    ...(Object.keys(ipam).length === 0 ? {} : { IPAMConfig: ipam }),
    ...(option.links.length === 0 ? {} : { Links: option.links }),
    ...(option.aliases.length === 0 ? {} : { Aliases: option.aliases }),
    ...(option.macAddress === "" ? {} : { MacAddress: option.macAddress }),
    ...(option.driverOptions === undefined ? {} : { DriverOpts: option.driverOptions }),
    ...(option.gatewayPriority === 0 ? {} : { GwPriority: option.gatewayPriority }),
  };
}

/** Throws with docker's sentence where the text is no hardware address (6, 8 or 20 bytes). */
export function checkMacAddress(text: string): void {
  const byBytes =
    /^[\da-f]{2}([:-])(?:[\da-f]{2}\1)*[\da-f]{2}$/i.test(text) && [6, 8, 20].includes((text.length + 1) / 3);
  const byWords = /^[\da-f]{4}(?:\.[\da-f]{4})+$/i.test(text) && [3, 4, 10].includes((text.length + 1) / 5);
  if (!byBytes && !byWords) throw new Error(`${text} is not a valid mac address`);
}

function isUserDefined(network: string): boolean {
  return !["default", "bridge", "host", "none"].includes(network) && !network.startsWith("container:");
}
