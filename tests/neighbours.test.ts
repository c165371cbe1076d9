/** Living with other users of the packet filter: a daemon on a host made of a network namespace, and a neighbour. */
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBusyboxTar } from "./support/busybox-image.ts";
import { brigBinary, type Outcome, run, TestDaemon } from "./support/daemon.ts";
import { LabHost } from "./support/netlab.ts";

const scratch = mkdtempSync(join(tmpdir(), "brig-neighbours-"));
const host = new LabHost();
const neighbour = new LabHost();
const enter = ["nsenter", `--net=${host.path}`];
const publicAddress = "192.0.2.1";

/** Everybody's rules, without counters. */
const ruleset = () => host.sh("nft -s list ruleset; iptables-legacy-save 2>/dev/null | sed 's/\\[.*//; /^#/d'");

/** Asks until the answer is the wanted one, for two seconds at the most: the older iptables is looked at each second. */
async function within(ask: () => Promise<string>, wanted: string): Promise<string> {
  const end = performance.now() + 2000;
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

  uninstall(): Promise<Outcome> {
    return run([
      ...enter,
      brigBinary,
      "daemon",
      "--uninstall",
      "--bridge",
      this.daemon.bridge,
      "--config-file",
      "/dev/null",
    ]);
  }

  /** Ends the daemon and takes all of it off the host. */
  async leave(): Promise<void> {
    await this.daemon.docker("rm", "-f", "web");
    await this.daemon.end("SIGTERM");
    const gone = await this.uninstall();
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
  expect(ruleset()).not.toMatch(/brig|172\.30\.1/);
  await lower();
}

const flush = () => host.sh("nft flush ruleset");

/** ufw with a configuration of its own in /etc/ufw, on this host alone. */
const ufw = {
  directory: join(scratch, "ufw"),
  run(script: string): string {
    if (!existsSync(this.directory)) cpSync("/etc/ufw", this.directory, { recursive: true });
    const inside = join(scratch, "ufw.sh");
    writeFileSync(inside, `set -e; mount --bind ${this.directory} /etc/ufw; ${script}`);
    return host.sh(`unshare -m sh ${inside}`);
  },
};

/** firewalld with a bus and a configuration of its own, on this host alone. */
const firewalld = {
  children: [] as Bun.Subprocess[],
  bus: `unix:path=${scratch}/bus`,
  run(command: string): string {
    return host.sh(`DBUS_SYSTEM_BUS_ADDRESS=${this.bus} ${command}`);
  },
  async start(): Promise<void> {
    const config = join(scratch, "bus.conf");
    writeFileSync(
      config,
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><type>system</type><listen>${this.bus}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/><allow user="*"/></policy></busconfig>`,
    );
    mkdirSync(join(scratch, "firewalld"));
    const spawn = (...command: string[]) =>
      this.children.push(
        Bun.spawn([...enter, ...command], {
          env: { ...process.env, DBUS_SYSTEM_BUS_ADDRESS: this.bus },
          stdin: "ignore",
          stdout: "ignore",
          stderr: "ignore",
        }),
      );
    spawn("dbus-daemon", `--config-file=${config}`, "--nofork", "--nopidfile");
    while (!existsSync(join(scratch, "bus"))) await Bun.sleep(10);
    spawn("firewalld", "--nofork", "--nopid", "--system-config", join(scratch, "firewalld"));
    for (let attempt = 0; ; attempt++)
      try {
        this.run("firewall-cmd --state 2>&1");
        return;
      } catch (error) {
        if (attempt > 50) throw error;
        await Bun.sleep(100);
      }
  },
  async stop(): Promise<void> {
    for (const child of this.children.reverse()) {
      child.kill("SIGTERM");
      await child.exited;
    }
  },
};

/** Docker's own daemon, on this host alone. */
const dockerd = {
  child: undefined as Bun.Subprocess | undefined,
  async start(): Promise<void> {
    const socket = join(scratch, "docker.sock");
    const config = join(scratch, "dockerd.json");
    await Bun.write(config, "{}");
    this.child = Bun.spawn(
      [
        ...enter,
        "dockerd",
        ...["-H", `unix://${socket}`, "--data-root", `${scratch}/docker`, "--exec-root", `${scratch}/docker-run`],
        ...["--pidfile", `${scratch}/docker.pid`, "--bip", "172.31.1.1/24", "--config-file", config],
      ],
      { stdin: "ignore", stdout: "ignore", stderr: Bun.file(join(scratch, "dockerd.log")) },
    );
    for (let attempt = 0; attempt < 200; attempt++) {
      const answer = await fetch("http://docker/_ping", { unix: socket }).catch(() => undefined);
      if (answer?.ok) return;
      await Bun.sleep(50);
    }
    throw new Error(await Bun.file(join(scratch, "dockerd.log")).text());
  },
  async stop(): Promise<void> {
    this.child?.kill("SIGTERM");
    await this.child?.exited;
  },
};

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

  test("nobody: reset-network leaves nothing, but not while containers run, and all comes back with the next", async () => {
    const shown = () => `${ruleset()}${host.sh("ip -o link; ip rule; ip -6 rule")}`.replace(/@\S+| group.*/g, "");
    const before = shown();
    const engine = await new Engine(["--publish-policy", "host-firewall"]).start();
    await engine.daemon.docker("network", "create", "own");
    const refused = await engine.daemon.brig("system", "reset-network", "-f");
    expect([refused.code, refused.stderr]).toEqual([
      1,
      "Error response from daemon: the network cannot be reset while containers are on it: web\n",
    ]);
    await engine.works();
    await engine.daemon.docker("stop", "-t", "0", "web");
    expect(await engine.daemon.brig("system", "reset-network", "-f")).toEqual({ code: 0, stdout: "", stderr: "" });
    await Bun.sleep(1100);
    expect(shown()).toBe(before);
    expect((await engine.daemon.docker("start", "web")).stderr).toBe("");
    await engine.works();
    expect((await engine.daemon.docker("run", "--rm", "--network", "own", "alpine", "true")).code).toBe(0);
    await engine.daemon.end("SIGKILL");
    const occupied = await engine.uninstall();
    expect(occupied.code).toBe(1);
    expect(occupied.stderr).toContain(
      `the network cannot be removed while containers are on it: ${engine.daemon.bridge}`,
    );
    expect(await within(published, "hello")).toBe("hello");
    await engine.daemon.start();
    await engine.leave();
    expect(shown()).toBe(before);
  });

  test("ufw: open whatever it says by default, as it says with host-firewall", async () => {
    // Each of its commands takes seconds.
    ufw.run("ufw --force enable");
    const before = ruleset();
    const engine = await new Engine().start();
    await engine.works();
    await engine.leave();
    expect(ruleset()).toBe(before);
    const judged = await new Engine(["--publish-policy", "host-firewall"]).start();
    expect(await published()).toBe("");
    expect(await within(() => judged.out(), "neighbour 192.0.2.1")).toBe("neighbour 192.0.2.1");
    ufw.run("ufw allow from 192.0.2.2 to any port 8080");
    await judged.works();
    await judged.leave();
    flush();
  });

  test("firewalld: the same, and its reload", async () => {
    await firewalld.start();
    const before = ruleset();
    const engine = await new Engine().start();
    await engine.works();
    firewalld.run("firewall-cmd --reload");
    await engine.works();
    await engine.leave();
    expect(ruleset()).toBe(before);
    const judged = await new Engine(["--publish-policy", "host-firewall"]).start();
    expect(await published()).toBe("");
    firewalld.run("firewall-cmd --add-port=8080/tcp");
    await judged.works();
    await judged.leave();
    await firewalld.stop();
  });

  test.skipIf(Bun.which("dockerd") === null)("Docker, whichever comes first", async () => {
    await dockerd.start();
    const before = ruleset();
    const engine = await new Engine().start();
    await engine.works();
    await engine.leave();
    expect(ruleset()).toBe(before);
    await dockerd.stop();
    const first = await new Engine().start();
    await dockerd.start();
    await first.works();
    await dockerd.stop();
    await first.works();
    await first.leave();
    flush();
  });

  test("podman's networks", async () => {
    const podman = `podman --root ${scratch}/podman --runroot ${scratch}/podman-run --storage-driver vfs --cgroup-manager cgroupfs`;
    const tar = join(scratch, "busybox.tar");
    await buildBusyboxTar(tar);
    host.sh(
      `${podman} import -q ${tar} bb 2>/dev/null; ${podman} run -d --name p -p 8090:80 --log-driver none --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 bb nc -ll -p 80 -e cat`,
    );
    const reached = () => neighbour.ask(publicAddress, 8090, "tcp", 0.4);
    expect(await within(reached, "hello")).toBe("hello");
    const before = ruleset();
    const engine = await new Engine().start();
    await engine.works();
    expect(await within(reached, "hello")).toBe("hello");
    await engine.leave();
    expect(ruleset()).toBe(before);
    host.sh(`${podman} rm -f -t 0 p`);
    flush();
  });
});
