import { afterAll, expect, test } from "bun:test";
import { closeSync } from "node:fs";
import { createNetworkNamespace, insideNetworkNamespace } from "./namespaces.ts";
import { Nftables } from "./nftables.ts";
import { watchRuleset } from "./nftables-watch.ts";

const namespace = createNetworkNamespace();
const nft = insideNetworkNamespace(namespace, () => new Nftables());
const elsewhere = new Nftables();

afterAll(() => {
  nft.close();
  elsewhere.close();
  closeSync(namespace);
});

test("each transaction in the namespace is told once, however large it is, until the watch ends", async () => {
  let told = 0;
  const problems: string[] = [];
  const end = insideNetworkNamespace(namespace, () =>
    watchRuleset(
      () => void told++,
      (reason) => void problems.push(reason),
    ),
  );
  await Bun.sleep(20);
  const addresses = Array.from({ length: 5000 }, (_, index) => `10.0.${index >> 8}.${index & 255}`);
  nft.run(`table inet x { set s { type ipv4_addr; elements = { ${addresses.join(", ")} }; }; }`);
  await Bun.sleep(50);
  expect(told).toBe(1);
  nft.run("flush ruleset");
  await Bun.sleep(50);
  expect(told).toBe(2);
  for (let index = 0; index < 3000; index++) nft.run("table ip y; delete table ip y");
  await Bun.sleep(50);
  const many = told;
  expect(many).toBeGreaterThan(2);
  nft.run("table ip y");
  await Bun.sleep(50);
  expect(told).toBe(many + 1);
  end();
  nft.run("delete table ip y");
  await Bun.sleep(50);
  expect(told).toBe(many + 1);
  expect(problems).toEqual([]);
});
