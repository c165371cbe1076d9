import { expect, test } from "bun:test";
import { embeddedResolvConf, hostnameFile, hostsFile, resolvConf } from "./files.ts";

const plain = { hostname: "box", domainname: "", addresses: ["10.0.0.2"], extraHosts: [], hostGateways: ["10.0.0.1"] };

test("/etc/hosts has Docker's lines in Docker's order", () => {
  const file = hostsFile({
    ...plain,
    domainname: "dom.x",
    extraHosts: ["foo:1.2.3.4", "gw:host-gateway", "six=[::2]", "seven:::7"],
    links: [{ address: "10.0.0.9", names: ["al", "other"] }],
  });
  expect(file.split("\n")).toEqual([
    "127.0.0.1\tlocalhost",
    "::1\tlocalhost ip6-localhost ip6-loopback",
    "fe00::0\tip6-localnet",
    "ff00::0\tip6-mcastprefix",
    "ff02::1\tip6-allnodes",
    "ff02::2\tip6-allrouters",
    "1.2.3.4\tfoo",
    "10.0.0.1\tgw",
    "::2\tsix",
    "::7\tseven",
    "10.0.0.9\tal other",
    "10.0.0.2\tbox.dom.x box",
    "",
  ]);
  expect(hostsFile({ ...plain, addresses: [], base: "127.0.0.1 here\n\n" })).toBe("127.0.0.1 here\n");
});

test("what does not belong into /etc/hosts is refused", () => {
  expect(() => hostsFile({ ...plain, extraHosts: ["zzz"] })).toThrow('bad format for add-host: "zzz"');
  expect(() => hostsFile({ ...plain, extraHosts: ["z:nope"] })).toThrow('invalid IP address in add-host: "nope"');
  expect(() => hostsFile({ ...plain, extraHosts: ["a\n6.6.6.6 b:1.1.1.1"] })).toThrow("bad format");
  expect(() => hostsFile({ ...plain, hostname: "a\n6.6.6.6 bank.com" })).toThrow("invalid name");
  expect(() => hostnameFile("a b")).toThrow("invalid name");
  expect(hostnameFile("box")).toBe("box\n");
});

const lines = (input: Partial<Parameters<typeof resolvConf>[0]>) =>
  resolvConf({ dns: [], dnsSearch: [], dnsOptions: [], host: "", hostNetwork: false, ipv6: false, ...input })
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"));

test("/etc/resolv.conf is the host's, without servers that the container cannot reach", () => {
  const host =
    "# hello\nnameserver 127.0.0.53\nnameserver 10.1.1.1\nnameserver fd00::1\nsearch a.b c.d\noptions ndots:2 edns0\n";
  expect(lines({ host })).toEqual(["nameserver 10.1.1.1", "search a.b c.d", "options ndots:2 edns0"]);
  expect(lines({ host, ipv6: true })).toContain("nameserver fd00::1");
  expect(lines({ host, hostNetwork: true })).toContain("nameserver 127.0.0.53");
  expect(lines({ host: "nameserver 127.0.0.1\n" })).toEqual(["nameserver 8.8.8.8", "nameserver 8.8.4.4"]);
  expect(lines({})).toEqual(["nameserver 8.8.8.8", "nameserver 8.8.4.4"]);
});

test("each of servers, search domains and options is replaced as a whole", () => {
  const host = "nameserver 10.1.1.1\nsearch a.b\noptions ndots:2\n";
  expect(lines({ host, dns: ["9.9.9.9"], dnsSearch: ["."] })).toEqual(["nameserver 9.9.9.9", "options ndots:2"]);
  expect(lines({ host, dnsOptions: ["use-vc"] })).toEqual(["nameserver 10.1.1.1", "search a.b", "options use-vc"]);
  expect(() => lines({ dns: ["nope"] })).toThrow("bad nameserver address nope");
  expect(() => lines({ dnsSearch: ["a\nnameserver 6.6.6.6"] })).toThrow("invalid name");
});

test("with a name server of Brig's the others are whom it asks", () => {
  const embedded = (input: Partial<Parameters<typeof embeddedResolvConf>[0]>) =>
    embeddedResolvConf({ dns: [], dnsSearch: [], dnsOptions: [], host: "", ...input });
  const host =
    "nameserver 127.0.0.53\nnameserver 10.1.1.1\nnameserver fe80::1%eth0\nsearch a.b\noptions edns0 trust-ad\n";
  const own = embedded({ host });
  expect(own.content.split("\n").slice(1)).toEqual([
    "nameserver 127.0.0.11",
    "search a.b",
    "options edns0 trust-ad ndots:0",
    "",
    "# ExtServers: [host(127.0.0.53) 10.1.1.1 host(fe80::1%eth0)]",
    "",
  ]);
  expect(own.upstreams).toEqual([
    { address: "127.0.0.53", hostNamespace: true },
    { address: "10.1.1.1", hostNamespace: false },
    { address: "fe80::1%eth0", hostNamespace: true },
  ]);
  const asked = embedded({ host, dns: ["127.0.0.1"], dnsSearch: ["."], dnsOptions: ["ndots:3", "use-vc"] });
  expect(asked.content).toContain("nameserver 127.0.0.11\noptions ndots:3 use-vc\n");
  expect(asked.upstreams).toEqual([{ address: "127.0.0.1", hostNamespace: false }]);
  expect(embedded({}).upstreams.map(({ address }) => address)).toEqual(["8.8.8.8", "8.8.4.4"]);
  expect(() => embedded({ dns: ["nope"] })).toThrow("bad nameserver address nope");
});
