/** Names end to end: what containers are told at 127.0.0.11, by the daemon and by a server on the host's link. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import { TestDaemon } from "./support/daemon.ts";
import { LabHost } from "./support/netlab.ts";

const host = new LabHost();
const neighbour = new LabHost();
const daemon = new TestDaemon(["--bip", "10.92.0.1/24"], ["nsenter", `--net=${host.path}`]);
const docker = (...args: string[]) => daemon.docker(...args);

/** What the neighbour's name server was asked for, and by whom. */
const asked: string[] = [];
const known: Record<string, string> = { "far.example.org": "203.0.113.7", "db.corp.example": "203.0.113.8" };

/** Answers questions for addresses of `known`; to all others, that there is no such name. */
function answer(query: Buffer, client: string): Buffer {
  const labels: string[] = [];
  let at = 12;
  for (; query[at] !== 0; at += query[at]! + 1) labels.push(query.toString("latin1", at + 1, at + 1 + query[at]!));
  const name = labels.join(".").toLowerCase();
  asked.push(`${name} ${client}`);
  const address = query.readUInt16BE(at + 1) === 1 ? known[name] : undefined;
  const code = name in known ? 0 : 3;
  const header = Buffer.from([query[0]!, query[1]!, 0x81, 0x80 | code, 0, 1, 0, address ? 1 : 0, 0, 0, 0, 0]);
  const record = address ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, ...address.split(".").map(Number)] : [];
  return Buffer.concat([header, query.subarray(12, at + 5), Buffer.from(record)]);
}

beforeAll(async () => {
  host.link("lan", neighbour, "eth0", { here: ["192.0.2.1/24"], there: ["192.0.2.2/24"] });
  await neighbour.inside(() =>
    Bun.udpSocket({
      hostname: "192.0.2.2",
      port: 53,
      socket: { data: (socket, data, port, client) => void socket.send(answer(data, client), port, client) },
    }),
  );
  await (await daemon.start()).withImage();
  await ok("network", "create", "--ipv6", "--subnet", "10.92.1.0/24", "--subnet", "fd92:1::/64", "net1");
  await ok("network", "create", "--subnet", "10.92.2.0/24", "net2");
});
afterAll(async () => {
  await daemon.dispose();
  neighbour.close();
  host.close();
});

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await docker(...args);
  if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}
const run = (name: string, ...options: string[]) =>
  ok("run", "-d", "--name", name, "--dns", "192.0.2.2", ...options, "alpine", "sleep", "1000");
const addressOf = (name: string, network: string, field = "IPAddress") =>
  ok("inspect", "-f", `{{.NetworkSettings.Networks.${network}.${field}}}`, name);

/** The addresses a name has for a container, or what it is told instead. */
async function lookUp(from: string, name: string, type = "a"): Promise<string[]> {
  const { stdout } = await docker("exec", from, "nslookup", `-type=${type}`, name);
  const addresses = [...stdout.matchAll(/^(?:Address:|.*name =) (\S+)$/gm)].map(([, found]) => found!);
  return addresses.length > 0
    ? addresses
    : (stdout.match(/NXDOMAIN|SERVFAIL|REFUSED|timed out|No answer/g)?.slice(0, 1) ?? []);
}

test("names, aliases, short ids, links and addresses, each on its own network", async () => {
  const id = await run("web", "--network", "name=net1,alias=www,alias=Shop", "--hostname", "webhost");
  await run("db", "--network", "net1", "--link", "web:backend");
  await run("far", "--network", "net2");
  const web = await addressOf("web", "net1");
  const web6 = await addressOf("web", "net1", "GlobalIPv6Address");
  for (const name of ["web", "www", "shop", "WEB", "webhost", id.slice(0, 12), "web.", "web.net1", "backend"])
    expect([name, await lookUp("db", name)]).toEqual([name, [web]]);
  expect(await lookUp("db", "web", "aaaa")).toEqual([web6]);
  expect(await lookUp("db", web.split(".").reverse().concat("in-addr.arpa").join("."), "ptr")).toEqual(["web.net1"]);
  // A link is its owner's own.
  expect(await lookUp("web", "backend")).toEqual(["NXDOMAIN"]);
  // Nothing is seen from another network, not by name, not by address.
  for (const name of ["web", "www", "webhost", "web.net1"]) expect(await lookUp("far", name)).toEqual(["NXDOMAIN"]);
  expect(await lookUp("far", web.split(".").reverse().concat("in-addr.arpa").join("."), "ptr")).toEqual(["NXDOMAIN"]);
  // A name that is there has no IPv6 address: nobody else is asked for one.
  asked.length = 0;
  await lookUp("far", "far", "aaaa");
  expect(asked).toEqual([]);
  // Names come and go with their containers.
  await ok("network", "connect", "--alias", "visitor", "net2", "web");
  expect(await lookUp("far", "visitor")).toEqual([await addressOf("web", "net2")]);
  expect((await lookUp("web", "far"))[0]).toBe(await addressOf("far", "net2"));
  await ok("network", "disconnect", "net2", "web");
  expect(await lookUp("far", "visitor")).toEqual(["NXDOMAIN"]);
  await ok("rename", "web", "site");
  expect(await lookUp("db", "site")).toEqual([web]);
  expect(await lookUp("db", "web")).toEqual(["NXDOMAIN"]);
  await ok("stop", "-t", "0", "site");
  expect(await lookUp("db", "www")).toEqual(["NXDOMAIN"]);
  await ok("rm", "-f", "site", "db", "far");
});

test("several containers of one name take turns", async () => {
  for (const name of ["r1", "r2", "r3"]) await run(name, "--network", "name=net1,alias=all");
  const first = new Set<string>();
  for (let turn = 0; turn < 30 && first.size < 3; turn++) {
    const answers = await lookUp("r1", "all");
    expect(answers.length).toBe(3);
    first.add(answers[0]!);
  }
  expect(first.size).toBeGreaterThan(1);
  await ok("rm", "-f", "r1", "r2", "r3");
});

test("other names are asked for elsewhere: search domains, ndots, --add-host; never from an internal network", async () => {
  await ok("network", "create", "--internal", "--subnet", "10.92.3.0/24", "inner");
  await run(
    "a1",
    "--network",
    "net1",
    "--dns-search",
    "corp.example",
    "--dns-option",
    "ndots:2",
    "--add-host",
    "gate:host-gateway",
  );
  await run("b1", "--network", "inner");
  expect(await ok("exec", "a1", "cat", "/etc/resolv.conf")).toContain(
    "nameserver 127.0.0.11\nsearch corp.example\noptions ndots:2",
  );
  asked.length = 0;
  expect(await lookUp("a1", "far.example.org.")).toEqual(["203.0.113.7"]);
  expect(asked).toEqual(["far.example.org 192.0.2.1"]);
  expect((await docker("exec", "a1", "ping", "-c1", "-W1", "db")).stdout).toContain("PING db (203.0.113.8)");
  expect((await docker("exec", "a1", "ping", "-c1", "-W1", "gate")).stdout).toContain("PING gate (10.92.0.1)");
  expect(asked).toContain("db.corp.example 192.0.2.1");
  expect(await lookUp("a1", "nowhere.example.org.")).toEqual(["NXDOMAIN"]);
  // Too few dots: the search domain first.
  asked.length = 0;
  await docker("exec", "a1", "ping", "-c1", "-W1", "far.example");
  expect(asked[0]).toBe("far.example.corp.example 192.0.2.1");
  asked.length = 0;
  expect(await lookUp("b1", "far.example.org.")).not.toContain("203.0.113.7");
  expect(await lookUp("b1", "b1.")).toEqual([await addressOf("b1", "inner")]);
  expect(asked).toEqual([]);
  await ok("rm", "-f", "a1", "b1");
  await ok("network", "rm", "inner");
});

test("while the daemon is away questions wait, and are answered when it is back", async () => {
  await run("a1", "--network", "net1");
  await run("b1", "--network", "net1");
  const address = await addressOf("b1", "net1");
  const pid = await ok("inspect", "-f", "{{.State.Pid}}", "a1");
  const inside = new LabHost(Number(pid));
  await daemon.end("SIGKILL");
  // A question of a's, put on its way without the daemon's help.
  const question = Buffer.from("2b670100000100000000000002623100" + "00010001", "hex");
  const answered = Promise.withResolvers<Buffer>();
  const socket = await inside.inside(() =>
    Bun.udpSocket({ hostname: "0.0.0.0", socket: { data: (_socket, data) => answered.resolve(data) } }),
  );
  socket.send(question, 53, "127.0.0.11");
  await Bun.sleep(300);
  await daemon.start();
  const reply = await Promise.race([answered.promise, Bun.sleep(5000)]);
  expect(reply?.subarray(-4).join(".")).toBe(address);
  socket.close();
  for (let turn = 0; turn < 3; turn++) {
    await daemon.end("SIGKILL");
    await daemon.start();
    expect(await lookUp("a1", "b1")).toEqual([address]);
    expect(await lookUp("a1", "far.example.org")).toEqual(["203.0.113.7"]);
  }
  inside.close();
  await ok("rm", "-f", "a1", "b1");
});

test("a container that runs gets a name server with its first named network", async () => {
  await run("c1");
  await run("d1", "--network", "net1");
  expect(await ok("exec", "c1", "cat", "/etc/resolv.conf")).not.toContain("127.0.0.11");
  await ok("network", "connect", "net1", "c1");
  expect(await lookUp("c1", "d1")).toEqual([await addressOf("d1", "net1")]);
  expect(await lookUp("d1", "c1")).toEqual([await addressOf("c1", "net1")]);
  expect(await ok("exec", "c1", "cat", "/etc/hosts")).toContain(await addressOf("c1", "net1"));
  await ok("network", "disconnect", "net1", "c1");
  expect(await lookUp("c1", "d1")).toEqual(["NXDOMAIN"]);
  expect(await lookUp("c1", "far.example.org")).toEqual(["203.0.113.7"]);
  await ok("rm", "-f", "c1", "d1");
});
