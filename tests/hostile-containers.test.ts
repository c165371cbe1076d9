/** What a container can do with what it has of its networks, and what it cannot do to the daemon with it. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();

beforeAll(async () => {
  await daemon.start();
  await daemon.withImage();
  for (const name of ["one", "two"]) await succeed("network", "create", name);
});

afterAll(async () => {
  await daemon.docker("network", "prune", "-f");
  await daemon.dispose();
});

async function succeed(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.docker(...args);
  expect({ args, code, stderr }).toEqual({ args, code: 0, stderr: expect.any(String) });
  return stdout.trim();
}

const inside = (container: string, script: string) => succeed("exec", container, "sh", "-c", script);

/** Whether a container that sends packets for 127.0.0.1 to its gateway gets an answer of what listens there on the host. */
async function reachesLoopback(host: TestDaemon, network: string): Promise<boolean> {
  using server = Bun.serve({ hostname: "127.0.0.1", port: 0, fetch: () => new Response("of the host") });
  const inspected = await host.docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network);
  const script = `ip addr del 127.0.0.1/8 dev lo; ip route add 127.0.0.1 via ${inspected.stdout.trim()}
    printf 'GET / HTTP/1.0\r\n\r\n' | timeout 2 nc 127.0.0.1 ${server.port}`;
  const options = ["--rm", "--cap-add", "NET_ADMIN", "--sysctl", "net.ipv4.conf.all.route_localnet=1"];
  const { stdout } = await host.docker("run", ...options, "--network", network, "alpine", "sh", "-c", script);
  return stdout.includes("of the host");
}

async function networksOf(container: string): Promise<string[]> {
  return Object.keys(
    JSON.parse(await succeed("inspect", "-f", "{{json .NetworkSettings.Networks}}", container)),
  ).sort();
}

test("an /etc/hosts of many gigabytes neither stops the daemon nor keeps its container off networks", async () => {
  await succeed("run", "-d", "--name", "bomber", "--network", "one", "alpine", "sleep", "1000");
  for (const bytes of [3e9, 5e12]) {
    for (const file of ["hosts", "resolv.conf"])
      await inside("bomber", `dd if=/dev/zero of=/etc/${file} bs=1 count=1 seek=${bytes} 2>/dev/null`);
    const begun = performance.now();
    await succeed("network", "connect", "two", "bomber");
    await succeed("network", "disconnect", "two", "bomber");
    expect(performance.now() - begun).toBeLessThan(2000);
  }
  expect(await networksOf("bomber")).toEqual(["one"]);
  await inside("bomber", "echo 10.1.2.3 mine >/etc/hosts");
  await succeed("network", "connect", "two", "bomber");
  expect(await inside("bomber", "cat /etc/hosts")).toMatch(
    /^10\.1\.2\.3 mine\n\d+\.\d+\.\d+\.\d+\t\w+\n\d+\.\d+\.\d+\.\d+\t\w+$/,
  );
  await succeed("rm", "-f", "bomber");
});

test("what a container makes of its /etc/hosts keeps nobody from starting whom it has a link to", async () => {
  await succeed("run", "-d", "--name", "child", "alpine", "sleep", "1000");
  await succeed("run", "-d", "--name", "owner", "--link", "child", "alpine", "sleep", "1000");
  await inside("owner", "dd if=/dev/zero of=/etc/hosts bs=1 count=1 seek=5000000000000 2>/dev/null");
  await succeed("restart", "-t", "0", "child");
  await succeed("rm", "-f", "owner", "child");
});

test("a container that takes its own interfaces down, renames and empties them leaves its networks", async () => {
  await succeed(
    "run",
    "-d",
    "--name",
    "admin",
    "--cap-add",
    "NET_ADMIN",
    "--network",
    "one",
    "alpine",
    "sleep",
    "1000",
  );
  for (const script of [
    "ip link set eth1 down",
    "ip addr flush dev eth1",
    "ip link set eth1 down; ip link set eth1 name x",
  ]) {
    await succeed("network", "connect", "two", "admin");
    await inside("admin", script);
    await succeed("network", "disconnect", "one", "admin");
    expect(await networksOf("admin")).toEqual(["two"]);
    await succeed("network", "disconnect", "two", "admin");
    await succeed("network", "connect", "one", "admin");
    await inside("admin", "ip link set eth0 up; ip route");
  }
  await inside("admin", "ip link del eth0");
  await succeed("network", "disconnect", "one", "admin");
  await succeed("network", "connect", "one", "admin");
  await succeed("rm", "-f", "admin");
});

test("sysctls of an interface whose name has dots are that interface's; those that are none are refused", async () => {
  const network = (name: string, sysctls: string) =>
    `name=one,driver-opt=com.docker.network.endpoint.ifname=${name},driver-opt=com.docker.network.endpoint.sysctls=${sysctls}`;
  const setting = "net.ipv4.conf.IFNAME.log_martians=1";
  const shown = ["cat", "/proc/sys/net/ipv4/conf/a.0/log_martians"];
  expect(await succeed("run", "--rm", "--network", network("a.0", setting), "alpine", ...shown)).toBe("1");
  for (const wrong of ["net.ipv4.conf.IFNAME.nothing=1", "net.ipv4.conf.IFNAME.log_martians=many"]) {
    const { code, stderr } = await daemon.docker("run", "--rm", "--network", network("b", wrong), "alpine", "true");
    expect({ code, stderr }).toEqual({ code: 125, stderr: expect.stringContaining("failed to set sysctl") });
  }
});

test("what listens on the host's 127.0.0.1 is out of reach, also where the packet filter is left alone", async () => {
  expect(await reachesLoopback(daemon, "one")).toBe(false);
  const without = new TestDaemon(["--iptables=false"]);
  try {
    await without.start();
    await without.withImage();
    expect(await reachesLoopback(without, "bridge")).toBe(false);
  } finally {
    await without.dispose();
  }
});
