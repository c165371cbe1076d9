/** `network trace` end to end: every verdict beside a real attempt, once with the trace's own attempt and once without. */
import { afterAll, beforeAll, expect, test } from "bun:test";
import type { TraceReport } from "../src/wire/network-trace.ts";
import { TestDaemon } from "./support/daemon.ts";
import { LabHost } from "./support/netlab.ts";

const host = new LabHost();
const neighbour = new LabHost();
const daemon = new TestDaemon(["--bip", "10.93.0.1/24"], ["nsenter", `--net=${host.path}`]);
const neighbourAddress = "192.0.2.2";

/** Two web servers, one of them for the container alone. */
const server = [
  "sh",
  "-c",
  "mkdir /w; echo page >/w/index.html; httpd -p 127.0.0.1:81 -h /w; exec httpd -f -p 80 -h /w",
];

async function ok(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await daemon.docker(...args);
  if (code !== 0) throw new Error(`docker ${args.join(" ")}: ${stderr}`);
  return stdout.trim();
}
async function run(name: string, ...options: string[]): Promise<void> {
  await ok("run", "-d", "--name", name, "--dns", neighbourAddress, ...options, "alpine", ...server);
  // It listens a moment later.
  for (let tries = 0; tries < 40 && !(await attempt(name, "127.0.0.1")); tries++) await Bun.sleep(25);
}
const addressOf = (name: string, network: string, field = "IPAddress") =>
  ok("inspect", "-f", `{{.NetworkSettings.Networks.${network}.${field}}}`, name);

async function trace(from: string, to: string, passive = false): Promise<TraceReport> {
  const query = new URLSearchParams({ from, to, ...(passive && { passive: "true" }) });
  const answer = await daemon.request("GET", `/networks/trace?${query}`);
  const report = (await answer.json()) as TraceReport;
  expect([answer.status, report]).toEqual([200, report]);
  return report;
}

/** What really happens: the page, or nothing. */
async function attempt(from: string, to: string): Promise<boolean> {
  const url = `http://${to}/`;
  if (from !== "host" && from !== neighbourAddress)
    return (await daemon.docker("exec", from, "timeout", "2", "wget", "-qO-", url)).stdout === "page\n";
  const child = Bun.spawn(
    ["nsenter", `--net=${(from === "host" ? host : neighbour).path}`, "curl", "-s", "-m", "1.5", url],
    { stdin: "ignore", stderr: "ignore" },
  );
  return (await child.stdout.text()) === "page\n";
}

/** Traces in both ways, and tries it. `truth` is asked in the place of `to` where names mean something to traces only. */
async function check(from: string, to: string, reaches: boolean, truth = to): Promise<TraceReport> {
  const [report, passive, isReached] = await Promise.all([
    trace(from, to),
    trace(from, to, true),
    attempt(from, truth),
  ]);
  const word = reaches ? "yes" : "no";
  expect([from, to, report.Reaches, passive.Reaches, isReached, report]).toEqual([
    from,
    to,
    word,
    word,
    reaches,
    report,
  ]);
  expect(passive.Hops.some(({ Kind }) => Kind === "attempt")).toBe(false);
  return report;
}

beforeAll(async () => {
  host.link("lan", neighbour, "eth0", {
    here: ["192.0.2.1/24", "2001:db8::1/64"],
    there: [`${neighbourAddress}/24`, "2001:db8::2/64"],
  });
  neighbour.sh("ip route add 10.93.0.0/16 via 192.0.2.1");
  // A name server that knows one name.
  await neighbour.inside(() =>
    Bun.udpSocket({
      hostname: neighbourAddress,
      port: 53,
      socket: {
        data(socket, query, port, client) {
          const isKnown = query.toString("latin1").includes("\x03far\x07example\x00\x00\x01");
          const header = Buffer.from([
            query[0]!,
            query[1]!,
            0x81,
            isKnown ? 0x80 : 0x83,
            0,
            1,
            0,
            isKnown ? 1 : 0,
            0,
            0,
            0,
            0,
          ]);
          const record = isKnown ? [0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 192, 0, 2, 2] : [];
          socket.send(Buffer.concat([header, query.subarray(12), Buffer.from(record)]), port, client);
        },
      },
    }),
  );
  await (await daemon.start()).withImage();
  await ok("network", "create", "--ipv6", "--subnet", "10.93.1.0/24", "--subnet", "fd93:1::/64", "app");
  await ok("network", "create", "--subnet", "10.93.2.0/24", "back");
  await ok("network", "create", "--internal", "--subnet", "10.93.3.0/24", "inner");
  await ok(
    "network",
    "create",
    "-o",
    "com.docker.network.bridge.enable_icc=false",
    "--subnet",
    "10.93.4.0/24",
    "apart",
  );
  await run("web", "--network", "name=app,alias=www");
  await run("peer", "--network", "app", "--link", "web:backend");
  await run("db", "--network", "back", "-p", "8080:80", "-p", "127.0.0.1:8081:80", "-p", "8082:81");
  await run("vault", "--network", "inner");
  await run("clerk", "--network", "inner");
  await run("left", "--network", "apart");
  await run("right", "--network", "apart", "-p", "8090:80");
  await run("old");
});
afterAll(async () => {
  await daemon.dispose();
  neighbour.close();
  host.close();
});

test("the same network: by name, alias, link, full name and address; IPv6", async () => {
  const address = await addressOf("web", "app");
  for (const name of ["web", "www", "WEB", "web.app", "backend", address]) {
    const { Verdict, Hops } = await check("peer", `${name}:80`, true);
    expect(Verdict).toBe(`peer reaches ${name}:80 by network app (${address})`);
    expect(Hops.map(({ Kind }) => Kind)).toEqual([
      ...(name === address ? [] : ["name" as const]),
      "route",
      "bridge",
      "listener",
      "attempt",
    ]);
  }
  await check("peer", `[${await addressOf("web", "app", "GlobalIPv6Address")}]:80`, true);
  const reached = await trace("peer", "web");
  expect([reached.Reaches, reached.Hops.at(-1)]).toMatchObject(["yes", { Kind: "attempt", Result: "pass" }]);
});

test("nobody listens, or for the container alone", async () => {
  const closed = await check("peer", "web:82", false);
  expect(closed.Verdict).toContain("nobody listens on port 82/tcp of web, but on 80, 81");
  const local = await check("peer", "web:81", false);
  expect(local.Verdict).toBe(
    `peer does not reach web:81: web listens on 127.0.0.1 only, and not on ${await addressOf("web", "app")}`,
  );
  expect(local.Next).toBe("have web listen on 0.0.0.0 port 81");
  expect((await check("web", "127.0.0.1:81", true)).Verdict).toBe("web reaches 127.0.0.1:81 by itself");
  // The host's localhost is another one.
  const itself = await check("web", "localhost:8080", false);
  expect(itself.Next).toBe("brig network trace web 10.93.1.1:8080");
});

test("networks apart: names, addresses, and what to do", async () => {
  const named = await check("web", "db:80", false);
  expect(named.Verdict).toBe(
    "web does not reach db:80: web does not find db: db is on network back, web on network app",
  );
  expect(named.Next).toBe("brig network connect back web");
  const address = await addressOf("db", "back");
  const direct = await check("web", `${address}:80`, false);
  expect(direct.Hops.find(({ Result }) => Result === "stop")).toMatchObject({
    Kind: "filter",
    Network: "back",
    Rule: { Chain: "inbound4", Rule: "iifname @bridges drop" },
  });
  // What is to be done, done.
  await daemon.brig(...named.Next.split(" ").slice(1));
  await check("web", "db:80", true);
  await ok("network", "disconnect", "back", "web");
  const unknown = await check("web", "nobody:80", false);
  expect(unknown.Verdict).toContain("knows no such name");
  const plain = await check("old", "web:80", false);
  expect(plain.Next).toBe("brig network connect app old");
});

test("internal networks", async () => {
  await check("clerk", "vault:80", true);
  await check("host", "vault:80", true, `${await addressOf("vault", "inner")}:80`);
  const out = await check("clerk", `${neighbourAddress}:80`, false);
  expect(out.Verdict).toBe(
    "clerk does not reach 192.0.2.2:80: clerk has no route to 192.0.2.2: it is on network inner, which is internal",
  );
  const into = await check("web", `${await addressOf("vault", "inner")}:80`, false);
  expect(into.Verdict).toContain("the packet filter drops it: the network is internal");
  // The host's own address is there, and what it is published as leads out.
  await check("clerk", "10.93.3.1:8080", false);
});

test("containers that may not talk to each other, but by published ports", async () => {
  const apart = await check("left", "right:80", false);
  expect(apart.Verdict).toContain("icc=false");
  await check("left", "10.93.4.1:8090", true);
  await check("host", "right:80", true, `${await addressOf("right", "apart")}:80`);
});

test("published ports: from the host, a neighbour, another network, the container itself", async () => {
  for (const from of ["host", neighbourAddress, "web", "db"]) {
    const { Verdict } = await check(from, "192.0.2.1:8080", true);
    expect(Verdict).toBe(
      `${from} reaches 192.0.2.1:8080 by the published port 8080 (${await addressOf("db", "back")}:80 of db)`,
    );
    // It leads to where only the container itself is heard.
    expect((await check(from, "192.0.2.1:8082", false)).Verdict).toContain("db listens on 127.0.0.1 only");
    const local = await check(from, "192.0.2.1:8081", false);
    expect(local.Verdict).toContain("port 8081/tcp of db is published on 127.0.0.1 only, and not on 192.0.2.1");
    expect(local.Next).toBe("brig update --publish-add 192.0.2.1:8081:80 db");
  }
  await check("host", "localhost:8080", true);
  await check("host", "127.0.0.1:8081", true);
  await check("host", "[::1]:8080", true);
  await check("host", "[::1]:8082", false);
  const other = await check("host", "localhost:80", false);
  expect(other.Next).toBe("port 80 of db is published as port 8080");
  const direct = await check(neighbourAddress, "db:80", false, `${await addressOf("db", "back")}:80`);
  expect(direct.Next).toBe("use port 8080 of the host, which leads there");
  const farAway = await trace("198.51.100.7", "192.0.2.1:8080");
  expect(farAway.Verdict).toContain("the host has no route back to 198.51.100.7");
  const other6 = await addressOf("web", "app", "GlobalIPv6Address");
  neighbour.sh("ip -6 route add fd93:1::/64 via 2001:db8::1");
  expect((await trace("2001:db8::2", "web:80")).Hops[0]).toMatchObject({ Address: other6 });
  expect((await trace("2001:db8::2", "web:80")).Reaches).toBe("no");
  expect(await neighbour.ask(other6, 80)).toBe("");
  const unpublished = await check(neighbourAddress, "web:80", false, `${await addressOf("web", "app")}:80`);
  expect(unpublished.Next).toBe("brig update --publish-add 80:80 web");
  expect((await daemon.brig(...unpublished.Next.split(" ").slice(1))).code).toBe(0);
  await check(neighbourAddress, "192.0.2.1:80", true);
  await daemon.brig("update", "--publish-rm", "80", "web");
});

test("out of the host: names of others, masquerade", async () => {
  await neighbour.serve(7070, "far");
  const far = await trace("web", "far.example:7070");
  expect(far.Verdict).toBe("web reaches far.example:7070 by lan of the host (192.0.2.2)");
  expect(far.Hops.find(({ Kind }) => Kind === "masquerade")).toMatchObject({ Result: "pass", Address: "192.0.2.1" });
  expect((await trace("web", "far.example:7071")).Reaches).toBe("no");
  // Without an attempt nobody knows.
  expect((await trace("web", "far.example:7070", true)).Reaches).toBe("unknown");
  expect((await trace("web", "far.example:7070/udp")).Reaches).toBe("unknown");
});

test("rules of others are noticed: by their chains, and by the attempt", async () => {
  host.sh("nft add table ip mine; nft 'add chain ip mine in { type filter hook input priority 0; policy drop; }'");
  const certain = await trace("web", "10.93.1.1:9999", true);
  expect(certain.Verdict).toContain("the chain ip mine in drops it");
  host.sh("nft delete table ip mine");
  // In the container Brig reads no rules.
  const web = new LabHost(Number(await ok("inspect", "-f", "{{.State.Pid}}", "web")));
  web.sh(
    "nft add table inet mine; nft 'add chain inet mine in { type filter hook input priority 0; }'; nft add rule inet mine in ip daddr 10.93.1.0/24 tcp dport 80 drop",
  );
  // A client goes on to the other address, and so does a trace.
  const other = await trace("peer", "web:80");
  expect(other.Verdict).toBe(
    `peer reaches web:80 by network app (${await addressOf("web", "app", "GlobalIPv6Address")})`,
  );
  expect(await attempt("peer", "web:80")).toBe(true);
  web.sh("nft add rule inet mine in tcp dport 80 drop");
  const dropped = await trace("peer", "web:80");
  expect(dropped.Reaches).toBe("no");
  expect(dropped.Verdict).toContain("somebody drops it whom Brig does not know");
  expect(await attempt("peer", "web:80")).toBe(false);
  web.sh("nft delete table inet mine");
  web.close();
  await check("peer", "web:80", true);
});

test("containers that do not run, are paused, have no network, or share one", async () => {
  await run("gone", "--network", "app");
  const sleep = ["alpine", "sleep", "1000"];
  await ok("run", "-d", "--name", "sharer", "--network", "container:web", ...sleep);
  await check("sharer", "127.0.0.1:80", true);
  await check("sharer", "peer:80", true);
  await run("alone", "--network", "none");
  await ok("run", "-d", "--name", "inhost", "--network", "host", ...sleep);
  expect((await check("inhost", "127.0.0.1:8080", true)).From).toBe("inhost");
  await ok("pause", "gone");
  expect((await check("peer", "gone:80", false)).Next).toBe("brig unpause gone");
  await ok("unpause", "gone");
  await check("peer", "gone:80", true);
  await ok("stop", "-t", "0", "gone");
  const stopped = await check("peer", "gone:80", false);
  expect([stopped.Verdict, stopped.Next]).toEqual([
    "peer does not reach gone:80: gone does not run (exited)",
    "brig start gone",
  ]);
  expect((await trace("gone", "web:80")).Next).toBe("brig start gone");
  const alone = await check("alone", `${await addressOf("web", "app")}:80`, false);
  expect(alone.Verdict).toContain("it is on network none");
  await ok("rm", "-f", "gone", "sharer", "alone", "inhost");
});

test("everybody to everybody, and to every published port: no verdict differs from what happens", async () => {
  const places = {
    web: "app",
    peer: "app",
    db: "back",
    vault: "inner",
    clerk: "inner",
    left: "apart",
    right: "apart",
    old: "bridge",
  };
  const names = Object.keys(places);
  const addresses = await Promise.all(Object.entries(places).map(([name, network]) => addressOf(name, network)));
  const targets = [
    ...addresses.flatMap((address) => [`${address}:80`, `${address}:81`]),
    ...["10.93.0.1", "10.93.1.1", "10.93.3.1", "192.0.2.1"].flatMap((address) => [
      `${address}:8080`,
      `${address}:8081`,
    ]),
  ];
  const script = targets.map((to) => `(timeout 2 wget -qO- http://${to}/ >/dev/null 2>&1 && echo ${to}) &`).join("\n");
  const judge = async (from: string) => {
    const reached = names.includes(from)
      ? (await daemon.docker("exec", from, "sh", "-c", `${script}\nwait`)).stdout.trim().split("\n")
      : (await Promise.all(targets.map(async (to) => ((await attempt(from, to)) ? to : "")))).filter(Boolean);
    const found = await Promise.all(
      targets.map(async (to) => {
        const [passive, tried] = await Promise.all([trace(from, to, true), trace(from, to)]);
        return [from, to, passive.Reaches, tried.Reaches];
      }),
    );
    const truth = targets.map((to) => (reached.includes(to) ? "yes" : "no"));
    expect(found).toEqual(targets.map((to, index) => [from, to, truth[index]!, truth[index]!]));
  };
  const sources = ["host", neighbourAddress, ...names];
  while (sources.length > 0) await Promise.all(sources.splice(0, 3).map(judge));
}, 120_000);

test("for people: a line for each hop, the verdict, the exit code; --format", async () => {
  const reached = await daemon.brig("network", "trace", "peer", "web:80");
  expect(reached.code).toBe(0);
  expect(reached.stdout).toMatch(
    /^✓ web is 10\.93\.1\.\d+ and fd93:1::\w+, says the name server of network app\n(✓ .+\n)+peer reaches web:80 by network app \(10\.93\.1\.\d+\)\n$/,
  );
  const not = await daemon.brig("network", "trace", "web", "db");
  expect([not.code, not.stdout.trim().split("\n").at(-1)]).toEqual([
    1,
    "web does not reach db: web does not find db: db is on network back, web on network app. Next: brig network connect back web",
  ]);
  const unknown = await daemon.brig("network", "trace", "--passive", "web", "192.0.2.2");
  expect(unknown.code).toBe(2);
  const json = await daemon.brig("network", "trace", "--format", "json", "peer", "web:80");
  expect(JSON.parse(json.stdout)).toMatchObject({ From: "peer", To: "web:80", Reaches: "yes" });
  expect((await daemon.brig("network", "trace", "--format", "{{.Reaches}}", "peer", "web:80")).stdout).toBe("yes\n");
  expect((await daemon.brig("network", "--help")).stdout).toContain("  trace ");
});

test("what cannot be asked is refused; a network may be called trace", async () => {
  for (const [from, to, status, sentence] of [
    ["web", "a b", 400, "invalid target"],
    ["web", "web:0", 400, "invalid target"],
    ["web", "$(reboot)", 400, "invalid target"],
    ["web", "", 400, "invalid target"],
    ["../../etc", "web", 400, "invalid source"],
    ["", "web", 400, "invalid source"],
    ["nobody", "web", 404, "No such container: nobody"],
    ["192.0.2.2", "fd93:1::2", 400, "192.0.2.2 and fd93:1::2 are addresses of different families"],
  ] as const) {
    const answer = await daemon.request("GET", `/networks/trace?${new URLSearchParams({ from, to })}`);
    expect([from, to, answer.status]).toEqual([from, to, status]);
    expect(((await answer.json()) as { message: string }).message).toStartWith(sentence);
  }
  await ok("network", "create", "trace");
  expect(await ok("network", "inspect", "-f", "{{.Name}}", "trace")).toBe("trace");
  await ok("network", "rm", "trace");
});
