import { expect, test } from "bun:test";
import type { EndpointSettings, HostConfig } from "../wire/engine-api.ts";
import { type ConfigWithMac, checkNetworking } from "./validate.ts";

function check(hostConfig: HostConfig, config: ConfigWithMac = {}, endpoints: Record<string, EndpointSettings> = {}) {
  return () => checkNetworking(hostConfig, { EndpointsConfig: endpoints }, config, () => undefined);
}

test("Docker's sentences for the namespace of another container", () => {
  const NetworkMode = "container:abc";
  const conflicting = "conflicting options: ";
  expect(check({ NetworkMode })).not.toThrow();
  expect(check({ NetworkMode: "container:" })).toThrow(
    "Invalid network mode: invalid container format container:<name|id>",
  );
  expect(check({ NetworkMode }, { Hostname: "x" })).toThrow(`${conflicting}hostname and the network mode`);
  expect(check({ NetworkMode, Dns: ["1.1.1.1"] })).toThrow(`${conflicting}dns and the network mode`);
  expect(check({ NetworkMode, ExtraHosts: ["a:1.1.1.1"] })).toThrow(
    `${conflicting}custom host-to-IP mapping and the network mode`,
  );
  expect(check({ NetworkMode, PortBindings: { "80/tcp": [{}] } })).toThrow(
    `${conflicting}port publishing and the container type network mode`,
  );
  expect(check({ NetworkMode }, { ExposedPorts: { "80/tcp": {} } })).toThrow(
    `${conflicting}port exposing and the container type network mode`,
  );
  expect(check({ NetworkMode, Links: ["a:b"] })).toThrow("container type network can't be used with links");
  expect(check({ NetworkMode: "host", Links: ["a:b"] })).toThrow("host type networking can't be used with links");
});

test("Docker's sentences for addresses", () => {
  const invalid = "invalid config for network bridge: ";
  expect(check({}, { MacAddress: "zz" })).toThrow(`${invalid}invalid MAC address zz`);
  expect(check({}, {}, { bridge: { MacAddress: "zz" } })).toThrow(`${invalid}invalid MAC address zz`);
  expect(check({}, {}, { default: { MacAddress: "02:42:ac:11:00:05" } })).not.toThrow();
  expect(check({}, {}, { bridge: { IPAMConfig: { IPv4Address: "172.17.0.9" } } })).toThrow(
    `${invalid}invalid endpoint settings:\n* user specified IP address is supported on user defined networks only\n* user specified IP address is supported only when connecting to networks with user configured subnets`,
  );
  expect(check({}, {}, { bridge: { Aliases: ["x"] } })).toThrow(
    `${invalid}invalid endpoint settings:\nnetwork-scoped alias is supported only for containers in user defined networks`,
  );
  expect(check({}, {}, { mine: { IPAMConfig: { IPv4Address: "nope" } } })).toThrow("invalid IPv4 address: nope");
  expect(check({}, {}, { mine: { IPAMConfig: { IPv4Address: "10.0.0.9" }, Aliases: ["x"] } })).not.toThrow();
});
