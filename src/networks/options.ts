/** The options of a network (`-o`), read and checked: Docker's names and sentences. */
import { invalidParameter, systemError } from "../lib/errors.ts";
import { parseAddress } from "./addresses.ts";
import type { GatewayMode } from "./firewall.ts";
import type { NetworkRecord } from "./record.ts";

const bridgePrefix = "com.docker.network.bridge.";
/** Keys that hold for every driver, or that clients look for by name. */
export const optionNames = {
  mtu: "com.docker.network.driver.mtu",
  name: `${bridgePrefix}name`,
  icc: `${bridgePrefix}enable_icc`,
  masquerade: `${bridgePrefix}enable_ip_masquerade`,
  hostBinding: `${bridgePrefix}host_binding_ipv4`,
  inhibitIpv4: `${bridgePrefix}inhibit_ipv4`,
  defaultBridge: `${bridgePrefix}default_bridge`,
  gatewayMode4: `${bridgePrefix}gateway_mode_ipv4`,
  gatewayMode6: `${bridgePrefix}gateway_mode_ipv6`,
  trusted: `${bridgePrefix}trusted_host_interfaces`,
  hostIpv4: "com.docker.network.host_ipv4",
  hostIpv6: "com.docker.network.host_ipv6",
  interfacePrefix: "com.docker.network.container_iface_prefix",
} as const;

/** What the options of a bridge network come to. */
export interface BridgeOptions {
  /** Name of the bridge; undefined for one made of the network's id. */
  bridgeName: string | undefined;
  /** undefined: the uplink's. */
  mtu: number | undefined;
  icc: boolean;
  masquerade: boolean;
  /** Where ports are published that name no address; undefined: where the daemon says. */
  hostBinding: string | undefined;
  /** Whether the bridge itself gets no IPv4 address. */
  inhibitIpv4: boolean;
  gatewayMode: Record<"v4" | "v6", GatewayMode>;
  trustedInterfaces: string[];
  sourceAddress: { v4?: string; v6?: string };
  interfacePrefix: string;
}

type Options = Record<string, string>;

const gatewayModes: readonly string[] = ["nat", "nat-unprotected", "routed", "isolated"];

/** Reads a bridge network's options. Throws Docker's sentences. */
export function bridgeOptions({ options, internal }: Pick<NetworkRecord, "options" | "internal">): BridgeOptions {
  const modeOf = (key: string): GatewayMode => {
    const mode = options[key] || "nat";
    if (!gatewayModes.includes(mode))
      throw invalidParameter(
        `invalid value ${JSON.stringify(mode)} for ${key}, must be one of: nat, routed, isolated, nat-unprotected`,
      );
    if (mode === "isolated" && !internal)
      throw invalidParameter(`gateway mode 'isolated' can only be used for an internal network`);
    return mode as GatewayMode;
  };
  const bridgeName = options[optionNames.name] || undefined;
  return {
    bridgeName,
    mtu: mtuOption(options),
    icc: booleanOption(options, optionNames.icc, true),
    masquerade: booleanOption(options, optionNames.masquerade, true),
    hostBinding: addressOption(options, optionNames.hostBinding, 4),
    inhibitIpv4: booleanOption(options, optionNames.inhibitIpv4, false),
    gatewayMode: { v4: modeOf(optionNames.gatewayMode4), v6: modeOf(optionNames.gatewayMode6) },
    trustedInterfaces: (options[optionNames.trusted] ?? "").split(":").filter((name) => name !== ""),
    sourceAddress: {
      v4: addressOption(options, optionNames.hostIpv4, 4),
      v6: addressOption(options, optionNames.hostIpv6, 6),
    },
    interfacePrefix: interfacePrefix(options),
  };
}

/** What the options of a macvlan or ipvlan network come to. */
export interface StackedOptions {
  /** Name of the link below; undefined for one that leads nowhere. */
  parent: string | undefined;
  mtu: number | undefined;
  mode: number;
  flags: number;
  /** Whether the kernel routes and no gateway is used (ipvlan's modes l3 and l3s). */
  layer3: boolean;
  interfacePrefix: string;
}

/** linux/if_link.h */
const macvlanModes: Record<string, number> = { private: 1, vepa: 2, bridge: 4, passthru: 8 };
const ipvlanModes: Record<string, number> = { l2: 0, l3: 1, l3s: 2 };
const ipvlanFlags: Record<string, number> = { bridge: 0, private: 1, vepa: 2 };

/** Reads a macvlan's or ipvlan's options. Throws Docker's sentences. */
export function stackedOptions({ driver, options }: Pick<NetworkRecord, "driver" | "options">): StackedOptions {
  const choose = (key: string, values: Record<string, number>, fallback: string, what: string) => {
    const wanted = options[key] || fallback;
    const value = Object.hasOwn(values, wanted) ? values[wanted] : undefined;
    if (value === undefined)
      throw systemError(
        `requested ${what} '${wanted}' is not valid, '${fallback}' ${what.replace(/^\S+ /, "")} is the ${driver} driver default`,
      );
    return value;
  };
  const parent = options.parent || undefined;
  if (parent === "lo") throw systemError(`loopback interface is not a valid ${driver} parent link`);
  const common = { parent, mtu: mtuOption(options), interfacePrefix: interfacePrefix(options) };
  if (driver === "macvlan")
    return { ...common, mode: choose("macvlan_mode", macvlanModes, "bridge", "macvlan mode"), flags: 0, layer3: false };
  const mode = choose("ipvlan_mode", ipvlanModes, "l2", "ipvlan mode");
  return { ...common, mode, flags: choose("ipvlan_flag", ipvlanFlags, "bridge", "ipvlan flag"), layer3: mode !== 0 };
}

/** `eth0.10` as the link it is on and the VLAN's id. Throws Docker's sentences. */
export function parseVlan(name: string): { parent: string; id: number } {
  const [parent = "", id = "", ...rest] = name.split(".");
  if (!name.includes(".")) throw systemError(`invalid subinterface vlan name ${name}, example formatting is eth0.10`);
  if (parent === "" || rest.length > 0)
    throw systemError(
      `required interface name format is: name.vlan_id, ex. eth0.10 for vlan 10, instead received ${name}`,
    );
  if (!/^\d{1,6}$/.test(id)) throw systemError(`unable to parse a valid vlan id from: ${id} (ex. eth0.10 for vlan 10)`);
  if (Number(id) < 1 || Number(id) > 4094) throw systemError(`vlan id must be between 1-4094, received: ${Number(id)}`);
  return { parent, id: Number(id) };
}

/** Whether a text can be a link's name (dev_valid_name in the kernel), and nothing in nft's language. */
export function isLinkName(name: string): boolean {
  return /^[a-zA-Z0-9][a-zA-Z0-9_.-]{0,14}$/.test(name);
}

function interfacePrefix(options: Options): string {
  const prefix = options[optionNames.interfacePrefix] || "eth";
  if (!/^[a-zA-Z][a-zA-Z0-9_.-]{0,11}$/.test(prefix) || prefix === "lo")
    throw invalidParameter(`invalid interface prefix ${JSON.stringify(prefix)}`);
  return prefix;
}

function mtuOption(options: Options): number | undefined {
  const text = options[optionNames.mtu] ?? "";
  if (text === "") return undefined;
  if (!/^[+-]?\d{1,9}$/.test(text))
    throw invalidParameter(
      `failed to parse ${optionNames.mtu} value: ${text} (strconv.Atoi: parsing ${JSON.stringify(text)}: invalid syntax)`,
    );
  const mtu = Number(text);
  if (mtu < 0) throw invalidParameter(`invalid MTU number: ${mtu}`);
  if (mtu !== 0 && (mtu < 68 || mtu > 65535))
    throw invalidParameter(`invalid MTU number: ${mtu} (must be between 68 and 65535)`);
  return mtu === 0 ? undefined : mtu;
}

/** What Go's strconv.ParseBool reads. */
const booleans: Record<string, boolean> = {
  ...Object.fromEntries(["1", "t", "T", "TRUE", "true", "True"].map((word) => [word, true])),
  ...Object.fromEntries(["0", "f", "F", "FALSE", "false", "False"].map((word) => [word, false])),
};

function booleanOption(options: Options, key: string, fallback: boolean): boolean {
  const text = options[key];
  if (text === undefined) return fallback;
  if (!Object.hasOwn(booleans, text))
    throw invalidParameter(
      `failed to parse ${key} value: ${text} (strconv.ParseBool: parsing ${JSON.stringify(text)}: invalid syntax)`,
    );
  return booleans[text]!;
}

function addressOption(options: Options, key: string, family: 4 | 6): string | undefined {
  const text = options[key] ?? "";
  if (text === "") return undefined;
  if (parseAddress(text)?.family !== family) throw invalidParameter(`failed to parse ${key} value: ${text} (nil ip)`);
  return text;
}
