/** The daemon is killed at random moments of its networks' life: what it says is afterwards what the kernel has. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

const rounds = 14;
const names = ["one", "two", "three"];
const networks: Record<string, object> = {
  plain: {},
  both: { EnableIPv6: true },
  inside: { Internal: true },
  silent: { Options: { "com.docker.network.bridge.enable_icc": "false" } },
};

const pick = <T>(list: T[]): T => list[Math.floor(Math.random() * list.length)]!;
const post = (path: string, body: unknown) => daemon.request("POST", path, body).then((answer) => answer.status);

/** One change of something at random. Whether it is done does not matter. */
function change(): Promise<unknown> {
  const network = pick(Object.keys(networks));
  const Container = pick(names);
  const kinds: (() => Promise<unknown>)[] = [
    () => post("/networks/create", { Name: network, ...networks[network] }),
    () => daemon.request("DELETE", `/networks/${network}`).then((answer) => answer.status),
    () => post(`/networks/${network}/connect`, { Container, EndpointConfig: { Aliases: ["alias"] } }),
    () => post(`/networks/${network}/connect`, { Container }),
    () => post(`/networks/${network}/disconnect`, { Container, Force: Math.random() < 0.3 }),
    () => post("/networks/bridge/connect", { Container }),
    () => post("/networks/bridge/disconnect", { Container }),
  ];
  return pick(kinds)().catch(() => undefined);
}

interface Interface {
  ifname: string;
  address: string;
  addr_info: { local: string; prefixlen: number; scope: string }[];
}
interface Inspected {
  Id: string;
  State: { Pid: number };
  NetworkSettings: {
    Networks: Record<string, Record<string, string> & { DNSNames: string[] | null }>;
    Ports: Record<string, { HostIp: string; HostPort: string }[] | null>;
  };
}
interface NetworkShown {
  Id: string;
  Name: string;
  Internal: boolean;
  Driver: string;
  Containers: Record<string, { MacAddress: string; IPv4Address: string; IPv6Address: string }>;
}

function sh(script: string): string {
  const { success, stdout, stderr } = Bun.spawnSync(["sh", "-ec", script]);
  if (!success) throw new Error(`${script}: ${stderr}`);
  return stdout.toString();
}
const json = async <T>(path: string) => (await (await daemon.request("GET", path)).json()) as T;

/** Compares what the daemon says with links, addresses, routes, rules, files and what is reached. */
async function compare(): Promise<void> {
  const listed = await json<{ Id: string }[]>("/networks");
  const shown = await Promise.all(listed.map(({ Id }) => json<NetworkShown>(`/networks/${Id}`)));
  const bridges = shown.filter(({ Driver }) => Driver === "bridge");
  const linkOf = ({ Name, Id }: NetworkShown) => (Name === "bridge" ? daemon.bridge : `br-${Id.slice(0, 12)}`);
  const own = sh(`ip -j link show type bridge`);
  const marked = (JSON.parse(own) as { ifname: string; ifalias?: string }[])
    .filter(({ ifalias }) => ifalias === `brig ${daemon.bridge}`)
    .map(({ ifname }) => ifname);
  expect(marked.sort()).toEqual(bridges.map(linkOf).sort());
  for (const network of bridges) {
    const ports = sh(`ls /sys/class/net/${linkOf(network)}/brif`)
      .split("\n")
      .filter(Boolean);
    expect([network.Name, ports.length]).toEqual([network.Name, Object.keys(network.Containers).length]);
  }
  const rules = sh(`nft list table inet brig_${daemon.bridge}`);
  const named = new Set(rules.match(/\b(br-[0-9a-f]{12}|bt[0-9a-z]{7})\b/g));
  for (const network of bridges) expect(named).toContain(linkOf(network));
  const others = new Set(sh("ls /sys/class/net").split("\n"));
  for (const name of named) expect(others).toContain(name);

  for (const name of names) {
    const { Id, State, NetworkSettings } = await json<Inspected>(`/containers/${name}/json`);
    const inside = `nsenter -t ${State.Pid} -n ip -j`;
    const interfaces = (JSON.parse(sh(`${inside} addr`)) as Interface[])
      .filter(({ ifname }) => ifname !== "lo")
      .map(({ address, addr_info }) => {
        const addresses = addr_info
          .filter(({ scope }) => scope === "global")
          .map(({ local, prefixlen }) => `${local}/${prefixlen}`);
        return `${address} ${addresses.sort().join(" ")}`;
      });
    const places = Object.values(NetworkSettings.Networks).map((place) => {
      const addresses = [
        place.IPAddress === "" ? [] : [`${place.IPAddress}/${place.IPPrefixLen}`],
        place.GlobalIPv6Address === "" ? [] : [`${place.GlobalIPv6Address}/${place.GlobalIPv6PrefixLen}`],
      ].flat();
      return `${place.MacAddress} ${addresses.sort().join(" ")}`;
    });
    expect(interfaces.sort()).toEqual(places.sort());
    for (const [network, place] of Object.entries(NetworkSettings.Networks)) {
      const there = shown.find(({ Id }) => Id === place.NetworkID);
      expect(there?.Name).toBe(network);
      expect(there?.Containers[Id]?.MacAddress).toBe(place.MacAddress!);
    }
    const members = shown.filter(({ Containers }) => Id in Containers).map(({ Name }) => Name);
    expect(members.sort()).toEqual(Object.keys(NetworkSettings.Networks).sort());

    const leadsOut = (network: string) => !shown.find(({ Name }) => Name === network)!.Internal;
    const gateways = Object.entries(NetworkSettings.Networks).filter(([network]) => leadsOut(network));
    const routes = JSON.parse(sh(`${inside} route show default`)) as { gateway: string }[];
    expect(routes.length).toBe(gateways.length > 0 ? 1 : 0);
    for (const { gateway } of routes) expect(gateways.map(([, place]) => place.Gateway)).toContain(gateway);

    const hosts = readFileSync(`/proc/${State.Pid}/root/etc/hosts`, "utf8").split("\n");
    const own = hosts.filter((line) => line.endsWith(`\t${Id.slice(0, 12)}`)).map((line) => line.split("\t")[0]);
    const addresses = Object.values(NetworkSettings.Networks).flatMap(({ IPAddress, GlobalIPv6Address }) =>
      [IPAddress, GlobalIPv6Address].filter((address) => address !== ""),
    );
    expect(own.sort()).toEqual(addresses.sort());

    if (name !== "one") continue;
    expect(Object.keys(NetworkSettings.Ports).length).toBe(gateways.length > 0 ? 1 : 0);
    const port = NetworkSettings.Ports["80/tcp"]?.[0]?.HostPort;
    if (port === undefined) continue;
    const page = await fetch(`http://127.0.0.1:${port}/`, { keepalive: false }).then((answer) => answer.text());
    expect(page).toBe("page\n");
  }
  // Whoever is on a network with another finds it by name, and nobody else does.
  const seen = async (from: string, name: string) =>
    (await daemon.docker("exec", from, "nslookup", "-type=a", `${name}.`)).stdout.match(/Address: \d[\d.]*$/m)?.[0];
  for (const from of names) {
    const on = Object.entries((await json<Inspected>(`/containers/${from}/json`)).NetworkSettings.Networks);
    const shared = on.find(([network]) => network !== "bridge");
    if (shared === undefined) continue;
    const other = names[(names.indexOf(from) + 1) % names.length]!;
    const there = (await json<Inspected>(`/containers/${other}/json`)).NetworkSettings.Networks;
    const common = on.filter(([network]) => network !== "bridge" && network in there);
    const found = await seen(from, other);
    if (common.length === 0) expect(found).toBeUndefined();
    else expect(common.map(([network]) => `Address: ${there[network]!.IPAddress}`)).toContain(found!);
    break;
  }
}

test("kill -9 at random moments of create, rm, connect and disconnect", async () => {
  const server = "mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w";
  for (const name of names) {
    const ports = name === "one" ? ["-p", "127.0.0.1::80"] : [];
    const { code, stderr } = await daemon.docker("run", "-d", "--name", name, ...ports, "alpine", "sh", "-c", server);
    expect([code, stderr]).toEqual([0, ""]);
  }
  for (let round = 0; round < rounds; round++) {
    let alive = true;
    const work = Array.from({ length: 3 }, async () => {
      while (alive) await change();
    });
    await Bun.sleep(5 + Math.random() * 120);
    await daemon.end("SIGKILL");
    alive = false;
    await Promise.all(work);
    await daemon.start();
    try {
      await compare();
    } catch (error) {
      throw new Error(`round ${round}: ${(error as Error).message}\n${daemon.log}`);
    }
  }
  // What is left of it is in order: everything can be taken away.
  await daemon.docker("rm", "-f", ...names);
  await daemon.docker("network", "prune", "-f");
  const { stdout } = await daemon.docker("network", "ls", "-q", "--filter", "type=custom");
  expect(stdout).toBe("");
}, 60_000);

test("parallel connects and disconnects of one container", async () => {
  await daemon.docker("run", "-d", "--name", "one", "-p", "127.0.0.1::80", "alpine", "sleep", "1000");
  for (const name of ["two", "three"]) await daemon.docker("run", "-d", "--name", name, "alpine", "sleep", "1000");
  await daemon.docker("exec", "-d", "one", "sh", "-c", "mkdir /w; echo page >/w/index.html; httpd -p 80 -h /w");
  for (const [Name, body] of Object.entries(networks)) await post("/networks/create", { Name, ...body });
  const statuses = new Set<unknown>();
  await Promise.all(
    Array.from({ length: 8 }, async () => {
      for (let turn = 0; turn < 25; turn++) statuses.add(await change());
    }),
  );
  expect([...statuses].filter((status) => Number(status) >= 500)).toEqual([]);
  await compare();
  await daemon.docker("rm", "-f", ...names);
  await daemon.docker("network", "prune", "-f");
}, 40_000);
