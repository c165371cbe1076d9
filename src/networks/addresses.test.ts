import { expect, test } from "bun:test";
import { addressBytes, contains, formatAddress, formatSubnet, overlap, parseAddress, parseCidr } from "./addresses.ts";

test("IPv4 addresses go there and back", () => {
  for (const text of ["0.0.0.0", "127.0.0.1", "172.18.0.1", "255.255.255.255"])
    expect(formatAddress(parseAddress(text)!)).toBe(text);
  for (const text of ["", "1.2.3", "1.2.3.256", "01.2.3.4", "fe80::1%eth0", " 1.2.3.4"])
    expect(parseAddress(text)).toBeUndefined();
});

test("subnets are those of their size", () => {
  const { address, subnet } = parseCidr("172.18.3.4/16")!;
  expect([formatAddress(address), formatSubnet(subnet)]).toEqual(["172.18.3.4", "172.18.0.0/16"]);
  expect(formatSubnet(parseCidr("255.255.255.255/1")!.subnet)).toBe("128.0.0.0/1");
  for (const text of ["1.2.3.4", "1.2.3.4/33", "1.2.3.4/-1", "1.2.3.4/1/2", "::/129", "x/8"])
    expect(parseCidr(text)).toBeUndefined();
});

test("IPv6 addresses are written as RFC 5952 has them", () => {
  const forms = {
    "::": "::",
    "0:0:0:0:0:0:0:1": "::1",
    "2001:DB8:0:0:1:0:0:1": "2001:db8::1:0:0:1",
    "1:0:3:4:5:6:7:8": "1:0:3:4:5:6:7:8",
    "fd00::": "fd00::",
    "::ffff:1.2.3.4": "::ffff:102:304",
  };
  for (const [text, canonical] of Object.entries(forms)) expect(formatAddress(parseAddress(text)!)).toBe(canonical);
  expect(formatSubnet(parseCidr("fd00:1:2:3:4::5/64")!.subnet)).toBe("fd00:1:2:3::/64");
});

test("overlaps are seen from both sides", () => {
  const subnet = (text: string) => parseCidr(text)!.subnet;
  expect(overlap(subnet("10.0.0.0/8"), subnet("10.1.2.0/24"))).toBe(true);
  expect(overlap(subnet("10.1.2.0/24"), subnet("10.0.0.0/8"))).toBe(true);
  expect(overlap(subnet("10.1.2.0/24"), subnet("10.1.3.0/24"))).toBe(false);
  expect(contains(subnet("10.1.2.0/24"), parseAddress("10.1.2.255")!)).toBe(true);
});

test("IPv6 addresses are their bytes", () => {
  const hex = (text: string) => Buffer.from(addressBytes(text)!).toString("hex");
  expect(hex("::")).toBe("0".repeat(32));
  expect(hex("::1")).toBe(`${"0".repeat(31)}1`);
  expect(hex("2001:db8::ff:1")).toBe("20010db80000000000000000" + "00ff0001");
  expect(hex("1:2:3:4:5:6:7:8")).toBe("00010002000300040005000600070008");
  expect(hex("::ffff:1.2.3.4")).toBe(`${"0".repeat(20)}ffff01020304`);
  expect(hex("1.2.3.4")).toBe("01020304");
  expect(addressBytes("fe80::1%eth0")).toBeUndefined();
  expect(addressBytes("nope")).toBeUndefined();
});
