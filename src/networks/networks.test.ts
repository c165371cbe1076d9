import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { closeSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createNetworkNamespace, insideNetworkNamespace } from "../kernel/namespaces.ts";
import { Nftables } from "../kernel/nftables.ts";
import { Netlink } from "../kernel/rtnetlink.ts";
import { holdPort } from "../kernel/sockets.ts";
import { StateDatabase } from "../state/database.ts";
import type { ContainerConfig, EndpointSettings, HostConfig } from "../wire/engine-api.ts";
import { tableName } from "./firewall.ts";
import { Networks, type Sandbox } from "./networks.ts";
import type { NetworkOptions } from "./settings.ts";

const unique = process.pid % 100_000;
const bridgeName = `bt${unique}`;
const outsideBridge = `bo${unique}`;
/** Two runs at once on a machine have subnets of their own, as long as this number differs. */
const third = (process.pid % 125) * 2;
const subnet = `10.213.${third}`;
const outside = `10.213.${third + 1}`;
const gateway = `${subnet}.1`;
const outsideHost = `${outside}.1`;
const outsider = `${outside}.2`;
const directory = mkdtempSync(join(tmpdir(), "brig-networks-"));
const db = new StateDatabase(join(directory, "state.db"));
const events: string[] = [];
const warnings: string[] = [];
const host = new Netlink();
const nft = new Nftables();

const options: NetworkOptions = {
  bridge: bridgeName,
  bip: `${gateway}/24`,
  ipv6: false,
  defaultAddressPools: [],
  defaultNetworkOptions: [],
  allowDirectRouting: false,
  icc: true,
  ipForward: true,
  ipMasquerade: true,
  packetFilter: true,
  publishAddress: "",
  publishPolicy: "docker",
  dns: [],
  dnsSearch: [],
  dnsOptions: [],
  hostGatewayIps: [],
};

function start(live: string[], changes: Partial<NetworkOptions> = {}): Networks {
  const networks = new Networks({
    db,
    events: {
      publish: (type, action, _id, { container, name }) => {
        events.push(`${type} ${action} ${container} ${name}`);
      },
    },
    settings: { ...options, ...changes },
    warn: (message) => warnings.push(message),
  });
  const keeper = { pid: process.pid, startTime: 0, firstFd: 0 };
  networks.start(
    live.map((containerId) => ({
      containerId,
      name: containerId,
      config: {},
      hostConfig: {},
      pid: process.pid,
      keeper,
    })),
  );
  return networks;
}

/** Stands for a container: the test holds its namespace open. */
interface Container {
  id: string;
  address: string;
  sandbox: Sandbox;
  fd: number;
}

let networks: Networks;
let count = 0;
const containers: Container[] = [];

function run(
  hostConfig: HostConfig = {},
  config: ContainerConfig = {},
  endpoints: Record<string, EndpointSettings> = { [hostConfig.NetworkMode ?? "bridge"]: {} },
): Container {
  const id = `container${++count}`;
  const sandbox = networks.open({ containerId: id, name: id, config, hostConfig, endpoints });
  sandbox.connect();
  const fd = Number(sandbox.namespacePath?.split("/").at(-1));
  const container = { id, sandbox, fd, address: Object.values(sandbox.endpoints)[0]?.IPAddress ?? "" };
  containers.push(container);
  return container;
}

/** A server in a namespace that answers a line with who asked. */
function serve(fd: number, port: number) {
  return insideNetworkNamespace(fd, () =>
    Bun.listen({
      hostname: "0.0.0.0",
      port,
      socket: {
        data(socket, data) {
          socket.end(`${data.toString().trim()} from ${socket.remoteAddress}\n`);
        },
      },
    }),
  );
}

/** Asks a server from inside a namespace (the host's without `fd`). "" where there is no answer in a second. */
async function ask(address: string, port: number, fd?: number): Promise<string> {
  const script = `exec 3<>/dev/tcp/${address}/${port}; echo hello >&3; cat <&3`;
  const enter = fd === undefined ? [] : ["nsenter", `--net=/proc/${process.pid}/fd/${fd}`];
  const child = Bun.spawn([...enter, "timeout", "1", "bash", "-c", script], { stderr: "ignore", stdin: "ignore" });
  return (await child.stdout.text()).trim();
}

async function askUdp(address: string, port: number, fd?: number): Promise<string> {
  const script = `exec 3<>/dev/udp/${address}/${port}; echo hello >&3; head -n1 <&3`;
  const enter = fd === undefined ? [] : ["nsenter", `--net=/proc/${process.pid}/fd/${fd}`];
  const child = Bun.spawn([...enter, "timeout", "1", "bash", "-c", script], { stderr: "ignore", stdin: "ignore" });
  return (await child.stdout.text()).trim();
}

let outsideFd: number;

beforeAll(() => {
  networks = start([]);
  host.createBridge(outsideBridge, "02:42:00:00:00:01", 1400, "test");
  const { index } = host.link(outsideBridge)!;
  host.addAddress(index, Uint8Array.of(10, 213, third + 1, 1), 24);
  outsideFd = createNetworkNamespace();
  host.createVeth({
    name: `vo${unique}`,
    master: index,
    mtu: 1400,
    hairpin: false,
    isolated: false,
    peer: { name: "eth0", mac: "02:42:00:00:00:02", namespaceFd: outsideFd },
  });
  insideNetworkNamespace(outsideFd, () => {
    const inside = new Netlink();
    inside.configureContainer([
      {
        name: "eth0",
        addresses: [{ address: Uint8Array.of(10, 213, third + 1, 2), prefixLength: 24 }],
        gateways: [Uint8Array.of(10, 213, third + 1, 1)],
      },
    ]);
    inside.close();
  });
});

afterAll(async () => {
  for (const { id, sandbox } of containers) {
    networks.release(id);
    sandbox.close();
  }
  await networks.destroy();
  host.deleteLink(outsideBridge);
  host.deleteLink(`vo${unique}`);
  closeSync(outsideFd);
  db.close();
  rmSync(directory, { recursive: true });
  expect(host.link(bridgeName)).toBeUndefined();
  expect(nft.run("list ruleset")).not.toContain(bridgeName);
  nft.close();
  host.close();
});

describe("the default bridge", () => {
  test("gives addresses, MAC addresses and a default route, and says so", () => {
    const { sandbox, address, fd, id } = run();
    expect(address).toStartWith(`${subnet}.`);
    const { Gateway, IPPrefixLen, MacAddress, NetworkID, EndpointID } = sandbox.endpoints.bridge!;
    expect({ Gateway, IPPrefixLen }).toEqual({ Gateway: gateway, IPPrefixLen: 24 });
    expect(NetworkID).toBe(networks.inspect("bridge").Id!);
    expect(networks.inspect("bridge").Containers[id]).toEqual({
      Name: id,
      EndpointID: EndpointID!,
      MacAddress: MacAddress!,
      IPv4Address: `${address}/24`,
      IPv6Address: "",
    });
    expect(networks.settingsOf(id, 1, { hostConfig: {}, endpoints: {} })).toMatchObject({
      IPAddress: address,
      SandboxKey: "/proc/1/ns/net",
      Ports: {},
    });
    const [links, routes, off] = insideNetworkNamespace(fd, () => {
      const inside = new Netlink();
      const found = [inside.links(), inside.routes()] as const;
      inside.close();
      return [...found, readFileSync("/proc/thread-self/net/if_inet6", "utf8")] as const;
    });
    expect(links.map(({ name, up }) => [name, up])).toContainEqual(["lo", true]);
    expect(links.find(({ name }) => name === "eth0")).toMatchObject({ up: true, mac: MacAddress!, mtu: 1400 });
    expect(routes.some(({ prefixLength, gateway }) => prefixLength === 0 && gateway?.[3] === 1)).toBe(true);
    expect(off).not.toContain("eth0");
    expect(events).toContain(`network connect ${id} bridge`);
  });

  test("takes a MAC address that was asked for", () => {
    const { fd } = run({}, {}, { bridge: { MacAddress: "02:42:AA-bb-cc-dd".replaceAll("-", ":") } });
    const mac = insideNetworkNamespace(fd, () => {
      const inside = new Netlink();
      const link = inside.link("eth0");
      inside.close();
      return link?.mac;
    });
    expect(mac).toBe("02:42:aa:bb:cc:dd");
  });

  test("connects containers with each other", async () => {
    const [a, b] = [run(), run()];
    const server = serve(a.fd, 80);
    expect(await ask(a.address, 80, b.fd)).toBe(`hello from ${b.address}`);
    server.stop(true);
  });

  test("connects containers with the outside, under the host's address, whatever FORWARD's policy", async () => {
    const { fd } = run();
    const server = serve(outsideFd, 80);
    expect(await ask(outsider, 80, fd)).toBe(`hello from ${outsideHost}`);
    server.stop(true);
  });

  test("does not let the outside reach ports that are not published", async () => {
    const { fd, address } = run();
    const server = serve(fd, 80);
    expect(await ask(address, 80, outsideFd)).toBe("");
    expect(await ask(address, 80)).toBe(`hello from ${gateway}`);
    server.stop(true);
  });

  test("does not let containers reach what listens on the host's 127.0.0.1", async () => {
    const { fd } = run();
    const server = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data: (socket) => void socket.end("!") } });
    insideNetworkNamespace(fd, () => {
      const inside = new Netlink();
      inside.deleteAddress(1, Uint8Array.of(127, 0, 0, 1), 8);
      inside.close();
    });
    expect(await ask("127.0.0.1", server.port, fd)).toBe("");
    server.stop(true);
  });
});

describe("published ports", () => {
  test("are reached from 127.0.0.1, ::1, the host's addresses, outside, other containers, and their own", async () => {
    const a = run({ PortBindings: { "80/tcp": [{ HostPort: "" }] } }, { ExposedPorts: { "80/tcp": {}, "90/udp": {} } });
    const b = run();
    const server = serve(a.fd, 80);
    const bindings = a.sandbox.ports["80/tcp"]!;
    expect(bindings.map(({ HostIp }) => HostIp)).toEqual(["0.0.0.0", "::"]);
    expect(a.sandbox.ports["90/udp"]).toBeNull();
    const port = Number(bindings[0]!.HostPort);
    expect(port).toBeGreaterThan(1023);
    expect(await ask("127.0.0.1", port)).toBe(`hello from ${gateway}`);
    expect(await ask("127.1.2.3", port)).toBe(`hello from ${gateway}`);
    expect(await ask("::1", port)).toBe(`hello from ${gateway}`);
    expect(await ask(outsideHost, port)).toBe(`hello from ${outsideHost}`);
    expect(await ask(outsideHost, port, outsideFd)).toBe(`hello from ${outsider}`);
    expect(await ask(gateway, port, b.fd)).toBe(`hello from ${gateway}`);
    expect(await ask(outsideHost, port, b.fd)).toBe(`hello from ${gateway}`);
    expect(await ask(outsideHost, port, a.fd)).toBe(`hello from ${gateway}`);
    networks.release(a.id);
    expect(await ask("127.0.0.1", port)).toBe("");
    server.stop(true);
  });

  test("of udp follow their container, also for a client that goes on sending", async () => {
    const udpServer = (fd: number, name: string) =>
      insideNetworkNamespace(fd, () =>
        Bun.udpSocket({
          port: 53,
          hostname: "0.0.0.0",
          socket: { data: (socket, data, port, address) => void socket.send(`${name} ${data}`, port, address) },
        }),
      );
    const binding: HostConfig = { PortBindings: { "53/udp": [{ HostPort: "41999" }] } };
    const a = run(binding);
    const first = await udpServer(a.fd, "a");
    expect(await askUdp("127.0.0.1", 41999)).toBe("a hello");
    expect(await askUdp(outsideHost, 41999, outsideFd)).toBe("a hello");
    let answer = "";
    const client = await Bun.udpSocket({ socket: { data: (_socket, data) => void (answer = data.toString()) } });
    client.send("x", 41999, outsideHost);
    await Bun.sleep(50);
    expect(answer).toBe("a x");
    networks.release(a.id);
    const b = run(binding);
    const second = await udpServer(b.fd, "b");
    client.send("y", 41999, outsideHost);
    await Bun.sleep(50);
    expect(answer).toBe("b y");
    client.close();
    first.close();
    second.close();
    networks.release(b.id);
  });

  test("of one address of the host are not there at others", async () => {
    const a = run({ PortBindings: { "80/tcp": [{ HostIp: "127.0.0.1", HostPort: "41998" }] } });
    const server = serve(a.fd, 80);
    expect(await ask("127.0.0.1", 41998)).toBe(`hello from ${gateway}`);
    expect(await ask(outsideHost, 41998)).toBe("");
    expect(await ask("127.0.0.1", 41998, outsideFd)).toBe("");
    networks.release(a.id);
    server.stop(true);
  });

  test("that are taken are refused with Docker's sentences, and nothing is left of the attempt", () => {
    const publish = (HostPort: string, HostIp = ""): HostConfig => ({
      PortBindings: { "80/tcp": [{ HostPort, HostIp }] },
    });
    const a = run(publish("41990"));
    const before = Object.keys(networks.inspect("bridge").Containers);
    expect(() => run(publish("41990"))).toThrow(
      /^driver failed programming external connectivity on endpoint container\d+ \([0-9a-f]{64}\): Bind for 0.0.0.0:41990 failed: port is already allocated$/,
    );
    expect(() => run(publish("41990", "127.0.0.1"))).toThrow(
      "Bind for 127.0.0.1:41990 failed: port is already allocated",
    );
    const foreign = holdPort("tcp", new Uint8Array(4), 41991);
    expect(() => run(publish("41991"))).toThrow(
      new RegExp(`failed to bind host port for 0.0.0.0:41991:${subnet}.\\d+:80/tcp: address already in use$`),
    );
    expect(() => run(publish("41992", "203.0.113.9"))).toThrow("cannot assign requested address");
    expect(Object.keys(networks.inspect("bridge").Containers)).toEqual(before);
    const b = run(publish("41990-41993"));
    expect(b.sandbox.ports["80/tcp"]![0]!.HostPort).toBe("41992");
    expect(() => holdPort("tcp", new Uint8Array(4), 41992)).toThrow("Address already in use");
    closeSync(foreign);
    networks.release(a.id);
    networks.release(b.id);
    closeSync(holdPort("tcp", new Uint8Array(4), 41992));
  });

  test("of a protocol the kernel lacks or nobody knows are refused", () => {
    expect(() => run({ PortBindings: { "80/xyz": [{ HostPort: "1" }] } })).toThrow("invalid proto: xyz");
    expect(() => run({ PortBindings: { "80/tcp": [{ HostPort: "70000" }] } })).toThrow(
      'invalid port specification: "70000"',
    );
  });
});

describe("the other networks", () => {
  test("none has a namespace of its own with lo alone, host has none", () => {
    const none = run({ NetworkMode: "none" });
    const links = insideNetworkNamespace(none.fd, () => {
      const inside = new Netlink();
      const found = inside.links();
      inside.close();
      return found;
    });
    expect(links.filter(({ up }) => up).map(({ name }) => name)).toEqual(["lo"]);
    const onHost = run({ NetworkMode: "host", PortBindings: { "80/tcp": [{ HostPort: "41990" }] } });
    expect(onHost.sandbox.namespacePath).toBeUndefined();
    expect(onHost.sandbox.ports).toEqual({});
    expect(Object.keys(networks.inspect("host").Containers)).toEqual([onHost.id]);
    networks.release(onHost.id);
  });

  test("that are not there are not found", () => {
    expect(() => run({ NetworkMode: "nope" })).toThrow("network nope not found");
    expect(() => networks.inspect("nope")).toThrow("network nope not found");
    expect(networks.inspect(networks.inspect("bridge").Id!.slice(0, 12)).Name).toBe("bridge");
    expect(networks.list().map(({ Name, Driver }) => `${Name} ${Driver}`)).toEqual(
      expect.arrayContaining(["bridge bridge", "host host", "none null"]),
    );
  });
});

describe("recovery", () => {
  test("after the daemon's end ports go on working, and are held again", async () => {
    const a = run({ PortBindings: { "80/tcp": [{ HostPort: "41980" }] } });
    const gone = run({ PortBindings: { "80/tcp": [{ HostPort: "41981" }] } });
    const server = serve(a.fd, 80);
    await networks.close();
    expect(await ask(outsideHost, 41980, outsideFd)).toBe(`hello from ${outsider}`);
    const { index } = host.link(bridgeName)!;
    const namespace = createNetworkNamespace();
    const peer = { name: "eth0", mac: "02:42:00:00:00:09", namespaceFd: namespace };
    host.createVeth({ name: `vx${unique}`, master: index, mtu: 1400, hairpin: false, isolated: false, peer });
    networks = start([a.id]);
    expect(host.link(`vx${unique}`)).toBeUndefined();
    closeSync(namespace);
    expect(await ask(outsideHost, 41980, outsideFd)).toBe(`hello from ${outsider}`);
    expect(() => holdPort("tcp", new Uint8Array(4), 41980)).toThrow("Address already in use");
    const idle = networks.settingsOf(gone.id, 0, { hostConfig: {}, endpoints: { bridge: {} } }).Networks;
    expect(idle).toMatchObject({ bridge: { EndpointID: "", IPAddress: "" } });
    expect(nft.run(`list table inet ${tableName(bridgeName)}`)).not.toContain("41981");
    const b = run();
    expect(b.address).not.toBe(a.address);
    networks.release(a.id);
    server.stop(true);
  });

  test("rules that somebody flushed are put back", async () => {
    const a = run({ PortBindings: { "80/tcp": [{ HostPort: "41970" }] } });
    const server = serve(a.fd, 80);
    const flushed = performance.now();
    nft.run(`delete table inet brig_${bridgeName}`);
    while (!nft.run("list ruleset").includes("41970") && performance.now() < flushed + 5000) await Bun.sleep(1);
    expect(performance.now() - flushed).toBeLessThan(1000);
    expect(await ask(outsideHost, 41970, outsideFd)).toBe(`hello from ${outsider}`);
    nft.run(`delete table inet brig_${bridgeName}`);
    const b = run({ PortBindings: { "80/tcp": [{ HostPort: "41971" }] } });
    expect(nft.run("list ruleset")).toContain("41970");
    nft.run(`delete table inet brig_${bridgeName}`);
    networks.release(a.id);
    expect(nft.run("list ruleset")).not.toContain("41970");
    expect(nft.run("list ruleset")).toContain("41971");
    networks.release(b.id);
    server.stop(true);
  });
});

test("a route that the host gets later and that takes packets away from a network is told, once", () => {
  const route = ["ip", "route", "add", `${subnet}.128/25`, "dev", outsideBridge];
  expect(Bun.spawnSync(route).exitCode).toBe(0);
  try {
    for (let look = 0; look < 25; look++) networks.mend();
  } finally {
    Bun.spawnSync(route.with(2, "del"));
  }
  const told = warnings.splice(0).filter((warning) => warning.includes(`${subnet}.128/25`));
  expect(told).toHaveLength(1);
  expect(told[0]).toContain(`overlaps network bridge (${subnet}.0/24)`);
});

test("containers that may not talk to each other do so by published ports and links alone", async () => {
  await networks.close();
  networks = start([], { icc: false });
  const a = run({ PortBindings: { "80/tcp": [{ HostPort: "41960" }] } });
  const b = run();
  const server = serve(a.fd, 80);
  expect(await ask(a.address, 80, b.fd)).toBe("");
  expect(await ask(a.address, 80)).toBe(`hello from ${gateway}`);
  expect(await ask(outsideHost, 41960, b.fd)).toBe(`hello from ${gateway}`);
  networks.setLinks(b.id, [{ address: a.address, ports: [{ port: 80, protocol: "tcp" }] }]);
  expect(await ask(a.address, 80, b.fd)).toBe(`hello from ${b.address}`);
  networks.setLinks(b.id, []);
  expect(await ask(a.address, 80, b.fd)).toBe("");
  server.stop(true);
  expect(warnings).toEqual([]);
});
