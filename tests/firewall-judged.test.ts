/** Published ports that the host's own input rules decide about: a host, a container and a neighbour, of namespaces. */
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { Nftables } from "../src/kernel/nftables.ts";
import type { PortElement } from "../src/networks/firewall.ts";
import { PacketFilter } from "../src/networks/packet-filter.ts";
import { LabHost, together } from "./support/netlab.ts";

const [host, neighbour, a1, a2] = [new LabHost(), new LabHost(), new LabHost(), new LabHost()];
const shown = "ip rule; ip -6 rule; ip link | grep -o '[a-z][^:]*: <'";
const before = host.sh(shown);
const nft = host.inside(() => new Nftables());
const warnings: string[] = [];
const filter = host.inside(
  () =>
    new PacketFilter({
      defaultBridge: "ba",
      guardForwarding: { v4: true, v6: true },
      publishPolicy: "host-firewall",
      foreignBridges: () => [],
      warn: (message) => void warnings.push(message),
    }),
);

const published = (hostPort: number, hostAddress: string, protocol: "tcp" | "udp" = "tcp"): PortElement => ({
  bridge: "ba",
  protocol,
  hostAddress,
  hostPort,
  containerAddress: hostAddress.includes(":") ? "fd30:1::2" : "172.30.1.2",
  containerPort: 80,
});

beforeAll(async () => {
  host.sh("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1");
  host.link("lan", neighbour, "eth0", {
    here: ["192.0.2.1/24", "2001:db8::1/64"],
    there: ["192.0.2.2/24", "2001:db8::2/64"],
  });
  neighbour.sh("ip route add default via 192.0.2.1");
  host.bridge("ba", "172.30.1.1/24", "fd30:1::1/64");
  host.sh("sysctl -qw net.ipv4.conf.ba.route_localnet=1");
  for (const [container, last] of [
    [a1, 2],
    [a2, 3],
  ] as const) {
    host.link(`va${last}`, container, "eth0", { there: [`172.30.1.${last}/24`, `fd30:1::${last}/64`] });
    host.sh(`ip link set va${last} master ba; ip link set dev va${last} type bridge_slave hairpin on`);
    container.sh("ip route add default via 172.30.1.1; ip -6 route add default via fd30:1::1");
  }
  await Promise.all([host, neighbour, a1, a2].map((lab) => lab.settled()));
  await a1.serve(80, "a1");
  await neighbour.serve(80, "neighbour");
  host.inside(() =>
    filter.start(
      [
        {
          bridge: "ba",
          internal: false,
          icc: true,
          masquerade: { v4: true, v6: true },
          sourceAddress: {},
          gatewayMode: { v4: "nat", v6: "nat" },
          trustedInterfaces: [],
          directRouting: false,
        },
      ],
      [
        published(8080, "0.0.0.0"),
        published(8080, "::"),
        published(8080, "0.0.0.0", "udp"),
        published(8081, "192.0.2.1"),
        published(8082, "127.0.0.1"),
      ],
    ),
  );
});
beforeEach(() => {
  if (nft.run("list tables").includes("inet host")) nft.run("delete table inet host");
});
afterAll(() => {
  host.inside(() => filter.destroy());
  host.sh("ip link del ba; ip link del lan; ip link del va2; ip link del va3");
  expect(host.sh(shown)).toBe(before);
  expect(nft.run("list tables")).not.toContain("brig");
  expect(warnings).toEqual([]);
  nft.close();
  for (const lab of [host, neighbour, a1, a2]) lab.close();
});

const ask = () =>
  together({
    tcp: neighbour.ask("192.0.2.1", 8080),
    tcp6: neighbour.ask("2001:db8::1", 8080),
    udp: neighbour.ask("192.0.2.1", 8080, "udp"),
    oneAddress: neighbour.ask("192.0.2.1", 8081),
    direct: neighbour.ask("172.30.1.2", 80),
    host: host.ask("192.0.2.1", 8080),
    localhost: host.ask("127.0.0.1", 8082),
    peer: a2.ask("192.0.2.1", 8080),
    out: a2.ask("192.0.2.2", 80),
  });
const inside = {
  direct: "",
  host: "a1 192.0.2.1",
  localhost: "a1 172.30.1.1",
  peer: "a1 172.30.1.1",
  out: "neighbour 192.0.2.1",
};
const open = {
  ...inside,
  tcp: "a1 192.0.2.2",
  tcp6: "a1 2001:db8::2",
  udp: "a1 192.0.2.2",
  oneAddress: "a1 192.0.2.2",
};
const shut = { ...inside, tcp: "", tcp6: "", udp: "", oneAddress: "" };
const established = "ct state established,related accept; meta l4proto ipv6-icmp accept; iif lo accept";
const rules = (text: string) =>
  nft.run(
    `table inet host { chain input { type filter hook input priority filter; policy drop; ${established}; ${text}; }; }`,
  );

test("without input rules all published ports are open, to the client's own address", async () => {
  expect(await ask()).toEqual(open);
});

test("a policy of drop shuts them, a rule for the host's port opens them", async () => {
  rules("counter");
  expect(await ask()).toEqual(shut);
  nft.run("delete table inet host");
  rules("iifname lan tcp dport 8080 accept");
  expect(await ask()).toEqual({ ...shut, tcp: open.tcp, tcp6: open.tcp6 });
  nft.run("delete table inet host");
  rules("th dport { 8080, 8081 } ip saddr 192.0.2.2 accept");
  expect(await ask()).toEqual({ ...open, tcp6: "" });
});

test("the container's own port, and a reject that comes late, mean what they would of a process", async () => {
  rules("tcp dport 80 accept");
  expect(await ask()).toEqual(shut);
  nft.run("delete table inet host");
  nft.run("table inet host { chain input { type filter hook input priority 300; tcp dport 8080 reject; }; }");
  expect(await ask()).toEqual({ ...open, tcp: "", tcp6: "" });
});

test("a strict check of source addresses, firewalld's too, and an output policy of drop are no obstacle", async () => {
  host.sh("sysctl -qw net.ipv4.conf.all.rp_filter=1");
  nft.run(`table inet host {
    chain prerouting { type filter hook prerouting priority -140; meta nfproto ipv6 fib saddr . mark . iif oif missing drop; };
    chain output { type filter hook output priority 0; policy drop; ct state established accept; oifname { ba, lan, lo } accept; };
  }`);
  await Bun.sleep(300);
  expect(await ask()).toEqual(open);
  nft.run("delete table inet host");
  host.sh("sysctl -qw net.ipv4.conf.all.rp_filter=0");
  expect(await ask()).toEqual(open);
});

test("a connection goes on when a rule shuts its port, a new one does not come about", async () => {
  const child = Bun.spawn(
    [
      "nsenter",
      `--net=${neighbour.path}`,
      "bash",
      "-c",
      "exec 3<>/dev/tcp/192.0.2.1/8080; read; echo hello >&3; cat <&3",
    ],
    { stdin: "pipe", stdout: "pipe", stderr: "ignore" },
  );
  await Bun.sleep(150);
  rules("counter");
  child.stdin.write("\n");
  child.stdin.end();
  expect(await child.stdout.text()).toBe("a1 192.0.2.2\n");
  expect(await neighbour.ask("192.0.2.1", 8080)).toBe("");
});
