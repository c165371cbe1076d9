import { expect, test } from "bun:test";
import { parseSource, parseTarget, withPort } from "./target.ts";

test("names and addresses, with ports and without", () => {
  const name = { isAddress: false, protocol: "tcp" as const };
  const address = { isAddress: true, protocol: "tcp" as const };
  expect(parseTarget("web")).toEqual({ host: "web", ...name });
  expect(parseTarget("web.mynet:80")).toEqual({ host: "web.mynet", port: 80, ...name });
  expect(parseTarget("web:53/udp")).toEqual({ host: "web", port: 53, isAddress: false, protocol: "udp" });
  expect(parseTarget("10.0.0.5:443/tcp")).toEqual({ host: "10.0.0.5", port: 443, ...address });
  expect(parseTarget("fd00:0::1")).toEqual({ host: "fd00::1", ...address });
  expect(parseTarget("[fd00::1]:443")).toEqual({ host: "fd00::1", port: 443, ...address });
  expect(parseSource("/web")).toBe("web");
  expect(parseSource("FD00::1")).toBe("fd00::1");
  expect(withPort("fd00::1", 53, "udp")).toBe("[fd00::1]:53/udp");
});

test("anything else is refused, and shown as what it is", () => {
  for (const text of [
    "",
    ":80",
    "web:",
    "web:0",
    "web:65536",
    "web:999999",
    "web:80/sctp",
    "web/udp",
    "a b",
    "web;reboot",
    "$(id)",
    "../../etc/passwd",
    "web\n",
    "web\0",
    "-n",
    "[web]:80",
    "[fd00::1",
    "fe80::1",
    "fe80::1%eth0",
    "ff02::1",
    "::",
    "0.0.0.0",
    "255.255.255.255",
    "224.0.0.1:5",
    "1.2.3",
    "256.1.1.1",
    "x".repeat(254),
    "é",
  ])
    expect(() => parseTarget(text), text).toThrow(/^invalid target "/);
  for (const text of ["", "a b", "0.0.0.0", "[::1]", "web:80", "x".repeat(300), "a\u001b[31m"])
    expect(() => parseSource(text), text).toThrow(/^invalid source "/);
});
