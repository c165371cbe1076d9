/** What of a container's network configuration can be refused when it is created. The sentences are Docker's. */
import { isIPv4 } from "node:net";
import { invalidParameter, messageOf } from "../lib/errors.ts";
import type { ContainerConfig, EndpointSettings, HostConfig, NetworkingConfig } from "../wire/engine-api.ts";
import { contains, type Family, parseAddress, type Subnet } from "./addresses.ts";
import { isPredefined } from "./definition.ts";
import { parseExtraHost } from "./files.ts";
import { publishRequests } from "./ports.ts";

/** A container's configuration with the field that API versions before 1.44 have for its MAC address. */
export type ConfigWithMac = ContainerConfig & { MacAddress?: string };

const undefinedBehavior = "This would result in undefined behavior";

/**
 * Throws `invalidParameter` with Docker's sentence for the first thing that is wrong. `rulesOf` knows what holds on a
 * network that is there.
 */
export function checkNetworking(
  hostConfig: HostConfig,
  networkingConfig: NetworkingConfig | undefined,
  config: ConfigWithMac,
  rulesOf: (network: string) => EndpointRules | undefined,
): void {
  const mode = hostConfig.NetworkMode ?? "";
  checkMode(mode, hostConfig, config);
  for (const extraHost of hostConfig.ExtraHosts ?? []) parseExtraHost(extraHost);
  publishRequests(config, hostConfig);
  const endpoints = networkingConfig?.EndpointsConfig ?? {};
  if (config.MacAddress !== undefined && config.MacAddress !== "")
    concerning(builtinName(mode), () => checkMac(config.MacAddress!));
  for (const [name, settings] of Object.entries(endpoints)) {
    const network = builtinName(name);
    const rules = rulesOf(network) ?? {
      isPredefined: isPredefined(network) || network.startsWith("container:"),
      hasOwnSubnets: !isPredefined(network),
      subnets: undefined,
    };
    concerning(network, () => checkEndpoint(settings ?? {}, rules));
  }
}

/** Puts the network's name before what is refused, as at creation. */
function concerning(network: string, check: () => void): void {
  try {
    check();
  } catch (error) {
    throw invalidParameter(`invalid config for network ${network}: ${messageOf(error)}`);
  }
}

/** "bridge" for the names the default network goes by. */
export function builtinName(mode: string): string {
  return mode === "" || mode === "default" ? "bridge" : mode;
}

function checkMode(mode: string, hostConfig: HostConfig, config: ConfigWithMac): void {
  const links = (hostConfig.Links ?? []).length > 0;
  if (mode === "host" && links)
    throw invalidParameter(`conflicting options: host type networking can't be used with links. ${undefinedBehavior}`);
  if (mode !== "container" && !mode.startsWith("container:")) return;
  if (!/^container:.+/.test(mode))
    throw invalidParameter("Invalid network mode: invalid container format container:<name|id>");
  const conflicts: [boolean, string][] = [
    [(config.Hostname ?? "") !== "", "hostname and the network mode"],
    [links, `container type network can't be used with links. ${undefinedBehavior}`],
    [(hostConfig.Dns ?? []).length > 0, "dns and the network mode"],
    [(hostConfig.ExtraHosts ?? []).length > 0, "custom host-to-IP mapping and the network mode"],
    [
      Object.keys(hostConfig.PortBindings ?? {}).length > 0 || hostConfig.PublishAllPorts === true,
      "port publishing and the container type network mode",
    ],
    [Object.keys(config.ExposedPorts ?? {}).length > 0, "port exposing and the container type network mode"],
  ];
  for (const [conflicting, words] of conflicts)
    if (conflicting) throw invalidParameter(`conflicting options: ${words}`);
}

/** What of a network decides which settings an endpoint may have. */
export interface EndpointRules {
  isPredefined: boolean;
  /** Whether somebody has chosen its subnets. */
  hasOwnSubnets: boolean;
  /** undefined: not known, the network may not even be there. */
  subnets: Subnet[] | undefined;
}

/** Throws `invalidParameter` with all that is wrong with an endpoint's settings, in Docker's sentences. */
export function checkEndpoint(settings: EndpointSettings, rules: EndpointRules): void {
  if (settings.MacAddress !== undefined && settings.MacAddress !== "") checkMac(settings.MacAddress);
  const { IPv4Address = "", IPv6Address = "", LinkLocalIPs } = settings.IPAMConfig ?? {};
  const problems: string[] = [];
  const addressed = IPv4Address !== "" || IPv6Address !== "";
  if (rules.isPredefined && (settings.Aliases ?? []).length > 0)
    problems.push("network-scoped alias is supported only for containers in user defined networks");
  if (rules.isPredefined && addressed)
    problems.push("user specified IP address is supported on user defined networks only");
  if (IPv4Address !== "" && !isIPv4(IPv4Address)) problems.push(`invalid IPv4 address: ${IPv4Address}`);
  if (IPv6Address !== "" && parseAddress(IPv6Address)?.family !== 6)
    problems.push(`invalid IPv6 address: ${IPv6Address}`);
  for (const address of LinkLocalIPs ?? [])
    if (parseAddress(address) === undefined) problems.push(`invalid link-local IP address: ${address}`);
  for (const [family, text] of [
    [4, IPv4Address],
    [6, IPv6Address],
  ] as const)
    if (text !== "") problems.push(...placeProblem(text, family, rules));
  if (problems.length === 0) return;
  const list = problems.length === 1 ? problems[0] : problems.map((problem) => `* ${problem}`).join("\n");
  throw invalidParameter(`invalid endpoint settings:\n${list}`);
}

function placeProblem(text: string, family: Family, { hasOwnSubnets, subnets }: EndpointRules): string[] {
  const own = subnets?.filter((subnet) => subnet.family === family);
  if (!hasOwnSubnets || own?.length === 0)
    return ["user specified IP address is supported only when connecting to networks with user configured subnets"];
  const address = parseAddress(text);
  if (own === undefined || own.some((subnet) => address !== undefined && contains(subnet, address))) return [];
  return [`no configured subnet or ip-range contain the IP address ${text}`];
}

function checkMac(mac: string): void {
  if (!isMac(mac)) throw invalidParameter(`invalid MAC address ${mac}`);
}

/** Colons or dashes, as Docker takes them; the all-zero and multicast ones belong to no container. */
export function isMac(mac: string): boolean {
  if (!/^([0-9a-f]{2}[:-]){5}[0-9a-f]{2}$/i.test(mac)) return false;
  return (Number.parseInt(mac.slice(0, 2), 16) & 1) === 0 && !/^(00[:-]?)+$/.test(mac);
}
