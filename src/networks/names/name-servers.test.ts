import { afterAll, afterEach, expect, test } from "bun:test";
import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { insideNetworkNamespace } from "../../kernel/namespaces.ts";
import { processStartTime } from "../../kernel/process.ts";
import { keptFdsStart } from "../../runtime/conmon.ts";
import { TestHouse } from "../../runtime/test-container.ts";
import { rcode, type } from "./message.ts";
import { NameServers, type UpstreamServer, type View } from "./name-servers.ts";
import { redirectNames } from "./redirect.ts";
import { adoptNameSockets } from "./sockets.ts";
import { answerTo, query, TestNamespace, TestUpstream } from "./test-client.ts";

const warnings: string[] = [];
const names = new NameServers({ warn: (message) => warnings.push(message) });
const namespaces: TestNamespace[] = [];
const upstreams: TestUpstream[] = [];

const four = (last: number) => Uint8Array.of(10, 9, 0, last);
for (const last of [1, 2, 3])
  names.setEndpoint("net", `e${last}`, { names: [`Web${last}`, "web"], fullName: `Web${last}.mynet`, v4: four(last) });
const six = Uint8Array.of(0xfd, ...Array<number>(14).fill(0), 9);
names.setEndpoint("net", "six", { names: ["six"], fullName: "six.mynet", v4: four(9), v6: six });

/** Targets of a process' descriptors. One is gone again: the directory's own. */
function files(pid: number): string[] {
  return readdirSync(`/proc/${pid}/fd`).flatMap((fd) => {
    try {
      return [readlinkSync(`/proc/${pid}/fd/${fd}`)];
    } catch {
      return [];
    }
  });
}

function serve(servers: UpstreamServer[] = [], more: Partial<View["networks"][0]> = {}): TestNamespace {
  const namespace = new TestNamespace();
  namespaces.push(namespace);
  names.serve(`c${namespaces.length}`, namespace.sockets, {
    networks: [{ id: "net", name: "mynet", ...more }],
    upstreams: servers,
  });
  return namespace;
}

async function upstream(behave: TestUpstream["behave"], namespaceFd?: number): Promise<TestUpstream> {
  const server = await new TestUpstream(behave).start(namespaceFd);
  upstreams.push(server);
  return server;
}

/** The thread is told of changes; it takes them within a turn or two. */
const settled = () => Bun.sleep(50);

const onHost = ({ port }: { port: number }): UpstreamServer => ({ address: "127.0.0.1", port, hostNamespace: true });

afterEach(() => {
  for (const server of upstreams.splice(0)) server.close();
  expect(warnings).toEqual([]);
});
afterAll(async () => {
  await names.close();
  for (const namespace of namespaces) namespace.close();
});

test("names, aliases, links, other families, addresses' names", async () => {
  const namespace = serve([], { links: { Database: "web2" } });
  expect(await namespace.ask("web1")).toMatchObject({ code: 0, answers: ["10.9.0.1"] });
  expect(await namespace.ask("WEB1.MyNet")).toMatchObject({ code: 0, answers: ["10.9.0.1"] });
  expect(await namespace.ask("database")).toMatchObject({ code: 0, answers: ["10.9.0.2"] });
  expect(await namespace.ask("web1", { type: type.AAAA })).toMatchObject({ code: 0, answers: [] });
  expect(await namespace.ask("web1", { type: type.HTTPS })).toMatchObject({ code: 0, answers: [] });
  expect((await namespace.ask("six", { type: type.AAAA })).answers).toEqual([Buffer.from(six).toString("hex")]);
  expect((await namespace.ask("six", { type: type.ANY })).answers).toHaveLength(2);
  expect((await namespace.ask("1.0.9.10.in-addr.arpa", { type: type.PTR })).answers).toEqual(["Web1.mynet"]);
  const reverse = `9.${"0.".repeat(29)}d.f.ip6.arpa`;
  expect((await namespace.ask(reverse, { type: type.PTR })).answers).toEqual(["six.mynet"]);
  expect(await namespace.ask("web1", { kind: "tcp" })).toMatchObject({ code: 0, answers: ["10.9.0.1"] });
  // Nobody else can be asked.
  const unknown = await namespace.ask("nobody");
  expect(unknown).toMatchObject({ code: rcode.serverFailure, answers: [] });
  expect(unknown.bytes.readUInt16BE(2)).toBe(0x8102);
});

test("shared names take turns", async () => {
  const namespace = serve();
  const client = await namespace.client();
  const firsts: string[] = [];
  for (let round = 0; round < 6; round++) firsts.push((await client.ask(query("web"))).answers[0]!);
  expect(new Set(firsts.slice(0, 3)).size).toBe(3);
  expect(firsts.slice(3)).toEqual(firsts.slice(0, 3));
  client.socket!.terminate();
});

test("what is changed is changed for those who are served already", async () => {
  const namespace = serve();
  const key = `c${namespaces.length}`;
  names.setEndpoint("other", "late", { names: ["late"], fullName: "late.other", v4: four(77) });
  expect((await namespace.ask("late")).code).toBe(rcode.serverFailure);
  const networks = [
    { id: "net", name: "mynet" },
    { id: "other", name: "other" },
  ];
  names.setView(key, { networks, upstreams: [] });
  await settled();
  expect((await namespace.ask("late")).answers).toEqual(["10.9.0.77"]);
  names.removeEndpoint("other", "late");
  await settled();
  expect((await namespace.ask("late")).code).toBe(rcode.serverFailure);
  names.stop(key);
  await settled();
  await expect(namespace.ask("web1", { timeoutMs: 300 })).rejects.toThrow("no answer");
});

test("port 53 is free for the container", async () => {
  const namespace = serve();
  insideNetworkNamespace(namespace.fd, () => {
    const server = Bun.listen({ hostname: "0.0.0.0", port: 53, socket: { data() {} } });
    server.stop();
  });
  const socket = await insideNetworkNamespace(namespace.fd, () => Bun.udpSocket({ hostname: "0.0.0.0", port: 53 }));
  expect((await namespace.ask("web1")).answers).toEqual(["10.9.0.1"]);
  socket.close();
});

test("rules can be put in place again", async () => {
  const namespace = serve();
  redirectNames(namespace.fd, namespace.sockets);
  expect((await namespace.ask("web1")).answers).toEqual(["10.9.0.1"]);
});

test("answers that do not fit are repeated over TCP", async () => {
  for (let last = 0; last < 60; last++)
    names.setEndpoint("crowd", `m${last}`, { names: ["crowd"], fullName: `m${last}.crowd`, v4: four(last) });
  const namespace = serve([], { id: "crowd", name: "crowd" });
  const short = await namespace.ask("crowd");
  expect(short).toMatchObject({ truncated: true, code: 0 });
  expect(short.bytes.length).toBeLessThanOrEqual(512);
  expect(await namespace.ask("crowd", { ednsBytes: 1232 })).toMatchObject({ truncated: false });
  const whole = await namespace.ask("crowd", { kind: "tcp" });
  expect(new Set(whole.answers).size).toBe(60);
  expect(whole.truncated).toBe(false);
});

test("other names are looked up by the host's server, over a socket and with an id of their own", async () => {
  const server = await upstream((asked) => answerTo(asked, { addresses: ["192.0.2.1"] }));
  const namespace = serve([onHost(server)]);
  for (let round = 0; round < 8; round++) {
    const reply = await namespace.ask("Example.COM", { id: 99, ednsBytes: 1232 });
    expect(reply).toMatchObject({ code: 0, answers: ["192.0.2.1"] });
    expect(reply.bytes.readUInt16BE(0)).toBe(99);
    expect(reply.bytes.toString("latin1")).toContain("\x07Example\x03COM");
  }
  expect(new Set(server.queries.map(({ id }) => id)).size).toBeGreaterThan(6);
  expect(new Set(server.queries.map(({ port }) => port)).size).toBeGreaterThan(4);
  expect(await namespace.ask("Example.COM", { kind: "tcp" })).toMatchObject({ code: 0, answers: ["192.0.2.1"] });
  expect(server.queries.at(-1)!.kind).toBe("tcp");
});

test("a server of the container's own namespace is asked from there", async () => {
  const namespace = new TestNamespace();
  namespaces.push(namespace);
  const server = await upstream((asked) => answerTo(asked, { addresses: ["192.0.2.7"] }), namespace.fd);
  const key = `c${namespaces.length}`;
  const address = { address: "127.0.0.1", port: server.port };
  names.serve(key, namespace.sockets, { networks: [], upstreams: [{ ...address, hostNamespace: false }] });
  expect((await namespace.ask("example.com")).answers).toEqual(["192.0.2.7"]);
  expect((await namespace.ask("example.com", { kind: "tcp" })).answers).toEqual(["192.0.2.7"]);
  // On the host nobody listens at that port.
  names.setView(key, { networks: [], upstreams: [{ ...address, hostNamespace: true }] });
  await settled();
  expect((await namespace.ask("example.com")).code).toBe(rcode.serverFailure);
});

test("the next server is asked where one is down, silent, or fails", async () => {
  const good = await upstream((asked) => answerTo(asked, { addresses: ["192.0.2.2"] }));
  const silent = await upstream(() => undefined);
  const failing = await upstream((asked) => answerTo(asked, { code: rcode.serverFailure }));
  for (const kind of ["udp", "tcp"] as const) {
    const down = serve([onHost({ port: 1 }), onHost(good)]);
    const began = performance.now();
    expect((await down.ask("example.com", { kind })).answers).toEqual(["192.0.2.2"]);
    expect((await serve([onHost(failing), onHost(good)]).ask("example.com", { kind })).answers).toEqual(["192.0.2.2"]);
    expect(performance.now() - began).toBeLessThan(900);
    const patient = serve([onHost(silent), onHost(good)]);
    expect((await patient.ask("example.com", { kind })).answers).toEqual(["192.0.2.2"]);
    // It is remembered.
    const second = performance.now();
    expect((await patient.ask("example.org", { kind })).answers).toEqual(["192.0.2.2"]);
    expect(performance.now() - second).toBeLessThan(500);
  }
  expect((await serve([onHost(failing)]).ask("example.com")).code).toBe(rcode.serverFailure);
  const began = performance.now();
  expect((await serve([onHost(silent)]).ask("example.com")).code).toBe(rcode.serverFailure);
  expect(performance.now() - began).toBeGreaterThan(3500);
  expect(performance.now() - began).toBeLessThan(4800);
}, 30_000);

test("names that do not exist, truncated and large answers are passed on as they are", async () => {
  const many = Array.from({ length: 200 }, (_, index) => `192.0.2.${index}`);
  const server = await upstream((asked, kind) => {
    if (asked.includes("none")) return answerTo(asked, { code: rcode.noName });
    return kind === "udp" ? answerTo(asked, { flags: 0x8380 }) : answerTo(asked, { addresses: many });
  });
  const namespace = serve([onHost(server)]);
  expect((await namespace.ask("none.example")).code).toBe(rcode.noName);
  expect(await namespace.ask("large.example")).toMatchObject({ truncated: true, answers: [] });
  expect((await namespace.ask("large.example", { kind: "tcp" })).answers).toEqual(many);
});

test("answers that are none to the question are not believed", async () => {
  const server = await upstream((asked) => {
    const other = Buffer.from(answerTo(asked, { addresses: ["6.6.6.6"] }));
    other[13] = 0x7a;
    return other;
  });
  const wrongId = await upstream((asked) => {
    const other = Buffer.from(answerTo(asked, { addresses: ["6.6.6.6"] }));
    other.writeUInt16BE((asked.readUInt16BE(0) + 1) & 0xffff, 0);
    return other;
  });
  const good = await upstream((asked) => answerTo(asked, { addresses: ["192.0.2.3"] }));
  const namespace = serve([onHost(server), onHost(wrongId), onHost(good)]);
  expect((await namespace.ask("example.com")).answers).toEqual(["192.0.2.3"]);
});

test("a query that is repeated is passed on once, and a thousand at once are all answered", async () => {
  const held: Buffer[] = [];
  const server = await upstream((asked) => {
    held.push(asked);
    return undefined;
  });
  const namespace = serve([onHost(server)]);
  const client = await namespace.client();
  for (let round = 0; round < 5; round++) client.send(query("example.com"));
  await Bun.sleep(200);
  expect(held).toHaveLength(1);
  server.behave = (asked) => answerTo(asked, { addresses: ["192.0.2.4"] });
  expect((await client.reply()).answers).toEqual(["192.0.2.4"]);
  const wanted = new Set(Array.from({ length: 1000 }, (_, id) => id));
  // Where this thread is too slow to read, its own buffers lose some: they are asked for again, as any client would.
  for (let round = 0; round < 5 && wanted.size > 0; round++) {
    for (const id of wanted) {
      client.send(query(`n${id}.example`, { id }));
      if (id % 50 === 0) await Bun.sleep(1);
    }
    try {
      while (wanted.size > 0) wanted.delete((await client.reply(1500)).bytes.readUInt16BE(0));
    } catch {}
  }
  expect(wanted.size).toBe(0);
  client.socket!.terminate();
});

test("more than a container may have on the way are refused, and that is all", async () => {
  const server = await upstream(() => undefined);
  const namespace = serve([onHost(server)]);
  const client = await namespace.client();
  let refused = 0;
  for (let id = 0; id < 1100; id++) {
    client.send(query(`n${id}.example`, { id }));
    if (id % 50 === 0) await Bun.sleep(2);
  }
  try {
    for (;;) if ((await client.reply(400)).code === rcode.refused) refused++;
  } catch {} // The others wait.
  expect(refused).toBe(76);
  expect((await namespace.ask("web1")).answers).toEqual(["10.9.0.1"]);
  client.socket!.terminate();
});

test("connections: queries in pieces and in bundles, idle ones, too many", async () => {
  const namespace = serve();
  const client = await namespace.client("tcp");
  const bytes = query("web1");
  const framed = Buffer.concat([Buffer.of(0, bytes.length), bytes]);
  for (const byte of framed) {
    client.socket!.write(Buffer.of(byte));
    await Bun.sleep(1);
  }
  expect((await client.reply()).answers).toEqual(["10.9.0.1"]);
  client.socket!.write(Buffer.concat(Array<Buffer>(100).fill(framed)));
  for (let count = 0; count < 100; count++) expect((await client.reply()).answers).toEqual(["10.9.0.1"]);
  const greedy = await namespace.client("tcp");
  greedy.socket!.write(Buffer.of(0xff, 0xff, 1, 2, 3));
  await expect(greedy.reply(2000)).rejects.toThrow("ended");
  // The one that was silent for longest goes.
  const crowd = [];
  for (let count = 0; count < 64; count++) {
    const next = await namespace.client("tcp");
    expect((await next.ask(query("web2"))).answers).toEqual(["10.9.0.2"]);
    crowd.push(next);
  }
  await expect(client.reply(2000)).rejects.toThrow("ended");
  const began = performance.now();
  while (!crowd.every(({ ended }) => ended) && performance.now() - began < 12_000) await Bun.sleep(100);
  expect(crowd.every(({ ended }) => ended)).toBe(true);
  expect(performance.now() - began).toBeGreaterThan(6000);
}, 30_000);

test("noise is no trouble", async () => {
  const namespace = serve();
  const client = await namespace.client();
  let seed = 7;
  for (let round = 0; round < 5000; round++) {
    const bytes = Buffer.from(query(`web${(round % 3) + 1}`, { ednsBytes: 512 }));
    for (let change = 0; change < 3; change++) {
      seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
      bytes[(seed >>> 8) % bytes.length] = seed & 255;
    }
    client.send(bytes.subarray(0, 1 + ((seed >>> 4) % bytes.length)));
    if (round % 100 === 0) await Bun.sleep(1);
  }
  client.send(Buffer.alloc(9000));
  expect((await namespace.ask("web1")).answers).toEqual(["10.9.0.1"]);
  client.socket!.terminate();
});

test("a flood from one container does not keep the others waiting", async () => {
  const flooded = serve();
  const calm = serve();
  const script = [
    "import socket,sys",
    "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.connect(('127.0.0.11',53)); s.setblocking(False)",
    `q=bytes.fromhex('${query("web").toString("hex")}')`,
    "print('go',flush=True)",
    "while True:",
    "  try: s.send(q)",
    "  except BlockingIOError: pass",
  ].join("\n");
  const flood = Bun.spawn(["nsenter", `--net=/proc/${process.pid}/fd/${flooded.fd}`, "python3", "-c", script], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  try {
    await flood.stdout.getReader().read();
    const client = await calm.client();
    const times: number[] = [];
    for (let round = 0; round < 2000; round++) {
      const began = performance.now();
      expect((await client.ask(query("web1"))).answers).toEqual(["10.9.0.1"]);
      times.push(performance.now() - began);
    }
    times.sort((a, b) => a - b);
    // Two processors are shared by three here, so that the scheduler's slices are in it.
    expect(times[Math.floor(times.length / 2)]).toBeLessThan(3);
    expect(times[Math.floor(times.length * 0.99)]).toBeLessThan(20);
    client.socket!.terminate();
  } finally {
    flood.kill(9);
    await flood.exited;
  }
}, 60_000);

test("conmon holds the sockets, and nobody in the container does; the next server answers what came meanwhile", async () => {
  const house = new TestHouse();
  try {
    const namespace = new TestNamespace();
    namespaces.push(namespace);
    const { udpFd, tcpFd } = namespace.sockets;
    const launch = house.begin("held", ["sleep", "100"], { keptFds: [udpFd, tcpFd] });
    const { pid, conmonPid } = await launch.proceed();
    await house.runtime.start("held");
    while (readFileSync(`/proc/${pid}/comm`, "utf8") !== "sleep\n") await Bun.sleep(5);
    expect(files(pid).filter((file) => file.startsWith("socket:"))).toEqual([]);
    const conmon = { pid: conmonPid, startTime: processStartTime(conmonPid)! };
    const view = { networks: [{ id: "net", name: "mynet" }], upstreams: [] };
    const first = new NameServers({ warn: (message) => warnings.push(message) });
    first.setEndpoint("net", "a", { names: ["web1"], fullName: "web1.mynet", v4: four(1) });
    first.serve("c", namespace.sockets, view);
    expect((await namespace.ask("web1")).answers).toEqual(["10.9.0.1"]);
    await first.close();
    expect(files(process.pid)).not.toContain(readlinkSync(`/proc/${conmonPid}/fd/${keptFdsStart}`));
    const waiting = [...Array(50).keys()].map((id) => namespace.ask("web1", { id }));
    waiting.push(namespace.ask("web1", { kind: "tcp" }));
    await Bun.sleep(300);
    expect(adoptNameSockets({ ...conmon, startTime: conmon.startTime + 1 }, keptFdsStart)).toBeUndefined();
    expect(adoptNameSockets(conmon, keptFdsStart - 1)).toBeUndefined();
    const adopted = adoptNameSockets(conmon, keptFdsStart)!;
    expect(adopted).toMatchObject({ udpPort: namespace.sockets.udpPort, tcpPort: namespace.sockets.tcpPort });
    names.serve("adopted", adopted, view);
    for (const reply of await Promise.all(waiting)) expect(reply.answers).toEqual(["10.9.0.1"]);
    names.stop("adopted");
  } finally {
    await house.close();
  }
}, 30_000);
