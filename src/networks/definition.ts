/** What `network create` asks for, checked as far as it can be without looking at the host: Docker's sentences. */
import { forbidden, invalidParameter, notFound } from "../lib/errors.ts";
import type { NetworkCreateRequest } from "../wire/engine-api.ts";
import { type Address, contains, formatSubnet, parseAddress, parseCidr, type Subnet } from "./addresses.ts";
import { edgesOf } from "./ipam.ts";
import { bridgeOptions, isLinkName, optionNames, stackedOptions } from "./options.ts";
import type { NetworkDriver, NetworkRecord, PoolRecord } from "./record.ts";

/** One subnet of a network. */
export interface Pool {
  subnet: Subnet;
  range: Subnet;
  gateway: Address | undefined;
  auxiliary: { name: string; address: Address }[];
}

const predefined = new Set(["bridge", "host", "none", "default"]);
const drivers = new Set<string>(["bridge", "host", "null", "macvlan", "ipvlan"] satisfies NetworkDriver[]);
const swarmDrivers = new Set(["overlay"]);

/** Whether a network is there from the start, and cannot be made or removed. */
export function isPredefined(name: string): boolean {
  return predefined.has(name);
}

/**
 * The record of a network that was asked for, without what the host has to decide: subnets that were not named, and
 * gateways. `template` finds a configuration network by name.
 */
export function defineNetwork(
  request: NetworkCreateRequest,
  template: (name: string) => NetworkRecord | undefined,
  created: string,
): NetworkRecord {
  const { Name: name = "" } = request;
  const isTemplate = request.ConfigOnly ?? false;
  const configFrom = request.ConfigFrom?.Network ?? "";
  if (!isNetworkName(name)) throw invalidParameter(`invalid name: ${name}`);
  if (predefined.has(name)) throw forbidden(`operation is not permitted on predefined ${name} network `);
  if (request.Ingress) throw forbidden("Ingress network can only be global scope network");
  if (request.Scope === "swarm" || request.Scope === "global")
    throw forbidden("cannot create a swarm scoped network when swarm is not active");
  const config = (request.IPAM?.Config ?? []) as PoolRecord[];
  checkPools(config);
  const driver = isTemplate ? "null" : request.Driver || "bridge";
  const record: NetworkRecord = {
    driver: driver as NetworkDriver,
    created,
    enableIPv4: request.EnableIPv4 ?? true,
    enableIPv6: request.EnableIPv6 ?? false,
    internal: request.Internal ?? false,
    attachable: request.Attachable ?? false,
    configOnly: isTemplate,
    configFrom,
    options: sorted(request.Options),
    labels: sorted(request.Labels),
    ipam: {
      driver: request.IPAM?.Driver || "default",
      options: request.IPAM?.Options ? sorted(request.IPAM.Options) : null,
      config,
    },
    ownSubnets: config.length > 0,
  };
  if (isTemplate) return checkTemplate(record, configFrom, request.Driver ?? "");
  if (swarmDrivers.has(driver))
    throw forbidden(
      'This node is not a swarm manager. Use "docker swarm init" or "docker swarm join" to connect this node to swarm and try again.',
    );
  if (!drivers.has(driver)) throw notFound(`plugin ${JSON.stringify(driver)} not found`);
  if (driver === "host" || driver === "null") throw forbidden(`only one instance of "${driver}" network is allowed`);
  const complete = configFrom === "" ? record : fromTemplate(record, configFrom, template(configFrom));
  checkComplete(complete);
  return complete;
}

/** In the order Docker shows them in. */
function sorted(values: Record<string, string> | null | undefined): Record<string, string> {
  return Object.fromEntries(Object.entries(values ?? {}).sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** Any text that a line can show. Objects keep networks by name, where one name means something else. */
function isNetworkName(name: string): boolean {
  return name.trim() !== "" && name.length <= 1024 && name !== "__proto__" && !/[\x00-\x1f\x7f]/.test(name);
}

/** The subnets of a record. Those of a family that is switched off are left out. */
export function poolsOf({ ipam, enableIPv4, enableIPv6 }: NetworkRecord): Pool[] {
  return ipam.config
    .map(({ Subnet, IPRange, Gateway, AuxiliaryAddresses }) => {
      const { subnet } = parseCidr(Subnet)!;
      return {
        subnet,
        range: IPRange ? parseCidr(IPRange)!.subnet : subnet,
        gateway: Gateway ? parseAddress(Gateway) : undefined,
        auxiliary: Object.entries(AuxiliaryAddresses ?? {}).map(([name, address]) => ({
          name,
          address: parseAddress(address)!,
        })),
      };
    })
    .filter(({ subnet }) => (subnet.family === 4 ? enableIPv4 : enableIPv6));
}

/** Throws all that is wrong with the subnets a client has named, in one error. */
function checkPools(config: PoolRecord[]): void {
  const problems = config.flatMap(({ Subnet, IPRange, Gateway, AuxiliaryAddresses }) => {
    const parsed = parseCidr(Subnet ?? "");
    if (parsed === undefined) return [`invalid subnet ${Subnet ?? ""}: invalid CIDR block notation`];
    const { subnet } = parsed;
    const found: string[] = [];
    if (subnet.base !== parsed.address.value)
      found.push(`invalid subnet ${Subnet}: it should be ${formatSubnet(subnet)}`);
    if (IPRange) found.push(...rangeProblem(IPRange, subnet));
    if (Gateway) found.push(...addressProblem(`gateway ${Gateway}`, Gateway, subnet));
    for (const [name, address] of Object.entries(AuxiliaryAddresses ?? {}))
      found.push(...addressProblem(`auxiliary address ${name}`, address, subnet));
    return found;
  });
  if (problems.length > 0) throw invalidParameter(`invalid network config:\n${problems.join("\n")}`);
}

const blockOf = ({ family }: Subnet) => `parent subnet is an IPv${family} block`;

function rangeProblem(text: string, subnet: Subnet): string[] {
  const parsed = parseCidr(text);
  const complain = (reason: string) => [`invalid ip-range ${text}: ${reason}`];
  if (parsed === undefined) return complain("invalid CIDR block notation");
  const range = parsed.subnet;
  if (range.family !== subnet.family) return complain(blockOf(subnet));
  if (range.prefixLength < subnet.prefixLength)
    return complain(`CIDR block is bigger than its parent subnet ${formatSubnet(subnet)}`);
  if (range.base !== parsed.address.value) return complain(`it should be ${formatSubnet(range)}`);
  if (!contains(subnet, parsed.address))
    return complain(`parent subnet ${formatSubnet(subnet)} doesn't contain ip-range`);
  return [];
}

function addressProblem(what: string, text: string, subnet: Subnet): string[] {
  const address = parseAddress(text);
  if (address === undefined) return [`invalid ${what}: invalid address`];
  if (address.family !== subnet.family) return [`invalid ${what}: ${blockOf(subnet)}`];
  if (!contains(subnet, address))
    return [`invalid ${what}: parent subnet ${formatSubnet(subnet)} doesn't contain this address`];
  return [];
}

function checkTemplate(record: NetworkRecord, configFrom: string, driver: string): NetworkRecord {
  if (record.internal || record.attachable)
    throw forbidden(
      "configuration network can only contain network specific fields. Network operator fields like [ ingress | internal | attachable | scope ] are not supported.",
    );
  if (configFrom !== "") throw forbidden("a configuration network cannot depend on another configuration network");
  if (driver !== "" && driver !== "bridge" && !drivers.has(driver))
    throw notFound(`plugin ${JSON.stringify(driver)} not found`);
  return record;
}

function fromTemplate(record: NetworkRecord, name: string, template: NetworkRecord | undefined): NetworkRecord {
  if (template === undefined || !template.configOnly)
    throw notFound(`configuration network ${JSON.stringify(name)} does not exist`);
  const { ipam, options, labels } = record;
  const isCustom = [options, labels, ipam.options ?? {}].some((part) => Object.keys(part).length > 0);
  if (isCustom || ipam.config.length > 0 || ipam.driver !== "default" || record.enableIPv6)
    throw forbidden(
      "user specified configurations are not supported if the network depends on a configuration network",
    );
  const { enableIPv4, enableIPv6, ownSubnets } = template;
  return {
    ...record,
    enableIPv4,
    enableIPv6,
    ownSubnets,
    options: { ...template.options },
    labels: { ...template.labels },
    ipam: structuredClone(template.ipam),
  };
}

function checkComplete(record: NetworkRecord): void {
  const { driver, ipam, enableIPv4, enableIPv6 } = record;
  if (ipam.driver === "null") throw invalidParameter("ipv4 pool is empty");
  if (ipam.driver !== "default") throw notFound(`plugin ${JSON.stringify(ipam.driver)} not found`);
  if (!enableIPv4 && !enableIPv6) throw invalidParameter("IPv4 or IPv6 must be enabled");
  const pools = poolsOf(record);
  for (const { subnet, gateway, auxiliary } of pools) {
    const taken = new Set(edgesOf(subnet));
    if (gateway !== undefined && taken.has(gateway.value))
      throw addressInUse(
        `gateway (${record.ipam.config.find(({ Subnet }) => Subnet === formatSubnet(subnet))?.Gateway})`,
      );
    if (gateway !== undefined) taken.add(gateway.value);
    for (const { name, address } of auxiliary) {
      if (taken.has(address.value))
        throw addressInUse(
          `secondary ip address (${name}:${ipam.config.flatMap(({ AuxiliaryAddresses }) => AuxiliaryAddresses?.[name] ?? []).join()})`,
        );
      taken.add(address.value);
    }
  }
  if (driver !== "bridge") {
    stackedOptions(record);
    return;
  }
  for (const family of [4, 6])
    if (pools.filter(({ subnet }) => subnet.family === family).length > 1)
      throw forbidden("bridge driver doesn't support multiple subnets");
  const { bridgeName, trustedInterfaces } = bridgeOptions(record);
  for (const name of [bridgeName ?? "x", ...trustedInterfaces])
    if (!isLinkName(name))
      throw invalidParameter(
        `invalid value for ${name === bridgeName ? optionNames.name : optionNames.trusted}: ${JSON.stringify(name)} is not the name of a link`,
      );
}

const addressInUse = (what: string) => invalidParameter(`failed to allocate ${what}: Address already in use`);
