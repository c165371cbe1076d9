import { afterAll, beforeEach, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace } from "../kernel/namespaces.ts";
import { Nftables } from "../kernel/nftables.ts";
import { ForwardRules } from "./forwarding.ts";

/** A host of its own: its packet filter is empty. */
const namespace = createNetworkNamespace();
const nft = insideNetworkNamespace(namespace, () => new Nftables());
const rules = new ForwardRules(nft, "brig0");

beforeEach(() => void nft.run("flush ruleset"));

afterAll(() => {
  nft.close();
  closeSync(namespace);
});

function forwardRules(): string[] {
  return nft
    .run("list chain ip filter FORWARD")
    .split("\n")
    .map((line) => line.trim().replace(/counter packets \d+ bytes \d+ /, ""))
    .filter((line) => /accept|drop|jump|return/.test(line) && !line.startsWith("type"));
}

const chain = (policy: string) =>
  `table ip filter { chain DOCKER-USER { return; }; chain FORWARD { type filter hook forward priority filter; policy ${policy}; }; }`;
const own = ['oifname "brig0" accept comment "brig brig0"', 'iifname "brig0" accept comment "brig brig0"'];

test("a host without iptables is left alone", () => {
  expect(rules.mend()).toBe(false);
  rules.remove();
  nft.run(chain("accept"));
  expect(rules.mend()).toBe(false);
  expect(forwardRules()).toEqual([]);
});

test("a policy of drop is answered by two rules at the top, once", () => {
  nft.run(`${chain("drop")}; add rule ip filter FORWARD iifname "x" drop`);
  expect(rules.mend()).toBe(true);
  expect(rules.mend()).toBe(false);
  expect(forwardRules()).toEqual([...own, 'iifname "x" drop']);
  rules.remove();
  expect(forwardRules()).toEqual(['iifname "x" drop']);
});

test("the rules stand behind Docker's chain for its users' own", () => {
  nft.run(`${chain("drop")}; add rule ip filter FORWARD jump DOCKER-USER; add rule ip filter FORWARD iifname "x" drop`);
  rules.mend();
  expect(forwardRules()).toEqual(["jump DOCKER-USER", ...own, 'iifname "x" drop']);
});

test("half of the rules, or rules no longer needed, are mended", () => {
  nft.run(`${chain("drop")}; add rule ip filter FORWARD iifname "brig0" counter accept comment "brig brig0"`);
  expect(rules.mend()).toBe(true);
  expect(forwardRules()).toEqual(own);
  nft.run("chain ip filter FORWARD { policy accept; }");
  expect(rules.mend()).toBe(true);
  expect(forwardRules()).toEqual([]);
});
