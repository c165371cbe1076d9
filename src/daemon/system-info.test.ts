import { expect, test } from "bun:test";
import { parseProgramVersion, programVersion } from "./program-version.ts";
import { parseOsRelease, SystemFacts, type SystemSettings } from "./system-info.ts";

const settings: SystemSettings = {
  id: "an-id",
  version: "1.2.3",
  gitCommit: "abc",
  buildTime: "2026-01-01T00:00:00Z",
  dataRoot: "/var/lib/x",
  labels: ["a=b"],
  debug: false,
  experimental: false,
  storageDriver: "overlay2",
  cgroupDriver: "cgroupfs",
  logDriver: "local",
  logDrivers: ["none", "local", "json-file"],
  defaultRuntime: "crun",
  runtimes: { crun: "crun", other: "/opt/other" },
  conmonPath: "conmon",
  initPath: "/usr/libexec/init",
  registryMirrors: ["http://127.0.0.1:5000"],
  insecureRegistries: ["10.0.0.0/8", "reg.example:5000"],
  defaultAddressPools: [{ base: "10.0.0.0/8", size: 24 }],
  httpProxy: "http://user:secret@proxy:3128",
  httpsProxy: "",
  noProxy: "",
  insecureHosts: ["tcp://0.0.0.0:2375"],
};
const facts = new SystemFacts({
  settings: () => settings,
  containers: () => ({ running: 2, paused: 1, stopped: 4 }),
  images: () => 3,
  driverStatus: () => [["Backing Filesystem", "extfs"]],
  eventListeners: () => 0,
});

test("info", async () => {
  const info = await facts.info();
  expect(info).toMatchObject({
    ID: "an-id",
    Containers: 7,
    ContainersRunning: 2,
    Images: 3,
    OSType: "linux",
    DockerRootDir: "/var/lib/x",
    InitBinary: "init",
    HttpProxy: "http://xxxxx:xxxxx@proxy:3128",
    LiveRestoreEnabled: true,
    Runtimes: { crun: { path: "crun" }, other: { path: "/opt/other" } },
    DefaultAddressPools: [{ Base: "10.0.0.0/8", Size: 24 }],
    RegistryConfig: {
      InsecureRegistryCIDRs: ["::1/128", "127.0.0.0/8", "10.0.0.0/8"],
      Mirrors: ["http://127.0.0.1:5000/"],
    },
  });
  expect(info.RegistryConfig?.IndexConfigs?.["reg.example:5000"]?.Secure).toBe(false);
  expect(info.NCPU).toBeGreaterThan(0);
  expect(info.MemTotal).toBeGreaterThan(1e8);
  expect(info.KernelVersion).toMatch(/^\d+\.\d+/);
  expect(info.Warnings?.[0]).toContain("http://0.0.0.0:2375");
});

test("version", async () => {
  const version = await facts.version();
  expect(version).toMatchObject({ Version: "1.2.3", ApiVersion: "1.56", MinAPIVersion: "1.24", Os: "linux" });
  expect(version.Components?.map(({ Name }) => Name)).toEqual(["Engine", "crun", "conmon"]);
  expect(version.Components?.[1]?.Version).toMatch(/^\d/);
});

test("a program that is missing has no version", async () => {
  expect(await programVersion("/no/such/program")).toEqual({ name: "program", version: "", commit: "" });
  expect(parseProgramVersion("x", "runc version 1.1.5+ds1\ncommit: 1.1.5+ds1-1\nspec: 1.0.2")).toEqual({
    name: "runc",
    version: "1.1.5+ds1",
    commit: "1.1.5+ds1-1",
  });
});

test("os-release", () => {
  const variables = parseOsRelease('PRETTY_NAME="A \\"B\\" C"\n# no\nVERSION_ID=12\nNAME=\'x y\'\n');
  expect(Object.fromEntries(variables)).toEqual({ PRETTY_NAME: 'A "B" C', VERSION_ID: "12", NAME: "x y" });
});
