import { expect, test } from "bun:test";
import type { HostConfig } from "../wire/engine-api.ts";
import { PortTable, portMap, publishRequests } from "./ports.ts";

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

test("random ports differ, and are free again when released", () => {
  const table = new PortTable("127.0.0.1");
  const [any] = publishRequests({}, { PortBindings: { "80/tcp": [{}] } });
  const a = table.hold([any!, any!], "10.0.0.2");
  expect(a.ports.map(({ hostAddress }) => hostAddress)).toEqual(["127.0.0.1", "127.0.0.1"]);
  expect(a.ports[0]!.hostPort).not.toBe(a.ports[1]!.hostPort);
  const fixed = { ...any!, firstHostPort: a.ports[0]!.hostPort, lastHostPort: a.ports[0]!.hostPort };
  expect(() => table.hold([fixed], "10.0.0.3")).toThrow("port is already allocated");
  a.release();
  a.release();
  const b = table.hold([fixed], "10.0.0.3");
  expect(portMap(b.ports, ["80/tcp", "81/udp"])).toEqual({
    "80/tcp": [{ HostIp: "127.0.0.1", HostPort: String(fixed.firstHostPort) }],
    "81/udp": null,
  });
  b.release();
});

test("either all ports are taken or none", () => {
  const table = new PortTable("127.0.0.1");
  const binding = (HostPort: string) => publishRequests({}, { PortBindings: { "80/udp": [{ HostPort }] } })[0]!;
  expect(() => table.hold([binding("41960"), binding("41960")], "10.0.0.2")).toThrow("Bind for 127.0.0.1:41960 failed");
  table.hold([binding("41960")], "10.0.0.2").release();
});
