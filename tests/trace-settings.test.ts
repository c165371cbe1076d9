/** `network trace` where the daemon or its networks are set otherwise: every verdict beside a real attempt. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { TraceReport } from "../src/wire/network-trace.ts";
import { TestDaemon } from "./support/daemon.ts";
import { LabHost } from "./support/netlab.ts";

const host = new LabHost();
const neighbour = new LabHost();
const options = ["--bip", "10.94.0.1/24", "--icc=false", "--publish-policy", "host-firewall"];
const daemon = new TestDaemon(options, ["nsenter", `--net=${host.path}`]);
const neighbourAddress = "192.0.2.2";
const server = ["sh", "-c", "mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w"];

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.client(...args);
  if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}
async function run(name: string, ...args: string[]): Promise<void> {
  await ok("run", "-d", "--name", name, ...args, "alpine", ...server);
  // It listens a moment later.
  for (let tries = 0; tries < 40 && !(await attempt(name, "127.0.0.1")); tries++) await Bun.sleep(25);
}
const addressOf = (name: string, network: string, field = "IPAddress") =>
  ok("inspect", "-f", `{{.NetworkSettings.Networks.${network}.${field}}}`, name);

async function trace(from: string, to: string, passive = false): Promise<TraceReport> {
  const query = new URLSearchParams({ from, to, ...(passive && { passive: "true" }) });
  return (await (await daemon.request("GET", `/networks/trace?${query}`)).json()) as TraceReport;
}

async function attempt(from: string, to: string): Promise<boolean> {
  const url = `http://${to}/`;
  if (from !== "host" && from !== neighbourAddress)
    return (await daemon.client("exec", from, "timeout", "2", "wget", "-qO-", url)).stdout === "page\n";
  const { path } = from === "host" ? host : neighbour;
  const child = Bun.spawn(["nsenter", `--net=${path}`, "curl", "-s", "-m", "1.5", url], { stdin: "ignore" });
  return (await child.stdout.text()) === "page\n";
}

async function check(from: string, to: string, reaches: boolean, passive = reaches ? "yes" : "no") {
  const [report, looked, isReached] = await Promise.all([trace(from, to), trace(from, to, true), attempt(from, to)]);
  const word = from === neighbourAddress ? passive : reaches ? "yes" : "no";
  expect([from, to, report.Reaches, looked.Reaches, isReached, looked]).toEqual([
    from,
    to,
    word,
    passive,
    reaches,
    looked,
  ]);
  return report;
}

beforeAll(async () => {
  host.link("lan", neighbour, "eth0", { here: ["192.0.2.1/24"], there: [`${neighbourAddress}/24`] });
  neighbour.sh("ip route add 10.94.0.0/16 via 192.0.2.1");
  await (await daemon.start()).withImage();
  await run("right", "--expose", "80", "-p", "8080:80", "-p", "5353:53/udp");
  await run("left");
});
afterAll(async () => {
  await daemon.dispose();
  neighbour.close();
  host.close();
});

test("icc=false: links open the ports that are exposed, nothing else", async () => {
  const right = await addressOf("right", "bridge");
  const apart = await check("left", `${right}:80`, false);
  expect(apart.Verdict).toContain("icc=false");
  expect((await check("left", "right:80", false)).Next).toStartWith("brig network create app");
  await run("linked", "--link", "right:r");
  const { Hops } = await check("linked", "r:80", true);
  expect(Hops[0]).toMatchObject({ Kind: "name", Text: `r is ${right}, says /etc/hosts of linked` });
  expect(Hops.some(({ Rule }) => Rule?.Rule === "@links4 accept")).toBe(true);
  expect((await trace("linked", "r:81", true)).Reaches).toBe("no");
  expect((await trace("linked", "r")).Reaches).toBe("no");
  await ok("rm", "-f", "linked");
});

test("UDP: who listens is known, also through published ports", async () => {
  const right = await addressOf("right", "bridge");
  const inside = new LabHost(Number(await ok("inspect", "-f", "{{.State.Pid}}", "right")));
  await inside.serve(53, "names");
  expect((await trace("host", `${right}:53/udp`)).Reaches).toBe("yes");
  expect(await host.ask(right, 53, "udp")).toStartWith("names");
  expect(await neighbour.ask("192.0.2.1", 5353, "udp")).toStartWith("names");
  expect((await trace("host", `${right}:54/udp`)).Verdict).toContain(
    "nobody listens on port 54/udp of right, but on 53",
  );
  expect((await trace(neighbourAddress, "192.0.2.1:5353/udp")).Verdict).toBe(
    `192.0.2.2 reaches 192.0.2.1:5353/udp by the published port 5353 (${right}:53 of right)`,
  );
  inside.close();
});

test("the host's input rules decide about published ports", async () => {
  await check(neighbourAddress, "192.0.2.1:8080", true);
  host.sh("nft add table inet mine; nft 'add chain inet mine in { type filter hook input priority 0; policy drop; }'");
  expect((await check(neighbourAddress, "192.0.2.1:8080", false)).Verdict).toContain("the chain inet mine in drops it");
  // Containers are not asked; the host is, for the answers it gets.
  await check("left", "192.0.2.1:8080", true);
  expect((await check("host", "127.0.0.1:8080", false)).Verdict).toContain("drops the answers");
  host.sh("nft add rule inet mine in ct state established accept; nft add rule inet mine in tcp dport 8080 accept");
  const open = await check(neighbourAddress, "192.0.2.1:8080", true, "unknown");
  expect(open.Verdict).toContain("the chain inet mine in may drop it");
  await check("host", "127.0.0.1:8080", true);
  host.sh("nft delete table inet mine");
});

test("forward chains of others", async () => {
  host.sh(
    "nft add table ip filter; nft 'add chain ip filter FORWARD { type filter hook forward priority 0; policy drop; }'",
  );
  // Brig's jump comes within a moment.
  for (let tries = 0; tries < 40 && (await trace("left", "192.0.2.1:8080", true)).Reaches !== "yes"; tries++)
    await Bun.sleep(50);
  await check("left", "192.0.2.1:8080", true);
  host.sh("nft delete table ip filter");
});

test("networks that are reached directly, without IPv4, and beside the host", async () => {
  await ok(
    "network",
    "create",
    "-o",
    "com.docker.network.bridge.gateway_mode_ipv4=routed",
    "--subnet",
    "10.94.1.0/24",
    "routed",
  );
  await run("direct", "--network", "routed", "-p", "80");
  const direct = await addressOf("direct", "routed");
  await check(neighbourAddress, `${direct}:80`, true);
  await ok("exec", "-d", "direct", "httpd", "-f", "-p", "82", "-h", "/w");
  await check(neighbourAddress, `${direct}:82`, false);
  await check("left", `${direct}:80`, true);
  await ok("network", "create", "--ipv4=false", "--ipv6", "--subnet", "fd94::/64", "six");
  await run("sixth", "--network", "six", "-p", "8096:80", "-p", "0.0.0.0:8097:80");
  const six = await check("host", "127.0.0.1:8096", false);
  expect(six.Verdict).toContain("port 8096/tcp of sixth is published on :: only");
  await check("host", "[::1]:8096", true);
  await check("host", "127.0.0.1:8097", true);
  await check("host", `[${await addressOf("sixth", "six", "GlobalIPv6Address")}]:80`, true);
  await ok("rm", "-f", "direct", "sixth");
});

test("macvlan: what passes by the host is tried", async () => {
  const made = await daemon.client(
    "network",
    "create",
    "-d",
    "macvlan",
    "-o",
    "parent=lan",
    "--subnet",
    "192.0.2.0/24",
    "--ip-range",
    "192.0.2.128/28",
    "mac",
  );
  expect(made.stderr).toBe("");
  await run("m1", "--network", "mac");
  await run("m2", "--network", "mac");
  await check("m1", "m2:80", true, "unknown");
  expect((await trace("m1", "m2:83")).Verdict).toContain("nobody listens on port 83");
  await check("m1", `${await addressOf("left", "bridge")}:80`, false, "unknown");
  await ok("rm", "-f", "m1", "m2");
});
