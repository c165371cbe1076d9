import { expect, test } from "bun:test";
import { formatAddress, formatSubnet, parseAddress, parseCidr } from "./addresses.ts";
import { AddressPool, chooseSubnet } from "./ipam.ts";

const subnet = (text: string) => parseCidr(text)!.subnet;
const pool = (cidr: string, range: string, reserved: string[]) =>
  new AddressPool(
    subnet(cidr),
    subnet(range),
    reserved.map((address) => parseAddress(address)!),
  );

test("addresses are given out in turn, and a returned one last", () => {
  const addresses = pool("10.0.0.0/29", "10.0.0.0/29", ["10.0.0.1"]);
  const next = () => formatAddress(addresses.allocate()!);
  expect([next(), next()]).toEqual(["10.0.0.2", "10.0.0.3"]);
  addresses.release(parseAddress("10.0.0.2")!);
  expect([next(), next(), next(), next()]).toEqual(["10.0.0.4", "10.0.0.5", "10.0.0.6", "10.0.0.2"]);
  expect(addresses.allocate()).toBeUndefined();
  expect([addresses.inUse, addresses.available]).toEqual([8n, 0n]);
  addresses.release(parseAddress("10.0.0.3")!);
  expect(() => addresses.claim(parseAddress("10.0.0.4")!)).toThrow("Address already in use");
  addresses.claim(parseAddress("10.0.0.3")!);
});

test("addresses of running containers and outside of the range are not given out", () => {
  const addresses = pool("10.0.0.0/24", "10.0.0.128/30", ["10.0.0.1"]);
  addresses.take(parseAddress("10.0.0.129")!);
  addresses.take(parseAddress("10.9.9.9")!);
  const given = [1, 2, 3].map(() => formatAddress(addresses.allocate()!)).sort();
  expect(given).toEqual(["10.0.0.128", "10.0.0.130", "10.0.0.131"]);
});

test("a full /16 is given out quickly", () => {
  const addresses = pool("10.1.0.0/16", "10.1.0.0/16", ["10.1.0.1"]);
  for (let given = 0; given < 65533; given++) addresses.allocate();
  expect(addresses.allocate()).toBeUndefined();
});

test("a bridge gets the first subnet that nobody uses", () => {
  expect(formatSubnet(chooseSubnet(4, [], []))).toBe("172.17.0.0/16");
  expect(formatSubnet(chooseSubnet(4, [], [subnet("172.17.0.0/16")]))).toBe("172.18.0.0/16");
  expect(formatSubnet(chooseSubnet(4, [], [subnet("172.16.0.0/12")]))).toBe("192.168.0.0/20");
  expect(formatSubnet(chooseSubnet(4, [], [subnet("172.16.0.0/12"), subnet("192.168.1.0/24")]))).toBe(
    "192.168.16.0/20",
  );
  const pools = [{ base: "10.0.0.0/8", size: 30 }];
  expect(formatSubnet(chooseSubnet(4, pools, [subnet("10.0.0.0/9"), subnet("10.128.0.4/32")]))).toBe("10.128.0.0/30");
  expect(() => chooseSubnet(4, [], [subnet("0.0.0.0/0")])).toThrow("could not find an available, non-overlapping IPv4");
  expect(() => chooseSubnet(4, [{ base: "nope", size: 24 }], [])).toThrow("invalid base pool");
  expect(() => chooseSubnet(4, [{ base: "10.0.0.0/16", size: 8 }], [])).toThrow("invalid pool size: 8");
});

test("IPv6 networks get a /64 of the machine's own unique local addresses", () => {
  const first = chooseSubnet(6, [], []);
  expect(formatSubnet(first)).toMatch(/^fd.*::\/64$/);
  expect(chooseSubnet(6, [], [])).toEqual(first);
  const second = chooseSubnet(6, [], [first]);
  expect(second.base - first.base).toBe(1n << 64n);
  const pool6 = new AddressPool(first, first, [{ family: 6, value: first.base + 1n }]);
  expect(pool6.allocate()).toEqual({ family: 6, value: first.base + 2n });
});
