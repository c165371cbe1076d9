/** Living with other users of the packet filter: a daemon on a host made of a network namespace, and a neighbour. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";
import { LabHost } from "./support/netlab.ts";

const scratch = mkdtempSync(join(tmpdir(), "brig-neighbours-"));
const host = new LabHost();
const neighbour = new LabHost();
const enter = ["nsenter", `--net=${host.path}`];
const publicAddress = "192.0.2.1";

/** Everybody's rules, without counters. */
const ruleset = () => host.sh("nft -s list ruleset; iptables-legacy-save 2>/dev/null | sed 's/\\[.*//; /^#/d'");

/** Asks until the answer is the wanted one, for a second at the most: that is how long rules may take to be mended. */
async function within(ask: () => Promise<string>, wanted: string): Promise<string> {
  const end = performance.now() + 1000;
  for (;;) {
    const answer = await ask();
    if (answer === wanted || performance.now() > end) return answer;
  }
}

const published = () => neighbour.ask(publicAddress, 8080, "tcp", 0.4);

class Engine {
  readonly daemon: TestDaemon;
  constructor(options: string[] = []) {
    this.daemon = new TestDaemon(["--bip", "172.30.1.1/24", ...options], enter);
  }

  async start(): Promise<this> {
    await (await this.daemon.start()).withImage();
    const { code, stderr } = await this.daemon.docker(
      ...["run", "-d", "--name", "web", "-p", "8080:80", "alpine", "nc", "-ll", "-p", "80", "-e", "cat"],
    );
    if (code !== 0) throw new Error(stderr);
    return this;
  }

  /** What a container hears from outside. */
  async out(): Promise<string> {
    const script = "echo hello | timeout 1 nc -w1 192.0.2.2 80 | head -n1";
    return (await this.daemon.docker("exec", "web", "sh", "-c", script)).stdout.trim();
  }

  async works(): Promise<void> {
    expect(await within(published, "hello")).toBe("hello");
    expect(await within(() => this.out(), "neighbour 192.0.2.1")).toBe("neighbour 192.0.2.1");
  }

  /** Ends the daemon and takes all of it off the host. */
  async leave(): Promise<void> {
    await this.daemon.docker("rm", "-f", "web");
    await this.daemon.end("SIGTERM");
    const gone = await run([
      ...enter,
      brigBinary,
      "daemon",
      "--uninstall",
      "--bridge",
      this.daemon.bridge,
      "--config-file",
      "/dev/null",
    ]);
    expect(gone.stderr + gone.stdout).toBe("");
    expect(host.sh("ip -o link")).not.toContain(this.daemon.bridge);
    rmSync(this.daemon.root, { recursive: true, force: true });
  }
}

beforeAll(async () => {
  host.link("lan", neighbour, "eth0", { here: [`${publicAddress}/24`], there: ["192.0.2.2/24"] });
  host.sh("ip route add default via 192.0.2.2");
  await neighbour.serve(80, "neighbour");
});
afterAll(() => {
  rmSync(scratch, { recursive: true });
  for (const lab of [host, neighbour]) lab.close();
});

/** Brig comes to a host where they are already, and goes; then they come to a host where it is. */
async function beside(raise: () => void | Promise<void>, lower: () => void | Promise<void>): Promise<void> {
  await raise();
  const before = ruleset();
  const engine = await new Engine().start();
  await engine.works();
  await engine.leave();
  expect(ruleset()).toBe(before);
  await lower();
  const second = await new Engine().start();
  await raise();
  await second.works();
  await second.leave();
  expect(ruleset()).toBe(before);
  await lower();
}

const flush = () => host.sh("nft flush ruleset");

describe("a daemon beside", () => {
  test("iptables with a policy of DROP, and a rule of its own", async () => {
    await beside(
      () =>
        void host.sh(
          "iptables -P FORWARD DROP; iptables -A FORWARD -s 203.0.113.0/24 -j DROP; iptables -A INPUT -j DROP -i nothere",
        ),
      () => void flush(),
    );
  });

  test("the older iptables", async () => {
    await beside(
      () => void host.sh("iptables-legacy -P FORWARD DROP; iptables-legacy -A FORWARD -s 203.0.113.0/24 -j DROP"),
      () => void host.sh("iptables-legacy -P FORWARD ACCEPT; iptables-legacy -F"),
    );
  });

  test("a hand-written table that drops what is forwarded", async () => {
    const file = join(scratch, "mine.nft");
    writeFileSync(
      file,
      "table inet mine {\n chain f { type filter hook forward priority filter; policy drop; ct state established accept; }\n}\n",
    );
    await beside(
      () => void host.sh(`nft -f ${file}`),
      () => void flush(),
    );
  });
});
void cpSync;
