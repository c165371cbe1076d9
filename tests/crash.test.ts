import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { TestDaemon } from "./support/daemon.ts";

const daemon = new TestDaemon();
beforeAll(async () => {
  await (await daemon.start()).withImage();
});
afterAll(() => daemon.dispose());
const docker = (...args: string[]) => daemon.docker(...args);
const crash = async () => {
  await daemon.end("SIGKILL");
  await daemon.start();
};

describe("the daemon is killed with -9", () => {
  test("containers go on; logs, exec, attach, stop work as before", async () => {
    await docker(
      "run",
      "-d",
      "--name",
      "lives",
      "-p",
      "127.0.0.1::80",
      "alpine",
      "sh",
      "-c",
      "mkdir /w; echo page >/w/index.html; httpd -p 80 -h /w; i=0; while :; do echo tick $i; i=$((i+1)); sleep 0.05; done",
    );
    await docker("run", "-dit", "--name", "shell", "alpine", "sh");
    await Bun.sleep(300);
    const pid = (await docker("inspect", "-f", "{{.State.Pid}}", "lives")).stdout;
    const port = (await docker("port", "lives", "80")).stdout.trim();
    await crash();
    expect((await docker("inspect", "-f", "{{.State.Pid}}", "lives")).stdout).toBe(pid);
    expect((await docker("exec", "lives", "echo", "in")).stdout).toBe("in\n");
    expect(await (await fetch(`http://${port}/`)).text()).toBe("page\n");
    await Bun.sleep(300);
    const lines = (await docker("logs", "lives")).stdout.trim().split("\n");
    lines.forEach((line, index) => expect(line).toBe(`tick ${index}`));
    const attached = Bun.spawn(["script", "-qefc", `docker -H ${daemon.host} attach shell`, "/dev/null"], {
      stdin: "pipe",
      stdout: "pipe",
    });
    await Bun.sleep(400);
    attached.stdin.write("echo still $((40+2))\r");
    await attached.stdin.flush();
    await Bun.sleep(300);
    attached.stdin.write("exit 4\r");
    await attached.stdin.flush();
    expect(await attached.stdout.text()).toContain("still 42");
    expect((await docker("inspect", "-f", "{{.State.ExitCode}}", "shell")).stdout).toBe("4\n");
    await docker("stop", "-t", "0", "lives");
    expect((await docker("inspect", "-f", "{{.State.Status}}", "lives")).stdout).toBe("exited\n");
    await docker("rm", "lives", "shell");
  });

  test("what ended meanwhile has its own exit code and time", async () => {
    await docker("run", "-d", "--name", "ends", "alpine", "sh", "-c", "sleep 0.5; exit 23");
    await docker("run", "-d", "--name", "fleeting", "--rm", "alpine", "sleep", "0.5");
    await docker("run", "-d", "--name", "returns", "--restart", "always", "alpine", "sleep", "0.7");
    await daemon.end("SIGKILL");
    await Bun.sleep(1500);
    await daemon.start();
    const { stdout } = await docker(
      "inspect",
      "-f",
      "{{.State.Status}} {{.State.ExitCode}} {{.State.FinishedAt}}",
      "ends",
    );
    const [status, code, finished] = stdout.trim().split(" ");
    expect({ status, code }).toEqual({ status: "exited", code: "23" });
    expect(Date.now() - Date.parse(finished!)).toBeGreaterThan(700);
    expect((await docker("ps", "-aq", "-f", "name=fleeting")).stdout).toBe("");
    for (let i = 0; i < 40 && (await docker("inspect", "-f", "{{.State.Running}}", "returns")).stdout !== "true\n"; i++)
      await Bun.sleep(50);
    expect(Number((await docker("inspect", "-f", "{{.RestartCount}}", "returns")).stdout)).toBeGreaterThanOrEqual(0);
    await docker("rm", "-f", "ends", "returns");
  });

  test("policies: always and unless-stopped", async () => {
    await docker("run", "-d", "--name", "us", "--restart", "unless-stopped", "alpine", "sleep", "100");
    await docker("run", "-d", "--name", "al", "--restart", "always", "alpine", "sleep", "100");
    await docker("stop", "-t", "0", "us", "al");
    await crash();
    await Bun.sleep(300);
    expect((await docker("inspect", "-f", "{{.State.Running}}", "us", "al")).stdout).toBe("false\ntrue\n");
    await docker("rm", "-f", "us", "al");
  });

  test("at random moments under load: nothing without an owner is left", async () => {
    for (let round = 0; round < 8; round++) {
      let stop = false;
      const load = Array.from({ length: 4 }, async (_, worker) => {
        for (let i = 0; !stop; i++)
          await docker("run", "--rm", "--name", `load-${round}-${worker}-${i}`, "alpine", "true");
      });
      await Bun.sleep(300 + Math.random() * 500);
      await daemon.end("SIGKILL");
      stop = true;
      await Promise.all(load);
      await daemon.start();
      const { stdout } = await docker("ps", "-aq");
      const ids = stdout.split("\n").filter(Boolean);
      if (ids.length > 0) await docker("rm", "-f", ...ids);
      for (let i = 0; i < 40 && daemon.leftovers().length > 0; i++) await Bun.sleep(50);
      expect(daemon.leftovers()).toEqual([]);
    }
  }, 120_000);
});

test("a second daemon on the same root is refused", async () => {
  const second = Bun.spawn(
    [
      `${import.meta.dir}/../dist/brig`,
      "daemon",
      "-H",
      `unix://${daemon.root}/other.sock`,
      "--data-root",
      `${daemon.root}/data`,
    ].concat([
      "--exec-root",
      `${daemon.root}/run2`,
      "--pidfile",
      `${daemon.root}/p2`,
      "--bridge",
      "bt-none",
      "--config-file",
      `/dev/null`,
    ]),
    { stdout: "pipe", stderr: "pipe" },
  );
  expect(await second.exited).not.toBe(0);
  expect(await second.stderr.text()).toContain(`${daemon.root}/data`);
});

test("SIGTERM ends the daemon and leaves the containers alone", async () => {
  await docker("run", "-d", "--name", "calm", "alpine", "sleep", "100");
  const pid = (await docker("inspect", "-f", "{{.State.Pid}}", "calm")).stdout;
  await daemon.end("SIGTERM");
  await daemon.start();
  expect((await docker("inspect", "-f", "{{.State.Pid}}", "calm")).stdout).toBe(pid);
  await docker("rm", "-f", "calm");
});
