import { expect, test } from "bun:test";
import type { HostConfig } from "../wire/engine-api.ts";
import { type HeldPort, PortTable, type PortTarget, portMap, publishRequests } from "./ports.ts";

test("every form of a port binding is understood", () => {
  const requests = publishRequests(
    { ExposedPorts: { "80/tcp": {}, "90/udp": {} } },
    {
      PublishAllPorts: true,
      PortBindings: {
        "80/tcp": [
          { HostIp: "127.0.0.1", HostPort: "8080" },
          { HostIp: "[::1]", HostPort: "8000-8010" },
        ],
        "53/udp": [{}],
        "443": null,
      },
    },
  );
  const shown = requests.map(({ protocol, containerPort, hostAddress, firstHostPort, lastHostPort }) =>
    [protocol, containerPort, hostAddress || "*", firstHostPort, lastHostPort].join(" "),
  );
  expect(shown.sort()).toEqual([
    "tcp 443 * 0 0",
    "tcp 80 127.0.0.1 8080 8080",
    "tcp 80 ::1 8000 8010",
    "udp 53 * 0 0",
    "udp 90 * 0 0",
  ]);
});

test("what is no port is refused", () => {
  const refused: [NonNullable<HostConfig["PortBindings"]>, string][] = [
    [{ "99999/tcp": [{}] }, 'invalid port specification: "99999"'],
    [{ "80-82/tcp": [{}] }, 'invalid port specification: "80-82"'],
    [{ "0/tcp": [{}] }, 'invalid port specification: "0"'],
    [{ "": [{}] }, 'invalid port specification: ""'],
    [{ "80/xyz": [{}] }, "invalid proto: xyz"],
    [{ "80/tcp": [{ HostPort: "70000" }] }, 'invalid port specification: "70000"'],
    [{ "80/tcp": [{ HostPort: "abc" }] }, 'invalid port specification: "abc"'],
    [{ "80/tcp": [{ HostPort: "9-8" }] }, 'invalid port specification: "9-8"'],
    [{ "80/tcp": [{ HostIp: "nope" }] }, "invalid IP address: nope"],
    [{ "80/tcp": [{ HostIp: "1.1.1.1; flush ruleset" }] }, "invalid IP address"],
  ];
  for (const [PortBindings, sentence] of refused) expect(() => publishRequests({}, { PortBindings })).toThrow(sentence);
});

const target = (v4: string | undefined, more: Partial<PortTarget> = {}): PortTarget => ({
  v4,
  v6: undefined,
  hostBinding: undefined,
  routed: { v4: false, v6: false },
  ...more,
});
const portsOf = (held: HeldPort[]) => held.map(({ port }) => port);
const release = (held: HeldPort[]) => {
  for (const one of held) one.release();
};

test("random ports differ, and are free again when released", () => {
  const table = new PortTable("127.0.0.1", () => {});
  const [any] = publishRequests({}, { PortBindings: { "80/tcp": [{}] } });
  const a = table.hold([any!, any!], target("10.0.0.2"));
  expect(portsOf(a).map(({ hostAddress }) => hostAddress)).toEqual(["127.0.0.1", "127.0.0.1"]);
  expect(portsOf(a)[0]!.hostPort).not.toBe(portsOf(a)[1]!.hostPort);
  const fixed = { ...any!, firstHostPort: portsOf(a)[0]!.hostPort, lastHostPort: portsOf(a)[0]!.hostPort };
  expect(() => table.hold([fixed], target("10.0.0.3"))).toThrow("port is already allocated");
  release(a);
  release(a);
  const b = table.hold([fixed], target("10.0.0.3"));
  expect(portMap(portsOf(b), ["80/tcp", "81/udp"])).toEqual({
    "80/tcp": [{ HostIp: "127.0.0.1", HostPort: String(fixed.firstHostPort) }],
    "81/udp": null,
  });
  release(b);
});

test("either all ports are taken or none", () => {
  const table = new PortTable("127.0.0.1", () => {});
  const binding = (HostPort: string) => publishRequests({}, { PortBindings: { "80/udp": [{ HostPort }] } })[0]!;
  expect(() => table.hold([binding("41960"), binding("41960")], target("10.0.0.2"))).toThrow(
    "Bind for 127.0.0.1:41960 failed",
  );
  release(table.hold([binding("41960")], target("10.0.0.2")));
});

test("networks choose the address of the host, and whether a port of it is needed", () => {
  const table = new PortTable("", () => {});
  const [any] = publishRequests({}, { PortBindings: { "80/tcp": [{}] } });
  const addresses = (v4: string | undefined, more: Partial<PortTarget> = {}) => {
    const held = table.hold([any!], target(v4, more));
    release(held);
    return portsOf(held).map(({ hostAddress, hostPort }) => [hostAddress, hostPort > 0]);
  };
  expect(addresses("10.0.0.2")).toEqual([
    ["0.0.0.0", true],
    ["::", true],
  ]);
  expect(addresses("10.0.0.2", { hostBinding: "127.0.0.1" })).toEqual([["127.0.0.1", true]]);
  expect(addresses(undefined, { v6: "fd00::2" })).toEqual([["::", true]]);
  expect(addresses("10.0.0.2", { v6: "fd00::2", routed: { v4: false, v6: true } })).toEqual([
    ["0.0.0.0", true],
    ["::", false],
  ]);
});
