/**
 * Networks end to end: a daemon on a host that is a network namespace, with a neighbour on its link, and the containers
 * it makes. Who reaches whom is found out by asking, and servers tell who asked.
 */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TestDaemon } from "./support/daemon.ts";
import { LabHost, together } from "./support/netlab.ts";

const host = new LabHost();
const neighbour = new LabHost();
const daemon = new TestDaemon(["--bip", "10.91.0.1/24"], ["nsenter", `--net=${host.path}`]);
const docker = (...args: string[]) => daemon.client(...args);
const containers = new Map<string, LabHost>();

beforeAll(async () => {
  host.link("lan", neighbour, "eth0", {
    here: ["192.0.2.1/24", "2001:db8::1/64"],
    there: ["192.0.2.2/24", "2001:db8::2/64"],
  });
  neighbour.sh("ip route add 10.91.0.0/16 via 192.0.2.1; ip -6 route add fd91::/16 via 2001:db8::1");
  await Promise.all([neighbour.serve(7000, "neighbour"), host.settled(), neighbour.settled()]);
  await (await daemon.start()).withImage();
});
afterAll(async () => {
  for (const container of containers.values()) container.close();
  await daemon.dispose();
  neighbour.close();
  host.close();
});

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await docker(...args);
  if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}

/** A container that answers on port 80 with its name and who asked. */
async function run(name: string, ...options: string[]): Promise<LabHost> {
  await ok("run", "-d", "--name", name, ...options, "alpine", "sleep", "1000");
  const container = new LabHost(Number(await ok("inspect", "-f", "{{.State.Pid}}", name)));
  containers.get(name)?.close();
  containers.set(name, container);
  await container.settled();
  await container.serve(80, name);
  return container;
}

const remove = (...names: string[]) => ok("rm", "-f", ...names);
const addressOf = (name: string, network: string, field = "IPAddress") =>
  ok("inspect", "-f", `{{(index .NetworkSettings.Networks ${JSON.stringify(network)}).${field}}}`, name);
const refusal = async (...args: string[]) =>
  (await docker(...args)).stderr
    .replace(/^((docker|brig): )?Error response from daemon: /, "")
    .split("\n\nRun ")[0]!
    .trim();

describe("who reaches whom", () => {
  test("published ports, from everywhere, by both families and protocols; the client is seen as it is", async () => {
    await ok("network", "create", "--ipv6", "--subnet", "10.91.1.0/24", "--subnet", "fd91:1::/64", "dual");
    const web = await run("web", "--network", "dual", "-p", "8080:80", "-p", "8080:80/udp");
    const other = await run("other", "--network", "dual");
    const apart = await run("apart");
    const answers = await together({
      "neighbour 4": neighbour.ask("192.0.2.1", 8080),
      "neighbour 6": neighbour.ask("2001:db8::1", 8080),
      "neighbour udp": neighbour.ask("192.0.2.1", 8080, "udp"),
      "neighbour udp 6": neighbour.ask("2001:db8::1", 8080, "udp"),
      "host 4": host.ask("127.0.0.1", 8080),
      "host 6": host.ask("::1", 8080),
      "host udp": host.ask("127.0.0.1", 8080, "udp"),
      "host udp 6": host.ask("::1", 8080, "udp"),
      "host by its address": host.ask("192.0.2.1", 8080),
      "beside it": other.ask("192.0.2.1", 8080),
      "beside it 6": other.ask("2001:db8::1", 8080),
      "another network": apart.ask("192.0.2.1", 8080),
      "another network, by the gateway": apart.ask("10.91.0.1", 8080, "udp"),
      itself: web.ask("192.0.2.1", 8080),
    });
    const unanswered = Object.entries(answers).filter(([, answer]) => !/^web \S+$/.test(answer));
    expect(unanswered).toEqual([]);
    expect(answers).toMatchObject({
      "neighbour 4": "web 192.0.2.2",
      "neighbour 6": "web 2001:db8::2",
      "neighbour udp": "web 192.0.2.2",
      "neighbour udp 6": "web 2001:db8::2",
    });
    const [v4, v6] = await Promise.all([addressOf("web", "dual"), addressOf("web", "dual", "GlobalIPv6Address")]);
    expect(
      await together({
        "unpublished, with a route": neighbour.ask(v4, 80),
        "unpublished, with a route 6": neighbour.ask(v6, 80),
        "from another network": apart.ask(v4, 80),
        within: other.ask(v4, 80),
        "within 6": other.ask(v6, 80),
        out: other.ask("192.0.2.2", 7000),
        "out 6": other.ask("2001:db8::2", 7000),
        "out udp": other.ask("192.0.2.2", 7000, "udp"),
      }),
    ).toEqual({
      "unpublished, with a route": "",
      "unpublished, with a route 6": "",
      "from another network": "",
      within: `web ${await addressOf("other", "dual")}`,
      "within 6": `web ${await addressOf("other", "dual", "GlobalIPv6Address")}`,
      out: "neighbour 192.0.2.1",
      "out 6": "neighbour 2001:db8::1",
      "out udp": "neighbour 192.0.2.1",
    });
    // A port that is published is nobody else's.
    const taken = await refusal("run", "--rm", "-p", "8080:80", "alpine");
    expect(taken).toMatch(
      /^driver failed programming external connectivity on endpoint \S+ \(\w{64}\): Bind for 0.0.0.0:8080 failed: port is already allocated$/,
    );
    expect(() => host.inside(() => Bun.listen({ hostname: "0.0.0.0", port: 8080, socket: { data() {} } }))).toThrow();
    await remove("web", "other", "apart");
    host.inside(() => Bun.listen({ hostname: "0.0.0.0", port: 8080, socket: { data() {} } })).stop();
    await ok("network", "rm", "dual");
  });

  test("internal networks lead nowhere; icc off means off", async () => {
    await ok("network", "create", "--internal", "--subnet", "10.91.2.0/24", "inner");
    await ok(
      "network",
      "create",
      "--subnet",
      "10.91.3.0/24",
      "-o",
      "com.docker.network.bridge.enable_icc=false",
      "shy",
    );
    const a = await run("aa", "--network", "inner", "-p", "8081:80");
    const b = await run("bb", "--network", "inner");
    const c = await run("cc", "--network", "shy");
    const d = await run("dd", "--network", "shy");
    const [atA, atC] = [await addressOf("aa", "inner"), await addressOf("cc", "shy")];
    expect(
      await together({
        within: b.ask(atA, 80),
        out: a.ask("192.0.2.2", 7000),
        host: host.ask(atA, 80),
        published: neighbour.ask("192.0.2.1", 8081),
        "with a route": neighbour.ask(atA, 80),
        "from another": c.ask(atA, 80),
        "icc off": d.ask(atC, 80),
        "icc off, out": d.ask("192.0.2.2", 7000),
      }),
    ).toEqual({
      within: `aa ${await addressOf("bb", "inner")}`,
      out: "",
      host: "aa 10.91.2.1",
      published: "",
      "with a route": "",
      "from another": "",
      "icc off": "",
      "icc off, out": "neighbour 192.0.2.1",
    });
    expect(a.sh("ip route")).not.toContain("default");
    await remove("aa", "bb", "cc", "dd");
    await ok("network", "rm", "inner", "shy");
  });

  test("routed networks are reached at their own addresses, by published ports alone; without masquerade too", async () => {
    const mode = (family: string) => `com.docker.network.bridge.gateway_mode_${family}=routed`;
    const subnets = ["--ipv6", "--subnet", "10.91.4.0/24", "--subnet", "fd91:4::/64"];
    await ok("network", "create", ...subnets, "-o", mode("ipv4"), "-o", mode("ipv6"), "routed");
    const plain = "com.docker.network.bridge.enable_ip_masquerade=false";
    await ok("network", "create", "--subnet", "10.91.5.0/24", "-o", plain, "plain");
    const a = await run("aa", "--network", "routed", "--ip", "10.91.4.9", "--ip6", "fd91:4::9", "-p", "80");
    const b = await run("bb", "--network", "plain", "--ip", "10.91.5.9");
    await a.serve(81, "closed");
    expect(
      await together({
        in: neighbour.ask("10.91.4.9", 80),
        "in 6": neighbour.ask("fd91:4::9", 80),
        "not published": neighbour.ask("10.91.4.9", 81),
        out: a.ask("192.0.2.2", 7000),
        "out 6": a.ask("2001:db8::2", 7000),
        plain: b.ask("192.0.2.2", 7000),
      }),
    ).toEqual({
      in: "aa 192.0.2.2",
      "in 6": "aa 2001:db8::2",
      "not published": "",
      out: "neighbour 10.91.4.9",
      "out 6": "neighbour fd91:4::9",
      plain: "neighbour 10.91.5.9",
    });
    await remove("aa", "bb");
    await ok("network", "rm", "routed", "plain");
  });

  test("macvlan: a place on the host's own link, with its neighbours; private ones do not see each other", async () => {
    const onLan = (subnet: string, ...options: string[]) =>
      ok(
        "network",
        "create",
        "-d",
        "macvlan",
        "-o",
        "parent=lan",
        ...options,
        "--subnet",
        subnet,
        options.join() || "mac",
      );
    await onLan("192.0.2.0/24");
    await ok(
      "network",
      "create",
      "-d",
      "macvlan",
      "-o",
      "parent=lan",
      "-o",
      "macvlan_mode=private",
      "--subnet",
      "10.91.6.0/24",
      "private",
    );
    const a = await run("aa", "--network", "mac", "--ip", "192.0.2.77");
    const b = await run("bb", "--network", "mac", "--ip", "192.0.2.78");
    await run("cc", "--network", "private", "--ip", "10.91.6.7");
    const d = await run("dd", "--network", "private", "--ip", "10.91.6.8");
    neighbour.sh("ip addr add 10.91.6.1/24 dev eth0");
    expect(
      await together({
        out: a.ask("192.0.2.2", 7000),
        in: neighbour.ask("192.0.2.77", 80),
        beside: b.ask("192.0.2.77", 80),
        private: d.ask("10.91.6.7", 80),
        "private, out": d.ask("10.91.6.1", 7000),
      }),
    ).toEqual({
      out: "neighbour 192.0.2.77",
      in: "aa 192.0.2.2",
      beside: "aa 192.0.2.78",
      private: "",
      "private, out": "neighbour 10.91.6.8",
    });
    neighbour.sh("ip addr del 10.91.6.1/24 dev eth0");
    await ok("network", "disconnect", "mac", "aa");
    expect(a.sh("ip -o link")).not.toContain("eth0");
    await remove("aa", "bb", "cc", "dd");
    await ok("network", "rm", "mac", "private");
    expect(await refusal("network", "create", "-d", "macvlan", "-o", "parent=nosuch.7", "x")).toBe(
      "-o parent interface was not found on the host: nosuch",
    );
  });
});

describe("a container on several networks", () => {
  test("interfaces, addresses, sysctls and the way out are as asked for", async () => {
    await ok("network", "create", "--subnet", "10.91.10.0/24", "aa");
    await ok("network", "create", "--subnet", "10.91.11.0/24", "-o", "com.docker.network.driver.mtu=1300", "bb");
    const options = "driver-opt=com.docker.network.endpoint.ifname=up0";
    const sysctl = "driver-opt=com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=1";
    const a = await run(
      "aa",
      ...["--network", `name=bb,ip=10.91.11.9,mac-address=02:42:00:00:00:99,gw-priority=1,${options},"${sysctl}"`],
      ...["--network", "name=aa,link-local-ip=169.254.7.7"],
    );
    const links = a.sh("ip -o link; ip -o -4 addr; ip route; cat /proc/sys/net/ipv4/conf/up0/log_martians");
    expect(links).toMatch(/up0@.* mtu 1300 .*02:42:00:00:00:99/);
    expect(links).toContain("inet 10.91.11.9/24");
    expect(links).toMatch(/eth0 .*inet 169.254.7.7\/16/);
    expect(links).toContain("default via 10.91.11.1 dev up0");
    expect(links).toEndWith("\n1\n");
    // The way out follows.
    await ok("network", "disconnect", "bb", "aa");
    expect(a.sh("ip route")).toContain("default via 10.91.10.1 dev eth0");
    await ok("network", "connect", "--gw-priority", "5", "--ip", "10.91.11.10", "bb", "aa");
    expect(a.sh("ip route")).toContain("default via 10.91.11.1 dev eth1");
    await remove("aa");
    const clash = ["--network", `name=aa,${options}`, "--network", `name=bb,${options}`];
    expect(await refusal("run", "--rm", "--name", "aa", ...clash, "alpine")).toBe(
      "container aa has an interface up0 already",
    );
    const second = "name=bb,driver-opt=com.docker.network.endpoint.ifname=eth0";
    const shown = await ok("run", "--rm", "--network", "aa", "--network", second, "alpine", "ip", "-o", "-4", "addr");
    expect(shown).toMatch(/eth0 .* 10\.91\.11\./);
    expect(shown).toMatch(/eth1 .* 10\.91\.10\./);
    expect(await daemon.leftovers()).toEqual([]);
    await ok("network", "rm", "aa", "bb");
  });

  test("published ports go where the container still is; none are lost on the way", async () => {
    await ok("network", "create", "--subnet", "10.91.12.0/24", "first");
    await ok("network", "create", "--subnet", "10.91.13.0/24", "second");
    await run("aa", "--network", "first", "-p", "8082:80", "-p", "8082:80/udp");
    await ok("network", "connect", "second", "aa");
    expect(await neighbour.ask("192.0.2.1", 8082)).toBe("aa 192.0.2.2");
    await ok("network", "disconnect", "first", "aa");
    expect(await neighbour.ask("192.0.2.1", 8082)).toBe("aa 192.0.2.2");
    expect(await neighbour.ask("2001:db8::1", 8082, "udp")).toMatch(/^aa /);
    await ok("network", "disconnect", "second", "aa");
    expect(await neighbour.ask("192.0.2.1", 8082)).toBe("");
    // Also when the daemon has not seen it leave.
    await daemon.end("SIGKILL");
    await daemon.start();
    expect((await docker("inspect", "-f", "{{len .NetworkSettings.Networks}}", "aa")).stdout).toBe("0\n");
    await ok("network", "connect", "first", "aa");
    expect(await neighbour.ask("192.0.2.1", 8082)).toBe("aa 192.0.2.2");
    expect(await ok("port", "aa")).toContain("80/tcp -> 0.0.0.0:8082\n80/tcp -> [::]:8082");
    await remove("aa");
    await ok("network", "rm", "first", "second");
  });
});

describe("bad days", () => {
  test("a place that a running container cannot be given in full is taken back", async () => {
    await ok("network", "create", "--subnet", "10.91.40.0/29", "-o", "com.docker.network.bridge.name=brpart", "part");
    const a = await run("aa");
    const links = () => a.sh("ip -br link | cut -d@ -f1 | cut -d' ' -f1");
    const before = links();
    const sysctl = (value: string) => `com.docker.network.endpoint.sysctls=net.ipv4.conf.IFNAME.log_martians=${value}`;
    // More often than there are addresses.
    for (let attempt = 0; attempt < 8; attempt++)
      expect((await docker("network", "connect", "--driver-opt", sysctl("abc"), "part", "aa")).code).toBe(1);
    expect(links()).toBe(before);
    expect(host.sh("ip -br link show master brpart")).toBe("");
    expect(await ok("inspect", "-f", "{{len .NetworkSettings.Networks}}", "aa")).toBe("1");
    await ok("network", "connect", "--driver-opt", sysctl("1"), "part", "aa");
    expect(a.sh("cat /proc/sys/net/ipv4/conf/eth1/log_martians")).toBe("1\n");
    await remove("aa");
    await ok("network", "rm", "part");
  });

  test("a bridge that is deleted and rules that are flushed are back within a second", async () => {
    await ok("network", "create", "--subnet", "10.91.20.0/24", "-o", "com.docker.network.bridge.name=brmine", "net");
    const a = await run("aa", "--network", "net", "-p", "8083:80");
    const b = await run("bb", "--network", "net");
    const address = await addressOf("aa", "net");
    const works = async () => [
      await neighbour.ask("192.0.2.1", 8083),
      await a.ask("192.0.2.1", 8083),
      await b.ask(address, 80),
      await b.ask("192.0.2.2", 7000),
    ];
    const before = await works();
    expect(before).toEqual([
      "aa 192.0.2.2",
      "aa 10.91.20.1",
      `aa ${await addressOf("bb", "net")}`,
      "neighbour 192.0.2.1",
    ]);
    host.sh("ip link del brmine");
    await Bun.sleep(1100);
    expect(await works()).toEqual(before);
    host.sh("nft flush ruleset");
    await Bun.sleep(1000);
    expect(await works()).toEqual(before);
    host.sh(
      // The daemon may have made its bridge anew in between.
      "nft flush ruleset; for i in $(seq 50); do ip link del brmine || true; ip link add brmine type veth && exit; done; exit 1",
    );
    await Bun.sleep(1100);
    // Somebody else's link has the name: the others work on.
    expect(daemon.log).toContain("existing interface brmine is not a bridge");
    const c = await run("cc", "-p", "8084:80");
    expect(await neighbour.ask("192.0.2.1", 8084)).toBe("cc 192.0.2.2");
    expect(await c.ask("192.0.2.2", 7000)).toBe("neighbour 192.0.2.1");
    host.sh("ip link del brmine");
    await Bun.sleep(1100);
    expect(await works()).toEqual(before);
    await remove("aa", "bb", "cc");
    await ok("network", "rm", "net");
    expect(host.sh("ip -o link")).not.toContain("brmine");
  });

  test("addresses that cannot be had", async () => {
    await ok("network", "create", "--subnet", "10.91.30.0/29", "--aux-address", "a=10.91.30.2", "tiny");
    expect(await refusal("network", "create", "--subnet", "10.91.30.0/30", "x")).toBe(
      "invalid pool request: Pool overlaps with other one on this address space",
    );
    await run("aa", "--network", "tiny", "--ip", "10.91.30.6");
    const place = "invalid config for network tiny: invalid endpoint settings:";
    const asked: Record<string, string> = {
      "10.91.30.6": "Address already in use",
      "10.91.30.1": "Address already in use",
      "10.91.30.2": "Address already in use",
      "10.91.30.0": "Address already in use",
      "10.91.30.7": "Address already in use",
      "10.91.31.1": `${place}\nno configured subnet or ip-range contain the IP address 10.91.31.1`,
      nonsense: `${place}\n* invalid IPv4 address: nonsense\n* no configured subnet or ip-range contain the IP address nonsense`,
    };
    for (const [address, words] of Object.entries(asked))
      expect([address, await refusal("run", "--rm", "--network", "tiny", "--ip", address, "alpine")]).toEqual([
        address,
        words,
      ]);
    for (const name of ["bb", "cc", "dd"]) await run(name, "--network", "tiny");
    expect(await refusal("run", "--rm", "--network", "tiny", "alpine")).toMatch(
      /^no available IPv4 addresses on this network's address pools: tiny \(\w{64}\)$/,
    );
    expect(await refusal("network", "rm", "tiny")).toContain("network tiny has active endpoints");
    // Whoever keeps his address has it again.
    await ok("restart", "-t", "0", "aa");
    expect(await addressOf("aa", "tiny")).toBe("10.91.30.6");
    await remove("aa", "bb", "cc", "dd");
    expect(await ok("network", "inspect", "-f", "{{len .Containers}}", "tiny")).toBe("0");
    await ok("network", "rm", "tiny");
  });
});
