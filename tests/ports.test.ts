import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { networkInterfaces } from "node:os";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
const docker = (...args: string[]) => daemon.docker(...args);
const server = ["alpine", "sh", "-c", "mkdir /w; echo page >/w/index.html; exec httpd -f -p 80 -h /w"];

/** Debian's busybox has no UDP server, so the host's Python is mounted into the container. */
const udpEcho = `
import socket
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("", 9))
while True: d, a = s.recvfrom(2048); s.sendto(d, a)`;

beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());

const portOf = async (name: string) =>
  Number((await docker("port", name, "80")).stdout.split("\n")[0]!.split(":").at(-1));
async function page(url: string): Promise<string> {
  for (let attempt = 0; ; attempt++)
    try {
      return await (await fetch(url, { signal: AbortSignal.timeout(3000), keepalive: false })).text();
    } catch (error) {
      if (attempt > 20) return String(error);
      await Bun.sleep(50);
    }
}
const hostAddress = () =>
  Object.entries(networkInterfaces())
    .filter(([name]) => !/^(lo|bt|brig|docker|veth)/.test(name))
    .flatMap(([, addresses]) => addresses ?? [])
    .find(({ family, internal }) => family === "IPv4" && !internal)?.address;

describe("published ports", () => {
  test("are reached from 127.0.0.1, the host's address, other containers, and themselves", async () => {
    await docker("run", "-d", "--name", "web", "-p", "80", ...server);
    const port = await portOf("web");
    expect(port).toBeGreaterThan(1023);
    expect(await page(`http://127.0.0.1:${port}/`)).toBe("page\n");
    expect(await page(`http://[::1]:${port}/`)).toBe("page\n");
    const address = hostAddress();
    if (address !== undefined) {
      expect(await page(`http://${address}:${port}/`)).toBe("page\n");
      expect((await docker("run", "--rm", "alpine", "wget", "-qO-", `http://${address}:${port}/`)).stdout).toBe(
        "page\n",
      );
      expect((await docker("exec", "web", "wget", "-qO-", `http://${address}:${port}/`)).stdout).toBe("page\n");
    }
    const ip = (await docker("inspect", "-f", "{{.NetworkSettings.IPAddress}}", "web")).stdout.trim();
    expect((await docker("run", "--rm", "alpine", "wget", "-qO-", `http://${ip}/`)).stdout).toBe("page\n");
    expect((await docker("ps", "--format", "{{.Ports}}")).stdout).toContain(`0.0.0.0:${port}->80/tcp`);
    await docker("rm", "-f", "web");
    expect((await page(`http://127.0.0.1:${port}/`)).includes("page")).toBe(false);
  });

  test("udp", async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "udp",
      "-p",
      "127.0.0.1::9/udp",
      "-v",
      "/usr:/usr:ro",
      "-v",
      "/lib:/lib:ro",
      "-v",
      "/lib64:/lib64:ro",
      "alpine",
      "/usr/bin/python3",
      "-c",
      udpEcho,
    );
    const { stdout } = await docker("port", "udp", "9/udp");
    const port = Number(stdout.trim().split(":").at(-1));
    await Bun.sleep(500);
    const answer = Promise.withResolvers<string>();
    const socket = await Bun.udpSocket({ socket: { data: (_socket, data) => answer.resolve(data.toString()) } });
    socket.send("ahoy", port, "127.0.0.1");
    expect(await Promise.race([answer.promise, Bun.sleep(3000).then(() => "nothing")])).toBe("ahoy");
    socket.close();
    await docker("rm", "-f", "udp");
  });

  test("a port that is taken is Docker's error, and nothing is left of the start", async () => {
    await docker("run", "-d", "--name", "first", "-p", "127.0.0.1::80", ...server);
    const port = await portOf("first");
    const second = await docker("run", "--name", "second", "-p", `127.0.0.1:${port}:80`, ...server);
    expect(second.code).toBe(125);
    expect(second.stderr).toContain("port is already allocated");
    expect((await docker("inspect", "-f", "{{.State.Status}}", "second")).stdout).toBe("created\n");
    await docker("rm", "-f", "first");
    expect((await docker("start", "second")).code).toBe(0);
    await docker("rm", "-f", "second");
    const foreign = Bun.listen({ hostname: "127.0.0.1", port: 0, socket: { data() {} } });
    const third = await docker("run", "--rm", "-p", `127.0.0.1:${foreign.port}:80`, ...server);
    expect(third.code).toBe(125);
    expect(third.stderr).toContain("address already in use");
    foreign.stop(true);
  });

  test("ranges and -P", async () => {
    await docker("run", "-d", "--name", "all", "--expose", "80", "--expose", "81", "-P", ...server);
    expect((await docker("port", "all")).stdout.split("\n").filter((line) => line.includes("0.0.0.0")).length).toBe(2);
    await docker("rm", "-f", "all");
  });
});

describe("modes", () => {
  test("none has only lo; host has the host's; container:X shares", async () => {
    expect(
      (
        await docker(
          "run",
          "--rm",
          "--network",
          "none",
          "alpine",
          "sh",
          "-c",
          "ls /sys/class/net; ifconfig lo | grep -c UP",
        )
      ).stdout,
    ).toBe("lo\n1\n");
    expect((await docker("run", "--rm", "--network", "host", "alpine", "cat", "/proc/net/dev")).stdout).toContain(
      daemon.bridge,
    );
    await docker("run", "-d", "--name", "owner", ...server);
    await Bun.sleep(200);
    expect(
      (await docker("run", "--rm", "--network", "container:owner", "alpine", "wget", "-qO-", "http://127.0.0.1/"))
        .stdout,
    ).toBe("page\n");
    await docker("rm", "-f", "owner");
  });
  test("the uplink's MTU, an address of the bridge's subnet, a MAC of one's own", async () => {
    const uplink = Bun.spawnSync([
      "sh",
      "-c",
      "cat /sys/class/net/$(ip -4 route show default | sed -n 's/.* dev \\([^ ]*\\).*/\\1/p' | head -n1)/mtu",
    ])
      .stdout.toString()
      .trim();
    const { stdout } = await docker(
      "run",
      "--rm",
      "--mac-address",
      "02:aa:bb:cc:dd:ee",
      "alpine",
      "sh",
      "-c",
      "cat /sys/class/net/eth0/mtu /sys/class/net/eth0/address",
    );
    expect(stdout).toBe(`${uplink || 1500}\n02:aa:bb:cc:dd:ee\n`);
  });
  test("an address on the default bridge is refused as Docker does", async () => {
    const { code, stderr } = await daemon.brig("run", "--rm", "--ip", "10.9.8.7", "alpine", "true");
    expect(code).toBe(125);
    expect(stderr).toContain("user specified IP address is supported");
  });
});

test("a host without /etc/protocols and /etc/services, as a minimal system is, publishes ports too", async () => {
  const hide = 'for f in /etc/protocols /etc/services; do [ ! -e $f ] || mount --bind /dev/null $f; done; exec "$@"';
  const bare = new TestDaemon([], ["unshare", "--mount", "sh", "-c", hide, "sh"]);
  try {
    await (await bare.start()).withImage();
    for (const command of [
      ["network", "create", "--ipv6", "named"],
      ["run", "-d", "--network", "named", "-p", "41917:80", "-p", "41917:53/udp", "alpine", "sleep", "100"],
    ])
      expect(await bare.brig(...command)).toMatchObject({ code: 0, stderr: "" });
  } finally {
    await bare.dispose();
  }
});
