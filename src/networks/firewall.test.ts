import { afterAll, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace } from "../kernel/namespaces.ts";
import { Nftables } from "../kernel/nftables.ts";
import { parseCidr } from "./addresses.ts";
import { Firewall, type PortElement, tableName } from "./firewall.ts";

const namespace = createNetworkNamespace();
const nft = insideNetworkNamespace(namespace, () => new Nftables());

afterAll(() => {
  nft.close();
  closeSync(namespace);
});

const rules = {
  bridge: "brig0.1",
  subnet: parseCidr("10.0.0.0/16")!.subnet,
  icc: false,
  masquerade: true,
  guardForwarding: true,
  foreignBridges: ["docker0", "br-0123456789ab"],
};

const port = (hostPort: number, hostAddress = "0.0.0.0"): PortElement => ({
  protocol: "tcp",
  hostAddress,
  hostPort,
  containerAddress: "10.0.0.2",
  containerPort: 80,
});

test("the table is built, changed and removed", () => {
  const firewall = new Firewall(nft, rules);
  expect(firewall.exists()).toBe(false);
  firewall.rebuild([port(1), port(2, "127.0.0.1"), port(3, "::1")]);
  expect(firewall.exists()).toBe(true);
  const table = nft.run(`list table ip ${tableName(rules.bridge)}`);
  expect(table).toContain("elements = { tcp . 1 : 10.0.0.2 . 80 }");
  expect(table).toContain("elements = { tcp . 127.0.0.1 . 2 : 10.0.0.2 . 80 }");
  expect(table).toContain('meta oifkind "bridge" accept');
  firewall.add([port(4)]);
  firewall.remove([port(1), port(2, "127.0.0.1")]);
  expect(() => firewall.remove([port(1)])).toThrow("nftables: ");
  const after = nft.run(`list table ip ${tableName(rules.bridge)}`);
  expect(after).toContain("elements = { tcp . 4 : 10.0.0.2 . 80 }");
  expect(after).not.toContain("127.0.0.1 . 2");
  firewall.destroy();
  expect(nft.run("list ruleset")).toBe("");
});

test("changes of others are noticed, own ones are not", () => {
  const firewall = new Firewall(nft, rules);
  firewall.changedByOthers();
  firewall.rebuild([]);
  firewall.add([port(1)]);
  expect(firewall.changedByOthers()).toBe(false);
  nft.run("table ip other");
  firewall.add([port(2)]);
  expect(firewall.changedByOthers()).toBe(true);
  expect(firewall.changedByOthers()).toBe(false);
  firewall.destroy();
});

test("names that are not names and ports that are not ports never reach nft", () => {
  expect(() => new Firewall(nft, { ...rules, bridge: 'x" accept; flush ruleset' })).toThrow("not the name of a bridge");
  expect(() => new Firewall(nft, { ...rules, foreignBridges: ["a b"] })).toThrow("not the name of a bridge");
  const firewall = new Firewall(nft, rules);
  expect(() => firewall.add([port(1, "1.1.1.1 }; flush ruleset")])).toThrow("not an IPv4 address");
  expect(() => firewall.add([port(70000)])).toThrow("not a port");
  expect(tableName("br-a")).not.toBe(tableName("br.a"));
});
