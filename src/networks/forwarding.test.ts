import { afterAll, beforeEach, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace } from "../kernel/namespaces.ts";
import { Nftables } from "../kernel/nftables.ts";
import { ForwardRules } from "./forwarding.ts";

/** A host of its own: its packet filter is empty. */
const namespace = createNetworkNamespace();
const nft = insideNetworkNamespace(namespace, () => new Nftables());
const warnings: string[] = [];
const rules = new ForwardRules(nft, "brig_x", (message) => void warnings.push(message));

beforeEach(() => void nft.run("flush ruleset"));

afterAll(() => {
  nft.close();
  closeSync(namespace);
  expect(warnings).toEqual([]);
});

function listed(chain = "ip filter FORWARD"): string[] {
  return nft
    .run(`list chain ${chain}`)
    .split("\n")
    .map((line) => line.trim().replace(/counter packets \d+ bytes \d+ /, ""))
    .filter((line) => /accept|drop|jump|return|reject/.test(line) && !line.startsWith("type"));
}

const chain = (policy: string, family = "ip") =>
  `table ${family} filter { chain DOCKER-USER { return; }; chain FORWARD { type filter hook forward priority filter; policy ${policy}; }; }`;
const of = (bridge: string) =>
  ["iifname", "oifname"].map((side) => `${side} "${bridge}" accept comment "brig ${bridge}"`);

test("a host without iptables is left alone", () => {
  rules.mend(["brig0"]);
  rules.remove();
  nft.run(chain("accept"));
  const before = nft.run("list ruleset");
  rules.mend(["brig0"]);
  expect(nft.run("list ruleset")).toBe(before);
});

test("a policy of drop is answered by a jump at the top, once, in each family", () => {
  for (const family of ["ip", "ip6"]) nft.run(chain("drop", family));
  nft.run('add rule ip filter FORWARD iifname "x" drop');
  const before = nft.run("list ruleset");
  rules.mend(["brig0"]);
  const after = nft.run("list ruleset");
  rules.mend(["brig0"]);
  expect(nft.run("list ruleset")).toBe(after);
  expect(listed()).toEqual(["jump brig_x", 'iifname "x" drop']);
  expect(listed("ip6 filter FORWARD")).toEqual(["jump brig_x"]);
  expect(listed("ip filter brig_x")).toEqual(of("brig0"));
  rules.remove();
  expect(nft.run("list ruleset")).toBe(before);
});

test("bridges come and go", () => {
  nft.run(chain("drop"));
  rules.mend(["brig0", "br-1"]);
  rules.mend(["brig0", "br-1", "br-2"]);
  expect(listed("ip filter brig_x")).toEqual([...of("brig0"), ...of("br-1"), ...of("br-2")]);
  rules.mend(["brig0", "br-2"]);
  expect(listed("ip filter brig_x")).toEqual([...of("brig0"), ...of("br-2")]);
});

test("the jump stands behind Docker's chain for its users' own", () => {
  nft.run(`${chain("drop")}; add rule ip filter FORWARD jump DOCKER-USER; add rule ip filter FORWARD iifname "x" drop`);
  rules.mend(["brig0"]);
  expect(listed()).toEqual(["jump DOCKER-USER", "jump brig_x", 'iifname "x" drop']);
});

test("half of the rules, or rules no longer needed, are mended", () => {
  nft.run(chain("drop"));
  rules.mend(["brig0"]);
  nft.run("flush chain ip filter brig_x");
  rules.mend(["brig0"]);
  expect(listed("ip filter brig_x")).toEqual(of("brig0"));
  nft.run("flush chain ip filter FORWARD");
  rules.mend(["brig0"]);
  expect(listed()).toEqual(["jump brig_x"]);
  nft.run("chain ip filter FORWARD { policy accept; }");
  rules.mend(["brig0"]);
  expect(nft.run("list ruleset")).not.toContain("brig");
});

test("firewalld's chain and a hand-written one that drops are seen, those of other daemons are not", () => {
  nft.run(
    "table inet firewalld { chain filter_FORWARD { type filter hook forward priority 10; reject with icmpx admin-prohibited; }; }",
  );
  nft.run(
    "table inet mine { chain f { type filter hook forward priority 0; policy drop; ct state established accept; }; }",
  );
  nft.run("table inet brig_other { chain forward { type filter hook forward priority 0; policy drop; }; }");
  const before = nft.run("list ruleset");
  rules.mend(["brig0"]);
  expect(listed("inet firewalld filter_FORWARD")[0]).toBe("jump brig_x");
  expect(listed("inet mine f")).toEqual(["jump brig_x", "ct state established accept"]);
  expect(listed("inet brig_other forward")).toEqual([]);
  rules.remove();
  expect(nft.run("list ruleset")).toBe(before);
});
