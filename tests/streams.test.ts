import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { connect } from "node:net";
import { brigBinary, run, TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());
const docker = (...args: string[]) => daemon.docker(...args);

describe("stdin", () => {
  test("half-close: a big pipe through and its count back", async () => {
    const big = randomBytes(8 << 20);
    const { stdout } = await daemon.dockerWith(big, "run", "-i", "--rm", "alpine", "wc", "-c");
    expect(stdout.trim()).toBe(String(big.length));
  });
  test("every byte comes back in order", async () => {
    const big = randomBytes(4 << 20).toString("base64");
    const { stdout } = await daemon.dockerWith(big, "run", "-i", "--rm", "alpine", "cat");
    expect(createHash("sha256").update(stdout).digest("hex")).toBe(createHash("sha256").update(big).digest("hex"));
    const { stdout: ours } = await run(
      [...[`${import.meta.dir}/../dist/brig`, "-H", daemon.host], "run", "-i", "--rm", "alpine", "cat"],
      { stdin: big },
    );
    expect(ours === big).toBe(true);
  });
  test("a process that closes its stdin while much is coming says all it has to say", async () => {
    const big = randomBytes(20 << 20);
    const expected = (await run(["seq", "1", "200000"])).stdout;
    await docker("run", "-d", "--name", "deaf", "alpine", "sleep", "100");
    for (let round = 0; round < 4; round++)
      for (const command of [
        ["run", "-i", "--rm", "alpine"],
        ["exec", "-i", "deaf"],
      ]) {
        const { stdout } = await daemon.dockerWith(big, ...command, "sh", "-c", "exec <&-; seq 1 200000");
        expect(stdout === expected).toBe(true);
      }
    await docker("rm", "-f", "deaf");
  });
  test("-a stdin alone: the client may be gone before the container starts", async () => {
    for (const client of ["docker", brigBinary]) {
      const options = [
        "-H",
        daemon.host,
        "run",
        "-i",
        "--name",
        "fed",
        "-a",
        "stdin",
        "alpine",
        "sh",
        "-c",
        "cat; sleep 0.1",
      ];
      expect((await run([client, ...options], { stdin: "given\n" })).code).toBe(0);
      expect((await docker("wait", "fed")).stdout).toBe("0\n");
      expect((await docker("logs", "fed")).stdout).toBe("given\n");
      await docker("rm", "fed");
    }
  });
});

describe("output", () => {
  test("stdout and stderr stay apart", async () => {
    const { stdout, stderr } = await docker("run", "--rm", "alpine", "sh", "-c", "echo out; echo err >&2");
    expect({ stdout, stderr }).toEqual({ stdout: "out\n", stderr: "err\n" });
  });
  test("20 MB, nothing lost", async () => {
    const { stdout } = await run([
      "sh",
      "-c",
      `docker -H ${daemon.host} run --rm alpine sh -c 'head -c 20971520 /dev/zero' | wc -c`,
    ]);
    expect(stdout.trim()).toBe("20971520");
  });
  test("-a stdout only", async () => {
    const { stdout, stderr } = await docker(
      "run",
      "--rm",
      "-a",
      "stdout",
      "alpine",
      "sh",
      "-c",
      "echo out; echo err >&2",
    );
    expect({ stdout, stderr }).toEqual({ stdout: "out\n", stderr: "" });
  });
});

describe("attach", () => {
  test("several at once see the same", async () => {
    await docker("run", "-di", "--name", "shared", "alpine", "cat");
    const first = daemon.docker("attach", "--no-stdin", "shared");
    const second = daemon.brig("attach", "--no-stdin", "shared");
    await Bun.sleep(400);
    const writer = Bun.spawn(["docker", "-H", daemon.host, "attach", "shared"], { stdin: "pipe", stdout: "pipe" });
    writer.stdin.write("hello\n");
    await writer.stdin.flush();
    await Bun.sleep(400);
    await docker("kill", "shared");
    expect((await first).stdout).toBe("hello\n");
    expect((await second).stdout).toBe("hello\n");
    writer.kill();
    await docker("rm", "shared");
  });
  test("to a stopped container is refused", async () => {
    await docker("create", "--name", "stopped", "alpine", "true");
    expect((await docker("attach", "stopped")).stderr).toContain(
      "You cannot attach to a stopped container, start it first",
    );
    await docker("rm", "stopped");
  });
  test("start -a gives output and exit code", async () => {
    await docker("create", "--name", "later", "alpine", "sh", "-c", "echo later; exit 6");
    const { code, stdout } = await docker("start", "-a", "later");
    expect({ code, stdout }).toEqual({ code: 6, stdout: "later\n" });
    await docker("rm", "later");
  });
  test("the daemon killed while clients are attached: containers go on, and can be attached to again", async () => {
    const chatty = "while :; do echo tick; sleep 0.001; done";
    for (const name of ["one", "two"]) await docker("run", "-d", "--name", name, "alpine", "sh", "-c", chatty);
    await docker("run", "-dit", "--name", "shell", "alpine", "sh");
    for (let round = 0; round < 3; round++) {
      const clients = ["one", "two", "shell"].map((name) =>
        Bun.spawn(["docker", "-H", daemon.host, "attach", "--no-stdin", name], { stdout: "ignore", stderr: "ignore" }),
      );
      await Bun.sleep(300);
      await daemon.end("SIGKILL");
      await Promise.all(clients.map(({ exited }) => exited));
      await daemon.start();
    }
    expect((await docker("ps", "-q")).stdout.split("\n").length).toBe(4);
    const { output } = await inTerminal(`${brigBinary} -H ${daemon.host} attach shell`, [
      "echo a$((1+1))\r",
      "\x10\x11",
    ]);
    expect(output).toContain("a2\r\n");
    await docker("rm", "-f", "one", "two", "shell");
  });
  test("a client that vanishes leaves the container and the daemon as they were", async () => {
    await docker("run", "-d", "--name", "stays", "alpine", "sh", "-c", "while :; do echo tick; sleep 0.01; done");
    for (let i = 0; i < 5; i++) {
      const client = Bun.spawn(["docker", "-H", daemon.host, "attach", "--no-stdin", "stays"], { stdout: "ignore" });
      await Bun.sleep(80);
      client.kill("SIGKILL");
    }
    expect((await docker("inspect", "-f", "{{.State.Running}}", "stays")).stdout).toBe("true\n");
    expect((await docker("exec", "stays", "echo", "ok")).stdout).toBe("ok\n");
    await docker("rm", "-f", "stays");
  });
  test("over WebSocket", async () => {
    await docker("run", "-di", "--name", "ws", "alpine", "cat");
    const socket = connect(daemon.socket);
    const key = randomBytes(16).toString("base64");
    socket.write(
      `GET /v1.45/containers/ws/attach/ws?stream=1&stdin=1&stdout=1 HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
    );
    let received = "";
    socket.on("data", (data) => {
      received += data.toString("latin1");
    });
    for (let i = 0; i < 100 && !received.includes("\r\n\r\n"); i++) await Bun.sleep(20);
    expect(received).toContain("101");
    const mask = Buffer.from([1, 2, 3, 4]);
    const payload = Buffer.from("ping\n").map((byte, index) => byte ^ mask[index % 4]!);
    socket.write(Buffer.concat([Buffer.from([0x82, 0x80 | payload.length]), mask, payload]));
    for (let i = 0; i < 100 && !received.includes("ping\n"); i++) await Bun.sleep(20);
    expect(received).toContain("ping\n");
    socket.destroy();
    await docker("rm", "-f", "ws");
  });
});

/** Runs a command in a pseudo-terminal made by script(1) and types `keys` after a moment. */
async function inTerminal(command: string, keys: string[]): Promise<{ output: string; code: number }> {
  const child = Bun.spawn(["script", "-qefc", command, "/dev/null"], { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
  (async () => {
    for (const key of keys) {
      await Bun.sleep(500);
      child.stdin.write(key);
      await child.stdin.flush();
    }
  })();
  const output = await child.stdout.text();
  return { output, code: await child.exited };
}

describe("terminals", () => {
  for (const client of ["docker", `${import.meta.dir}/../dist/brig`]) {
    const name = client.split("/").at(-1);
    test(`${name} run -it: a shell, its echo, its exit code`, async () => {
      const { output, code } = await inTerminal(`${client} -H ${daemon.host} run -it --rm alpine sh`, [
        "tty\r",
        "exit 5\r",
      ]);
      expect(output).toContain("/dev/pts/0");
      expect(code).toBe(5);
    });
    test(`${name}: detach by Ctrl-P Ctrl-Q and by keys of one's own`, async () => {
      const { code } = await inTerminal(`${client} -H ${daemon.host} run -it --name d1 alpine sh`, ["\x10\x11"]);
      expect(code).toBe(0);
      expect((await docker("inspect", "-f", "{{.State.Running}}", "d1")).stdout).toBe("true\n");
      const again = await inTerminal(`${client} -H ${daemon.host} attach --detach-keys a,b d1`, ["echo x\r", "ab"]);
      expect(again.output).toContain("read escape sequence");
      await docker("rm", "-f", "d1");
    });
  }
  test("the size is the client's from the beginning, and in the end the last of many", async () => {
    for (const client of ["docker", brigBinary]) {
      // Older clients of Docker's tell the size only after the start.
      const script = client === "docker" ? "sleep 1; stty size" : "stty size";
      const command = `stty rows 33 cols 77; ${client} -H ${daemon.host} run -it --rm alpine sh -c '${script}'`;
      expect((await inTerminal(command, [])).output).toBe("33 77\r\n");
    }
    await docker("run", "-dit", "--name", "many", "alpine", "sh");
    for (let width = 60; width < 80; width++) await daemon.request("POST", `/containers/many/resize?h=30&w=${width}`);
    await Bun.sleep(300);
    expect((await docker("exec", "many", "sh", "-c", "stty size </dev/pts/0")).stdout).toBe("30 79\n");
    await docker("rm", "-f", "many");
  });
  test("resize", async () => {
    await docker("run", "-dit", "--name", "sized", "alpine", "sh");
    await daemon.request("POST", "/containers/sized/resize?h=33&w=77");
    await Bun.sleep(200);
    const size = await docker("exec", "sized", "sh", "-c", "stty size </dev/pts/0");
    expect(size.stdout).toBe("33 77\n");
    await docker("rm", "-f", "sized");
  });
});

describe("logs", () => {
  test("tail, since, timestamps, stderr, of a stopped container", async () => {
    await docker(
      "run",
      "--name",
      "talks",
      "alpine",
      "sh",
      "-c",
      "for i in 1 2 3 4 5; do echo line$i; done; echo bad >&2; printf unfinished",
    );
    const logs = async (...args: string[]) => docker("logs", ...args, "talks");
    expect((await logs()).stdout).toBe("line1\nline2\nline3\nline4\nline5\nunfinished");
    expect((await logs()).stderr).toBe("bad\n");
    // stderr's line is one of the four; an unfinished line is one too, wherever it is.
    expect((await daemon.brig("logs", "--tail", "4", "talks")).stdout).toBe("line4\nline5\nunfinished");
    expect((await logs("-t", "-n", "2")).stdout).toMatch(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z unfinished/);
    expect((await logs("--since", "1h")).stdout).toContain("line1");
    expect((await logs("--until", "2020-01-01T00:00:00")).stdout).toBe("");
    await docker("rm", "talks");
  });
  test("-f follows to the end", async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "goes-on",
      "alpine",
      "sh",
      "-c",
      "for i in 1 2 3 4 5; do echo $i; sleep 0.2; done",
    );
    expect((await docker("logs", "-f", "goes-on")).stdout).toBe("1\n2\n3\n4\n5\n");
    await docker("rm", "goes-on");
  });
  test("long lines come back whole", async () => {
    await docker(
      "run",
      "--name",
      "long",
      "alpine",
      "sh",
      "-c",
      "head -c 100000 /dev/zero | tr '\\0' x; echo; echo end",
    );
    expect((await docker("logs", "long")).stdout).toBe(`${"x".repeat(100_000)}\nend\n`);
    await docker("rm", "long");
  });
  test("-f through rotations: every line, once", async () => {
    const script = "for i in $(seq 1 20000); do echo $i; [ $((i % 100)) = 0 ] && sleep 0.01; done";
    await docker(
      "run",
      "-d",
      "--name",
      "turns",
      "--log-opt",
      "max-size=20k",
      "--log-opt",
      "max-file=60",
      "alpine",
      "sh",
      "-c",
      script,
    );
    const lines = (await docker("logs", "-f", "turns")).stdout.trim().split("\n").map(Number);
    expect(lines.length).toBe(20_000);
    expect(lines.every((line, index) => line === index + 1)).toBe(true);
    await docker("rm", "turns");
  });
  test("rotation keeps so many files and loses no line that is kept", async () => {
    await docker(
      "run",
      "--name",
      "rotates",
      "--log-opt",
      "max-size=1m",
      "--log-opt",
      "max-file=3",
      "alpine",
      "sh",
      "-c",
      "i=0; while [ $i -lt 40 ]; do seq $((i*1000)) $((i*1000+999)); i=$((i+1)); sleep 0.05; done",
    );
    const lines = (await docker("logs", "rotates")).stdout.trim().split("\n").map(Number);
    expect(lines.at(-1)).toBe(39_999);
    for (let i = 1; i < lines.length; i++)
      if (lines[i] !== lines[i - 1]! + 1) throw new Error(`${lines[i - 1]} then ${lines[i]}`);
    const { stdout } = await docker("inspect", "-f", "{{.LogPath}}", "rotates");
    expect(
      // One file can have two names, and the next one is made before there is anything in it.
      Bun.spawnSync(["sh", "-c", `find ${stdout.trim()}* -size +0 -printf '%i\\n' | sort -u | wc -l`])
        .stdout.toString()
        .trim(),
    ).toMatch(/^[123]$/);
    await docker("rm", "rotates");
  });
});
