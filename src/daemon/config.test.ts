import { afterAll, expect, test } from "bun:test";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseFlags } from "../lib/flags.ts";
import { loadConfig, reloadConfig } from "./config.ts";
import { daemonFlags } from "./options.ts";

const directory = mkdtempSync(join(tmpdir(), "brig-config-"));
afterAll(() => rmSync(directory, { recursive: true }));
const file = join(directory, "daemon.json");

const flags = (...args: string[]) => parseFlags(daemonFlags, ["--config-file", file, ...args], { interspersed: true });
function load(content: unknown, ...args: string[]) {
  writeFileSync(file, typeof content === "string" ? content : JSON.stringify(content));
  return loadConfig(flags(...args));
}

test("defaults", () => {
  const config = load("");
  expect(config).toMatchObject({
    dataRoot: "/var/lib/brig",
    execRoot: "/run/brig",
    pidfile: "/run/brig/brig.pid",
    hosts: ["unix:///run/brig/brig.sock"],
    group: "docker",
    logDriver: "json-file",
    defaultRuntime: "crun",
    defaultShmSizeBytes: 64 << 20,
    defaultCgroupnsMode: "private",
    systemdCgroup: false,
    shutdownTimeoutSeconds: 15,
    seccompProfile: "builtin",
    tls: undefined,
    warnings: [],
  });
  expect(config.network).toMatchObject({ bridge: "brig0", icc: true, ipForward: true, mtu: undefined, dns: [] });
});

test("socket and pid file follow the exec-root", () => {
  expect(load({ "exec-root": "/x" })).toMatchObject({ hosts: ["unix:///x/brig.sock"], pidfile: "/x/brig.pid" });
  expect(load({}, "--exec-root", "/x", "-p", "/p", "-H", "tcp://127.0.0.1:1", "-H", "/s")).toMatchObject({
    hosts: ["tcp://127.0.0.1:1", "unix:///s"],
    pidfile: "/p",
  });
});

test("the file and the flags together", () => {
  const config = load(
    {
      debug: true,
      runtimes: { kata: { path: "/k", runtimeArgs: ["-v"] } },
      "default-address-pools": [{ base: "10.9.0.0/16", size: 24 }],
      "default-ulimits": { nofile: { Name: "nofile", Soft: 1, Hard: 2 } },
      "log-opts": { "max-size": "10m" },
      "default-shm-size": "1g",
      "exec-opts": ["native.cgroupdriver=systemd"],
      mtu: null,
      "live-restore": true,
      features: { buildkit: true },
      "metrics-addr": "127.0.0.1:9",
    },
    "--add-runtime=gvisor=/g",
    "--label=a=b",
    "--mtu=1400",
    "--dns=1.1.1.1",
  );
  expect(config).toMatchObject({
    debug: true,
    defaultShmSizeBytes: 2 ** 30,
    logOptions: { "max-size": "10m" },
    systemdCgroup: true,
    labels: ["a=b"],
    defaultUlimits: [{ Name: "nofile", Soft: 1, Hard: 2 }],
  });
  expect(config.runtimes).toMatchObject({ kata: { path: "/k", args: ["-v"] }, gvisor: { path: "/g", args: [] } });
  expect(config.network).toMatchObject({
    mtu: 1400,
    dns: ["1.1.1.1"],
    defaultAddressPools: [{ base: "10.9.0.0/16", size: 24 }],
  });
  expect(config.warnings).toEqual([
    "features is accepted but has no effect: not supported yet",
    "metrics-addr is accepted but has no effect: not supported yet",
  ]);
});

const refused: [unknown, string, ...string[]][] = [
  [{ foo: 1, bar: 2 }, "the following directives don't match any configuration option: bar, foo"],
  [{ "LOG-LEVEL": "warn" }, "the following directives don't match any configuration option: LOG-LEVEL"],
  ["{", "it is no JSON"],
  ["[]", "it is no object"],
  [{ mtu: "x" }, "json: cannot unmarshal string into Go struct field Config.mtu of type int"],
  [{ dns: ["x"] }, "invalid IP address: x"],
  [{ "dns-search": ["a b"] }, "a b is not a valid domain"],
  [{ "log-level": "foo" }, "invalid logging level: foo"],
  [{ labels: ["foo"] }, "bad attribute format: foo"],
  [{ labels: ["a=b", "a=c"] }, "conflict labels for a=c and a=b"],
  [{ "default-ipc-mode": "x" }, 'default IPC mode setting (x) is invalid; use "shareable" or "private"'],
  [{ "max-concurrent-downloads": -1 }, "invalid max concurrent downloads: -1"],
  [{ "default-runtime": "x" }, "specified default runtime 'x' does not exist"],
  [{ runtimes: { runc: { path: "x" } } }, "runtime name 'runc' is reserved"],
  [{ "log-driver": "foo" }, 'error looking up logging plugin foo: plugin "foo" not found'],
  [{ "userns-remap": "default" }, "userns-remap is not supported yet"],
  [{ "seccomp-profile": "/nope" }, "opening seccomp profile (/nope) failed"],
  [
    { dns: ["1.1.1.1"], mtu: 1 },
    "the following directives are specified both as a flag and in the configuration file: dns: (from flag: [8.8.8.8], from file: [1.1.1.1]), mtu: (from flag: 2, from file: 1)",
    "--dns=8.8.8.8",
    "--mtu=2",
  ],
  [
    { "log-opts": { "max-size": "10m" }, debug: true },
    "debug: (from flag: true, from file: true), log-opts: (from flag: map[max-file:3], from file: map[max-size:10m])",
    "--log-opt=max-file=3",
    "-D",
  ],
  [{ hosts: ["unix:///x"] }, "hosts: (from flag: [unix:///y], from file: [unix:///x])", "-H", "unix:///y"],
];
for (const [content, sentence, ...args] of refused)
  test(`refuses ${JSON.stringify(content)} ${args.join(" ")}`, () => {
    expect(() => load(content, ...args)).toThrow(sentence);
  });

test("where ports are published, and who decides about them", () => {
  expect(load("").network).toMatchObject({ publishAddress: "0.0.0.0", publishPolicy: "docker" });
  const chosen = { "publish-address": "127.0.0.1", "publish-policy": "host-firewall" };
  expect(load(chosen).network).toMatchObject({ publishAddress: "127.0.0.1", publishPolicy: "host-firewall" });
  expect(load("", "--publish-policy", "host-firewall").network.publishPolicy).toBe("host-firewall");
  expect(() => load({ ...chosen, ip: "127.0.0.1" })).toThrow("two names of one option");
  expect(() => load({ "publish-policy": "ufw" })).toThrow("invalid publish policy (ufw)");
  expect(() => load({ "publish-address": "here" })).toThrow("invalid IP address: here");
});

test("a named file must be there", () => {
  rmSync(file, { force: true });
  expect(() => loadConfig(flags())).toThrow(`open ${file}: no such file or directory`);
});

test("reload gives what may change", () => {
  writeFileSync(file, JSON.stringify({ debug: true, labels: ["x=y"], "data-root": "/other" }));
  const fresh = reloadConfig(flags());
  expect(fresh).toMatchObject({ debug: true, labels: ["x=y"] });
  expect(fresh).not.toHaveProperty("dataRoot");
});
