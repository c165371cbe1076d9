import { expect, test } from "bun:test";
import type { FirewallNetwork } from "../firewall.ts";
import { type ForwardedPacket, judgeForwarded } from "./forward-rules.ts";

const network = (bridge: string, change: Partial<FirewallNetwork> = {}): FirewallNetwork => ({
  bridge,
  internal: false,
  icc: true,
  masquerade: { v4: true, v6: true },
  sourceAddress: {},
  gatewayMode: { v4: "nat", v6: "nat" },
  trustedInterfaces: [],
  directRouting: false,
  ...change,
});
const table = {
  guardForwarding: { v4: true, v6: false },
  isOpened: (_protocol: string, _address: string, port: number) => port === 80,
  isForeign: (bridge: string) => bridge === "docker0",
  hasLink: ({ containerPort }: { containerPort: number }) => containerPort === 5432,
};
const judge = (from: FirewallNetwork | string, to: FirewallNetwork | string, change: Partial<ForwardedPacket> = {}) => {
  const packet = {
    family: 4,
    protocol: "tcp",
    source: "10.0.0.2",
    destination: "10.1.0.2",
    port: 80,
    translated: false,
  };
  const { passes, chain, rule } = judgeForwarded({ ...(packet as ForwardedPacket), from, to, ...change }, table);
  return `${passes ? "pass" : "drop"} ${chain}: ${rule}`;
};
const a = network("ba");
const b = network("bb");

test("within a network: icc, links, published ports", () => {
  const apart = network("ba", { icc: false });
  expect(judge(a, a)).toBe("pass within: iifname != @separate accept");
  expect(judge(apart, apart)).toBe("drop within: drop");
  expect(judge(apart, apart, { port: 5432 })).toBe("pass within: @links4 accept");
  expect(judge(apart, apart, { translated: true })).toBe("pass within: ct status dnat accept");
  // Echo requests have no port that a link could open.
  expect(judge(apart, apart, { port: undefined })).toBe("drop within: drop");
});

test("between networks and from outside", () => {
  expect(judge(a, b)).toBe("drop inbound4: iifname @bridges drop");
  expect(judge(a, b, { translated: true })).toBe("pass inbound: ct status dnat accept");
  expect(judge("lan", b)).toBe("drop inbound4: drop");
  expect(judge("lan", b, { translated: true })).toBe("pass inbound: ct status dnat accept");
  const inner = network("bb", { internal: true });
  for (const translated of [false, true]) {
    expect(judge(a, inner, { translated })).toBe("drop forward: oifname @internal drop");
    expect(judge(inner, "lan", { translated })).toBe("drop forward: iifname @internal drop");
  }
});

test("networks that are reached directly", () => {
  const open = network("bb", { gatewayMode: { v4: "nat-unprotected", v6: "nat" } });
  expect(judge("lan", open, { port: 81 })).toBe("pass inbound4: oifname @open4 accept");
  expect(judge("lan", open, { family: 6 })).toBe("drop inbound6: drop");
  expect(judge(a, open)).toBe("drop inbound4: iifname @bridges drop");
  const routed = network("bb", { gatewayMode: { v4: "routed", v6: "nat" } });
  for (const from of ["lan", a]) {
    expect(judge(from, routed)).toBe("pass opened4: @opened4 accept");
    expect(judge(from, routed, { port: 81 })).toBe("drop opened4: drop");
    expect(judge(from, routed, { port: undefined })).toBe("pass opened4: icmp accept");
  }
  const trusting = network("bb", { trustedInterfaces: ["lan"] });
  expect(judge("lan", trusting)).toBe("pass opened4: @opened4 accept");
  expect(judge("wan", trusting)).toBe("drop inbound4: drop");
  expect(judge("lan", network("bb", { directRouting: true }), { port: 81 })).toBe("drop opened4: drop");
});

test("out of the host: other engines' bridges, and what the host would not have forwarded before", () => {
  expect(judge(a, "lan")).toBe("pass forward: policy accept");
  expect(judge(a, "docker0")).toBe("drop outbound: oifname @foreign ct status & dnat == 0 drop");
  expect(judge("lan", "wan")).toBe("drop guard: drop");
  expect(judge("lan", "wan", { family: 6 })).toBe("pass forward: policy accept");
});
