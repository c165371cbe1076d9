import { afterAll, beforeEach, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace } from "../kernel/namespaces.ts";
import { Nftables } from "../kernel/nftables.ts";
import { Firewall, type FirewallNetwork, type PortElement, tableName } from "./firewall.ts";

const namespace = createNetworkNamespace();
const nft = insideNetworkNamespace(namespace, () => new Nftables());

beforeEach(() => void nft.run("flush ruleset"));

afterAll(() => {
  nft.close();
  closeSync(namespace);
});

const options = { table: tableName("brig0.1"), guardForwarding: { v4: true, v6: false } };
const network: FirewallNetwork = {
  bridge: "brig0.1",
  internal: false,
  icc: false,
  masquerade: { v4: true, v6: true },
  sourceAddress: {},
  gatewayMode: { v4: "nat", v6: "nat" },
  trustedInterfaces: [],
  directRouting: false,
};

const port = (hostPort: number, hostAddress = "0.0.0.0", containerAddress = "10.0.0.2"): PortElement => ({
  bridge: network.bridge,
  protocol: "tcp",
  hostAddress,
  hostPort,
  containerAddress,
  containerPort: 80,
});

/** Without /etc/protocols nft shows numbers. */
const protocols: Record<string, string> = { "6": "tcp", "17": "udp" };

/** The elements of a set or map as nft shows them. */
function elements(set: string): string {
  const kind = /^(ports|anywhere|source)/.test(set) ? "map" : "set";
  const text = nft.run(`list ${kind} inet ${options.table} ${set}`);
  const listed = /elements = \{([^}]*)\}/.exec(text)?.[1] ?? "";
  return listed
    .split(",")
    .map((element) => element.trim().replace(/^\d+(?= \.)/, (number) => protocols[number] ?? number))
    .sort()
    .join(", ");
}

test("the table is built, changed and removed", () => {
  const firewall = new Firewall(nft, options);
  firewall.start([network], [port(1), port(2, "127.0.0.1"), port(3, "::1")], ["docker0"]);
  expect(elements("anywhere4")).toBe("tcp . 1 : 10.0.0.2 . 80");
  expect(elements("ports4")).toBe("tcp . 127.0.0.1 . 2 : 10.0.0.2 . 80");
  expect(elements("ports6")).toBe("");
  expect(elements("foreign")).toBe('"docker0"');
  firewall.addPorts([port(4), port(5, "::", "fd00::2"), port(6, "2001:db8::1", "fd00::2")]);
  firewall.removePorts([port(1), port(2, "127.0.0.1")]);
  expect(elements("anywhere4")).toBe("tcp . 4 : 10.0.0.2 . 80");
  expect(elements("anywhere6")).toBe("tcp . 5 : fd00::2 . 80");
  expect(elements("ports6")).toBe("tcp . 2001:db8::1 . 6 : fd00::2 . 80");
  firewall.setForeignBridges(["podman0"]);
  expect(elements("foreign")).toBe('"podman0"');
  // Daemons side by side follow each other's changes: what is there already is not written again.
  const generation = nft.generation();
  firewall.setForeignBridges(["podman0"]);
  expect(nft.generation()).toBe(generation);
  firewall.setForeignBridges(["docker0", "podman0"]);
  expect(elements("foreign")).toBe('"docker0", "podman0"');
  firewall.setForeignBridges(["podman0"]);
  expect(elements("foreign")).toBe('"podman0"');
  expect(() => firewall.addPorts([port(9), port(4, "0.0.0.0", "10.0.0.3")])).toThrow("leads to 10.0.0.2 . 80 already");
  expect(elements("anywhere4")).toBe("tcp . 4 : 10.0.0.2 . 80");
  firewall.destroy();
  expect(nft.run("list ruleset")).toBe("");
});

test("networks come, change and go without touching the others", () => {
  const firewall = new Firewall(nft, options);
  firewall.start([network], [port(1)], []);
  const other = { ...network, bridge: "br-2", icc: true, internal: true };
  firewall.addNetwork(other);
  expect(elements("bridges")).toBe('"br-2", "brig0.1"');
  expect(elements("separate")).toBe('"brig0.1"');
  expect(elements("internal")).toBe('"br-2"');
  expect(elements("masquerade6")).toBe('"brig0.1"');
  firewall.addNetwork({ ...other, internal: false, sourceAddress: { v4: "192.0.2.7" } });
  expect(elements("internal")).toBe("");
  expect(elements("source4")).toBe('"br-2" : 192.0.2.7');
  expect(elements("masquerade6")).toContain('"br-2"');
  firewall.addNetwork({ ...other, internal: false, sourceAddress: { v4: "192.0.2.8" } });
  expect(elements("source4")).toBe('"br-2" : 192.0.2.8');
  firewall.removeNetwork("br-2");
  firewall.removeNetwork("br-2");
  expect(nft.run("list ruleset")).not.toContain("br-2");
  expect(elements("anywhere4")).toBe("tcp . 1 : 10.0.0.2 . 80");
});

test("a port of a network that is routed opens the container's own, as often as it is published", () => {
  const firewall = new Firewall(nft, options);
  firewall.start([{ ...network, gatewayMode: { v4: "routed", v6: "nat" } }], [port(1), port(2)], []);
  expect(elements("opened4")).toBe("tcp . 10.0.0.2 . 80");
  expect(elements("anywhere4")).toBe("");
  firewall.removePorts([port(1)]);
  expect(elements("opened4")).toBe("tcp . 10.0.0.2 . 80");
  firewall.removePorts([port(2)]);
  expect(elements("opened4")).toBe("");
});

test("what others take away of the table is put back, by the next change or when it is looked for", () => {
  const firewall = new Firewall(nft, options);
  firewall.start([network], [port(1)], []);
  expect(firewall.mend()).toBe(false);
  for (const tampering of [
    "flush ruleset",
    `flush table inet ${options.table}`,
    `flush chain inet ${options.table} inbound4`,
  ]) {
    nft.run(tampering);
    expect(firewall.mend()).toBe(true);
    expect(firewall.mend()).toBe(false);
    expect(elements("anywhere4")).toContain("tcp . 1 :");
  }
  nft.run("flush ruleset");
  firewall.addPorts([port(2)]);
  expect(elements("anywhere4")).toMatch(/tcp \. 1 : .*tcp \. 2 : /);
  nft.run("flush ruleset");
  firewall.removePorts([port(1)]);
  expect(elements("anywhere4")).toBe("tcp . 2 : 10.0.0.2 . 80");
});

test("changes of others are noticed, own ones are not", () => {
  nft.changedByOthers();
  const firewall = new Firewall(nft, options);
  firewall.start([network], [], []);
  firewall.addPorts([port(1)]);
  expect(nft.changedByOthers()).toBe(false);
  const stranger = insideNetworkNamespace(namespace, () => new Nftables());
  stranger.run("table ip other");
  stranger.close();
  firewall.addPorts([port(2)]);
  expect(nft.changedByOthers()).toBe(true);
  expect(nft.changedByOthers()).toBe(false);
});

test("the table of a version that had IPv4 alone is replaced", () => {
  nft.run(`table ip ${options.table} { chain forward { type filter hook forward priority filter; drop; }; }`);
  new Firewall(nft, options).start([network], [], []);
  expect(nft.run("list tables")).toBe(`table inet ${options.table}\n`);
});

test("names that are not names and ports that are not ports never reach nft", () => {
  const firewall = new Firewall(nft, options);
  const hostile = 'x" accept; flush ruleset';
  firewall.start([network], [], []);
  expect(() => firewall.addNetwork({ ...network, bridge: hostile })).toThrow("not the name of a link");
  expect(() => firewall.addNetwork({ ...network, trustedInterfaces: [hostile] })).toThrow("not the name of a link");
  expect(() => firewall.addNetwork({ ...network, sourceAddress: { v4: "::1" } })).toThrow("not an IPv4 address");
  expect(() => firewall.setForeignBridges(["a b"])).toThrow("not the name of a link");
  expect(() => firewall.addPorts([port(1, "1.1.1.1 }; flush ruleset")])).toThrow("not an IP address");
  expect(() => firewall.addPorts([port(1, "fe80::1%eth0")])).toThrow("not an IP address");
  expect(() => firewall.addPorts([port(70000)])).toThrow("not a port");
  expect(() => firewall.addPorts([{ ...port(1), bridge: "nowhere" }])).toThrow('knows no network "nowhere"');
  expect(tableName("br-a")).not.toBe(tableName("br.a"));
});
