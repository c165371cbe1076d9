/** Who reaches whom through the packet filter's table: a host, its containers and a neighbour, all of namespaces. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { Nftables } from "../src/kernel/nftables.ts";
import { Firewall, type FirewallNetwork, type PortElement } from "../src/networks/firewall.ts";
import { LabHost, together } from "./support/netlab.ts";

const host = new LabHost();
const neighbour = new LabHost();
const stranger = new LabHost();
const [a1, a2, b1] = [new LabHost(), new LabHost(), new LabHost()];
const nft = host.inside(() => new Nftables());
const firewall = new Firewall(nft, { table: "brig_lab", guardForwarding: { v4: true, v6: true } });

const network: FirewallNetwork = {
  bridge: "ba",
  internal: false,
  icc: true,
  masquerade: { v4: true, v6: true },
  sourceAddress: {},
  gatewayMode: { v4: "nat", v6: "nat" },
  trustedInterfaces: [],
  directRouting: false,
};
const other = { ...network, bridge: "bb" };

const published = (hostPort: number, hostAddress: string, protocol: "tcp" | "udp" = "tcp"): PortElement => ({
  bridge: "ba",
  protocol,
  hostAddress,
  hostPort,
  containerAddress: hostAddress.includes(":") ? "fd30:1::2" : "172.30.1.2",
  containerPort: 80,
});
const ports = [
  published(8080, "0.0.0.0"),
  published(8080, "::"),
  published(8080, "0.0.0.0", "udp"),
  published(8081, "127.0.0.1"),
  published(8082, "192.0.2.1"),
];

beforeAll(async () => {
  host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  host.link("lan", neighbour, "eth0", {
    here: ["192.0.2.1/24", "2001:db8::1/64"],
    there: ["192.0.2.2/24", "2001:db8::2/64"],
  });
  host.link("wan", stranger, "eth0", { here: ["198.51.100.1/24"], there: ["198.51.100.2/24"] });
  neighbour.sh("ip route add 172.30.0.0/16 via 192.0.2.1; ip -6 route add fd30::/16 via 2001:db8::1");
  neighbour.sh("ip route add 198.51.100.0/24 via 192.0.2.1; ip route add 127.0.0.99 via 192.0.2.1 || true");
  stranger.sh("ip route add default via 198.51.100.1");
  host.bridge("ba", "172.30.1.1/24", "fd30:1::1/64");
  host.bridge("bb", "172.30.2.1/24", "fd30:2::1/64");
  host.sh("sysctl -qw net.ipv4.conf.ba.route_localnet=1 net.ipv4.conf.bb.route_localnet=1");
  for (const [container, bridge, net, last] of [
    [a1, "ba", 1, 2],
    [a2, "ba", 1, 3],
    [b1, "bb", 2, 2],
  ] as const) {
    host.link(`v${bridge}${last}`, container, "eth0", {
      there: [`172.30.${net}.${last}/24`, `fd30:${net}::${last}/64`],
    });
    host.sh(
      `ip link set v${bridge}${last} master ${bridge}; ip link set dev v${bridge}${last} type bridge_slave hairpin on`,
    );
    container.sh(`ip route add default via 172.30.${net}.1; ip -6 route add default via fd30:${net}::1`);
  }
  await Promise.all([host, neighbour, stranger, a1, a2, b1].map((lab) => lab.settled()));
  await Promise.all([
    a1.serve(80, "a1"),
    a1.serve(81, "a1"),
    a2.serve(80, "a2"),
    b1.serve(80, "b1"),
    neighbour.serve(80, "neighbour"),
    stranger.serve(80, "stranger"),
  ]);
});
beforeEach(() => firewall.start([network, other], ports, []));
afterAll(() => {
  firewall.destroy();
  expect(nft.run("list ruleset")).toBe("");
  nft.close();
  for (const lab of [host, neighbour, stranger, a1, a2, b1]) lab.close();
});

/** Whether what is passed on within any bridge goes through the packet filter, as Docker makes it. */
const filterBridges = (on: boolean) =>
  host.sh(
    `sysctl -qw net.bridge.bridge-nf-call-iptables=${Number(on)} net.bridge.bridge-nf-call-ip6tables=${Number(on)}`,
  );

test.each([true, false])("published ports are reached from everywhere; br_netfilter: %p", async (on) => {
  filterBridges(on);
  expect(
    await together({
      outside: neighbour.ask("192.0.2.1", 8080),
      outside6: neighbour.ask("2001:db8::1", 8080),
      udp: neighbour.ask("192.0.2.1", 8080, "udp"),
      oneAddress: neighbour.ask("192.0.2.1", 8082),
      notThatAddress: stranger.ask("198.51.100.1", 8082),
      host: host.ask("192.0.2.1", 8080),
      localhost: host.ask("127.0.0.1", 8080),
      onlyLocalhost: host.ask("127.0.0.1", 8081),
      host6: host.ask("2001:db8::1", 8080),
      otherNetwork: b1.ask("192.0.2.1", 8080),
      otherNetwork6: b1.ask("2001:db8::1", 8080),
      ownGateway: b1.ask("172.30.2.1", 8080),
      sameBridge: a2.ask("192.0.2.1", 8080),
      sameBridge6: a2.ask("2001:db8::1", 8080),
      itself: a1.ask("192.0.2.1", 8080),
      itself6: a1.ask("fd30:1::1", 8080),
      localhostOfOthers: neighbour.ask("192.0.2.1", 8081),
    }),
  ).toEqual({
    outside: "a1 192.0.2.2",
    outside6: "a1 2001:db8::2",
    udp: "a1 192.0.2.2",
    oneAddress: "a1 192.0.2.2",
    notThatAddress: "",
    host: "a1 192.0.2.1",
    localhost: "a1 172.30.1.1",
    onlyLocalhost: "a1 172.30.1.1",
    host6: "a1 2001:db8::1",
    otherNetwork: "a1 172.30.1.1",
    otherNetwork6: "a1 fd30:1::1",
    ownGateway: "a1 172.30.1.1",
    sameBridge: "a1 172.30.1.1",
    sameBridge6: "a1 fd30:1::1",
    itself: "a1 172.30.1.1",
    itself6: "a1 fd30:1::1",
    localhostOfOthers: "",
  });
});

test("containers reach out under the host's address, each other, and no other network's", async () => {
  expect(
    await together({
      out: a1.ask("192.0.2.2", 80),
      out6: a1.ask("2001:db8::2", 80),
      peer: a1.ask("172.30.1.3", 80),
      peer6: a1.ask("fd30:1::3", 80),
      otherNetwork: a1.ask("172.30.2.2", 80),
      otherNetwork6: a1.ask("fd30:2::2", 80),
      fromHost: host.ask("172.30.1.2", 80),
    }),
  ).toEqual({
    out: "neighbour 192.0.2.1",
    out6: "neighbour 2001:db8::1",
    peer: "a2 172.30.1.2",
    peer6: "a2 fd30:1::2",
    otherNetwork: "",
    otherNetwork6: "",
    fromHost: "a1 172.30.1.1",
  });
});

test("a neighbour with a route to the bridge reaches nothing, published or not, nor through the host", async () => {
  expect(
    await together({
      published: neighbour.ask("172.30.1.2", 80),
      published6: neighbour.ask("fd30:1::2", 80),
      unpublished: neighbour.ask("172.30.1.2", 81),
      through: neighbour.ask("198.51.100.2", 80),
    }),
  ).toEqual({ published: "", published6: "", unpublished: "", through: "" });
  expect(await neighbour.ping("172.30.1.2")).toBe(false);
});

test("nat-unprotected is reached directly from outside, not from other networks", async () => {
  firewall.start([{ ...network, gatewayMode: { v4: "nat-unprotected", v6: "nat-unprotected" } }, other], ports, []);
  expect(
    await together({
      published: neighbour.ask("192.0.2.1", 8080),
      direct: neighbour.ask("172.30.1.2", 81),
      direct6: neighbour.ask("fd30:1::2", 81),
      otherNetwork: b1.ask("172.30.1.2", 81),
      out: a1.ask("192.0.2.2", 80),
    }),
  ).toEqual({
    published: "a1 192.0.2.2",
    direct: "a1 192.0.2.2",
    direct6: "a1 2001:db8::2",
    otherNetwork: "",
    out: "neighbour 192.0.2.1",
  });
});

test("routed: published ports of the container's own address, for outside and other networks; nothing translated", async () => {
  firewall.start([{ ...network, gatewayMode: { v4: "routed", v6: "routed" } }, other], ports, []);
  expect(
    await together({
      published: neighbour.ask("172.30.1.2", 80),
      published6: neighbour.ask("fd30:1::2", 80),
      udp: neighbour.ask("172.30.1.2", 80, "udp"),
      unpublished: neighbour.ask("172.30.1.2", 81),
      otherContainer: neighbour.ask("172.30.1.3", 80),
      hostPort: neighbour.ask("192.0.2.1", 8080),
      otherNetwork: b1.ask("172.30.1.2", 80),
      backwards: a1.ask("172.30.2.2", 80),
      out: a1.ask("192.0.2.2", 80),
    }),
  ).toEqual({
    published: "a1 192.0.2.2",
    published6: "a1 2001:db8::2",
    udp: "a1 192.0.2.2",
    unpublished: "",
    otherContainer: "",
    hostPort: "",
    otherNetwork: "a1 172.30.1.1",
    backwards: "",
    out: "neighbour 172.30.1.2",
  });
  expect(await neighbour.ping("172.30.1.2")).toBe(true);
  expect(await neighbour.ping("fd30:1::2")).toBe(true);
});

test("trusted links reach published ports directly, others do not", async () => {
  firewall.start([{ ...network, trustedInterfaces: ["lan"] }, other], ports, []);
  const asked = {
    trusted: neighbour.ask("172.30.1.2", 80),
    unpublished: neighbour.ask("172.30.1.2", 81),
    stranger: stranger.ask("172.30.1.2", 80),
  };
  expect(await together(asked)).toEqual({ trusted: "a1 192.0.2.2", unpublished: "", stranger: "" });
  firewall.start([{ ...network, directRouting: true }, other], ports, []);
  expect(await together({ any: stranger.ask("172.30.1.2", 80), network: b1.ask("172.30.1.2", 80) })).toEqual({
    any: "a1 198.51.100.2",
    network: "",
  });
});

test("internal: the host and the bridge, nothing else in or out", async () => {
  firewall.start([{ ...network, internal: true }, other], [], []);
  firewall.addPorts([{ ...published(8090, "0.0.0.0"), bridge: "bb", containerAddress: "172.30.2.2" }]);
  expect(
    await together({
      peer: a1.ask("172.30.1.3", 80),
      host: host.ask("172.30.1.2", 80),
      out: a1.ask("192.0.2.2", 80),
      out6: a1.ask("2001:db8::2", 80),
      in: neighbour.ask("172.30.1.2", 80),
      publishedOfOthers: a1.ask("172.30.1.1", 8090),
      fromOther: b1.ask("172.30.1.2", 80),
    }),
  ).toEqual({
    peer: "a2 172.30.1.2",
    host: "a1 172.30.1.1",
    out: "",
    out6: "",
    in: "",
    publishedOfOthers: "",
    fromOther: "",
  });
});

test("a source address of one's own; no masquerading", async () => {
  host.sh("ip addr add 192.0.2.77/24 dev lan; ip addr add 2001:db8::77/64 dev lan nodad");
  firewall.start([{ ...network, sourceAddress: { v4: "192.0.2.77", v6: "2001:db8::77" } }, other], ports, []);
  const own = { v4: a1.ask("192.0.2.2", 80), v6: a1.ask("2001:db8::2", 80), other: b1.ask("192.0.2.2", 80) };
  expect(await together(own)).toEqual({
    v4: "neighbour 192.0.2.77",
    v6: "neighbour 2001:db8::77",
    other: "neighbour 192.0.2.1",
  });
  firewall.start([{ ...network, masquerade: { v4: false, v6: false } }], ports, []);
  const bare = { v4: a1.ask("192.0.2.2", 80), v6: a1.ask("2001:db8::2", 80), hairpin: a1.ask("192.0.2.1", 8080) };
  expect(await together(bare)).toEqual({
    v4: "neighbour 172.30.1.2",
    v6: "neighbour fd30:1::2",
    hairpin: "a1 172.30.1.1",
  });
});

test("without icc: published ports and links, no more", async () => {
  // What is passed on within a bridge comes by the packet filter only where br_netfilter is asked for it.
  filterBridges(false);
  host.sh("ip link set ba type bridge nf_call_iptables 1 nf_call_ip6tables 1");
  firewall.start([{ ...network, icc: false }, other], ports, []);
  const ask = () =>
    together({
      peer: a2.ask("172.30.1.2", 81),
      peer6: a2.ask("fd30:1::2", 81),
      published: a2.ask("192.0.2.1", 8080),
      backwards: a1.ask("172.30.1.3", 80),
    });
  const nothing = { peer: "", peer6: "", published: "a1 172.30.1.1", backwards: "" };
  expect(await ask()).toEqual(nothing);
  const links = [
    { protocol: "tcp" as const, sourceAddress: "172.30.1.3", containerAddress: "172.30.1.2", containerPort: 81 },
    { protocol: "tcp" as const, sourceAddress: "fd30:1::3", containerAddress: "fd30:1::2", containerPort: 81 },
  ];
  firewall.addLinks(links);
  expect(await ask()).toEqual({ ...nothing, peer: "a1 172.30.1.3", peer6: "a1 fd30:1::3" });
  firewall.removeLinks(links);
  expect(await ask()).toEqual(nothing);
});
