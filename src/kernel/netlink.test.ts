import { afterAll, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace } from "./namespaces.ts";
import { NetlinkSocket, readAttributes, readText, text } from "./netlink.ts";
import { macBytes, Netlink } from "./rtnetlink.ts";

const namespace = createNetworkNamespace();
const netlink = insideNetworkNamespace(namespace, () => new Netlink());

afterAll(() => {
  netlink.close();
  closeSync(namespace);
});

test("a socket talks to the namespace it was opened in", () => {
  expect(netlink.links().map(({ name }) => name)).toContain("lo");
  expect(netlink.link("lo")!.up).toBe(false);
  netlink.setLoopbackUp();
  expect(netlink.link("lo")).toMatchObject({ index: 1, up: true, kind: "" });
});

test("bridges, pairs, addresses and routes are made, listed and removed", () => {
  netlink.createBridge("br0", "02:42:00:00:00:01", 1400, "mine");
  expect(() => netlink.createBridge("br0", "02:42:00:00:00:01", 1400, "mine")).toThrow(
    "create bridge br0: File exists",
  );
  const bridge = netlink.link("br0")!;
  expect(bridge).toMatchObject({ kind: "bridge", mtu: 1400, up: true, mac: "02:42:00:00:00:01", alias: "mine" });
  netlink.addAddress(bridge.index, Uint8Array.of(10, 9, 0, 1), 24);
  netlink.addAddress(bridge.index, Uint8Array.of(10, 9, 0, 1), 24);
  const own = () => netlink.addresses().filter(({ linkIndex }) => linkIndex === bridge.index);
  expect(own()).toEqual([{ linkIndex: bridge.index, address: Uint8Array.of(10, 9, 0, 1), prefixLength: 24 }]);
  const peer = createNetworkNamespace();
  netlink.createVeth({
    name: "veth0",
    master: bridge.index,
    mtu: 1400,
    hairpin: true,
    isolated: true,
    peer: { name: "eth0", mac: "02:42:00:00:00:02", namespaceFd: peer },
  });
  expect(netlink.ports(bridge.index)).toMatchObject([{ name: "veth0", master: bridge.index, up: true, kind: "veth" }]);
  const inside = insideNetworkNamespace(peer, () => new Netlink());
  inside.configureContainer([
    {
      name: "eth0",
      addresses: [{ address: Uint8Array.of(10, 9, 0, 2), prefixLength: 24 }],
      gateways: [Uint8Array.of(10, 9, 0, 1)],
    },
  ]);
  expect(inside.link("eth0")).toMatchObject({ up: true, mtu: 1400, mac: "02:42:00:00:00:02" });
  expect(inside.routes()).toContainEqual(
    expect.objectContaining({ prefixLength: 0, gateway: Uint8Array.of(10, 9, 0, 1), table: 254 }),
  );
  inside.close();
  closeSync(peer);
  netlink.deleteAddress(bridge.index, Uint8Array.of(10, 9, 0, 1), 24);
  expect(own()).toEqual([]);
  expect(netlink.deleteLink("br0")).toBe(true);
  expect(netlink.deleteLink("br0")).toBe(false);
  expect(netlink.link("br0")).toBeUndefined();
});

test("long lists come whole", () => {
  netlink.createBridge("many", "02:42:00:00:00:03", 1500, "");
  const { index } = netlink.link("many")!;
  for (let i = 0; i < 1000; i++) netlink.addAddress(index, Uint8Array.of(10, 8, i >> 8, i & 255), 32);
  expect(netlink.addresses().filter(({ linkIndex }) => linkIndex === index)).toHaveLength(1000);
  netlink.deleteLink("many");
});

test("of several requests the first failure is thrown, with what it was about", () => {
  const socket = insideNetworkNamespace(namespace, () => new NetlinkSocket(0));
  const request = (subject: string) => ({
    type: 18,
    header: Buffer.alloc(16),
    attributes: [[3, text(subject)]] as const,
    subject,
  });
  try {
    socket.transact([request("lo"), request("nope1"), request("nope2")]);
    expect.unreachable();
  } catch (error) {
    expect(error).toMatchObject({ code: "ENODEV", subject: "nope1" });
  }
  expect(socket.transact([request("lo")])).toHaveLength(1);
  socket.close();
});

test("attributes that do not fit their message are refused", () => {
  const found: string[] = [];
  readAttributes(Buffer.from([7, 0, 3, 0, 0x6c, 0x6f, 0, 0]), (type, value) =>
    found.push(`${type} ${readText(value)}`),
  );
  expect(found).toEqual(["3 lo"]);
  for (const bytes of [
    [3, 0, 1, 0],
    [9, 0, 1, 0, 0, 0, 0, 0],
    [255, 255, 1, 0],
  ])
    expect(() => readAttributes(Buffer.from(bytes), () => {})).toThrow("attribute");
});

test("MAC addresses", () => {
  expect(macBytes("02:42:ac:11:00:ff")).toEqual(Uint8Array.of(2, 0x42, 0xac, 0x11, 0, 0xff));
  expect(() => macBytes("02:42:ac:11:00")).toThrow("invalid MAC address");
});
