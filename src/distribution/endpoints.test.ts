import { expect, test } from "bun:test";
import { endpointsFor, type ImageSettings, isInsecure, originsOf } from "./endpoints.ts";
import { noProxies } from "./proxies.ts";

const settings: ImageSettings = {
  registryMirrors: ["https://mirror.example/"],
  insecureRegistries: ["plain.example:5000", "10.0.0.0/8", "fd00::/8", "named.example"],
  maxConcurrentDownloads: 3,
  maxConcurrentUploads: 5,
  maxDownloadAttempts: 5,
  proxies: noProxies,
};

test("loopback and what is configured may be spoken to in the clear", () => {
  for (const host of ["localhost:1", "127.9.9.9", "[::1]:5000", "plain.example:5000", "10.1.1.1:80", "[fd12::3]:5000"])
    expect([host, isInsecure(host, settings)]).toEqual([host, true]);
  for (const host of ["plain.example", "11.1.1.1", "[fe80::1]:5000", "r.named.example"])
    expect([host, isInsecure(host, settings)]).toEqual([host, false]);
  expect(isInsecure("named.example:99", settings)).toBe(true);
});

test("pulls of the hub's images ask mirrors first, pushes never do", () => {
  const bases = (endpoints: { base: string }[]) => endpoints.map(({ base }) => base);
  expect(bases(endpointsFor("docker.io", settings))).toEqual([
    "https://mirror.example",
    "https://registry-1.docker.io",
  ]);
  expect(bases(originsOf("docker.io", settings))).toEqual(["https://registry-1.docker.io"]);
  expect(bases(originsOf("plain.example:5000", settings))).toEqual([
    "https://plain.example:5000",
    "http://plain.example:5000",
  ]);
});
