import { expect, test } from "bun:test";
import type { IPAMConfig, NetworkCreateRequest } from "../wire/engine-api.ts";
import { defineNetwork } from "./definition.ts";
import type { NetworkRecord } from "./record.ts";

const define = (request: NetworkCreateRequest, template?: NetworkRecord) =>
  defineNetwork({ Name: "x", ...request }, () => template, "2026-01-01T00:00:00Z");
const withPool = (pool: IPAMConfig) => () => define({ IPAM: { Config: [pool] } });
const Subnet = "10.1.2.0/24";

test("names that objects or terminals would take for something else are none", () => {
  for (const Name of ["", " ", "__proto__", "a\nb", "a\0b", "a\x1b[2J"])
    expect(() => define({ Name })).toThrow(`invalid name: ${Name}`);
  for (const Name of ["constructor", "a/b", "-a", "a b", "ä"]) expect(define({ Name }).driver).toBe("bridge");
  for (const Name of ["bridge", "host", "none"])
    expect(() => define({ Name })).toThrow(`operation is not permitted on predefined ${Name} network`);
});

test("Docker's sentences for subnets", () => {
  const cases: [IPAMConfig, string][] = [
    [{ Subnet: "nope" }, "invalid subnet nope: invalid CIDR block notation"],
    [{ Gateway: "10.1.2.1" }, "invalid subnet : invalid CIDR block notation"],
    [{ Subnet: "10.1.2.3/24" }, "invalid subnet 10.1.2.3/24: it should be 10.1.2.0/24"],
    [{ Subnet, Gateway: "10.1.3.1" }, `invalid gateway 10.1.3.1: parent subnet ${Subnet} doesn't contain this address`],
    [{ Subnet, Gateway: "nope" }, "invalid gateway nope: invalid address"],
    [{ Subnet, Gateway: "fd00::1" }, "invalid gateway fd00::1: parent subnet is an IPv4 block"],
    [
      { Subnet, IPRange: "10.1.0.0/16" },
      `invalid ip-range 10.1.0.0/16: CIDR block is bigger than its parent subnet ${Subnet}`,
    ],
    [
      { Subnet, IPRange: "10.1.3.0/25" },
      `invalid ip-range 10.1.3.0/25: parent subnet ${Subnet} doesn't contain ip-range`,
    ],
    [{ Subnet, IPRange: "10.1.2.5/25" }, "invalid ip-range 10.1.2.5/25: it should be 10.1.2.0/25"],
    [
      { Subnet, AuxiliaryAddresses: { a: "10.1.9.1" } },
      `invalid auxiliary address a: parent subnet ${Subnet} doesn't contain this address`,
    ],
  ];
  for (const [pool, sentence] of cases) expect(withPool(pool)).toThrow(`invalid network config:\n${sentence}`);
  expect(() => define({ IPAM: { Config: [{ Subnet }, { Subnet: "10.1.3.0/24" }] } })).toThrow(
    "bridge driver doesn't support multiple subnets",
  );
  expect(withPool({ Subnet, Gateway: "10.1.2.255" })).toThrow(
    "failed to allocate gateway (10.1.2.255): Address already in use",
  );
});

test("Docker's sentences for drivers, options and templates", () => {
  const option = (name: string, value: string) => () => define({ Options: { [`com.docker.network.${name}`]: value } });
  expect(() => define({ Driver: "nosuch" })).toThrow('plugin "nosuch" not found');
  expect(() => define({ Driver: "host" })).toThrow('only one instance of "host" network is allowed');
  expect(() => define({ IPAM: { Driver: "nosuch" } })).toThrow('plugin "nosuch" not found');
  expect(option("bridge.enable_icc", "maybe")).toThrow(
    'failed to parse com.docker.network.bridge.enable_icc value: maybe (strconv.ParseBool: parsing "maybe": invalid syntax)',
  );
  expect(option("driver.mtu", "abc")).toThrow(
    'failed to parse com.docker.network.driver.mtu value: abc (strconv.Atoi: parsing "abc": invalid syntax)',
  );
  expect(option("driver.mtu", "-5")).toThrow("invalid MTU number: -5");
  expect(option("bridge.host_binding_ipv4", "zz")).toThrow("(nil ip)");
  expect(option("bridge.name", "a/b; flush ruleset")).toThrow("is not the name of a link");
  expect(option("bridge.gateway_mode_ipv4", "isolated")).toThrow("internal");
  expect(() => define({ Driver: "macvlan", Options: { macvlan_mode: "zz" } })).toThrow(
    "requested macvlan mode 'zz' is not valid, 'bridge' mode is the macvlan driver default",
  );
  expect(() => define({ ConfigFrom: { Network: "y" } })).toThrow('configuration network "y" does not exist');
  const template = define({ ConfigOnly: true, Options: { foo: "bar" }, IPAM: { Config: [{ Subnet }] } });
  expect(define({ ConfigFrom: { Network: "y" }, Internal: true }, template)).toMatchObject({
    internal: true,
    options: { foo: "bar" },
    configFrom: "y",
    ownSubnets: true,
  });
  expect(() => define({ ConfigFrom: { Network: "y" }, Labels: { a: "b" } }, template)).toThrow(
    "user specified configurations are not supported if the network depends on a configuration network",
  );
});
